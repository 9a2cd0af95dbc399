/**
 * Numbered schema migrations. A database remembers how many it has been through; an object
 * applies the rest before it does anything else, and one whose database has been through more
 * than the program knows refuses to run: it could not tell what the newer tables mean.
 * [DO1] [DO2]
 */
import type { SqlDatabase } from "./sql-database.ts";

/** The statements of each version; the first makes version 1. Never edit one that has run. */
export type Migrations = readonly (readonly string[])[];

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
