import type { Migrations } from "../storage/migrate.ts";

/** The list of pools. */
export const CATALOGUE_MIGRATIONS: Migrations = [["CREATE TABLE pool (name TEXT PRIMARY KEY) WITHOUT ROWID"]];
