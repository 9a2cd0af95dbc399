/**
 * What happened to an address: its grants and the ends of its leases, read from the leases that are there
 * and those that are over, and the restores that it has been through. Nothing is written for it. [EV2]
 */
import {
  type EventPage,
  type HistoryEvent,
  historyEvent,
  isWanted,
  newestFirst,
} from "../../src/core/history-event.ts";
import type { LeaseEnd } from "../../src/core/lease-table.ts";
import { numberOf, type SqlDatabase, type SqlRow, textOf, textOrNull } from "../storage/sql-database.ts";
import { type LeaseInRow, leasesIn } from "./past-leases.ts";

/** Leases that are over and are looked at: those that ended last. [EV5] */
export const MOST_LOOKED_AT = 10_000;
/** Rows that are read together. */
const READ_AT_ONCE = 256;
/** Times of a row follow its order but for clocks that were set back: not by more than this. */
const CLOCK_SLACK_MS = 3_600_000;

const ENDS: Readonly<Record<LeaseEnd, Pick<HistoryEvent, "kind" | "reason">>> = {
  released: { kind: "block-returned", reason: null },
  expired: { kind: "lease-lost", reason: "expired" },
  removed: { kind: "lease-lost", reason: "removed" },
};

/** What is asked of an address. */
export interface AddressQuestion extends EventPage {
  /** Only what happened in these pools; null for all. */
  readonly pools: readonly string[] | null;
}

/** Whose events they are: the address, and the pool that it belongs to, or did last. */
export interface EventSubject {
  readonly ip: string;
  readonly pool: string;
}

/** What happened to an address, and the pool that it belongs to, or did last. */
export interface StoredEvents {
  readonly pool: string;
  readonly events: readonly HistoryEvent[];
}

/** Reads the events of one address. */
export class AddressEvents {
  readonly #sql: SqlDatabase["sql"];

  constructor(sql: SqlDatabase["sql"]) {
    this.#sql = sql;
  }

  /** The newest that are wanted, in no order; more than that where it costs nothing. */
  read(asked: AddressQuestion, of: EventSubject): HistoryEvent[] {
    const question = { ...asked, sinceMs: Math.max(asked.sinceMs, this.#limitMs()) };
    const isAsked = (event: HistoryEvent): boolean =>
      isWanted(event, question) && (question.pools === null || question.pools.includes(event.pool));
    const live = this.#rows("SELECT * FROM lease").flatMap((row) => liveEvents(row, of));
    const events = [...this.#restores(of), ...live].filter(isAsked);
    for (const rows of this.#past(question)) {
      if (isBelow(rows[0]!, events, question.limit)) break;
      for (const row of rows) events.push(...pastEvents(row, of).filter(isAsked));
    }
    return events;
  }

  /** Before that not all is looked at. */
  #limitMs(): number {
    const query = "SELECT ended_at_ms FROM past_lease ORDER BY ended_at_ms DESC LIMIT 1 OFFSET ?";
    const [row] = this.#rows(query, MOST_LOOKED_AT);
    return row === undefined ? 0 : numberOf(row, "ended_at_ms") + 1;
  }

  /** Rows that may have something of a page, the last to end first. */
  *#past({ sinceMs, before }: EventPage): Generator<SqlRow[]> {
    let [endedMs, epoch] = [Number.MAX_SAFE_INTEGER, 0];
    for (;;) {
      const rows = this.#rows(
        `SELECT * FROM past_lease WHERE (ended_at_ms, epoch) < (?, ?) AND ended_at_ms >= ? AND granted_at_ms <= ?
        ORDER BY ended_at_ms DESC, epoch DESC LIMIT ${READ_AT_ONCE}`,
        endedMs,
        epoch,
        sinceMs - CLOCK_SLACK_MS,
        before === null ? Number.MAX_SAFE_INTEGER : before.atMs + CLOCK_SLACK_MS,
      );
      if (rows.length > 0) yield rows;
      if (rows.length < READ_AT_ONCE) return;
      const last = rows.at(-1)!;
      [endedMs, epoch] = [numberOf(last, "ended_at_ms"), numberOf(last, "epoch")];
    }
  }

  #restores({ ip, pool }: EventSubject): HistoryEvent[] {
    return this.#rows("SELECT * FROM restored").map((row) =>
      historyEvent({
        atMs: numberOf(row, "to_ms"),
        source: "restore",
        number: numberOf(row, "id"),
        kind: "restored",
        pool,
        ip,
        after: JSON.stringify({ copiedAtMs: numberOf(row, "from_ms") }),
      }),
    );
  }

  #rows(query: string, ...bindings: number[]): SqlRow[] {
    return this.#sql.exec(query, ...bindings).toArray();
  }
}

/** Whether nothing of a row, or of those that ended before it, is among the newest so many. */
function isBelow(row: SqlRow, events: readonly HistoryEvent[], limit: number): boolean {
  if (events.length < limit) return false;
  const last = events.toSorted(newestFirst)[limit - 1]!;
  return numberOf(row, "ended_at_ms") + CLOCK_SLACK_MS < last.atMs;
}

function liveEvents(row: SqlRow, of: EventSubject): HistoryEvent[] {
  const [epoch, sinceMs] = [numberOf(row, "epoch"), numberOf(row, "granted_at_ms")];
  const grant = grantOf(row, [epoch, sinceMs], of);
  if (row["ended_at_ms"] === null) return [grant];
  const end = textOf(row, "end_reason") as LeaseEnd;
  return [grant, endOf(row, [epoch, sinceMs, numberOf(row, "ended_at_ms"), end], of)];
}

function pastEvents(row: SqlRow, { ip, pool: present }: EventSubject): HistoryEvent[] {
  // Rows from before it was noted are of an address that has hardly ever moved.
  const of = { ip, pool: textOrNull(row, "pool") ?? present };
  return leasesIn(row).flatMap((lease) => [grantOf(row, lease, of), endOf(row, lease, of)]);
}

function grantOf(
  row: SqlRow,
  [epoch, sinceMs]: readonly [epoch: number, sinceMs: number, ...rest: unknown[]],
  of: EventSubject,
): HistoryEvent {
  const place = { atMs: sinceMs, source: "grant", number: epoch } as const;
  return historyEvent({ ...place, ...of, ...holdingIn(row), epoch, kind: "block-granted" });
}

function endOf(row: SqlRow, [epoch, , untilMs, end]: LeaseInRow, of: EventSubject): HistoryEvent {
  const place = { atMs: untilMs, source: "end", number: epoch } as const;
  return historyEvent({ ...place, ...of, ...holdingIn(row), epoch, ...ENDS[end] });
}

function holdingIn(row: SqlRow): Pick<HistoryEvent, "host" | "block"> {
  return {
    host: textOf(row, "host"),
    block: { base: numberOf(row, "base"), order: numberOf(row, "block_order") },
  };
}
