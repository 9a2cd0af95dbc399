import * as fc from "fast-check";
import { expect, test } from "vitest";
import { renewalDelayMs, renewalPhaseOf } from "../../src/core/renewal-time.ts";

const lease = fc.integer({ min: 1_000, max: 86_400_000 });
const wall = fc.double({ min: 0, max: 4e12, noNaN: true });
const phase = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

test("[LK5] a renewal is due within a third of the lease, and not before a tenth of that", () => {
  fc.assert(
    fc.property(wall, lease, phase, (atMs, leaseMs, at) => {
      const delayMs = renewalDelayMs(atMs, leaseMs, at);
      expect(delayMs).toBeLessThanOrEqual(leaseMs / 3);
      expect(delayMs).toBeGreaterThanOrEqual(Math.floor(leaseMs / 30) - 1);
      expect(Number.isInteger(delayMs)).toBe(true);
    }),
  );
});

test("[LK5] hosts that renewed at any time renew at the same time next, or one step apart", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4e12 }),
      fc.nat(600_000),
      lease,
      phase,
      (atMs, laterMs, leaseMs, at) => {
        const stepMs = (leaseMs / 3) * 0.9;
        const apartMs = atMs + laterMs + renewalDelayMs(atMs + laterMs, leaseMs, at) - atMs;
        const stepCount = (apartMs - renewalDelayMs(atMs, leaseMs, at)) / stepMs;
        // Each is rounded to a whole millisecond.
        expect(Math.abs(stepCount - Math.round(stepCount)) * stepMs).toBeLessThanOrEqual(1.01);
      },
    ),
  );
});

test("[LK5] addresses have their moments apart from one another", () => {
  const phases = Array.from({ length: 100 }, (_none, at) => renewalPhaseOf(`192.0.2.${at}`));
  expect(phases.every((at) => at >= 0 && at < 1)).toBe(true);
  expect(new Set(phases.map((at) => Math.floor(at * 10))).size).toBe(10);
  expect(renewalPhaseOf("192.0.2.1")).toBe(phases[1]);
});
