/** What somebody outside reads of an object's table, again only when anything was written to it. */
import type { ObjectDatabase } from "./object-database.ts";

/** The same value as long as the table is the same. */
export class Reading<Value> {
  readonly #database: ObjectDatabase;
  readonly #table: string;
  readonly #read: (sql: ObjectDatabase["sql"]) => Value;
  #last: { readonly value: Value; readonly changeCount: number } | null = null;

  /** `read` asks for nothing but rows of this table. */
  constructor(database: ObjectDatabase, table: string, read: (sql: ObjectDatabase["sql"]) => Value) {
    this.#database = database;
    this.#table = table;
    this.#read = read;
  }

  get value(): Value {
    const changeCount = this.#database.changeCount(this.#table);
    if (this.#last?.changeCount !== changeCount) {
      this.#last = { value: this.#read(this.#database.sql), changeCount };
    }
    return this.#last.value;
  }
}
