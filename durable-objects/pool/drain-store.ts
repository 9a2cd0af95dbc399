/** Which hosts and addresses of a pool its operator drains, on disk, until they are resumed. [DR1] */
import { numberOrNull, type SqlDatabase, textOf } from "../storage/sql-database.ts";

/** Reads and writes the drains of one pool. Nothing is remembered here: what is asked is read. */
export class DrainStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** Since when hosts are drained (Unix milliseconds), by name; the others are absent. */
  hosts(): Map<string, number> {
    const rows = this.#sql
      .exec("SELECT host AS name, drained_since_ms FROM host WHERE drained_since_ms IS NOT NULL")
      .toArray();
    return new Map(rows.map((row) => [textOf(row, "name"), numberOrNull(row, "drained_since_ms")!]));
  }

  /** Since when addresses are drained (Unix milliseconds); the others are absent. */
  ips(): Map<string, number> {
    const rows = this.#sql
      .exec("SELECT ip AS name, drained_since_ms FROM egress_ip WHERE drained_since_ms IS NOT NULL")
      .toArray();
    return new Map(rows.map((row) => [textOf(row, "name"), numberOrNull(row, "drained_since_ms")!]));
  }

  /** Drains a host from this time on; null resumes it. */
  putHost(host: string, sinceMs: number | null): void {
    this.#sql.exec("UPDATE host SET drained_since_ms = ? WHERE host = ?", sinceMs, host);
  }

  /** Drains an address from this time on; null resumes it. */
  putIp(ip: string, sinceMs: number | null): void {
    this.#sql.exec("UPDATE egress_ip SET drained_since_ms = ? WHERE ip = ?", sinceMs, ip);
  }
}
