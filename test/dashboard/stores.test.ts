/** What the page knows of a pool and of an address stays what the edge knows, difference by difference. */
import * as fc from "fast-check";
import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { LEASABLE_PORT_COUNT, portCountOf, UNIT_PORT_COUNT, unitsOf } from "../../src/core/port-block.ts";
import { AddressStore } from "../../src/dashboard/live/address-store.ts";
import { HostClocks } from "../../src/dashboard/live/host-clocks.ts";
import { MOST_DECISIONS, PoolStore } from "../../src/dashboard/live/pool-store.ts";
import { RateMeter } from "../../src/dashboard/live/rate-meter.ts";
import { cellOf, usesOf } from "../../src/dashboard/port-map/picture.ts";
import { HostHues } from "../../src/dashboard/port-map/host-hues.ts";
import { MadePool } from "./made-pool.ts";

const NOW_MS = 1_796_000_000_000;
const IP = "192.0.2.1";
const HOST = { version: "1", startedAtMs: 0, processCount: 1, runningCount: 0, addresses: [] };
const MINUTE = { requestCount: 0, flowCount: 0, refusals: {}, portCount: 0 };

// No frame is drawn here: what waits for one is run by the test.
let frame = (): void => {};
beforeAll(() => {
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => {
    frame = run;
    return 0;
  });
});
beforeEach(() => frame());

function madePool(seed = 1): MadePool {
  return new MadePool({ pool: "eu", hostCount: 8, addressCount: 3, seed, nowMs: NOW_MS });
}

test("[PG3] differences leave an address as a whole answer would, each unit in the block that holds it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 200 }), (seed, changes) => {
      const pool = madePool(seed);
      const store = new AddressStore(IP);
      store.heard(wholeOf(pool));
      for (let at = 0; at < changes; at += 1) {
        const { blocks, goneEpochs } = pool.change(IP, NOW_MS + at);
        store.heard({ type: "address-change", blocks, goneEpochs, rest: restOf(pool) });
      }
      const expected = new AddressStore(IP);
      expected.heard(wholeOf(pool));
      expect(store.units).toEqual(expected.units);
      expect(new Set(store.blocks.values())).toEqual(new Set(expected.blocks.values()));
      expect(store.rest).toEqual(restOf(pool));
    }),
    { numRuns: 15 },
  );
});

test("[PG3] a block that has become smaller leaves the ports that it had", () => {
  const store = new AddressStore(IP);
  const block = { ...madePool().tables.get(IP)!.blocks[0]!, base: 4096, order: 8, epoch: 900 };
  const rest = restOf(madePool());
  store.heard({ type: "address", ip: IP, address: { ...rest, blocks: [block] } });
  const half = { ...block, order: 7 };
  const other = { ...block, base: 4224, order: 7, epoch: 901 };
  store.heard({ type: "address-change", blocks: [other, half], goneEpochs: [], rest });
  expect([...unitsOf(block)].map((unit) => store.units[unit]?.epoch)).toEqual([900, 900, 901, 901]);
  store.heard({ type: "address-change", blocks: [], goneEpochs: [900], rest });
  expect([...unitsOf(block)].map((unit) => store.units[unit]?.epoch)).toEqual([
    undefined,
    undefined,
    901,
    901,
  ]);
});

test("[PG1] a unit is painted by its block, by its host and by the use that the host tells", () => {
  const pool = madePool();
  const store = new AddressStore(IP);
  const known = new PoolStore();
  store.heard(wholeOf(pool));
  known.heard({ type: "watched", hosts: pool.watched(NOW_MS) });
  const hues = new HostHues();
  hues.see([...store.blocks.values()].map(({ host }) => host));
  const uses = usesOf(known, IP);
  const seen = { theme: "light", host: null, uses } as const;
  let leasedCount = 0;
  for (let unit = 0; unit < store.units.length; unit += 1) {
    const block = store.units[unit] ?? null;
    const { state, hueIndex, useLevel } = cellOf(unit, block, hues, seen);
    if (block === null) expect(state).toBe(unit < 16 ? "reserved" : "free");
    else {
      expect(state).toBe(block.state);
      expect(hueIndex).toBe(hues.indexOf(block.host));
      expect(useLevel === null).toBe(
        block.state === "quarantined" || !uses.counts.has(`${block.host} ${block.base}`),
      );
      if (state === "leased") leasedCount += UNIT_PORT_COUNT;
    }
  }
  const leased = [...store.blocks.values()].filter(({ state }) => state === "leased");
  expect(leasedCount).toBe(leased.reduce((sum, { order }) => sum + portCountOf(order), 0));
  expect(leasedCount).toBeLessThan(LEASABLE_PORT_COUNT);
  const [one] = leased;
  expect(cellOf(16, one!, hues, { ...seen, host: one!.host }).isDimmed).toBe(false);
  expect(cellOf(16, one!, hues, { ...seen, host: "another" }).isDimmed).toBe(true);
});

test("[PG3] differences leave a pool as a whole answer would", () => {
  const pool = madePool();
  const store = new PoolStore();
  store.heard({ type: "pool", pool: pool.answer() });
  const changed = { ...pool.hosts[1]!, live: false };
  const { ips, hosts, routers, ...rest } = pool.answer();
  store.heard({ type: "watched", hosts: pool.watched(NOW_MS) });
  store.heard({
    type: "pool-change",
    ips: [],
    goneIps: [ips[2]!.ip],
    hosts: [changed],
    goneHosts: [hosts[0]!.host],
    routers: [],
    goneRouters: [routers[0]!.router],
    rest: { ...rest, steeringSequence: 9000 },
  });
  expect([...store.ips.values()]).toEqual(ips.slice(0, 2));
  expect([...store.hosts.values()]).toEqual([changed, ...hosts.slice(2)]);
  expect([...store.routers.values()]).toEqual(routers.slice(1));
  expect(store.rest?.steeringSequence).toBe(9000);
  expect(store.watched.has(hosts[0]!.host)).toBe(false);
  store.heard({ type: "pool", pool: pool.answer() });
  expect([...store.hosts.values()]).toEqual(hosts);
});

test("[PG3] what a newer edge says that this page does not know changes nothing", () => {
  const store = new PoolStore();
  const address = new AddressStore(IP);
  store.heard({ type: "weather", rain: true });
  address.heard({ type: "weather", rain: true });
  expect([store.rest, store.decisions, address.rest, address.blocks.size]).toEqual([null, [], null, 0]);
});

test("[PG4] however much is told, those who show it hear of it once in a frame", () => {
  const pool = madePool();
  const store = new AddressStore(IP);
  const heard = vi.fn<() => void>();
  const end = store.changed.listen(heard);
  store.heard(wholeOf(pool));
  for (let at = 0; at < 50; at += 1)
    store.heard({ type: "address-change", ...pool.change(IP, NOW_MS), rest: restOf(pool) });
  expect(heard).not.toHaveBeenCalled();
  frame();
  expect(heard).toHaveBeenCalledTimes(1);
  end();
  store.heard(wholeOf(pool));
  frame();
  expect(heard).toHaveBeenCalledTimes(1);
});

test("[PG4] of decisions the latest are kept, numbered as they came", () => {
  const store = new PoolStore();
  const decision = madePool().decision(NOW_MS);
  const many = Array.from({ length: 1500 }, () => decision);
  store.heard({ type: "decisions", decisions: many, lostCount: 2 });
  store.heard({ type: "decisions", decisions: many, lostCount: 3 });
  expect(store.decisions).toHaveLength(MOST_DECISIONS);
  expect(store.decisions.at(-1)!.number).toBe(3000);
  expect(store.lostDecisionCount).toBe(5);
});

test("[PG8] rates come of what a minute has grown by, and a new minute begins at nothing", () => {
  const meter = new RateMeter();
  const told = (atMs: number, requestCount: number, refused: number) => ({
    a: { ...HOST, minute: { ...MINUTE, atMs, requestCount, refusals: { draining: refused } } },
  });
  expect(meter.rates(NOW_MS)).toBeNull();
  meter.take(told(0, 1000, 7), 10_000);
  meter.take(told(0, 1100, 7), 15_000);
  meter.take(told(60_000, 50, 5), 20_000);
  const rates = meter.rates(20_000)!;
  expect(rates.requestsPerSecond).toBe(15);
  expect(rates.refusalsPerSecond).toBe(0.5);
  expect([...rates.refusals]).toEqual([["draining", 5]]);
  expect(meter.rates(60_000)!.requestsPerSecond).toBe(0);
});

test("[PG6] how far a host's clock is off is told by its minutes, and is nothing where it may be right", () => {
  const clocks = new HostClocks();
  const told = (atMs: number) => ({ a: { ...HOST, minute: { ...MINUTE, atMs } } });
  expect([clocks.offsetMs("a"), clocks.usualOffsetMs()]).toEqual([0, 0]);
  clocks.take(told(NOW_MS), NOW_MS + 30_000);
  expect(clocks.offsetMs("a")).toBe(0);
  // An hour ahead: at least so much as the minute that it counts has begun, and exactly when it begins.
  clocks.take(told(NOW_MS + 3_600_000), NOW_MS + 30_000);
  expect(clocks.offsetMs("a")).toBe(3_570_000);
  clocks.take(told(NOW_MS + 3_660_000), NOW_MS + 60_000);
  expect([clocks.offsetMs("a"), clocks.usualOffsetMs()]).toEqual([3_600_000, 3_600_000]);
  clocks.take(told(NOW_MS - 3_600_000), NOW_MS + 70_000);
  expect(clocks.offsetMs("a")).toBe(-3_610_000);
});

function wholeOf(pool: MadePool): object {
  return { type: "address", ip: IP, address: structuredClone(pool.tables.get(IP)!) };
}

function restOf(pool: MadePool): object {
  const { blocks: _, ...rest } = pool.tables.get(IP)!;
  return structuredClone(rest);
}
