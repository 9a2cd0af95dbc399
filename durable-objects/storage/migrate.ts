/**
 * Numbered schema migrations. A database remembers how many it has been through; an object
 * applies the rest before it does anything else, and one whose database has been through more
 * than the program knows refuses to run: it could not tell what the newer tables mean.
 * [DO1] [DO2]
 */
import type { SqlDatabase, SqlRow } from "./sql-database.ts";

/** The statements of each version; the first makes version 1. Never edit one that has run. */
export type Migrations = readonly (readonly string[])[];

/** Brings a database to the newest version, in one transaction; throws if it is newer still. */
export function migrate(database: SqlDatabase, migrations: Migrations): void {
  database.transactionSync(() => bringForward(database.sql, migrations));
}

/**
 * The database with its schema; an empty one gets that with the first thing that is written. Anybody with a
 * token can name an object that never was, and asking for it must leave nothing on disk: until then every
 * question has no rows for an answer. Whoever asks an empty database does not ask for sums. [DO22]
 */
export function schemaAtFirstWrite(database: SqlDatabase, migrations: Migrations): SqlDatabase {
  if (hasSchema(database.sql)) {
    migrate(database, migrations);
    return database;
  }
  let isEmpty = true;
  let isInTransaction = false;
  return {
    sql: {
      exec(query, ...bindings) {
        if (isEmpty && QUESTION.test(query)) return NO_ROWS;
        if (isEmpty) {
          if (isInTransaction) bringForward(database.sql, migrations);
          else migrate(database, migrations);
          isEmpty = false;
        }
        return database.sql.exec(query, ...bindings);
      },
    },
    transactionSync(closure) {
      const wasEmpty = isEmpty;
      const wasInTransaction = isInTransaction;
      isInTransaction = true;
      try {
        return database.transactionSync(closure);
      } catch (fault) {
        // The schema is undone with the rest.
        isEmpty = wasEmpty;
        throw fault;
      } finally {
        isInTransaction = wasInTransaction;
      }
    },
  };
}

const QUESTION = /^\s*SELECT\b/i;
const NO_ROWS = { toArray: (): SqlRow[] => [] };

function hasSchema(sql: SqlDatabase["sql"]): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").toArray().length > 0;
}

function bringForward(sql: SqlDatabase["sql"], migrations: Migrations): void {
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
}
