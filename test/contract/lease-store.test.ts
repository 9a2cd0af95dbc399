import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LeaseStore, RECALLED_PAST_LEASES } from "../../durable-objects/address/lease-store.ts";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import type { LeaseEvent } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { histories, playHistory, restoredHistories } from "./lease-history.ts";
import { openNodeDatabase } from "./node-database.ts";
import { lifeOf } from "./lease-life.ts";

function emptyStore() {
  const database = openNodeDatabase();
  migrate(database, ADDRESS_MIGRATIONS);
  const store = new LeaseStore(database);
  store.assign("192.0.2.1", "eu", DEFAULT_POOL_SETTINGS, 0);
  return { database, store };
}

/** A lease of one unit that was given back and whose quarantine is over. */
function pastLease(epoch: number): LeaseEvent[] {
  return lifeOf(epoch, [epoch, epoch + 1], {
    block: { base: 1024 + (epoch % 1000) * 64, order: 6 },
    restMs: 1,
  });
}

describe("a lease store on the SQLite of Node", () => {
  test("[DO3] gives back the table that wrote it, after every command", { timeout: 60_000 }, () => {
    let grantCount = 0;
    fc.assert(
      fc.property(histories, (history) => {
        grantCount += playHistory(openNodeDatabase(), history).grantCount;
      }),
      { numRuns: 100 },
    );
    // Histories in which nothing is ever granted would prove nothing.
    expect(grantCount).toBeGreaterThan(100);
  });

  test("[DO3] [OC1] does so too after a restore from an older copy", { timeout: 60_000 }, () => {
    let heardCount = 0;
    fc.assert(
      fc.property(restoredHistories, (history) => {
        heardCount += playHistory(openNodeDatabase(), history).heardCount;
      }),
      { numRuns: 200 },
    );
    expect(heardCount).toBeGreaterThan(50);
  });

  test("[DO3] [AL7] remembers who wants more than there is, until a grant or the host's end", () => {
    const { store } = emptyStore();
    const wants = () => [...store.load()!.table.wants];
    const joined = (host: string): LeaseEvent => {
      return { type: "joined", holder: { host, instance: "an-instance", session: 1, expiresAtMs: 9 } };
    };
    store.append(["h1", "h2", "h3"].map(joined));
    store.append(["h1", "h2", "h3"].map((host, at): LeaseEvent => ({ type: "wanted", host, atMs: at })));
    store.append([{ type: "wanted", host: "h2", atMs: 7 }]);
    expect(wants()).toEqual([
      ["h1", 0],
      ["h2", 7],
      ["h3", 2],
    ]);
    store.append([
      { type: "left", host: "h3" },
      { type: "satisfied", host: "h1" },
    ]);
    expect(wants()).toEqual([["h2", 7]]);
    store.leave();
    store.assign("192.0.2.1", "eu", DEFAULT_POOL_SETTINGS, 0);
    expect(wants()).toEqual([]);
  });

  test("[DO4] remembers who held a block, and until when", () => {
    const { database, store } = emptyStore();
    store.append(pastLease(7));
    expect(database.sql.exec("SELECT * FROM past_lease").toArray()).toEqual([
      {
        epoch: 7,
        base: 1024 + 7 * 64,
        block_order: 6,
        host: "h1",
        granted_at_ms: 7,
        end_reason: "released",
        ended_at_ms: 8,
        pool: "eu",
        leases: null,
      },
    ]);
  });

  test("[DO4] wakes up at the newest epoch however long the past is", () => {
    const { database, store } = emptyStore();
    const epochCount = RECALLED_PAST_LEASES + 100;
    database.transactionSync(() => {
      for (let epoch = 1; epoch <= epochCount; epoch += 1) store.append(pastLease(epoch));
    });
    const { table } = store.load()!;
    expect(table.lastEpoch).toBe(epochCount);
    expect(table.unitHistory.filter((atMs) => atMs > 0)).toHaveLength(1000);
  });

  test("[DO16] a renewal writes one row, a grant two: the lease and its holder's time", () => {
    const { database, store } = emptyStore();
    store.append([
      { type: "joined", holder: { host: "h1", instance: "first-instance", session: 1, expiresAtMs: 1 } },
    ]);
    const written = (events: readonly LeaseEvent[]): number => {
      const before = totalChanges();
      store.append(events);
      return totalChanges() - before;
    };
    const totalChanges = (): number =>
      Number(database.sql.exec("SELECT total_changes() AS count").toArray()[0]!["count"]);
    const renewed = { type: "renewed", host: "h1", expiresAtMs: 2 } as const;
    expect(written([renewed])).toBe(1);
    expect(written([pastLease(1)[0]!, renewed])).toBe(2);
  });

  test("[DO16] renewals that come together write one row, and any later time of a host counts", () => {
    const { database, store } = emptyStore();
    const names = Array.from({ length: 31 }, (_none, at) => `h${at}`);
    for (const [at, host] of names.entries()) {
      store.append([
        { type: "joined", holder: { host, instance: "instance", session: at, expiresAtMs: 100 } },
      ]);
    }
    const totalChanges = (): number =>
      Number(database.sql.exec("SELECT total_changes() AS count").toArray()[0]!["count"]);
    const timesOf = (): number[] =>
      Array.from(new LeaseStore(database).load()!.table.holders.values(), ({ expiresAtMs }) => expiresAtMs);
    const renewedAll = (expiresAtMs: number): LeaseEvent[] =>
      names.map((host) => ({ type: "renewed", host, expiresAtMs }));
    for (const expiresAtMs of [200, 300]) {
      const before = totalChanges();
      store.append(renewedAll(expiresAtMs));
      expect(totalChanges() - before).toBe(1);
      expect(timesOf()).toEqual(names.map(() => expiresAtMs));
    }
    store.append([{ type: "renewed", host: "h0", expiresAtMs: 400 }]);
    expect(timesOf().slice(0, 2)).toEqual([400, 300]);
    store.append([{ type: "clock-read", atMs: 1, shiftMs: -50 }]);
    expect(timesOf().slice(0, 2)).toEqual([350, 250]);
    store.append([{ type: "left", host: "h1" }]);
    // Its clock may have been set back since.
    const holder = { host: "h1", instance: "instance", session: 99, expiresAtMs: 10 };
    store.append([{ type: "joined", holder }]);
    expect(new LeaseStore(database).load()!.table.holders.get("h1")).toEqual(holder);
    store.leave();
    store.assign("192.0.2.1", "us", DEFAULT_POOL_SETTINGS, 0);
    store.append([{ type: "joined", holder }]);
    expect(timesOf()).toEqual([10]);
  });

  test("[DO1] finds the hosts of a table from before renewals were written together", () => {
    const database = openNodeDatabase();
    migrate(database, ADDRESS_MIGRATIONS.slice(0, 3));
    database.sql.exec("INSERT INTO assignment (id, ip, pool, settings) VALUES (1, '192.0.2.1', 'eu', '{}')");
    database.sql.exec(
      "INSERT INTO holder (host, instance, session, expires_at_ms) VALUES ('constructor', 'i', 7, 123)",
    );
    migrate(database, ADDRESS_MIGRATIONS);
    const { table } = new LeaseStore(database).load()!;
    expect([...table.holders.values()]).toEqual([
      { host: "constructor", instance: "i", session: 7, expiresAtMs: 123 },
    ]);
  });
});
