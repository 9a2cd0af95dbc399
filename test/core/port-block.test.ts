/** Blocks of ports: their sizes, where they may lie, and their algebra. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LEASABLE_BLOCK } from "./arbitraries.ts";
import {
  blockContains,
  blocksOverlap,
  buddyOf,
  FIRST_LEASABLE_PORT,
  formatRange,
  isLeasableBlock,
  LEASABLE_PORT_COUNT,
  MAX_ORDER,
  MIN_ORDER,
  orderFor,
  PORT_END,
  portCountOf,
  rangeOf,
  unitOf,
} from "../../src/core/port-block.ts";

describe("port block", () => {
  test("[PB1] holds 64 to 4,096 ports", () => {
    expect(portCountOf(MIN_ORDER)).toBe(64);
    expect(portCountOf(MAX_ORDER)).toBe(4096);
    expect(isLeasableBlock({ base: 4096, order: 5 })).toBe(false);
    expect(isLeasableBlock({ base: 8192, order: 13 })).toBe(false);
    expect(isLeasableBlock({ base: 4096, order: 6.5 })).toBe(false);
    expect(isLeasableBlock({ base: 4096, order: Number.NaN })).toBe(false);
  });

  test("[PB1] [PB3] has its first port and its last, and neither the one before nor the one after", () => {
    const largest = { base: 4096, order: 12 };
    expect(isLeasableBlock(largest)).toBe(true);
    const ports = [4095, 4096, 8191, 8192];
    expect(ports.map((port) => blockContains(largest, port))).toEqual([false, true, true, false]);
  });

  test("[PB1] begins at a multiple of its size", () => {
    expect(isLeasableBlock({ base: 2048, order: 11 })).toBe(true);
    expect(isLeasableBlock({ base: 2048 + 64, order: 7 })).toBe(false);
    expect(isLeasableBlock({ base: 2048.5, order: 6 })).toBe(false);
    expect(isLeasableBlock({ base: -4096, order: 12 })).toBe(false);
  });

  test("[PB2] leaves the ports below 1024 alone and ends with port 65535", () => {
    expect(isLeasableBlock({ base: 1024 - 64, order: 6 })).toBe(false);
    expect(isLeasableBlock({ base: 0, order: 12 })).toBe(false);
    expect(isLeasableBlock({ base: 1024, order: 6 })).toBe(true);
    expect(isLeasableBlock({ base: 65_536 - 64, order: 6 })).toBe(true);
    expect(isLeasableBlock({ base: 65_536, order: 6 })).toBe(false);
    expect(LEASABLE_PORT_COUNT).toBe(64_512);
  });

  test("[PB2] an address has 1,008 blocks of 64", () => {
    let count = 0;
    for (let base = 0; base < PORT_END; base += 64) if (isLeasableBlock({ base, order: 6 })) count += 1;
    expect(count).toBe(1008);
  });

  test("[PB1] the order for a port count is the smallest that holds it, within what may be leased", () => {
    expect(orderFor(0)).toBe(MIN_ORDER);
    expect(orderFor(64)).toBe(6);
    expect(orderFor(65)).toBe(7);
    expect(orderFor(4096)).toBe(12);
    expect(orderFor(4097)).toBe(MAX_ORDER);
  });

  test("[PB3] is written as both its ends", () => {
    expect(rangeOf({ base: 2048, order: 6 })).toEqual({ first: 2048, last: 2111 });
    expect(formatRange(rangeOf({ base: 65_472, order: 6 }))).toBe("65472-65535");
  });
});

describe("the algebra of blocks", () => {
  test("[PB1] two blocks nest or are disjoint", () => {
    fc.assert(
      fc.property(LEASABLE_BLOCK, LEASABLE_BLOCK, (a, b) => {
        const shared = countShared(a, b);
        const smaller = Math.min(portCountOf(a.order), portCountOf(b.order));
        expect(shared === 0 || shared === smaller).toBe(true);
        expect(blocksOverlap(a, b)).toBe(shared > 0);
        expect(blocksOverlap(b, a)).toBe(shared > 0);
      }),
    );
  });

  test("[PB1] a buddy is mutual, beside its block, and fills the block one order up", () => {
    fc.assert(
      fc.property(LEASABLE_BLOCK, (block) => {
        const buddy = buddyOf(block);
        expect(buddyOf(buddy)).toEqual(block);
        expect(blocksOverlap(block, buddy)).toBe(false);
        const parent = { base: Math.min(block.base, buddy.base), order: block.order + 1 };
        expect(parent.base % portCountOf(parent.order)).toBe(0);
        expect(blocksOverlap(parent, block) && blocksOverlap(parent, buddy)).toBe(true);
      }),
    );
  });

  test("[PB3] a port is in a block exactly when it is in its range", () => {
    fc.assert(
      fc.property(LEASABLE_BLOCK, fc.nat(PORT_END - 1), (block, port) => {
        const { first, last } = rangeOf(block);
        expect(blockContains(block, port)).toBe(port >= first && port <= last);
        expect(first).toBeGreaterThanOrEqual(FIRST_LEASABLE_PORT);
        expect(unitOf(first)).toBe(first / 64);
      }),
    );
  });

  test("[PB1] the order for a count holds it and the order below does not", () => {
    fc.assert(
      fc.property(fc.integer({ min: 65, max: 4096 }), (count) => {
        const order = orderFor(count);
        expect(portCountOf(order)).toBeGreaterThanOrEqual(count);
        expect(portCountOf(order - 1)).toBeLessThan(count);
      }),
    );
  });
});

function countShared(a: { base: number; order: number }, b: { base: number; order: number }): number {
  let shared = 0;
  for (let port = a.base; port < a.base + portCountOf(a.order); port += 1) {
    if (port >= b.base && port < b.base + portCountOf(b.order)) shared += 1;
  }
  return shared;
}
