/** How many ports a host wants, beyond what is asked of whole keepers over time. */
import { describe, expect, test } from "vitest";
import {
  beyondShare,
  type Holdings,
  isAtRest,
  isSpareTooLarge,
  needsSpare,
  orderWanted,
  portsAhead,
  pressureCount,
  restShare,
  toGiveBack,
} from "../../src/agent/leasing/growth-policy.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { settingsOfSlot } from "../../src/core/static-slots.ts";

function lease(epoch: number, order: number): Lease {
  return { base: epoch * 4096, order, epoch };
}

/** What a host has whose active blocks have these orders, with epochs from 1, and a spare of this order. */
function holdings(orders: readonly number[], spareOrder: number | null, busiestCount = 0): Holdings {
  const active = orders.map((order, at) => lease(at + 1, order));
  const spare = spareOrder === null ? null : lease(orders.length + 1, spareOrder);
  const held = spare === null ? active : [...active, spare];
  const heldPortCount = held.reduce((sum, { order }) => sum + 2 ** order, 0);
  return { active, spare, heldPortCount, busiestCount, growthPerSecond: 0, room: null };
}

describe("the spare", () => {
  test("[LK6] is needed from 70 % of the active ports on, whatever its own size", () => {
    expect(needsSpare(holdings([8], 8, 179))).toBe(false);
    expect(needsSpare(holdings([8], 8, 180))).toBe(true);
    expect(needsSpare(holdings([8, 9], 10, 537))).toBe(false);
    expect(needsSpare(holdings([8, 9], 10, 538))).toBe(true);
    expect(needsSpare(holdings([7, 9], 10, 447))).toBe(false);
    expect(needsSpare(holdings([7, 9], 10, 448))).toBe(true);
    expect(needsSpare(holdings([8], null, 256))).toBe(false);
  });

  test("[LK6] is asked for in the size of all that is active, at most 4,096 ports, and once", () => {
    const wanted = (orders: readonly number[], spareOrder: number | null = null): number | null =>
      orderWanted(holdings(orders, spareOrder), DEFAULT_POOL_SETTINGS);
    expect(wanted([8])).toBe(8);
    expect(wanted([8, 8])).toBe(9);
    expect(wanted([8, 8, 9])).toBe(10);
    expect(wanted([8, 9])).toBe(10);
    expect(wanted([12, 12])).toBe(12);
    expect(wanted([8], 8)).toBe(null);
  });

  test("[LK6] [LK10] is asked for as long as one more unit is within the share, draining blocks included", () => {
    const settings = { ...DEFAULT_POOL_SETTINGS, maxPortsPerHost: 1024 };
    const wanted = (heldPortCount: number): number | null =>
      orderWanted({ ...holdings([8], null), heldPortCount }, settings);
    expect(wanted(960)).toBe(8);
    expect(wanted(961)).toBe(null);
  });
});

test("[LK6] a host without an active block asks for a first one, of the pool's size", () => {
  const settings = { ...DEFAULT_POOL_SETTINGS, firstBlockOrder: 10 };
  expect(orderWanted(holdings([], null), settings)).toBe(10);
  // One that still holds blocks that drain, or a spare, can serve no new flow by them.
  expect(orderWanted({ ...holdings([], 8), heldPortCount: 40_000 }, settings)).toBe(10);
});

describe("after a long rest", () => {
  const givenBack = (...what: Parameters<typeof holdings>): Lease | null =>
    toGiveBack(holdings(...what), DEFAULT_POOL_SETTINGS);

  test("[LK7] the largest active block goes, of equal ones the newest", () => {
    expect(givenBack([8, 8, 9, 8], 9)).toEqual(lease(3, 9));
    expect(givenBack([9, 9, 8], 9)).toEqual(lease(2, 9));
  });

  test("[LK7] what stays is at least the first block, and twice the present use", () => {
    expect(givenBack([8, 8], null)).toEqual(lease(2, 8));
    expect(givenBack([8], null)).toBe(null);
    expect(givenBack([8, 8, 9], null, 256)).toEqual(lease(3, 9));
    expect(givenBack([8, 8, 9], null, 257)).toEqual(lease(2, 8));
    expect(givenBack([8, 8, 9], null, 385)).toBe(null);
  });

  test("[LK7] then a spare goes that is larger than all that is active", () => {
    expect(givenBack([8], 9)).toEqual(lease(2, 9));
    expect(givenBack([8], 8)).toBe(null);
    expect(givenBack([8], 7)).toBe(null);
    // Without an active block it is all there is.
    expect(givenBack([], 12)).toBe(null);
  });

  test("[LK7] a host rests while less than a quarter is in use and there is something to give back", () => {
    const rests = (...what: Parameters<typeof holdings>): boolean =>
      isAtRest(holdings(...what), DEFAULT_POOL_SETTINGS);
    expect(rests([8, 8], 9, 127)).toBe(true);
    expect(rests([8, 8], 9, 128)).toBe(false);
    expect(rests([8], 8, 0)).toBe(false);
    expect(rests([8], 9, 0)).toBe(true);
  });
});

describe("what is beyond a host's share", () => {
  const given = (
    active: readonly Lease[],
    spare: Lease | null,
    limits: { most: number; least?: number },
    flows: Readonly<Record<number, number>> = {},
  ): number[] => {
    const held: Holdings = { ...holdings([], null), active, spare };
    const settings = {
      ...DEFAULT_POOL_SETTINGS,
      maxPortsPerHost: limits.most,
      minPortsPerHost: limits.least ?? 64,
    };
    const leases = beyondShare(held, settings, ({ epoch }) => flows[epoch] ?? 0);
    return leases.map(({ epoch }) => epoch).toSorted((a, b) => a - b);
  };

  test("[LK10] is nothing while it is within the share, to the last port", () => {
    expect(given([lease(1, 8)], lease(2, 8), { most: 512 })).toEqual([]);
    expect(given([lease(1, 8)], lease(2, 8), { most: 511 })).toEqual([2]);
    expect(given([], null, { most: 64 })).toEqual([]);
  });

  test("[LK10] is the spare first, if that is enough and leaves the minimum", () => {
    expect(given([lease(1, 8), lease(2, 6)], lease(3, 9), { most: 512 })).toEqual([3]);
    expect(given([lease(1, 8)], lease(3, 9), { most: 512, least: 512 })).toEqual([1]);
  });

  test("[LK10] is as few ports as whole blocks allow, of equal blocks those with the fewest flows", () => {
    const active = [lease(1, 8), lease(2, 8), lease(3, 9), lease(4, 10)];
    expect(given(active, null, { most: 1984 })).toEqual([2]);
    expect(given(active, null, { most: 1984 }, { 1: 3, 2: 5 })).toEqual([1]);
    expect(given(active, lease(5, 11), { most: 2048, least: 1024 })).toEqual([5]);
    expect(given(active, null, { most: 1024 })).toEqual([1, 2, 3]);
    expect(given([lease(1, 9), lease(2, 9)], lease(3, 9), { most: 512 })).toEqual([2, 3]);
  });

  test("[LK10] is never so much that less than the minimum is left, nor the last block", () => {
    expect(given([lease(1, 12), lease(2, 6)], null, { most: 2304, least: 512 })).toEqual([2]);
    expect(given([lease(1, 12), lease(2, 9)], null, { most: 2304, least: 512 })).toEqual([1]);
    expect(given([lease(1, 10), lease(2, 7)], null, { most: 1088, least: 1088 })).toEqual([]);
    expect(given([lease(1, 8), lease(2, 8)], null, { most: 448, least: 448 })).toEqual([]);
    expect(given([lease(1, 12)], null, { most: 0 })).toEqual([]);
    expect(given([], lease(1, 12), { most: 0 })).toEqual([]);
    expect(given([lease(1, 12), lease(2, 11)], lease(3, 6), { most: 1024, least: 512 })).toEqual([1, 3]);
  });
});

test("[SM4] a slot is asked for when nothing is held of it any more, and nothing beside it is kept or given back", () => {
  const settings = settingsOfSlot({ ...DEFAULT_POOL_SETTINGS, staticPortsPerHost: 256 });
  expect(orderWanted(holdings([], null), settings)).toBe(8);
  expect(orderWanted({ ...holdings([], null), heldPortCount: 256 }, settings)).toBeNull();
  expect(orderWanted(holdings([8], null, 256), settings)).toBeNull();
  expect(isAtRest(holdings([8], null), settings)).toBe(false);
  expect(toGiveBack(holdings([8], null), settings)).toBeNull();
  expect(beyondShare(holdings([8], null), settings, () => 0)).toEqual([]);
});

describe("what is kept ahead", () => {
  const ahead = (portCount: number, hostCount: number, rest: Partial<Holdings> = {}): number =>
    portsAhead({ ...holdings([12, 12], null), room: { portCount, hostCount }, ...rest });

  test("[LK14] is all that is active, or half of an even part of what the address has left", () => {
    expect(portsAhead(holdings([12, 12], null))).toBe(8192);
    expect(ahead(60_000, 1)).toBe(8192);
    expect(ahead(20_000, 10)).toBe(1000);
    expect(ahead(2_001, 10)).toBe(100);
    expect(ahead(0, 10)).toBe(64);
    expect(ahead(1_000, 0)).toBe(500);
  });

  test("[LK14] is at least what is needed within three seconds", () => {
    expect(ahead(0, 10, { growthPerSecond: 100 })).toBe(300);
    expect(ahead(0, 10, { growthPerSecond: 1 })).toBe(64);
    expect(ahead(60_000, 1, { growthPerSecond: 4_000 })).toBe(12_000);
  });

  const dear = { room: { portCount: 2_560, hostCount: 10 } };

  test("[LK6] [LK14] where ports are dear the spare is small, and activated when no more than it is free", () => {
    const before = { ...holdings([12], 7), ...dear };
    expect(orderWanted({ ...before, spare: null }, DEFAULT_POOL_SETTINGS)).toBe(7);
    expect(pressureCount(before)).toBe(4096 - 128);
    expect(needsSpare({ ...before, busiestCount: 3967 })).toBe(false);
    expect(needsSpare({ ...before, busiestCount: 3968 })).toBe(true);
  });

  test("[LK7] a spare of more than four times that is given back at once", () => {
    expect(isSpareTooLarge({ ...holdings([12], 9), ...dear })).toBe(false);
    expect(isSpareTooLarge({ ...holdings([12], 10), ...dear })).toBe(true);
    expect(isSpareTooLarge({ ...holdings([12], null), ...dear })).toBe(false);
    expect(isSpareTooLarge(holdings([8], 10))).toBe(false);
  });

  test("[LK7] where ports are dear a host rests with four times that free, and keeps twice that", () => {
    const resting = (busiestCount: number) => ({ ...holdings([12, 9, 8], null, busiestCount), ...dear });
    expect(isAtRest(resting(4864 - 513), DEFAULT_POOL_SETTINGS)).toBe(true);
    expect(isAtRest(resting(4864 - 512), DEFAULT_POOL_SETTINGS)).toBe(false);
    expect(toGiveBack(resting(4864 - 512 - 256), DEFAULT_POOL_SETTINGS)).toEqual(lease(2, 9));
    expect(toGiveBack(resting(4864 - 512), DEFAULT_POOL_SETTINGS)).toEqual(lease(3, 8));
  });

  test("[LK7] and rests for less long, but at least a sixth", () => {
    expect(restShare(holdings([12], null))).toBe(1);
    expect(restShare({ ...holdings([10], null), room: { portCount: 5_120, hostCount: 5 } })).toBe(0.5);
    expect(restShare({ ...holdings([12], null), ...dear })).toBe(1 / 6);
  });
});
