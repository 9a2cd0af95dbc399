/** What a pool notes of itself: one row each, within bounds, and read like all that happened. */
import { expect, test } from "vitest";
import { EventLog, MOST_EVENTS } from "../../durable-objects/events/event-log.ts";
import { POOL_MIGRATIONS } from "../../durable-objects/pool/pool-schema.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import { openNodeDatabase } from "./node-database.ts";

const ALL = { sinceMs: 0, before: null, kinds: null, host: null, limit: 100_000 } as const;

function newLog() {
  const database = openNodeDatabase();
  migrate(database, POOL_MIGRATIONS);
  const clock = { nowMs: 1_000 };
  return { database, clock, log: new EventLog(database, () => clock.nowMs) };
}

test("[EV3] [EV4] is told newest first, with whom and what it concerns", () => {
  const { log, clock } = newLog();
  log.note({ kind: "host-joined", host: "h1", reason: "new" });
  log.note({ kind: "steering-overdue", router: "r1", after: { sequence: 7 } });
  clock.nowMs += 5;
  log.note({ kind: "address-removed", ip: "192.0.2.1" });
  const told = log.events(ALL, "eu", null);
  expect(told).toMatchObject([
    { atMs: 1_005, source: "note", number: 3, kind: "address-removed", pool: "eu", ip: "192.0.2.1" },
    { number: 2, kind: "steering-overdue", router: "r1", after: '{"sequence":7}', before: "null" },
    { number: 1, kind: "host-joined", host: "h1", reason: "new", after: "null", by: null },
  ]);
  const ask = (page: object, ip: string | null = null): number[] =>
    log.events({ ...ALL, ...page }, "eu", ip).map(({ number }) => number);
  expect(ask({ before: told[1]! })).toEqual([1]);
  expect(ask({ sinceMs: 1_001 })).toEqual([3]);
  expect(ask({ kinds: ["host-joined", "host-back"] })).toEqual([1]);
  expect(ask({ host: "h1" })).toEqual([1]);
  expect(ask({ limit: 2 })).toEqual([3, 2]);
  expect(ask({}, "192.0.2.1")).toEqual([3]);
});

test("[EV3] [EV5] is one row, and of more than 10,000 the oldest goes for it", () => {
  const { log, database } = newLog();
  const count = (): unknown =>
    database.sql.exec("SELECT count(*) AS count FROM event").toArray()[0]!["count"];
  const written = (): number =>
    Number(database.sql.exec("SELECT total_changes() AS count").toArray()[0]!["count"]);
  const before = written();
  database.transactionSync(() => {
    for (let note = 1; note <= MOST_EVENTS; note += 1) log.note({ kind: "host-back", host: "h1" });
  });
  expect(written() - before).toBe(MOST_EVENTS);
  log.note({ kind: "host-back", host: "h2" });
  expect(count()).toBe(MOST_EVENTS);
  expect(log.events(ALL, "eu", null).at(-1)!.number).toBe(2);
});

test("[DO1] [EV3] of hosts that were away before there were events nobody is told", () => {
  const database = openNodeDatabase();
  migrate(database, POOL_MIGRATIONS.slice(0, -1));
  for (const [host, sinceMs] of [
    ["h1", 5],
    ["h2", null],
  ] as const) {
    database.sql.exec(
      "INSERT INTO host (host, instance, gateway, draining, rooms, silent_since_ms) VALUES (?, 'i', 'g', 0, '[]', ?)",
      host,
      sinceMs,
    );
  }
  migrate(database, POOL_MIGRATIONS);
  const noted = database.sql.exec("SELECT host FROM host WHERE is_absence_noted = 1").toArray();
  expect(noted).toEqual([{ host: "h1" }]);
});
