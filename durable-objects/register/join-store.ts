/** Joins on disk: what machines are to join as, and who has. [TK9] */
import type { JOINED_ROLES } from "../../src/core/identity.ts";
import {
  numberOf,
  numberOrNull,
  type SqlDatabase,
  type SqlRow,
  textOf,
  textOrNull,
} from "../storage/sql-database.ts";

/** What a machine may become by a join. */
export type JoinedRole = (typeof JOINED_ROLES)[number];

/** A join that was offered to a machine. */
export interface Join {
  readonly id: string;
  readonly role: JoinedRole;
  readonly name: string;
  readonly pools: readonly string[];
  /** Unix milliseconds, as all times here. */
  readonly endsAtMs: number;
  readonly madeAtMs: number;
  readonly madeBy: string;
  readonly usedAtMs: number | null;
  /** Tries by others than who used it first. */
  readonly refusedCount: number;
  readonly refusedAtMs: number | null;
}

/** With what proves who used it, and what that one got. */
export interface StoredJoin extends Join {
  readonly proof: string | null;
  readonly tokenId: string | null;
}

/** One per register. */
export class JoinStore {
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** One by its id. */
  join(id: string): StoredJoin | null {
    const [row] = this.#all("SELECT * FROM join_token WHERE id = ?", id);
    return row === undefined ? null : joinOf(row);
  }

  /** All of them, the latest first. */
  list(): StoredJoin[] {
    return this.#all("SELECT * FROM join_token ORDER BY made_at_ms DESC, id").map(joinOf);
  }

  /** How many there are, and how many of them one administrator has made. */
  counts(by: string): { readonly all: number; readonly own: number } {
    const query = "SELECT count(*) AS n, coalesce(sum(made_by = ?), 0) AS own FROM join_token";
    const row = this.#all(query, by)[0]!;
    return { all: numberOf(row, "n"), own: numberOf(row, "own") };
  }

  /** Offers one. */
  put({
    id,
    role,
    name,
    pools,
    endsAtMs,
    madeAtMs,
    madeBy,
  }: Omit<Join, "usedAtMs" | "refusedCount" | "refusedAtMs">): void {
    this.#all(
      "INSERT INTO join_token (id, role, name, pools, ends_at_ms, made_at_ms, made_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
      id,
      role,
      name,
      JSON.stringify(pools),
      endsAtMs,
      madeAtMs,
      madeBy,
    );
  }

  /** Notes who used it. */
  use(id: string, proof: string, tokenId: string, nowMs: number): void {
    const query = "UPDATE join_token SET used_at_ms = ?, proof = ?, token_id = ? WHERE id = ?";
    this.#all(query, nowMs, proof, tokenId, id);
  }

  /** Notes that another tried. */
  refuse(id: string, nowMs: number): void {
    const query = "UPDATE join_token SET refused_count = refused_count + 1, refused_at_ms = ? WHERE id = ?";
    this.#all(query, nowMs, id);
  }

  /** Forgets those that ended before. */
  prune(beforeMs: number): void {
    this.#all("DELETE FROM join_token WHERE ends_at_ms <= ?", beforeMs);
  }

  #all(query: string, ...values: (string | number | null)[]): SqlRow[] {
    return this.#database.sql.exec(query, ...values).toArray();
  }
}

function joinOf(row: SqlRow): StoredJoin {
  return {
    id: textOf(row, "id"),
    role: textOf(row, "role") as JoinedRole,
    name: textOf(row, "name"),
    pools: JSON.parse(textOf(row, "pools")) as string[],
    endsAtMs: numberOf(row, "ends_at_ms"),
    madeAtMs: numberOf(row, "made_at_ms"),
    madeBy: textOf(row, "made_by"),
    usedAtMs: numberOrNull(row, "used_at_ms"),
    proof: textOrNull(row, "proof"),
    tokenId: textOrNull(row, "token_id"),
    refusedCount: numberOf(row, "refused_count"),
    refusedAtMs: numberOrNull(row, "refused_at_ms"),
  };
}
