import { expect, test } from "vitest";
import { SteeringLag } from "../../src/router/feed/steering-lag.ts";

test("[MT7] the lag is that of the oldest change that the kernel has not applied", () => {
  let nowMs = 1_000;
  const took: number[] = [];
  const lag = new SteeringLag(() => nowMs);
  lag.onApplied = (tookMs) => took.push(tookMs);
  expect(lag.ms).toBe(0);
  lag.heard(7);
  nowMs += 30;
  lag.heard(8);
  lag.heard(7);
  nowMs += 20;
  expect(lag.ms).toBe(50);
  lag.applied(7);
  expect(lag.ms).toBe(20);
  lag.heard(9);
  nowMs += 5;
  lag.applied(9);
  expect([lag.ms, took]).toEqual([0, [50, 25, 5]]);
});

test("[MT7] on a new connection nothing of before is waited for", () => {
  let nowMs = 0;
  const lag = new SteeringLag(() => nowMs);
  lag.heard(4);
  nowMs += 100;
  lag.begunAnew();
  expect(lag.ms).toBe(0);
  lag.heard(2);
  nowMs += 1;
  expect(lag.ms).toBe(1);
});
