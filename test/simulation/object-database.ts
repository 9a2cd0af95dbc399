/**
 * An object's SQLite as the platform gives it: what is written in one turn stays or goes as a
 * whole. The real stores run on it.
 */
import { constants, DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { SqlDatabase, SqlRow, SqlValue } from "../../durable-objects/storage/sql-database.ts";

/** What a write says that finds no room. */
export const DISK_FULL = "SQLITE_FULL: the disk is full";

interface Statement {
  readonly prepared: StatementSync;
  readonly isRead: boolean;
  /** Tables whose rows it writes, as SQLite says. */
  readonly writtenTables: ReadonlySet<string>;
}

const { SQLITE_OK, SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE } = constants;
const ROW_WRITES: ReadonlySet<number> = new Set([SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE]);

/** One database in memory. */
export class ObjectDatabase implements SqlDatabase {
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, Statement>();
  /** How often anything was written to each table, or taken back. */
  readonly #changeCounts = new Map<string, number>();
  #takenBackCount = 0;
  /** By the statement that was prepared last. */
  #writtenTables = new Set<string>();
  /** The disk is full: whatever is to be written is not. */
  isFull = false;
  /** Whether anything was written since this was set to false. */
  hasWritten = false;
  #isTurnKept = true;
  #hasTurnWritten = false;

  constructor() {
    this.#database.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
    // Told of all that a statement will do when it is prepared.
    this.#database.setAuthorizer((action, table) => {
      if (ROW_WRITES.has(action)) this.#writtenTables.add(table!);
      return SQLITE_OK;
    });
  }

  readonly sql = {
    exec: (query: string, ...bindings: SqlValue[]): { toArray(): SqlRow[] } => {
      const statement = this.#statement(query);
      if (!statement.isRead) this.#write(statement);
      const rows = statement.prepared.all(...(bindings as SQLInputValue[])) as SqlRow[];
      return { toArray: () => rows };
    },
  };

  /** What comes first in a turn can be taken back with it. */
  transactionSync<Result>(closure: () => Result): Result {
    const savepoint = this.#isTurnKept ? "turn" : "step";
    if (savepoint === "step") this.#run("SAVEPOINT step");
    try {
      return closure();
    } catch (fault) {
      if (!this.#isTurnKept) this.#takeBackTo(savepoint);
      throw fault;
    } finally {
      if (savepoint === "step") this.#run("RELEASE step");
    }
  }

  /** As long as this is the same, so are the rows of a table. */
  changeCount(table: string): number {
    return this.#takenBackCount + (this.#changeCounts.get(table) ?? 0);
  }

  /** Whether anything was written in it. */
  endTurn(isKept: boolean): boolean {
    if (this.#isTurnKept) return false;
    this.#isTurnKept = true;
    if (!isKept) this.#takeBackTo("turn");
    this.#run("RELEASE turn");
    const hasWritten = this.#hasTurnWritten;
    this.#hasTurnWritten = false;
    this.hasWritten ||= hasWritten;
    return hasWritten;
  }

  /** Everything that is in it, in another database. */
  copyTo(other: ObjectDatabase): void {
    const tables = this.#rows("SELECT name, sql FROM sqlite_master WHERE type = 'table'") as {
      name: string;
      sql: string;
    }[];
    for (const { name, sql } of tables) {
      other.#database.exec(sql);
      for (const row of this.#rows(`SELECT * FROM ${name}`)) {
        const values = Object.values(row);
        const places = values.map(() => "?").join(", ");
        const { prepared } = other.#statement(`INSERT INTO ${name} VALUES (${places})`);
        prepared.run(...(values as SQLInputValue[]));
      }
    }
  }

  /** Everything goes, and is what is in another database. */
  becomeCopyOf(other: ObjectDatabase): void {
    this.endTurn(false);
    this.#statements.clear();
    const tables = this.#database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    for (const { name } of tables) this.#database.exec(`DROP TABLE ${name as string}`);
    other.copyTo(this);
    this.endTurn(true);
    this.#takenBackCount += 1;
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #write({ writtenTables }: Statement): void {
    if (this.isFull) throw new Error(DISK_FULL);
    this.#beginTurn();
    this.#hasTurnWritten = true;
    for (const table of writtenTables) {
      this.#changeCounts.set(table, (this.#changeCounts.get(table) ?? 0) + 1);
    }
  }

  /** From here on everything can be taken back. */
  #beginTurn(): void {
    if (!this.#isTurnKept) return;
    this.#isTurnKept = false;
    this.#run("SAVEPOINT turn");
  }

  #takeBackTo(savepoint: "step" | "turn"): void {
    this.#run(`ROLLBACK TO ${savepoint}`);
    this.#takenBackCount += 1;
  }

  #rows(query: string): SqlRow[] {
    return this.#statement(query).prepared.all() as SqlRow[];
  }

  #run(query: string): void {
    this.#statement(query).prepared.run();
  }

  #statement(query: string): Statement {
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.#prepare(query);
      this.#statements.set(query, statement);
    }
    return statement;
  }

  #prepare(query: string): Statement {
    this.#writtenTables = new Set();
    const prepared = this.#database.prepare(query);
    return { prepared, isRead: query.startsWith("SELECT"), writtenTables: this.#writtenTables };
  }
}
