/** When a host is given a further address, and when one is taken back. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Demand,
  demandAfter,
  FIRST_DEMAND,
  freePortCounts,
  portsOf,
  REST_MS,
} from "../../src/core/address-demand.ts";

const LIMIT = 10_000;

function used(...busy: number[]): { busiestCount: number; limit: number }[] {
  return busy.map((busiestCount) => ({ busiestCount, limit: LIMIT }));
}

/** Looks once a minute, so that no trend counts. */
function look(demand: Demand, ...busy: number[]): Demand {
  return demandAfter(demand, used(...busy), demand.atMs + 60_000);
}

describe("the demand of a host", () => {
  test("[AS8] grows at 70 % of what it could have, by one address at a time", () => {
    expect(look(FIRST_DEMAND, 6_999).addressCount).toBe(1);
    const short = look(FIRST_DEMAND, 7_000);
    expect(short.addressCount).toBe(2);
    // What it was given is not there yet.
    expect(look(short, 10_000).addressCount).toBe(2);
    expect(look(short, 7_000, 6_999).addressCount).toBe(2);
    expect(look(short, 7_000, 7_000).addressCount).toBe(3);
  });

  test("[AS8] grows ahead of a steep rise", () => {
    const before = demandAfter(FIRST_DEMAND, used(1_000), 100_000);
    expect(demandAfter(before, used(2_000), 102_000).addressCount).toBe(2);
    expect(demandAfter(before, used(1_500), 102_000).addressCount).toBe(1);
    // Too near and too far apart say nothing.
    expect(demandAfter(before, used(2_000), 100_499).addressCount).toBe(1);
    expect(demandAfter(before, used(6_000), 131_000).addressCount).toBe(1);
  });

  test("[AS8] falls when one address less would be little used, and has been so for long", () => {
    let demand: Demand = { ...FIRST_DEMAND, addressCount: 2, atMs: 1_000_000 };
    demand = look(demand, 3_000, 501);
    expect(demand.restSinceMs).toBeNull();
    demand = look(demand, 3_000, 500);
    const sinceMs = demand.restSinceMs!;
    expect(demandAfter(demand, used(3_000, 500), sinceMs + REST_MS - 1).addressCount).toBe(2);
    expect(demandAfter(demand, used(3_000, 500), sinceMs + REST_MS)).toMatchObject({
      addressCount: 1,
      restSinceMs: null,
    });
    // A wave begins the rest anew.
    demand = look(demand, 3_000, 3_000);
    demand = look(demand, 100, 100);
    expect(demandAfter(demand, used(100, 100), sinceMs + REST_MS).addressCount).toBe(2);
  });

  test("[AS8] says nothing where a host has no ports, and falls below no one address", () => {
    expect(demandAfter(FIRST_DEMAND, [], 5)).toBe(FIRST_DEMAND);
    let demand = look(FIRST_DEMAND, 0);
    for (let minute = 0; minute < 10; minute += 1) demand = look(demand, 0);
    expect(demand).toMatchObject({ addressCount: 1, restSinceMs: null });
  });

  test("[AS8] does not swing: what is given at a steady use is not taken back, nor what is taken given again", () => {
    const busy = fc.integer({ min: 0, max: 5 * LIMIT });
    fc.assert(
      fc.property(busy, fc.integer({ min: 1, max: 6 }), (total, addressCount) => {
        let demand: Demand = { ...FIRST_DEMAND, addressCount, atMs: 1_000_000 };
        const counts: number[] = [];
        for (let minute = 0; minute < 60; minute += 1) {
          const share = total / demand.addressCount;
          const uses = Array.from({ length: demand.addressCount }, () => Math.min(LIMIT, share));
          demand = look(demand, ...uses);
          counts.push(demand.addressCount);
        }
        const turns = counts.filter((count, at) => {
          const [before, after] = [counts[at - 1] ?? addressCount, counts[at + 1] ?? count];
          return (count - before) * (after - count) < 0;
        });
        expect(turns).toEqual([]);
        expect(new Set(counts.slice(-10)).size).toBe(1);
      }),
    );
  });
});

describe("what hosts say of their ports", () => {
  test("[AS8] a host that has less than its minimum needs no further address for that", () => {
    const uses = [{ busiestCount: 300, limit: 320 }];
    expect(demandAfter(FIRST_DEMAND, uses, 60_000).addressCount).toBe(2);
    expect(demandAfter(FIRST_DEMAND, uses, 60_000, 512).addressCount).toBe(1);
    expect(demandAfter(FIRST_DEMAND, [{ busiestCount: 359, limit: 320 }], 60_000, 512).addressCount).toBe(2);
  });

  test("[AS3] the ports of its addresses count together, none below nothing", () => {
    const uses = [
      { busiestCount: 300, limit: 1000 },
      { busiestCount: 50, limit: 40 },
    ];
    expect(portsOf(uses)).toEqual({ busyCount: 350, unusedCount: 700 });
  });

  test("[AS3] a host that has all that one may have says nothing of what others find", () => {
    const full = { ip: "a", portCount: 4_000, busiestCount: 4_000, limit: 4_096 };
    expect(freePortCounts([[full]], 4_096).get("a")).toBe(64_512 - 4_000);
    // As soon as it could have one unit more, it would have said more if there were any.
    expect(freePortCounts([[full]], 4_160).get("a")).toBe(96);
    const many = Array.from({ length: 17 }, () => [full]);
    expect(freePortCounts(many, 4_096).get("a")).toBe(0);
  });

  test("[AS3] an address has as few free ports as any of its hosts says", () => {
    const room = (ip: string, portCount: number, limit?: number) => ({
      ip,
      portCount,
      busiestCount: 0,
      limit,
    });
    const hosts = [
      [room("a", 1000, 9000), room("b", 500, 400)],
      [room("a", 200, 5000), room("c", 0, 700)],
      [room("d", 100)],
    ];
    const free = freePortCounts(hosts, 32_768);
    expect([...free]).toEqual([
      ["a", 4800],
      ["b", 0],
    ]);
  });
});
