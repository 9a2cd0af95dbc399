/**
 * What is known of the past of a pool: what administrators changed, and what happened. Of the second the
 * greater part is the first. [AU5] [EV1] [EV3]
 */
import type { AuditEntry } from "../../src/core/audit.ts";
import { changeEvent } from "../../src/core/change-event.ts";
import { type EventPage, type HistoryEvent, isWanted, newestOf } from "../../src/core/history-event.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import { retentionStartMs } from "../../src/core/port-history.ts";
import { AuditLog, type AuditPage } from "../audit/audit-log.ts";
import { EventLog, MOST_EVENTS } from "../events/event-log.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { PoolStore } from "./pool-store.ts";

/** One per pool object. */
export class PoolRecord {
  /** To be written into by whoever changes something. */
  readonly changes: AuditLog;
  readonly events: EventLog;
  readonly #store: PoolStore;
  readonly #nowMs: () => number;

  constructor(platform: Pick<ObjectPlatform, "storage" | "nowMs">, store: PoolStore) {
    this.#nowMs = () => platform.nowMs();
    this.changes = new AuditLog(platform.storage, this.#nowMs);
    this.events = new EventLog(platform.storage, this.#nowMs);
    this.#store = store;
  }

  /** What was changed, by whom. [AU5] */
  audit(page: AuditPage): Outcome<readonly AuditEntry[], "pool-unknown"> {
    return this.#store.pool() === null ? refuse("pool-unknown") : ok(this.changes.entries(page));
  }

  /** What happened, the newest first; to one address, or null for the pool as a whole. [EV4] */
  read(page: EventPage, ip: string | null = null): Outcome<readonly HistoryEvent[], "pool-unknown"> {
    const pool = this.#store.pool();
    if (pool === null) return refuse("pool-unknown");
    const keptSinceMs = retentionStartMs(this.#nowMs(), pool.settings.historyDays);
    const asked = { ...page, sinceMs: Math.max(page.sinceMs, keptSinceMs) };
    const noted = this.events.events(asked, pool.name, ip);
    return ok(newestOf([noted, this.#changed(asked, pool.name, ip)], page.limit));
  }

  #changed(page: EventPage, pool: string, ip: string | null): HistoryEvent[] {
    const untilMs = page.before?.atMs ?? Number.MAX_SAFE_INTEGER;
    const found: HistoryEvent[] = [];
    for (const entry of this.changes.newestFirst(page.sinceMs, untilMs, MOST_EVENTS)) {
      if (found.length >= page.limit) break;
      const event = changeEvent(entry, pool);
      if (event !== null && isWanted(event, page) && (ip === null || event.ip === ip)) found.push(event);
    }
    return found;
  }
}
