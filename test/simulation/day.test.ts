/** A day under load, small enough to be run each time; `npm run day` is the large one. */
import { describe, expect, test } from "vitest";
import { LEASABLE_PORT_COUNT } from "../../src/core/port-block.ts";
import { NO_FAULTS, runDay } from "./day/day.ts";
import { oneAddressEach, oneSliceEach, slicesByPeak } from "./day/fixed-slices.ts";
import { DayLoad } from "./day/load.ts";

const ADDRESSES = 4;

function load(share: number, seed: number): DayLoad {
  const peakCount = share * ADDRESSES * LEASABLE_PORT_COUNT;
  return new DayLoad({ hostCount: 40, seconds: 21_600, meanHoldSeconds: 60, peakCount, seed });
}

describe("a day with bursts and an hour at which everybody wants the same", () => {
  test.each([1, 2, 3])(
    "[AS8] [LK14] [AL8] with addresses for one and a half times the peak nearly nothing waits (seed %i)",
    (seed) => {
      const day = runDay(load(0.62, seed), { addressCount: ADDRESSES, faults: NO_FAULTS });
      expect(day.offered).toBeGreaterThan(10_000_000);
      expect(day.peakCount / LEASABLE_PORT_COUNT).toBeGreaterThan(2);
      expect(day.waited / day.offered).toBeLessThan(0.001);
      expect(day.refused / day.offered).toBeLessThan(0.0005);
      expect([day.resetCount, day.overlaps]).toEqual([0, []]);
      // Few hosts have more than they need to: an address has three, and a host one.
      expect(day.mostAssignments).toBeLessThan(2 * 40);
    },
  );

  test("[LAW1] no port is two hosts', while hosts crash and the edge is away", () => {
    const faults = {
      crashesPerHostAndDay: 6,
      outages: [
        { from: 6_000, to: 6_300 },
        { from: 15_000, to: 15_900 },
      ],
    };
    const day = runDay(load(0.62, 4), { addressCount: ADDRESSES, faults });
    expect(day.overlaps).toEqual([]);
    // The second outage outlasts the leases: that ends connections, and only that and crashes do.
    expect(day.resetCount).toBeGreaterThan(0);
    expect(day.refused / day.offered).toBeLessThan(0.08);
  });

  test("fixed slices refuse what leases carry, or need more addresses, and one address each needs ten times as many", () => {
    const same = load(0.62, 1);
    const [small, large, own] = [oneSliceEach(same), slicesByPeak(same), oneAddressEach(same)];
    expect(small.refused / small.offered).toBeGreaterThan(0.2);
    expect(large.refused / large.offered).toBeLessThan(0.0001);
    expect(large.addressCount).toBeGreaterThan(ADDRESSES);
    expect(own.addressCount).toBe(10 * ADDRESSES);
  });
});
