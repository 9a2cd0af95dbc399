/** The tables of the register on disk. */
import { AUDIT_TABLE } from "../audit/audit-schema.ts";
import type { Migrations } from "../storage/migrate.ts";

/** Tokens by what they say, never the tokens themselves; keys; joins. */
export const REGISTER_MIGRATIONS: Migrations = [
  [
    `CREATE TABLE register (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      version INTEGER NOT NULL,
      keys_version INTEGER NOT NULL,
      told_sequence INTEGER NOT NULL
    )`,
    "INSERT INTO register (id, version, keys_version, told_sequence) VALUES (1, 1, 1, 0)",
    // Tokens that replace one another have a lineage in common: the id of the first.
    `CREATE TABLE token (
      id TEXT PRIMARY KEY,
      role TEXT NOT NULL,
      name TEXT NOT NULL,
      tenant TEXT,
      pools TEXT NOT NULL,
      restrictions TEXT,
      ends_at_ms INTEGER NOT NULL,
      registered_at_ms INTEGER NOT NULL,
      registered_by TEXT NOT NULL,
      lineage TEXT NOT NULL,
      is_joined INTEGER NOT NULL
    ) WITHOUT ROWID`,
    "CREATE INDEX token_by_end ON token (ends_at_ms)",
    "CREATE INDEX token_by_name ON token (name)",
    // The pools are those of who revoked it; the spread are those in which it may be shown.
    `CREATE TABLE revocation (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      role TEXT,
      pools TEXT NOT NULL,
      spread TEXT NOT NULL,
      ends_at_ms INTEGER NOT NULL,
      revoked_at_ms INTEGER NOT NULL,
      revoked_by TEXT NOT NULL
    )`,
    // Of a key that stands elsewhere there is no more than that it was retired.
    `CREATE TABLE access_key (
      kid TEXT PRIMARY KEY,
      kind TEXT NOT NULL CHECK (kind IN ('issuer', 'edge')),
      jwk TEXT,
      added_at_ms INTEGER,
      added_by TEXT,
      signs_from_ms INTEGER,
      retired_at_ms INTEGER,
      retired_by TEXT
    ) WITHOUT ROWID`,
    `CREATE TABLE join_token (
      id TEXT PRIMARY KEY,
      role TEXT NOT NULL,
      name TEXT NOT NULL,
      pools TEXT NOT NULL,
      ends_at_ms INTEGER NOT NULL,
      made_at_ms INTEGER NOT NULL,
      made_by TEXT NOT NULL,
      used_at_ms INTEGER,
      proof TEXT,
      token_id TEXT,
      refused_count INTEGER NOT NULL DEFAULT 0,
      refused_at_ms INTEGER
    ) WITHOUT ROWID`,
  ],
  // What administrators have changed.
  AUDIT_TABLE,
  // Whether pools know of a key that was retired.
  ["ALTER TABLE access_key ADD COLUMN is_told INTEGER NOT NULL DEFAULT 0"],
  // Which key signed a token: null of one that is older than this, and of what machines got by a join.
  ["ALTER TABLE token ADD COLUMN kid TEXT"],
  // Sessions of the dashboard: which were ended, and the codes by which one begins.
  [
    "ALTER TABLE revocation ADD COLUMN is_session INTEGER NOT NULL DEFAULT 0",
    `CREATE TABLE sign_in_code (
      id TEXT PRIMARY KEY,
      sealed TEXT NOT NULL,
      ends_at_ms INTEGER NOT NULL,
      made_by TEXT NOT NULL
    ) WITHOUT ROWID`,
  ],
];
