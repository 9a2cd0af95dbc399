/** Tokens and revocations on disk. What a token says is kept, never the token. [TK4] [TK5] */
import type { Role, TokenRestrictions } from "../../src/core/identity.ts";
import type { Revocation, SpreadRevocation } from "../../src/core/revocation.ts";
import type { PoolRevocation } from "../calls/register-calls.ts";
import { numberOf, type SqlDatabase, type SqlRow, textOf, textOrNull } from "../storage/sql-database.ts";

/** A token as the register knows it. */
export interface RegisteredToken {
  readonly id: string;
  readonly role: Role;
  readonly name: string;
  readonly tenant: string | null;
  readonly pools: readonly string[];
  readonly restrictions: TokenRestrictions | null;
  /** Unix milliseconds, as all times here. */
  readonly endsAtMs: number;
  readonly registeredAtMs: number;
  readonly registeredBy: string;
  /** The id of the first of the tokens that replace one another. */
  readonly lineage: string;
  readonly isJoined: boolean;
  /** The key that signed it; null where that is not known. */
  readonly kid: string | null;
}

/** With what became of it. */
export interface ListedToken extends RegisteredToken {
  readonly revokedAtMs: number | null;
  readonly revokedBy: string | null;
  /** When the key that signed it was retired, and with it the token. */
  readonly keyRetiredAtMs: number | null;
}

/** A revocation as it is noted. */
export interface NotedRevocation extends SpreadRevocation {
  readonly role: Role | null;
  /** It is no token but a session of the dashboard that was ended. [DA6] */
  readonly isSession?: true | undefined;
  readonly revokedAtMs: number;
  readonly revokedBy: string;
}

const LISTED = `SELECT token.*, revocation.revoked_at_ms, revocation.revoked_by,
  access_key.retired_at_ms AS key_retired_at_ms
  FROM token LEFT JOIN revocation USING (id) LEFT JOIN access_key USING (kid)`;

/** One per register. */
export class TokenStore {
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** A token by its id. */
  token(id: string): ListedToken | null {
    const [row] = this.#all(`${LISTED} WHERE token.id = ?`, id);
    return row === undefined ? null : listedOf(row);
  }

  /** Tokens after an id, in the order of their ids. */
  tokensAfter(id: string, count: number): ListedToken[] {
    return this.#all(`${LISTED} WHERE token.id > ? ORDER BY token.id LIMIT ?`, id, count).map(listedOf);
  }

  /** Those of a name, of a tenant, or of a lineage, also those that have ended. */
  tokensOf(column: "name" | "tenant" | "lineage", value: string): ListedToken[] {
    return this.#all(`${LISTED} WHERE token.${column} = ?`, value).map(listedOf);
  }

  /** Keeps a token. */
  put(token: RegisteredToken): void {
    this.#all(
      "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      token.id,
      token.role,
      token.name,
      token.tenant,
      JSON.stringify(token.pools),
      token.restrictions === null ? null : JSON.stringify(token.restrictions),
      token.endsAtMs,
      token.registeredAtMs,
      token.registeredBy,
      token.lineage,
      token.isJoined ? 1 : 0,
      token.kid,
    );
  }

  /** How many tokens there are. */
  tokenCount(): number {
    return numberOf(this.#all("SELECT count(*) AS n FROM token")[0]!, "n");
  }

  /** How many revocations there are, and how many of them one administrator has made. */
  revocationCounts(by: string): { readonly all: number; readonly own: number } {
    return this.#countsOf(by, 0);
  }

  /** The same of sessions that were ended: they take no room from revocations. */
  endedSessionCounts(by: string): { readonly all: number; readonly own: number } {
    return this.#countsOf(by, 1);
  }

  #countsOf(by: string, isSession: 0 | 1): { readonly all: number; readonly own: number } {
    const query =
      "SELECT count(*) AS n, coalesce(sum(revoked_by = ?), 0) AS own FROM revocation WHERE is_session = ?";
    const row = this.#all(query, by, isSession)[0]!;
    return { all: numberOf(row, "n"), own: numberOf(row, "own") };
  }

  /** Notes that a token was revoked, instead of what was noted of it before. */
  revoke(revocation: NotedRevocation): void {
    const { tokenId, role, pools, spread, expiresAtMs, revokedAtMs, revokedBy, isSession } = revocation;
    this.#all("DELETE FROM revocation WHERE id = ?", tokenId);
    this.#all(
      "INSERT INTO revocation (id, role, pools, spread, ends_at_ms, revoked_at_ms, revoked_by, is_session) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      tokenId,
      role,
      JSON.stringify(pools),
      JSON.stringify(spread),
      expiresAtMs,
      revokedAtMs,
      revokedBy,
      isSession === true ? 1 : 0,
    );
  }

  /** What is known of a revocation. */
  revocation(id: string): SpreadRevocation | null {
    const [row] = this.#all("SELECT * FROM revocation WHERE id = ?", id);
    return row === undefined ? null : { ...revocationOf(row), spread: listOf(row, "spread") };
  }

  /** Revocations that matter still. */
  revocations(nowMs: number): Revocation[] {
    return this.#all("SELECT * FROM revocation WHERE ends_at_ms > ?", nowMs).map(revocationOf);
  }

  /** Revocations noted after this one, with the pools that must hear of them. */
  revocationsAfter(
    sequence: number,
    nowMs: number,
  ): (PoolRevocation & { sequence: number; spread: readonly string[]; revokedAtMs: number })[] {
    const query = "SELECT * FROM revocation WHERE sequence > ? AND ends_at_ms > ? ORDER BY sequence";
    return this.#all(query, sequence, nowMs).map((row) => ({
      tokenId: textOf(row, "id"),
      expiresAtMs: numberOf(row, "ends_at_ms"),
      role: textOrNull(row, "role") as Role | null,
      isSession: row["is_session"] === 1 ? true : undefined,
      sequence: numberOf(row, "sequence"),
      spread: listOf(row, "spread"),
      revokedAtMs: numberOf(row, "revoked_at_ms"),
    }));
  }

  /** Ids of what machines that joined have, and that has not ended. */
  joinedIds(nowMs: number): string[] {
    const query = "SELECT id FROM token WHERE is_joined = 1 AND ends_at_ms > ?";
    return this.#all(query, nowMs).map((row) => textOf(row, "id"));
  }

  /** Forgets tokens that ended before, and revocations of what has ended. */
  prune(tokensBeforeMs: number, nowMs: number): void {
    this.#all("DELETE FROM token WHERE ends_at_ms <= ?", tokensBeforeMs);
    // As long as the token is listed, it is listed as revoked.
    this.#all("DELETE FROM revocation WHERE ends_at_ms <= ? AND id NOT IN (SELECT id FROM token)", nowMs);
  }

  /** Forgets sessions that have ended by themselves since. */
  pruneSessions(nowMs: number): void {
    this.#all("DELETE FROM revocation WHERE is_session = 1 AND ends_at_ms <= ?", nowMs);
  }

  /** How far all pools have been told. */
  toldSequence(): number {
    return numberOf(this.#all("SELECT told_sequence FROM register")[0]!, "told_sequence");
  }

  /** Notes how far. */
  noteTold(sequence: number): void {
    this.#all("UPDATE register SET told_sequence = ?", sequence);
  }

  #all(query: string, ...values: (string | number | null)[]): SqlRow[] {
    return this.#database.sql.exec(query, ...values).toArray();
  }
}

function listedOf(row: SqlRow): ListedToken {
  const restrictions = textOrNull(row, "restrictions");
  return {
    id: textOf(row, "id"),
    role: textOf(row, "role") as Role,
    name: textOf(row, "name"),
    tenant: textOrNull(row, "tenant"),
    pools: listOf(row, "pools"),
    restrictions: restrictions === null ? null : (JSON.parse(restrictions) as TokenRestrictions),
    endsAtMs: numberOf(row, "ends_at_ms"),
    registeredAtMs: numberOf(row, "registered_at_ms"),
    registeredBy: textOf(row, "registered_by"),
    lineage: textOf(row, "lineage"),
    isJoined: row["is_joined"] === 1,
    revokedAtMs: row["revoked_at_ms"] === null ? null : numberOf(row, "revoked_at_ms"),
    revokedBy: textOrNull(row, "revoked_by"),
    kid: textOrNull(row, "kid"),
    keyRetiredAtMs: row["key_retired_at_ms"] === null ? null : numberOf(row, "key_retired_at_ms"),
  };
}

function revocationOf(row: SqlRow): Revocation {
  return {
    tokenId: textOf(row, "id"),
    pools: listOf(row, "pools"),
    expiresAtMs: numberOf(row, "ends_at_ms"),
  };
}

function listOf(row: SqlRow, column: string): readonly string[] {
  return JSON.parse(textOf(row, column)) as string[];
}
