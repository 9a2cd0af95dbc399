/** What an address remembers: the same as whoever wrote down every grant and every end. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { LeaseStore } from "../../durable-objects/address/lease-store.ts";
import { PastLeases } from "../../durable-objects/address/past-leases.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import { execute } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseEvent } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { commandFor, generator, histories, POOL, SETTINGS } from "./lease-history.ts";
import { openNodeDatabase } from "./node-database.ts";
import { lifeOf } from "./lease-life.ts";

const START_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;

interface Noted {
  readonly base: number;
  readonly end: number;
  readonly host: string;
  readonly epoch: number;
  readonly sinceMs: number;
  untilMs: number | null;
}

function emptyStore(beganMs: number) {
  const database = openNodeDatabase();
  migrate(database, ADDRESS_MIGRATIONS);
  const store = new LeaseStore(database);
  store.assign("192.0.2.1", POOL, SETTINGS, beganMs);
  return { database, store };
}

describe("the history of an address that was restored from a copy", () => {
  test("[OC5] [AT1] says that it does not know what was between, and knows what was before", () => {
    const { store } = emptyStore(START_MS);
    const table = emptyLeaseTable(SETTINGS);
    const run = (command: Parameters<typeof execute>[1], nowMs: number) => {
      store.append(execute(table, command, nowMs, () => 0.5).events);
    };
    run({ type: "join", host: "h1", instance: "an-instance" }, START_MS);
    run({ type: "acquire", host: "h1", session: 1, requestId: "r", order: 6 }, START_MS);
    const { base, epoch } = [...table.rows.values()][0]!;
    run({ type: "release", host: "h1", session: 1, base, epoch }, START_MS + 100_000);
    const restoredMs = START_MS + DAY_MS;
    const restoration = { id: "r", atMs: restoredMs, waitMs: 0, areSlotsKnown: false };
    run({ type: "restored", restoration }, restoredMs);
    const stateAt = (atMs: number) => store.historyOf({ port: base, atMs }, restoredMs + 10)!.history.state;
    expect(stateAt(START_MS + 50_000)).toBe("held");
    expect(stateAt(restoredMs - 1)).toBe("unknown");
    expect(stateAt(restoredMs + 5)).toBe("nobody");
    store.prune(restoredMs + 10, 90);
    expect(stateAt(START_MS + 50_000)).toBe("held");
  });
});

describe("the history of an address", () => {
  test(
    "[AT1] [AT2] [AT11] is what was granted and ended, at every time and on every port",
    { timeout: 60_000 },
    () => {
      let heldCount = 0;
      let nobodyCount = 0;
      fc.assert(
        fc.property(histories, (history) => {
          const { store } = emptyStore(START_MS);
          const table = emptyLeaseTable(SETTINGS);
          const random = generator(history.seed);
          const noted: Noted[] = [];
          let nowMs = START_MS;
          for (const [at, step] of history.steps.entries()) {
            // A clock that is set back makes a time come twice; that has a test of its own.
            nowMs += Math.abs(step.elapsedMs);
            const { events } = execute(table, commandFor(table, step, `r${at}`), nowMs, random);
            store.append(events);
            for (const event of events) note(event, noted);
          }
          execute(table, { type: "tick" }, nowMs, random);
          const edges = noted.flatMap(({ sinceMs, untilMs }) => [sinceMs, untilMs ?? nowMs]);
          const times = edges.flatMap((edge) => [edge - 1, edge, edge + 1]).filter((atMs) => atMs <= nowMs);
          const ports = noted
            .flatMap(({ base, end }) => [base - 1, base, end - 1, end])
            .filter((port) => port < 65_536);
          for (let sample = 0; sample < 200 && times.length > 0; sample += 1) {
            const atMs = times[Math.floor(random() * times.length)]!;
            const port = ports[Math.floor(random() * ports.length)]!;
            const known = store.historyOf({ port, atMs }, nowMs)!;
            const holder = noted.find(
              ({ base, end, sinceMs, untilMs }) =>
                base <= port && port < end && sinceMs <= atMs && atMs < (untilMs ?? Infinity),
            );
            const expected =
              holder === undefined ? [] : [{ host: holder.host, epoch: holder.epoch, pool: POOL }];
            expect(known.history.holders).toMatchObject(expected);
            expect(known.history.holders).toHaveLength(expected.length);
            const otherwise = atMs < START_MS ? "unknown" : "nobody";
            expect(known.history.state).toBe(holder === undefined ? otherwise : "held");
            if (holder === undefined) nobodyCount += 1;
            else heldCount += 1;
            const latest = noted
              .filter(({ base, end }) => base <= port && port < end)
              .toSorted((a, b) => b.epoch - a.epoch)
              .map(({ epoch, host, sinceMs, untilMs }) => ({ epoch, host, sinceMs, untilMs, pool: POOL }));
            const limit = 1 + (sample % 4);
            const told = store.leasesOf({ port, limit }, nowMs)!;
            expect(told.leases).toMatchObject(latest.slice(0, limit));
            expect(told).toMatchObject({ pool: POOL, knownSinceMs: START_MS });
            expect(told.leases).toHaveLength(Math.min(limit, latest.length));
          }
        }),
        { numRuns: 60 },
      );
      expect(Math.min(heldCount, nobodyCount)).toBeGreaterThan(1_000);
    },
  );

  test("[AT3] [AT11] is one row for a block that its host takes up again and again, with the times of each", () => {
    const { database, store } = emptyStore(0);
    for (let epoch = 1; epoch <= 100; epoch += 1) {
      const [granted, ended, freed] = lifeOf(epoch, [epoch * 1_000, epoch * 1_000 + 500]);
      // Taken up again out of its quarantine, each but the first.
      store.append(epoch === 1 ? [granted!] : [{ type: "freed", epoch: epoch - 1 }, granted!]);
      store.append(epoch === 100 ? [ended!, freed!] : [ended!]);
    }
    expect(database.sql.exec("SELECT * FROM past_lease").toArray()).toHaveLength(2);
    for (const epoch of [1, 2, 63, 64, 65, 100]) {
      const at = (atMs: number) => store.historyOf({ port: 2050, atMs }, DAY_MS)!.history;
      expect(at(epoch * 1_000).holders).toMatchObject([
        { epoch, sinceMs: epoch * 1_000, untilMs: epoch * 1_000 + 500 },
      ]);
      expect(at(epoch * 1_000 + 499).state).toBe("held");
      expect(at(epoch * 1_000 + 500)).toMatchObject({ state: "nobody", before: { epoch } });
      expect(at(epoch * 1_000 - 1).state).toBe("nobody");
    }
    // Of rows that hold many, no more than was asked for.
    const latest = (limit: number) => store.leasesOf({ port: 2050, limit }, DAY_MS)!.leases;
    expect(latest(3).map(({ epoch }) => epoch)).toEqual([100, 99, 98]);
    expect(latest(100).map(({ epoch }) => epoch)).toEqual(Array.from({ length: 100 }, (_, at) => 100 - at));
    expect(store.load()!.table.lastEpoch).toBe(100);
  });

  test("[AT3] does not join what another host, or another block, came between", () => {
    const { database, store } = emptyStore(0);
    store.append(lifeOf(1, [10, 20]));
    store.append(lifeOf(2, [30, 40], { block: { base: 2048, order: 7 } }));
    store.append([...lifeOf(3, [50, 60]), ...lifeOf(4, [70, 80], { host: "h2" })]);
    expect(database.sql.exec("SELECT * FROM past_lease").toArray()).toHaveLength(4);
  });

  test("[AT3] [DO4] is kept as long as the pool says, a little at a time, and the newest epoch for good", () => {
    const { database, store } = emptyStore(0);
    const past = () => database.sql.exec("SELECT * FROM past_lease").toArray().length;
    const nowMs = 100 * DAY_MS;
    // One that was there nearly all the time comes first and stays.
    store.append(lifeOf(1, [1, nowMs - 5], { block: { base: 4096, order: 6 } }));
    database.transactionSync(() => {
      for (let epoch = 2; epoch <= 6_001; epoch += 1) store.append(lifeOf(epoch, [epoch, epoch + 1]));
    });
    const at = (atMs: number, port = 2050) => store.historyOf({ port, atMs }, nowMs)!.history.state;
    expect(at(5)).toBe("unknown");
    expect(at(5, 4096)).toBe("held");
    store.prune(nowMs, 90);
    expect(past()).toBe(6_001 - 2_499);
    store.prune(nowMs, 90);
    // It was done a moment ago.
    expect(past()).toBe(6_001 - 2_499);
    store.prune(nowMs + 600_000, 90);
    store.prune(nowMs + 1_200_000, 90);
    expect(past()).toBe(2);
    expect(store.load()!.table.lastEpoch).toBe(6_001);
    expect(at(5, 4096)).toBe("held");
    expect(at(nowMs - 1)).toBe("nobody");
    // A longer retention brings nothing back.
    store.append([{ type: "configured", settings: { ...SETTINGS, historyDays: 3_650 } }]);
    expect(at(5)).toBe("unknown");
  });

  test("[DO4] is bounded in number, too, and knows from when on it is whole", () => {
    const { database, store } = emptyStore(0);
    for (let epoch = 1; epoch <= 20; epoch += 1) store.append(lifeOf(epoch, [epoch * 10, epoch * 10 + 5]));
    new PastLeases(database.sql).prune(1_000, 90, 5);
    const at = (atMs: number) => store.historyOf({ port: 2050, atMs }, 1_000)!.history;
    expect(at(145)).toMatchObject({ state: "unknown", reason: "before-history" });
    expect(at(156)).toMatchObject({ state: "nobody", knownSinceMs: 155 });
    expect(at(160).holders).toMatchObject([{ epoch: 16 }]);
    new PastLeases(database.sql).prune(1_000, 90, 0);
    expect(store.load()!.table.lastEpoch).toBe(20);
  });

  test("[RE5] [AT1] goes on in the next pool, and names the pool of the time", () => {
    const { store } = emptyStore(1_000);
    store.append(lifeOf(1, [2_000, 3_000]));
    store.leave();
    expect(store.historyOf({ port: 2048, atMs: 2_000 }, 9_000)).toMatchObject({
      pool: POOL,
      history: { state: "held", holders: [{ pool: POOL }] },
    });
    store.assign("192.0.2.1", "us", SETTINGS, 5_000);
    store.append(lifeOf(2, [6_000, 7_000]));
    const at = (atMs: number) => store.historyOf({ port: 2048, atMs }, 9_000)!.history;
    expect(at(2_000).holders).toMatchObject([{ pool: POOL }]);
    expect(at(4_000)).toMatchObject({ state: "nobody", before: { pool: POOL }, after: { pool: "us" } });
    expect(at(999).state).toBe("unknown");
  });

  test("[AT1] of a clock that was set back names everybody who had the port at that time", () => {
    const { store } = emptyStore(0);
    store.append(lifeOf(1, [5_000, 9_000]));
    store.append(lifeOf(2, [6_000, 7_000], { host: "h2" }));
    const { holders } = store.historyOf({ port: 2048, atMs: 6_500 }, 10_000)!.history;
    expect(holders.map(({ host }) => host)).toEqual(["h1", "h2"]);
  });

  test("[DO1] [AT2] of a table from before is known from its first grant on, if that is there still", () => {
    for (const [epoch, expected] of [
      [1, "nobody"],
      [2, "unknown"],
    ] as const) {
      const database = openNodeDatabase();
      migrate(database, ADDRESS_MIGRATIONS.slice(0, 5));
      const settings = JSON.stringify(DEFAULT_POOL_SETTINGS);
      database.sql.exec(
        "INSERT INTO assignment (id, ip, pool, settings) VALUES (1, '192.0.2.1', 'eu', ?)",
        settings,
      );
      const nowMs = Date.now() + 1_000;
      database.sql.exec(
        "INSERT INTO past_lease VALUES (?, 2048, 6, 'h1', ?, 'released', ?)",
        epoch,
        nowMs - 60_000,
        nowMs - 50_000,
      );
      migrate(database, ADDRESS_MIGRATIONS);
      const at = (atMs: number) => new LeaseStore(database).historyOf({ port: 2048, atMs }, nowMs)!.history;
      expect(at(nowMs - 55_000).holders).toMatchObject([{ host: "h1", pool: "eu" }]);
      expect(at(nowMs - 40_000).state).toBe(expected);
    }
  });
});

function note(event: LeaseEvent, noted: Noted[]): void {
  if (event.type === "granted") {
    const { base, order, host, epoch, grantedAtMs } = event.row;
    noted.push({ base, end: base + 2 ** order, host, epoch, sinceMs: grantedAtMs, untilMs: null });
  } else if (event.type === "ended") {
    noted.find(({ epoch }) => epoch === event.epoch)!.untilMs = event.endedAtMs;
  }
}
