/** The tables of an address on disk, version by version. */
import type { Migrations } from "../storage/migrate.ts";

/**
 * The table of an address. Leases that take up ports are few and live apart from those that
 * are over, so that waking up never reads the whole past, and a grant is one row.
 */
export const ADDRESS_MIGRATIONS: Migrations = [
  [
    `CREATE TABLE assignment (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      pool TEXT NOT NULL,
      settings TEXT NOT NULL,
      last_session INTEGER NOT NULL DEFAULT 0,
      seen_at_ms INTEGER NOT NULL DEFAULT 0
    )`,
    `CREATE TABLE holder (
      host TEXT PRIMARY KEY,
      instance TEXT NOT NULL,
      session INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID`,
    `CREATE TABLE lease (
      epoch INTEGER PRIMARY KEY,
      base INTEGER NOT NULL,
      block_order INTEGER NOT NULL,
      host TEXT NOT NULL,
      instance TEXT NOT NULL,
      granted_at_ms INTEGER NOT NULL,
      request_id TEXT NOT NULL,
      end_reason TEXT,
      ended_at_ms INTEGER,
      free_at_ms INTEGER
    )`,
    `CREATE TABLE past_lease (
      epoch INTEGER PRIMARY KEY,
      base INTEGER NOT NULL,
      block_order INTEGER NOT NULL,
      host TEXT NOT NULL,
      granted_at_ms INTEGER NOT NULL,
      end_reason TEXT NOT NULL,
      ended_at_ms INTEGER NOT NULL
    )`,
  ],
  // Steering. Blocks leased before there were routers are in use: nobody waits for them.
  [
    "ALTER TABLE assignment ADD COLUMN ip TEXT",
    "ALTER TABLE assignment ADD COLUMN is_steered INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE assignment ADD COLUMN steering_version INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE assignment ADD COLUMN published_version INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE lease ADD COLUMN is_steered INTEGER NOT NULL DEFAULT 1",
  ],
  // Removal. One that belongs nowhere any more ('left') keeps its row: its numbers go on rising.
  [
    "ALTER TABLE assignment ADD COLUMN standing TEXT NOT NULL DEFAULT 'serving'",
    "CREATE TABLE pool_order (pool TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
  ],
  // Hosts that were refused more, for a fair share.
  ["CREATE TABLE want (host TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID"],
  // The times of hosts that renewed together: one row for all of them. Beside it the holder's own time counts.
  [
    `CREATE TABLE renewed_together (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      expires_at_ms TEXT NOT NULL
    )`,
  ],
  // History by time. A table that still has its first grant knows all since then.
  [
    "ALTER TABLE assignment ADD COLUMN known_since_ms INTEGER NOT NULL DEFAULT 0",
    `UPDATE assignment SET known_since_ms = coalesce(
      (SELECT granted_at_ms FROM past_lease WHERE epoch = 1),
      (SELECT granted_at_ms FROM lease WHERE epoch = 1),
      CAST(strftime('%s', 'now') AS INTEGER) * 1000
    )`,
    "ALTER TABLE lease ADD COLUMN resumes_epoch INTEGER",
    "ALTER TABLE past_lease ADD COLUMN pool TEXT",
    "ALTER TABLE past_lease ADD COLUMN leases TEXT",
    "CREATE INDEX past_lease_of_block ON past_lease (base, block_order, granted_at_ms)",
  ],
  // Restored from a backup: by which restore, what is waited for; the epochs and the times that were leapt over.
  [
    "ALTER TABLE assignment ADD COLUMN restoration TEXT",
    "ALTER TABLE assignment ADD COLUMN recovery TEXT",
    "ALTER TABLE holder ADD COLUMN is_unheard INTEGER NOT NULL DEFAULT 0",
    `CREATE TABLE restored (
      id INTEGER PRIMARY KEY,
      from_epoch INTEGER NOT NULL,
      to_epoch INTEGER NOT NULL,
      from_ms INTEGER NOT NULL,
      to_ms INTEGER NOT NULL
    )`,
  ],
  // What happened, the latest first: one row more when a lease leaves the live rows, none when it is granted.
  ["CREATE INDEX past_lease_by_end ON past_lease (ended_at_ms)"],
];
