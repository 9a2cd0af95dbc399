/**
 * An object's SQLite as the platform gives it: what is written in one turn stays or goes as a
 * whole. The real stores run on it.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { SqlDatabase, SqlRow, SqlValue } from "../../durable-objects/storage/sql-database.ts";

/** What a write says that finds no room. */
export const DISK_FULL = "SQLITE_FULL: the disk is full";

/** One database in memory. */
export class ObjectDatabase implements SqlDatabase {
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  readonly #onUse: () => void;
  /** The disk is full: whatever is to be written is not. */
  isFull = false;
  /** Whether anything was written since this was set to false. */
  hasWritten = false;
  #isTurnKept = true;
  #hasTurnWritten = false;

  /** `onUse` is told before anything is read or written. */
  constructor(onUse: () => void) {
    this.#onUse = onUse;
    this.#database.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
  }

  readonly sql = {
    exec: (query: string, ...bindings: SqlValue[]): { toArray(): SqlRow[] } => {
      this.#onUse();
      if (!query.startsWith("SELECT")) this.#write();
      const rows = this.#statement(query).all(...(bindings as SQLInputValue[])) as SqlRow[];
      return { toArray: () => rows };
    },
  };

  transactionSync<Result>(closure: () => Result): Result {
    this.#onUse();
    this.#run("SAVEPOINT step");
    try {
      const result = closure();
      this.#run("RELEASE step");
      return result;
    } catch (fault) {
      this.#run("ROLLBACK TO step");
      this.#run("RELEASE step");
      throw fault;
    }
  }

  /** From here on everything can be taken back. */
  beginTurn(): void {
    if (!this.#isTurnKept) return;
    this.#isTurnKept = false;
    this.#run("SAVEPOINT turn");
  }

  /** Whether anything was written in it. */
  endTurn(isKept: boolean): boolean {
    if (this.#isTurnKept) return false;
    this.#isTurnKept = true;
    if (!isKept) this.#run("ROLLBACK TO turn");
    this.#run("RELEASE turn");
    const hasWritten = this.#hasTurnWritten;
    this.#hasTurnWritten = false;
    this.hasWritten ||= hasWritten;
    return hasWritten;
  }

  /** Everything that is in it, in another database. */
  copyTo(other: ObjectDatabase): void {
    const tables = this.#statement("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all() as {
      name: string;
      sql: string;
    }[];
    for (const { name, sql } of tables) {
      other.#database.exec(sql);
      for (const row of this.#statement(`SELECT * FROM ${name}`).all()) {
        const values = Object.values(row);
        const places = values.map(() => "?").join(", ");
        other.#statement(`INSERT INTO ${name} VALUES (${places})`).run(...(values as SQLInputValue[]));
      }
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #write(): void {
    if (this.isFull) throw new Error(DISK_FULL);
    this.#hasTurnWritten = true;
  }

  #run(statement: string): void {
    this.#statement(statement).run();
  }

  #statement(query: string): StatementSync {
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.#database.prepare(query);
      this.#statements.set(query, statement);
    }
    return statement;
  }
}
