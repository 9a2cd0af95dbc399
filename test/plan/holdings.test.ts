/** What the planner takes a host's policy to be, against that policy. */
import { expect, test } from "vitest";
import type { Lease } from "../../src/core/lease-commands.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { portCountOf } from "../../src/core/port-block.ts";
import {
  type Holdings,
  isAtRest,
  isSpareTooLarge,
  needsSpare,
  orderWanted,
  portsAhead,
} from "../../src/agent/leasing/growth-policy.ts";
import { aheadOf, holdingOf, leasedBy, leasedOn } from "../../src/plan/holdings.ts";
import { hostLoads } from "../../src/plan/host-loads.ts";

const SETTINGS = DEFAULT_POOL_SETTINGS;
const HOSTS = 10;

function holdings(rest: Partial<Holdings> & { readonly perHost: number }): Holdings {
  const { perHost, ...own } = rest;
  const room = { portCount: perHost * HOSTS, hostCount: HOSTS };
  return { active: [], spare: null, heldPortCount: 0, busiestCount: 0, growthPerSecond: 0, ...own, room };
}

function blocks(...orders: readonly number[]): Lease[] {
  return orders.map((order, at) => ({ base: 4_096 * (at + 1), order, epoch: at + 1 }));
}

test.each([40, 128, 500, 2_000, 3_000])(
  "[PN2] of %i ports that nobody leases for each host, one keeps as much ahead as the plan says",
  (perHost) => {
    const active = blocks(12, 12);
    expect(portsAhead(holdings({ perHost, active }))).toBe(aheadOf(perHost));
  },
);

test.each([256, 1_000, 3_000])(
  "[PN2] where %i are left for each, a host is content between once and four times what it keeps ahead",
  (perHost) => {
    const ahead = aheadOf(perHost);
    const active = blocks(...Array.from({ length: 128 }, () => 6));
    const of = (free: number): Holdings =>
      holdings({ perHost, active, busiestCount: 8_192 - Math.ceil(free) });
    const spare = blocks(6)[0]!;
    expect(needsSpare({ ...of(ahead - 1), spare })).toBe(true);
    expect(needsSpare({ ...of(ahead + 1), spare })).toBe(false);
    expect(isAtRest(of(ahead * 4 + 1), SETTINGS)).toBe(true);
    expect(isAtRest(of(ahead * 4 - 1), SETTINGS)).toBe(false);
    // The same of its spare.
    expect(portCountOf(orderWanted(of(ahead), SETTINGS)!)).toBeGreaterThanOrEqual(ahead);
    const large = Math.ceil(Math.log2(ahead * 4 + 1));
    if (large <= 12) expect(isSpareTooLarge({ ...of(ahead), spare: blocks(large)[0]! })).toBe(true);
    expect(isSpareTooLarge({ ...of(ahead), spare: blocks(large - 1)[0]! })).toBe(false);
  },
);

test("[PN2] where ports are plenty, a host has what pressure at 70 % and doubling lead to, and no more", () => {
  const [used, plenty] = [700, 1e6];
  // Active between once and twice 1,000, and a spare of the same.
  const leased = holdingOf(used, plenty, SETTINGS);
  expect(leased).toBeGreaterThan(2 * 1_000);
  expect(leased).toBeLessThan(2 * 2_000);
  expect(holdingOf(0, 0, SETTINGS)).toBe(512);
});

test("[PN2] what is leased and what is not are together what there is", () => {
  const demand = {
    hostCount: 50,
    connectionCount: 195_000,
    portCount: 200_000,
    hostLoads: hostLoads(0.6),
    wavesPerDay: 12,
  };
  for (const available of [230_000, 260_000, 320_000, 600_000]) {
    const leased = leasedOn(demand, available, SETTINGS);
    expect(leased).toBeGreaterThan(demand.portCount);
    expect(leased).toBeLessThan(available);
    expect(leasedBy(demand, available - leased, SETTINGS)).toBeCloseTo(leased, 0);
  }
  // Too few for the demand: all are leased.
  expect(leasedOn(demand, 150_000, SETTINGS)).toBe(150_000);
});

test.each([0, 0.1, 0.6, 1.5])("[PN2] loads of hosts have the mean 1 and a spread of %d", (spread) => {
  const loads = hostLoads(spread);
  const mean = loads.reduce((sum, each) => sum + each, 0) / loads.length;
  const variance = loads.reduce((sum, each) => sum + (each - mean) ** 2, 0) / loads.length;
  expect(mean).toBeCloseTo(1);
  // The few that are largest of all are not among the figures that stand for the rest.
  expect(Math.sqrt(variance)).toBeLessThanOrEqual(spread + 1e-9);
  expect(Math.sqrt(variance)).toBeGreaterThanOrEqual(spread * 0.8);
});
