/** How rarely hosts may speak, and how that follows from their number. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { heartbeatMsFor, reportIntervalMsFor, silenceMsFor } from "../../src/core/liveness.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";

const { hostSilenceMs } = DEFAULT_POOL_SETTINGS;

describe("a heartbeat", () => {
  test.each([
    [hostSilenceMs, 20_000],
    [5_000, 2_000],
    [500, 200],
    [200_000, 80_000],
    // Whatever lies on the way would forget a connection that is quiet for longer.
    [600_000, 80_000],
  ])("[PM10] of a host that counts as gone after %i ms is due each %i ms", (silenceMs, heartbeatMs) => {
    expect(heartbeatMsFor(silenceMs)).toBe(heartbeatMs);
  });
});

describe("the silence that hosts are told", () => {
  test.each([
    [1, 50_000],
    [3_000, 50_000],
    [3_001, 100_000],
    [6_000, 100_000],
    [10_000, 200_000],
    // Beyond 12,000 hosts it is the longest there is.
    [50_000, 200_000],
  ])("[DO20] in a pool of %i hosts is %i ms", (hostCount, silenceMs) => {
    expect(silenceMsFor(hostSilenceMs, hostCount, null)).toBe(silenceMs);
  });

  test("[DO20] keeps all heartbeats together below 150 a second, up to 12,000 hosts", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 500, max: 600_000 }),
        fc.integer({ min: 1, max: 12_000 }),
        (set, hosts) => {
          const silenceMs = silenceMsFor(set, hosts, null);
          expect(silenceMs).toBeGreaterThanOrEqual(set);
          expect(Number.isInteger(Math.log2(silenceMs / set))).toBe(true);
          // What was set may leave no room for another doubling.
          const isLongest = 2 * silenceMs > 200_000;
          if (!isLongest) expect((hosts * 1_000) / heartbeatMsFor(silenceMs)).toBeLessThanOrEqual(150);
        },
      ),
    );
  });

  test("[DO20] is not told anew for each host that comes or goes", () => {
    const told: number[] = [];
    let presentMs: number | null = null;
    for (const hosts of [2_999, 3_001, 2_999, 2_500, 3_100, 2_251, 2_250, 2_999]) {
      presentMs = silenceMsFor(hostSilenceMs, hosts, presentMs);
      told.push(presentMs / 1_000);
    }
    expect(told).toEqual([50, 100, 100, 100, 100, 100, 50, 50]);
  });

  test("[DO20] follows what the operator sets, whatever was told before", () => {
    expect(silenceMsFor(5_000, 10, 50_000)).toBe(5_000);
    expect(silenceMsFor(600_000, 100_000, 50_000)).toBe(600_000);
  });
});

test.each([
  [500, 2_000],
  [hostSilenceMs, 2_000],
  [200_000, 8_000],
  [600_000, 8_000],
])("[PM3] with %i ms of silence, reports that can wait are at least %i ms apart", (silenceMs, intervalMs) => {
  expect(reportIntervalMsFor(silenceMs)).toBe(intervalMs);
});
