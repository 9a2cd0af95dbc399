/** The bill of a month, against docs/SCALE.md and by hand. */
import { expect, test } from "vitest";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { edgeCostOf, type EdgeLoad } from "../../src/plan/edge-cost.ts";

const ONE: EdgeLoad = { hostCount: 31, addressCount: 1, pairCount: 31, requestsPerSecond: 0 };

function dollarsOf(load: EdgeLoad, settings = DEFAULT_POOL_SETTINGS): Record<string, number> {
  return Object.fromEntries(
    edgeCostOf(load, settings).map(({ name, dollars }) => [name, Number(dollars.toFixed(3))]),
  );
}

test("[PN6] an address with 31 hosts costs what docs/SCALE.md says", () => {
  expect(dollarsOf(ONE)).toEqual({
    "heartbeats to the pool": 0.031,
    "heartbeats to addresses": 0.01,
    renewals: 0.003,
    "rows of renewals": 0.015,
    alarms: 0.008,
    "rows of alarms": 0.105,
    "requests through the Worker": 0,
  });
});

test("[PN6] quarantine makes looks at the clock rarer, and longer leases renewals", () => {
  const settings = { ...DEFAULT_POOL_SETTINGS, quarantineMs: 480_000, leaseDurationMs: 1_200_000 };
  const usual = dollarsOf(ONE);
  const rarer = dollarsOf(ONE, settings);
  expect(rarer["rows of alarms"]).toBeCloseTo(usual["rows of alarms"]! / 4, 3);
  expect(rarer["rows of renewals"]).toBeCloseTo(usual["rows of renewals"]! / 2, 2);
});

test("[PN6] heartbeats of very many hosts are rarer", () => {
  const of = (hostCount: number): number =>
    dollarsOf({ hostCount, addressCount: 1_000, pairCount: hostCount, requestsPerSecond: 0 })[
      "heartbeats to the pool"
    ]!;
  expect(of(10_000)).toBeLessThan(of(3_000) * 1.5);
  expect(of(3_000)).toBeCloseTo(of(300) * 10, 1);
});

test("[PN6] each request through the Worker counts", () => {
  const million = { ...ONE, requestsPerSecond: 1e6 / 2_629_800 };
  expect(dollarsOf(million)["requests through the Worker"]).toBe(0.3);
});
