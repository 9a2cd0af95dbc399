/**
 * The little that the stores need of a SQLite database. A Durable Object's `ctx.storage` fits
 * as it is; anything else that speaks SQLite takes a few lines, so that the same store runs
 * outside workerd.
 */

/** What a column can hold here. */
export type SqlValue = string | number | null | ArrayBuffer;

/** A row by column name. */
export type SqlRow = Record<string, SqlValue>;

/** A database whose statements run at once, in this thread. */
export interface SqlDatabase {
  readonly sql: {
    exec(query: string, ...bindings: SqlValue[]): { toArray(): SqlRow[] };
  };
  /** Runs the closure in one transaction; if it throws, nothing of it remains. */
  transactionSync<Result>(closure: () => Result): Result;
}

/** The number in a column; a bug if there is none. */
export function numberOf(row: SqlRow, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw new TypeError(`column ${column} holds no number`);
  return value;
}

/** The text in a column; a bug if there is none. */
export function textOf(row: SqlRow, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} holds no text`);
  return value;
}

/** The number in a column, or null. */
export function numberOrNull(row: SqlRow, column: string): number | null {
  return row[column] === null ? null : numberOf(row, column);
}

/** The text in a column, or null. */
export function textOrNull(row: SqlRow, column: string): string | null {
  return row[column] === null ? null : textOf(row, column);
}
