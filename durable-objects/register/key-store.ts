/** Keys on disk: those that the register brings in, and those that it has put out of use. [TK7] */
import type { JWK } from "jose";
import type { EdgeKey } from "../../src/wire/access-state.ts";
import type { KeyKind } from "../../src/wire/keys.ts";
import {
  numberOf,
  numberOrNull,
  type SqlDatabase,
  type SqlRow,
  textOf,
  textOrNull,
} from "../storage/sql-database.ts";

/** A key without its secrets. */
export interface ListedKey {
  readonly kid: string;
  readonly kind: KeyKind;
  /** Null for a key that stands elsewhere. Unix milliseconds, as all times here. */
  readonly addedAtMs: number | null;
  readonly addedBy: string | null;
  readonly signsFromMs: number | null;
  readonly retiredAtMs: number | null;
  readonly retiredBy: string | null;
}

/** One per register. */
export class KeyStore {
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** All of them. */
  list(): ListedKey[] {
    return this.#all("SELECT * FROM access_key ORDER BY kid").map((row) => ({
      kid: textOf(row, "kid"),
      kind: textOf(row, "kind") as KeyKind,
      addedAtMs: numberOrNull(row, "added_at_ms"),
      addedBy: textOrNull(row, "added_by"),
      signsFromMs: numberOrNull(row, "signs_from_ms"),
      retiredAtMs: numberOrNull(row, "retired_at_ms"),
      retiredBy: textOrNull(row, "retired_by"),
    }));
  }

  /** Public keys of issuers that count. */
  issuers(): JWK[] {
    return this.#inUse("issuer").map(jwkOf);
  }

  /** Private keys of the edge that count, the newest first. */
  edgeKeys(): EdgeKey[] {
    return this.#inUse("edge").map((row) => ({
      key: jwkOf(row),
      signsFromMs: numberOrNull(row, "signs_from_ms") ?? 0,
    }));
  }

  /** Keys that count no more. */
  retiredKids(): string[] {
    const query = "SELECT kid FROM access_key WHERE retired_at_ms IS NOT NULL";
    return this.#all(query).map((row) => textOf(row, "kid"));
  }

  /** Brings a key in; one that was retired stays so. */
  add(kind: KeyKind, jwk: JWK, by: string, nowMs: number, signsFromMs: number | null): void {
    this.#all(
      "INSERT OR IGNORE INTO access_key (kid, kind, jwk, added_at_ms, added_by, signs_from_ms) VALUES (?, ?, ?, ?, ?, ?)",
      jwk.kid!,
      kind,
      JSON.stringify(jwk),
      nowMs,
      by,
      signsFromMs,
    );
  }

  /** Puts a key out of use, wherever it stands; what is secret of it is forgotten. */
  retire(kid: string, kind: KeyKind, by: string, nowMs: number): void {
    this.#all("INSERT OR IGNORE INTO access_key (kid, kind) VALUES (?, ?)", kid, kind);
    const query =
      "UPDATE access_key SET jwk = NULL, retired_at_ms = ?, retired_by = ?, is_told = 0 WHERE kid = ?";
    this.#all(query, nowMs, by, kid);
  }

  /** Retired keys of which pools are still to be told, since when each is. */
  untold(): { readonly kid: string; readonly retiredAtMs: number }[] {
    const query = "SELECT kid, retired_at_ms FROM access_key WHERE retired_at_ms IS NOT NULL AND is_told = 0";
    return this.#all(query).map((row) => ({
      kid: textOf(row, "kid"),
      retiredAtMs: numberOf(row, "retired_at_ms"),
    }));
  }

  /** Notes that every pool was told, and no copy is older. */
  noteTold(kids: Iterable<string>): void {
    for (const kid of kids) this.#all("UPDATE access_key SET is_told = 1 WHERE kid = ?", kid);
  }

  #inUse(kind: KeyKind): SqlRow[] {
    const query =
      "SELECT * FROM access_key WHERE kind = ? AND jwk IS NOT NULL AND retired_at_ms IS NULL ORDER BY signs_from_ms DESC, kid";
    return this.#all(query, kind);
  }

  #all(query: string, ...values: (string | number | null)[]): SqlRow[] {
    return this.#database.sql.exec(query, ...values).toArray();
  }
}

function jwkOf(row: SqlRow): JWK {
  return JSON.parse(textOf(row, "jwk")) as JWK;
}
