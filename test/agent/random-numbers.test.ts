/** Numbers that nobody can predict: in their bounds, each as likely as the others. */
import { expect, it } from "vitest";
import { createRandomBelow } from "../../src/agent/egress/random-numbers.ts";

it.each([1, 2, 3, 64, 1_000, 65_536])("[BI9] below %d every integer is drawn, and nothing else", (limit) => {
  const random = createRandomBelow();
  const drawCount = 30_000;
  const counts = new Map<number, number>();
  for (let at = 0; at < drawCount; at += 1) {
    const drawn = random(limit);
    counts.set(drawn, (counts.get(drawn) ?? 0) + 1);
  }
  const drawn = [...counts.keys()];
  expect(drawn.every((one) => Number.isInteger(one) && one >= 0 && one < limit)).toBe(true);
  if (limit <= 1_000) expect(drawn).toHaveLength(limit);
  if (limit > 64) return;
  // A count strays seven standard deviations from its mean less than once in a billion.
  const mean = drawCount / limit;
  const most = 7 * Math.sqrt(mean);
  for (const count of counts.values()) {
    expect(count).toBeGreaterThan(mean - most);
    expect(count).toBeLessThan(mean + most);
  }
});

it("[BI9] the numbers do not come again, however many are drawn, nor from another source", () => {
  const first = createRandomBelow();
  const second = createRandomBelow();
  const drawn = new Set<string>();
  // Four at a time: two of these are the same once in many billions of runs.
  for (let at = 0; at < 10_000; at += 1) {
    for (const random of [first, second]) {
      drawn.add(Array.from({ length: 4 }, () => random(65_536)).join());
    }
  }
  expect(drawn.size).toBe(20_000);
});
