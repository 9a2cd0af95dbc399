/** The events of an address: the same as whoever wrote down every grant and every end. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { MOST_LOOKED_AT } from "../../durable-objects/address/address-events.ts";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { LeaseStore } from "../../durable-objects/address/lease-store.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import { type HistoryEvent, newestOf, placeText } from "../../src/core/history-event.ts";
import { execute } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseEvent } from "../../src/core/lease-table.ts";
import { commandFor, generator, POOL, SETTINGS, unsteeredHistories } from "./lease-history.ts";
import { openNodeDatabase } from "./node-database.ts";
import { lifeOf } from "./lease-life.ts";

const START_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const ALL = { sinceMs: 0, before: null, kinds: null, host: null, pools: null } as const;
const KINDS = { released: "block-returned", expired: "lease-lost", removed: "lease-lost" } as const;

function emptyStore() {
  const database = openNodeDatabase();
  migrate(database, ADDRESS_MIGRATIONS);
  const store = new LeaseStore(database);
  store.assign("192.0.2.1", POOL, SETTINGS, START_MS);
  return { database, store };
}

/** Page by page, as a client reads them. */
function read(store: LeaseStore, limit: number, nowMs: number): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  for (;;) {
    const question = { ...ALL, before: events.at(-1) ?? null, limit };
    const page = newestOf([store.eventsOf(question, nowMs)!.events], limit);
    events.push(...page);
    if (page.length < limit) return events;
  }
}

function lease(epoch: number, sinceMs: number, untilMs: number, host = "h1"): LeaseEvent[] {
  return lifeOf(epoch, [sinceMs, untilMs], { host, end: "expired", restMs: 0 });
}

test("[EV2] [EV4] each grant and each end is told once, in the order of time, on pages of any size", () => {
  let endCount = 0;
  fc.assert(
    fc.property(unsteeredHistories, fc.integer({ min: 1, max: 9 }), (history, limit) => {
      const { store } = emptyStore();
      const table = emptyLeaseTable(SETTINGS);
      const random = generator(history.seed);
      const noted = new Map<string, string>();
      let nowMs = START_MS;
      for (const [at, step] of history.steps.entries()) {
        nowMs += step.elapsedMs;
        const { events } = execute(table, commandFor(table, step, `r${at}`), nowMs, random);
        store.append(events);
        for (const event of events) {
          if (event.type === "granted")
            noted.set(`${event.row.grantedAtMs}-grant-${event.row.epoch}`, "block-granted");
          if (event.type === "ended") noted.set(`${event.endedAtMs}-end-${event.epoch}`, KINDS[event.end]);
        }
      }
      const told = read(store, limit, nowMs);
      expect(told.map(({ atMs }) => atMs)).toEqual(told.map(({ atMs }) => atMs).toSorted((a, b) => b - a));
      expect(told).toHaveLength(noted.size);
      expect(new Map(told.map((event) => [placeText(event), event.kind]))).toEqual(noted);
      endCount += told.filter(({ source }) => source === "end").length;
    }),
    { numRuns: 150 },
  );
  expect(endCount).toBeGreaterThan(20);
});

test("[EV1] [EV2] one tells of the address, the pool of that time, the host, the block and the epoch", () => {
  const { store } = emptyStore();
  store.append(lease(1, START_MS, START_MS + 5));
  store.leave();
  store.assign("192.0.2.1", "us", SETTINGS, START_MS + 6);
  const block = { base: 2048, order: 6 };
  const told = store.eventsOf({ ...ALL, limit: 9 }, START_MS + 9)!;
  expect(told.pool).toBe("us");
  expect(newestOf([told.events], 9)).toMatchObject([
    { kind: "lease-lost", reason: "expired", pool: POOL, ip: "192.0.2.1", host: "h1", block, epoch: 1 },
    { kind: "block-granted", reason: null, pool: POOL, host: "h1", block, epoch: 1, by: null },
  ]);
  const elsewhere = store.eventsOf({ ...ALL, pools: ["us"], limit: 9 }, START_MS + 9)!;
  expect(elsewhere.events).toEqual([]);
});

test("[EV2] a restore is told, with the time of its copy", () => {
  const { store } = emptyStore();
  const table = emptyLeaseTable(SETTINGS);
  const run = (command: Parameters<typeof execute>[1], nowMs: number): void =>
    store.append(execute(table, command, nowMs, () => 0.5).events);
  run({ type: "join", host: "h1", instance: "an-instance" }, START_MS);
  const restoration = { id: "r", atMs: START_MS + DAY_MS, waitMs: 0, areSlotsKnown: false };
  run({ type: "restored", restoration }, START_MS + DAY_MS);
  const [told] = store.eventsOf({ ...ALL, limit: 9 }, START_MS + DAY_MS)!.events;
  expect(told).toMatchObject({ kind: "restored", atMs: START_MS + DAY_MS, ip: "192.0.2.1" });
  expect(JSON.parse(told!.after)).toEqual({ copiedAtMs: START_MS });
});

test("[EV2] a grant writes no row more than its own, and the end none", () => {
  const { store, database } = emptyStore();
  const written = (): number =>
    Number(database.sql.exec("SELECT total_changes() AS count").toArray()[0]!["count"]);
  const cost = (event: LeaseEvent): number => {
    const before = written();
    store.append([event]);
    return written() - before;
  };
  const [granted, ended, freed] = lease(1, START_MS, START_MS + 5);
  expect([cost(granted!), cost(ended!), cost(freed!)]).toEqual([1, 1, 2]);
});

test("[EV5] no more is looked at than the leases that ended last, and nothing that is older than the pool keeps", () => {
  const { store, database } = emptyStore();
  // One that was there nearly all the time has the least epoch, and ends last.
  const lastMs = START_MS + 2 * MOST_LOOKED_AT + 200;
  store.append(lease(1, START_MS, lastMs + 1, "h2"));
  database.sql.exec(
    `INSERT INTO past_lease (epoch, base, block_order, host, granted_at_ms, end_reason, ended_at_ms, pool)
    WITH RECURSIVE count (epoch) AS (SELECT 2 UNION ALL SELECT epoch + 1 FROM count WHERE epoch < ?1)
    SELECT epoch, 2048, 6, 'h1', ?2 + 2 * (epoch - 1), 'expired', ?2 + 2 * (epoch - 1) + 1, 'eu' FROM count`,
    MOST_LOOKED_AT + 50,
    START_MS,
  );
  const [newest] = newestOf([store.eventsOf({ ...ALL, limit: 1 }, lastMs + 2)!.events], 1);
  expect(newest).toMatchObject({ kind: "lease-lost", host: "h2", epoch: 1 });
  const all = store.eventsOf({ ...ALL, limit: 1_000_000 }, lastMs + 2)!.events;
  // Of what is looked at, all but the grant that lies before the others.
  expect(all).toHaveLength(2 * MOST_LOOKED_AT - 1);
  const late = START_MS + SETTINGS.historyDays * DAY_MS;
  expect(store.eventsOf({ ...ALL, limit: 9 }, late + lastMs)!.events).toEqual([]);
  const some = store.eventsOf({ ...ALL, limit: 1_000_000 }, late + MOST_LOOKED_AT)!.events;
  expect(Math.min(...some.map(({ atMs }) => atMs))).toBe(START_MS + MOST_LOOKED_AT);
});
