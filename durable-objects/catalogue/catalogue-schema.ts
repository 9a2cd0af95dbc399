import type { Migrations } from "../storage/migrate.ts";

/** The list of pools. */
export const CATALOGUE_MIGRATIONS: Migrations = [
  ["CREATE TABLE pool (name TEXT PRIMARY KEY) WITHOUT ROWID"],
  // Which pools strangers may be told of. The pools themselves decide; this spares asking all of them.
  ["ALTER TABLE pool ADD COLUMN is_published INTEGER NOT NULL DEFAULT 0"],
];
