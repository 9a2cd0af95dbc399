/** What hosts have of tenants' limits, on disk: what was told must be known whoever remembers it. [LI11] */
import type { LedgerMember } from "../../src/core/share-ledger.ts";
import { numberOrNull, type SqlDatabase, textOf } from "../storage/sql-database.ts";

/** A host that shares, and since when it was not there (Unix milliseconds); null while it is. */
export interface StoredSharer {
  readonly member: LedgerMember;
  readonly goneSinceMs: number | null;
}

/** Bytes of a day that no host will tell of. */
export interface SpentBytes {
  readonly day: number;
  readonly spent: readonly (readonly [tenant: string, byteCount: number])[];
}

/** No host has this name. */
const SPENT = "";

/** Reads and writes the shares of one pool. */
export class ShareStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** All of them, by host. */
  sharers(): Map<string, StoredSharer> {
    const rows = this.#sql.exec("SELECT * FROM tenant_share WHERE host <> ?", SPENT).toArray();
    return new Map(
      rows.map((row) => {
        const { tenants, ...member } = JSON.parse(textOf(row, "document"));
        const kept: LedgerMember = { ...member, tenants: new Map(tenants) };
        return [textOf(row, "host"), { member: kept, goneSinceMs: numberOrNull(row, "gone_since_ms") }];
      }),
    );
  }

  put(host: string, { member, goneSinceMs }: StoredSharer): void {
    this.#put(host, { ...member, tenants: [...member.tenants] }, goneSinceMs);
  }

  forget(host: string): void {
    this.#sql.exec("DELETE FROM tenant_share WHERE host = ?", host);
  }

  spent(): SpentBytes | null {
    const [row] = this.#sql.exec("SELECT document FROM tenant_share WHERE host = ?", SPENT).toArray();
    return row === undefined ? null : (JSON.parse(textOf(row, "document")) as SpentBytes);
  }

  putSpent(spent: SpentBytes): void {
    this.#put(SPENT, spent, null);
  }

  #put(host: string, document: unknown, goneSinceMs: number | null): void {
    this.#sql.exec(
      `INSERT INTO tenant_share (host, document, gone_since_ms) VALUES (?, ?, ?)
      ON CONFLICT (host) DO UPDATE SET document = excluded.document, gone_since_ms = excluded.gone_since_ms`,
      host,
      JSON.stringify(document),
      goneSinceMs,
    );
  }
}
