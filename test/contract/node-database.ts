/** SQLite of Node as the stores want it: for whatever runs them outside workerd. */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { SqlDatabase, SqlRow } from "../../durable-objects/storage/sql-database.ts";

/** Opens a database in memory, or in a file. */
export function openNodeDatabase(path = ":memory:"): SqlDatabase & { close(): void } {
  const database = new DatabaseSync(path);
  return {
    sql: {
      exec(query, ...bindings) {
        const rows = database.prepare(query).all(...(bindings as SQLInputValue[])) as SqlRow[];
        return { toArray: () => rows };
      },
    },
    transactionSync(closure) {
      database.exec("BEGIN");
      try {
        const result = closure();
        database.exec("COMMIT");
        return result;
      } catch (fault) {
        database.exec("ROLLBACK");
        throw fault;
      }
    },
    close: () => database.close(),
  };
}
