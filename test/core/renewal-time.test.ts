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

test("[LK5] a moment of the grid lies where the phase says, from the beginning of Unix time on", () => {
  // Steps of 180 s, for leases of ten minutes; moments at 0, 180, 360 s and so on, later by the phase.
  expect(renewalDelayMs(0, 600_000, 0)).toBe(180_000);
  expect(renewalDelayMs(10_000, 600_000, 0)).toBe(170_000);
  expect(renewalDelayMs(170_000, 600_000, 0)).toBe(190_000);
  expect(renewalDelayMs(10_000, 600_000, 0.5)).toBe(80_000);
  expect(renewalDelayMs(100_000, 600_000, 0.5)).toBe(170_000);
  expect(renewalPhaseOf("192.0.2.1")).not.toBe(renewalPhaseOf("192.0.2.2"));
});
