/**
 * Numbered schema migrations. A database remembers how many it has been through; an object
 * applies the rest before it does anything else, and one whose database has been through more
 * than the program knows refuses to run: it could not tell what the newer tables mean.
 * [DO1] [DO2]
 */
import type { SqlDatabase } from "./sql-database.ts";

/** The statements of each version; the first makes version 1. Never edit one that has run. */
export type Migrations = readonly (readonly string[])[];

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
];

/** The catalogue of a pool. */
export const POOL_MIGRATIONS: Migrations = [
  [
    `CREATE TABLE pool (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      name TEXT NOT NULL,
      settings TEXT NOT NULL,
      revision INTEGER NOT NULL
    )`,
    `CREATE TABLE egress_ip (
      ip TEXT PRIMARY KEY,
      advertised TEXT,
      revision INTEGER NOT NULL
    ) WITHOUT ROWID`,
    `CREATE TABLE host (
      host TEXT PRIMARY KEY,
      instance TEXT NOT NULL,
      gateway TEXT NOT NULL,
      draining INTEGER NOT NULL,
      rooms TEXT NOT NULL
    ) WITHOUT ROWID`,
  ],
  // Steering. An address without a version has published nothing yet.
  [
    "ALTER TABLE pool ADD COLUMN is_steered INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE pool ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE host ADD COLUMN reach_ipv4 TEXT",
    "ALTER TABLE host ADD COLUMN reach_ipv6 TEXT",
    "ALTER TABLE egress_ip ADD COLUMN steering_version INTEGER",
    `CREATE TABLE steering_entry (
      ip TEXT NOT NULL,
      base INTEGER NOT NULL,
      block_order INTEGER NOT NULL,
      host TEXT NOT NULL,
      epoch INTEGER NOT NULL,
      PRIMARY KEY (ip, base)
    ) WITHOUT ROWID`,
    `CREATE TABLE router (
      router TEXT PRIMARY KEY,
      instance TEXT NOT NULL,
      is_connected INTEGER NOT NULL,
      seen_at_ms INTEGER NOT NULL,
      acknowledged INTEGER,
      overdue INTEGER
    ) WITHOUT ROWID`,
  ],
  // Of entries from before it is not known which instance has them.
  ["ALTER TABLE steering_entry ADD COLUMN instance TEXT NOT NULL DEFAULT ''"],
  // Removal. What is left of a retiring address is null until the address has said so. An address
  // that has not confirmed yet that it is the pool's may be another's.
  [
    "ALTER TABLE egress_ip ADD COLUMN is_confirmed INTEGER NOT NULL DEFAULT 0",
    "UPDATE egress_ip SET is_confirmed = 1",
    "ALTER TABLE egress_ip ADD COLUMN is_retiring INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE egress_ip ADD COLUMN leased_port_count INTEGER",
    "ALTER TABLE egress_ip ADD COLUMN quarantined_port_count INTEGER",
  ],
  // Uplinks. What others found of a host, by address.
  ["ALTER TABLE host ADD COLUMN opinions TEXT NOT NULL DEFAULT '{}'"],
];

/** The list of pools. */
export const CATALOGUE_MIGRATIONS: Migrations = [["CREATE TABLE pool (name TEXT PRIMARY KEY) WITHOUT ROWID"]];

/** Brings a database to the newest version, in one transaction; throws if it is newer still. */
export function migrate(database: SqlDatabase, migrations: Migrations): void {
  const { sql } = database;
  database.transactionSync(() => {
    sql.exec(
      "CREATE TABLE IF NOT EXISTS schema_version (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)",
    );
    const version = Number(sql.exec("SELECT version FROM schema_version").toArray()[0]?.["version"] ?? 0);
    if (version === migrations.length) return;
    if (version > migrations.length) {
      const known = migrations.length;
      throw new Error(`the stored schema is version ${version}, newer than ${known}, the newest known here`);
    }
    for (const statements of migrations.slice(version)) {
      for (const statement of statements) sql.exec(statement);
    }
    sql.exec("INSERT OR REPLACE INTO schema_version (id, version) VALUES (1, ?)", migrations.length);
  });
}
