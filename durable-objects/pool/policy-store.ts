/** What its operator says of who may send what through a pool, on disk; hosts fetch it by its version. [PY2] */
import { DEFAULT_POOL_POLICY, type PoolPolicy, type RevokedToken } from "../../src/core/pool-policy.ts";
import { numberOf, type SqlDatabase, textOf } from "../storage/sql-database.ts";

type Said = Omit<PoolPolicy, "version" | "revoked">;

/** Reads and writes the policy of one pool. Nothing is remembered here: what is asked is read. */
export class PolicyStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** The version alone; 0 where nothing was ever said. */
  version(): number {
    const row = this.#sql.exec("SELECT version FROM policy").toArray()[0];
    return row === undefined ? 0 : numberOf(row, "version");
  }

  /** All of it. */
  policy(): PoolPolicy {
    const row = this.#sql.exec("SELECT version, document FROM policy").toArray()[0];
    if (row === undefined) return DEFAULT_POOL_POLICY;
    // Members that were added since it was written hold by their default.
    const said = JSON.parse(textOf(row, "document")) as Partial<Said>;
    const version = numberOf(row, "version");
    return { ...DEFAULT_POOL_POLICY, ...said, version, revoked: this.revoked() };
  }

  /** Tokens that are revoked, those that end first before the others. */
  revoked(): RevokedToken[] {
    const rows = this.#sql.exec(
      "SELECT token_id, expires_at_ms FROM revoked_token ORDER BY expires_at_ms, token_id",
    );
    return rows.toArray().map((row) => ({
      tokenId: textOf(row, "token_id"),
      expiresAtMs: numberOf(row, "expires_at_ms"),
    }));
  }

  /** Whether a token is among them. */
  isRevoked(tokenId: string): boolean {
    return this.#sql.exec("SELECT 1 FROM revoked_token WHERE token_id = ?", tokenId).toArray().length > 0;
  }

  /** Keeps a policy but for its revoked tokens. */
  put({ version, revoked: _revoked, ...said }: PoolPolicy): void {
    this.#sql.exec(
      `INSERT INTO policy (id, version, document) VALUES (1, ?, ?)
      ON CONFLICT (id) DO UPDATE SET version = excluded.version, document = excluded.document`,
      version,
      JSON.stringify(said satisfies Said),
    );
  }

  /** Keeps that tokens are revoked. What is said of one twice counts until the later end. */
  revoke(tokens: readonly RevokedToken[]): void {
    for (const { tokenId, expiresAtMs } of tokens) {
      this.#sql.exec(
        `INSERT INTO revoked_token (token_id, expires_at_ms) VALUES (?, ?)
        ON CONFLICT (token_id) DO UPDATE SET expires_at_ms = max(expires_at_ms, excluded.expires_at_ms)`,
        tokenId,
        expiresAtMs,
      );
    }
  }

  /** Forgets revoked tokens that have ended by then (Unix milliseconds): nobody takes them any more. */
  forgetRevoked(endedBeforeMs: number): void {
    this.#sql.exec("DELETE FROM revoked_token WHERE expires_at_ms < ?", endedBeforeMs);
  }
}
