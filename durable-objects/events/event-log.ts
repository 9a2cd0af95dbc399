/**
 * What happens to a pool without an administrator, and is stored nowhere else: hosts and routers that
 * come and go, drains that come to their end. One row each, written in the turn in which it happens, and
 * only when something becomes other than it was. [EV3]
 */
import {
  type EventKind,
  type EventPage,
  type HistoryEvent,
  historyEvent,
  isWanted,
} from "../../src/core/history-event.ts";
import { numberOf, type SqlDatabase, type SqlRow, textOf, textOrNull } from "../storage/sql-database.ts";

/** What is to be noted. */
export interface Noted {
  readonly kind: EventKind;
  readonly ip?: string;
  readonly host?: string;
  readonly router?: string;
  readonly reason?: string;
  /** Whatever else is to be known of it. */
  readonly after?: object;
}

/** The most events of one log. [EV5] */
export const MOST_EVENTS = 10_000;
/** Each event prunes some, and more than it adds, so that none is slow and it comes to an end. */
const PRUNED_AT_ONCE = 8;

/** The log of one pool. Nothing is remembered here: what is asked is read. */
export class EventLog {
  readonly #sql: SqlDatabase["sql"];
  readonly #nowMs: () => number;

  constructor(database: Pick<SqlDatabase, "sql">, nowMs: () => number) {
    this.#sql = database.sql;
    this.#nowMs = nowMs;
  }

  /** Notes it, now; the transaction is the caller's. */
  note({ kind, ip, host, router, reason, after }: Noted): void {
    const [last] = this.#sql.exec("SELECT max(sequence) AS sequence FROM event").toArray();
    const sequence = (last === undefined || last["sequence"] === null ? 0 : numberOf(last, "sequence")) + 1;
    this.#sql.exec(
      `INSERT INTO event (sequence, at_ms, kind, ip, host, router, reason, after)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      sequence,
      Math.floor(this.#nowMs()),
      kind,
      ip ?? null,
      host ?? null,
      router ?? null,
      reason ?? null,
      JSON.stringify(after ?? null),
    );
    if (sequence > MOST_EVENTS) {
      this.#sql.exec(
        `DELETE FROM event WHERE sequence IN
        (SELECT sequence FROM event WHERE sequence <= ? ORDER BY sequence LIMIT ${PRUNED_AT_ONCE})`,
        sequence - MOST_EVENTS,
      );
    }
  }

  /** Those of a page, the newest first; of one address, or null for all. */
  events(page: EventPage, pool: string, ip: string | null): HistoryEvent[] {
    const rows = this.#sql
      .exec(
        `SELECT * FROM event WHERE at_ms >= ?1 AND at_ms <= ?2 AND (?3 IS NULL OR ip = ?3)
        ORDER BY at_ms DESC, sequence DESC`,
        page.sinceMs,
        page.before?.atMs ?? Number.MAX_SAFE_INTEGER,
        ip,
      )
      .toArray();
    return rows
      .map((row) => eventOf(row, pool))
      .filter((event) => isWanted(event, page))
      .slice(0, page.limit);
  }
}

function eventOf(row: SqlRow, pool: string): HistoryEvent {
  return historyEvent({
    atMs: numberOf(row, "at_ms"),
    source: "note",
    number: numberOf(row, "sequence"),
    kind: textOf(row, "kind") as EventKind,
    pool,
    ip: textOrNull(row, "ip"),
    host: textOrNull(row, "host"),
    router: textOrNull(row, "router"),
    reason: textOrNull(row, "reason"),
    after: textOf(row, "after"),
  });
}
