/** Which hosts serve which addresses of a pool, on disk. */
import type { Assignment, AssignmentState } from "../../src/core/address-assignment.ts";
import type { Demand } from "../../src/core/address-demand.ts";
import type { Family } from "../../src/core/address-family.ts";
import type { LeavingAddress } from "../../src/core/messages.ts";
import { numberOf, numberOrNull, type SqlDatabase, type SqlRow, textOf } from "../storage/sql-database.ts";

/** What a host still has of an address that it leaves, as it said last. */
export interface LeftAddress extends LeavingAddress {
  readonly host: string;
}

/** What is known of the demand of a host, for each family of which it has addresses. */
export type HostDemand = { readonly [Key in Family]?: Demand };

/** Reads and writes the assignment of one pool. Nothing is remembered here: what is asked is read. */
export class AssignmentStore {
  readonly #sql: SqlDatabase["sql"];

  constructor(database: Pick<SqlDatabase, "sql">) {
    this.#sql = database.sql;
  }

  /** All of it, in the order of hosts and addresses. */
  all(): Assignment[] {
    return this.#sql.exec("SELECT host, ip, state FROM assignment").toArray().map(assignmentOf);
  }

  /** What one host has. */
  of(host: string): Assignment[] {
    return this.#sql
      .exec("SELECT host, ip, state FROM assignment WHERE host = ?", host)
      .toArray()
      .map(assignmentOf);
  }

  /** Keeps how a host stands to an address, which it has told nothing of since. */
  put({ host, ip, state }: Assignment): void {
    this.#sql.exec(
      `INSERT INTO assignment (host, ip, state) VALUES (?, ?, ?)
      ON CONFLICT (host, ip) DO UPDATE
      SET state = excluded.state, port_count = NULL, flow_count = NULL`,
      host,
      ip,
      state,
    );
  }

  /** What hosts still have of addresses that they leave; absent are those of which they have not told. */
  left(): LeftAddress[] {
    const rows = this.#sql.exec(
      "SELECT host, ip, port_count, flow_count FROM assignment WHERE flow_count IS NOT NULL",
    );
    return rows.toArray().map((row) => ({
      host: textOf(row, "host"),
      ip: textOf(row, "ip"),
      portCount: numberOf(row, "port_count"),
      flowCount: numberOf(row, "flow_count"),
    }));
  }

  /** Keeps what a host still has of an address, if it leaves it. Nothing is written that is known. */
  noteLeft({ host, ip, portCount, flowCount }: LeftAddress): void {
    this.#sql.exec(
      `UPDATE assignment SET port_count = ?, flow_count = ?
      WHERE host = ? AND ip = ? AND state = 'leaving' AND (port_count IS NOT ? OR flow_count IS NOT ?)`,
      portCount,
      flowCount,
      host,
      ip,
      portCount,
      flowCount,
    );
  }

  /** A host has nothing of an address any more. */
  remove({ host, ip }: Pick<Assignment, "host" | "ip">): void {
    this.#sql.exec("DELETE FROM assignment WHERE host = ? AND ip = ?", host, ip);
  }

  /** Forgets all that a host has. */
  forget(host: string): void {
    this.#sql.exec("DELETE FROM assignment WHERE host = ?", host);
  }

  /** The demand of hosts, by name and family. */
  demands(): Map<string, HostDemand> {
    const rows = this.#sql.exec("SELECT host, demand FROM host").toArray();
    return new Map(rows.map((row) => [textOf(row, "host"), JSON.parse(textOf(row, "demand")) as HostDemand]));
  }

  /** The demand of one host. */
  demandOf(host: string): HostDemand {
    const row = this.#sql.exec("SELECT demand FROM host WHERE host = ?", host).toArray()[0];
    return row === undefined ? {} : (JSON.parse(textOf(row, "demand")) as HostDemand);
  }

  /** Keeps the demand of a host. */
  putDemand(host: string, demand: HostDemand): void {
    this.#sql.exec("UPDATE host SET demand = ? WHERE host = ?", JSON.stringify(demand), host);
  }

  /** Since when hosts have got no requests (Unix milliseconds), by name; those that get some are absent. */
  silentSinceMs(): Map<string, number> {
    const rows = this.#sql
      .exec("SELECT host, silent_since_ms FROM host WHERE silent_since_ms IS NOT NULL")
      .toArray();
    return new Map(rows.map((row) => [textOf(row, "host"), numberOrNull(row, "silent_since_ms")!]));
  }

  /** The hosts of which it was noted that they are away for longer than a restart takes. */
  absent(): Set<string> {
    const rows = this.#sql.exec("SELECT host FROM host WHERE is_absence_noted = 1").toArray();
    return new Set(rows.map((row) => textOf(row, "host")));
  }

  /** Notes it, or that it is over. */
  noteAbsence(host: string, isAway: boolean): void {
    this.#sql.exec("UPDATE host SET is_absence_noted = ? WHERE host = ?", isAway ? 1 : 0, host);
  }

  /** Notes since when a host has got no requests; null when it gets some. */
  noteSilence(host: string, sinceMs: number | null): void {
    this.#sql.exec("UPDATE host SET silent_since_ms = ? WHERE host = ?", sinceMs, host);
  }
}

function assignmentOf(row: SqlRow): Assignment {
  return {
    host: textOf(row, "host"),
    ip: textOf(row, "ip"),
    state: textOf(row, "state") as AssignmentState,
  };
}
