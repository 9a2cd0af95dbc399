/**
 * The planner's model against simulated days of a pool, with real lease tables, keepers and assignment:
 * nights, waves of single hosts, and a rush of all.
 */
import { describe, expect, test } from "vitest";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { LEASABLE_PORT_COUNT } from "../../src/core/port-block.ts";
import { leasedOn } from "../../src/plan/holdings.ts";
import { demandsOf, type PlannedLoad, USUAL_LOAD } from "../../src/plan/load.ts";
import { addressesAt } from "../../src/plan/plan.ts";
import { type DayResult, runDay } from "./day/day.ts";
import { oneAddressEach, slicesByPeak } from "./day/fixed-slices.ts";
import { DayLoad, type DayShape } from "./day/load.ts";

/** Connections that may wait or be refused where addresses are tight. */
const TIGHT_PART = 0.001;

const DAYS: readonly DayShape[] = [
  { hostCount: 50, seconds: 6 * 3_600, meanHoldSeconds: 60, peakCount: 3 * LEASABLE_PORT_COUNT, seed: 1 },
  { hostCount: 40, seconds: 8 * 3_600, meanHoldSeconds: 30, peakCount: 2 * LEASABLE_PORT_COUNT, seed: 1 },
];

/** The load of such a day as its operator would describe it. */
function plannedOf({ hostCount, meanHoldSeconds }: DayShape, peakCount: number): PlannedLoad {
  return {
    ...USUAL_LOAD,
    sites: [{ site: null, hostCount }],
    connectionsPerSecond: peakCount / meanHoldSeconds,
    peakFactor: 1,
    lastingMs: meanHoldSeconds * 1_000,
  };
}

function troubledPart({ offered, waited, refused }: DayResult): number {
  return (waited + refused) / offered;
}

/** Ports leased at the peak: what the plan says, compared with what the day had. */
function leasedRatio(shape: DayShape, addressCount: number, result: DayResult): number {
  const [demand] = demandsOf(plannedOf(shape, result.peakCount));
  const planned = leasedOn(demand!, addressCount * LEASABLE_PORT_COUNT, DEFAULT_POOL_SETTINGS);
  return planned / (result.leasedPerUse * result.peakCount);
}

describe.each(DAYS)("a day of $hostCount hosts with connections of $meanHoldSeconds s", (shape) => {
  const { tight, recommended } = addressesAt(plannedOf(shape, shape.peakCount), 1, DEFAULT_POOL_SETTINGS);

  test("[PN4] with a fifth less than the tight figure connections wait", { timeout: 300_000 }, () => {
    const addressCount = Math.min(tight - 1, Math.round(tight * 0.8));
    const result = runDay(new DayLoad(shape), { addressCount });
    expect(troubledPart(result)).toBeGreaterThan(TIGHT_PART);
    expect(leasedRatio(shape, addressCount, result)).toBeGreaterThan(0.9);
    expect(leasedRatio(shape, addressCount, result)).toBeLessThan(1.1);
  });

  test(
    "[PN4] with the recommended figure none does, and with it the tight one is right to an address",
    {
      timeout: 300_000,
    },
    () => {
      expect(recommended).toBe(tight + 1);
      const result = runDay(new DayLoad(shape), { addressCount: recommended });
      expect(troubledPart(result)).toBeLessThan(TIGHT_PART / 10);
      expect(leasedRatio(shape, recommended, result)).toBeGreaterThan(0.9);
      expect(leasedRatio(shape, recommended, result)).toBeLessThan(1.1);
    },
  );

  test("[PN7] fixed slices by each host's own peak are as many addresses as planned, or one or two fewer", () => {
    const load = new DayLoad(shape);
    const planned = addressesAt(plannedOf(shape, shape.peakCount), 1, DEFAULT_POOL_SETTINGS);
    const needed = slicesByPeak(load).addressCount;
    // A short day has fewer waves, so its peaks are lower.
    expect(planned.fixedSlices).toBeGreaterThanOrEqual(needed);
    expect(planned.fixedSlices).toBeLessThanOrEqual(needed + 2);
    expect(planned.onePerHost).toBe(oneAddressEach(load).addressCount);
  });
});
