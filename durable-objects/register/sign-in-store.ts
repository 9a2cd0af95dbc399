/** Sign-in codes of the dashboard on disk: by what each is found, and a token that the code alone opens. [DA4] */
import { numberOf, type SqlDatabase, type SqlRow, textOf } from "../storage/sql-database.ts";

/** A token under a code, which is not here. */
export interface KeptSignIn {
  readonly id: string;
  readonly sealed: string;
  /** Unix milliseconds. */
  readonly endsAtMs: number;
  readonly madeBy: string;
}

/** One per register. */
export class SignInStore {
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** Keeps one. */
  put({ id, sealed, endsAtMs, madeBy }: KeptSignIn): void {
    const query = "INSERT INTO sign_in_code (id, sealed, ends_at_ms, made_by) VALUES (?, ?, ?, ?)";
    this.#all(query, id, sealed, endsAtMs, madeBy);
  }

  /** Gives one away, once; null where there is none that is good. */
  take(id: string, nowMs: number): string | null {
    const query = "DELETE FROM sign_in_code WHERE id = ? RETURNING sealed, ends_at_ms";
    const [row] = this.#all(query, id);
    return row === undefined || numberOf(row, "ends_at_ms") <= nowMs ? null : textOf(row, "sealed");
  }

  /** How many there are. */
  count(): number {
    return numberOf(this.#all("SELECT count(*) AS n FROM sign_in_code")[0]!, "n");
  }

  /** Forgets those that have ended, and of one maker all but the latest. */
  prune(nowMs: number, madeBy: string, keptCount: number): void {
    this.#all("DELETE FROM sign_in_code WHERE ends_at_ms <= ?", nowMs);
    this.#all(
      `DELETE FROM sign_in_code WHERE made_by = ?1 AND id NOT IN (
        SELECT id FROM sign_in_code WHERE made_by = ?1 ORDER BY ends_at_ms DESC LIMIT ?2)`,
      madeBy,
      keptCount,
    );
  }

  #all(query: string, ...values: (string | number)[]): SqlRow[] {
    return this.#database.sql.exec(query, ...values).toArray();
  }
}
