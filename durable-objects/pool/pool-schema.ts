/** The tables of a pool on disk, version by version; those of its steering are read and written by `../steering`. */
import { AUDIT_TABLE } from "../audit/audit-schema.ts";
import { EVENT_TABLE } from "../events/event-schema.ts";
import type { Migrations } from "../storage/migrate.ts";

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
  // Assignment: which host serves which address; since when a host gets no requests, where it is,
  // how many addresses its demand needs; where an address is; since when the operator drains it.
  // Of an address that a host leaves, its ports and flows are null until the host has told them.
  [
    "ALTER TABLE host ADD COLUMN silent_since_ms INTEGER",
    "ALTER TABLE host ADD COLUMN site TEXT",
    "ALTER TABLE host ADD COLUMN weight REAL NOT NULL DEFAULT 1",
    "ALTER TABLE host ADD COLUMN drained_since_ms INTEGER",
    "ALTER TABLE host ADD COLUMN demand TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE egress_ip ADD COLUMN country TEXT",
    "ALTER TABLE egress_ip ADD COLUMN added_at_ms INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE pool ADD COLUMN made_at_ms INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE egress_ip ADD COLUMN sites TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE egress_ip ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE egress_ip ADD COLUMN drained_since_ms INTEGER",
    `CREATE TABLE assignment (
      host TEXT NOT NULL,
      ip TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('serving', 'replaced', 'leaving')),
      port_count INTEGER,
      flow_count INTEGER,
      PRIMARY KEY (host, ip)
    ) WITHOUT ROWID`,
  ],
  // The policy: what hosts fetch, and which tokens are revoked; of each host the version that it has.
  [
    `CREATE TABLE policy (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      version INTEGER NOT NULL,
      document TEXT NOT NULL
    )`,
    `CREATE TABLE revoked_token (
      token_id TEXT PRIMARY KEY,
      expires_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID`,
    "ALTER TABLE host ADD COLUMN policy_version INTEGER",
  ],
  // What hosts may have of tenants' limits. A host without a row was told nothing.
  [
    `CREATE TABLE tenant_share (
      host TEXT PRIMARY KEY,
      document TEXT NOT NULL,
      gone_since_ms INTEGER
    ) WITHOUT ROWID`,
  ],
  // What administrators have changed.
  AUDIT_TABLE,
  // Restored from a backup: by which restore; which addresses have not yet published all that is leased of them.
  [
    "ALTER TABLE pool ADD COLUMN restoration TEXT",
    "ALTER TABLE egress_ip ADD COLUMN is_partial INTEGER NOT NULL DEFAULT 0",
  ],
  // What happened to the pool that is stored nowhere else.
  // Of hosts that are away by now nobody is told.
  [
    ...EVENT_TABLE,
    "ALTER TABLE host ADD COLUMN is_absence_noted INTEGER NOT NULL DEFAULT 0",
    "UPDATE host SET is_absence_noted = 1 WHERE silent_since_ms IS NOT NULL",
  ],
];
