/** A minute of connections that end at every moment; `npm run fuzz -- resets --minutes 60` is an hour of them. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runResets } from "./resets.ts";
import { Target } from "./target.ts";

const DURATION_MS = 60_000;

let target: Target;
beforeAll(async () => {
  target = await Target.start();
});
afterAll(() => target?.stop());

test("connections that end at any moment end themselves alone", { timeout: 240_000 }, async () => {
  const seed = randomInt(2 ** 31);
  const tally = await runResets(target, seed, DURATION_MS);
  const told = `seed ${seed}: ${JSON.stringify({ ...tally, stuck: tally.stuck.slice(0, 5) })}`;
  console.log(told);
  expect(tally.fates.stuck, told).toBe(0);
  expect(tally.arrivedCount, told).toBeGreaterThan(tally.connectionCount / 4);
  await target.assertUnharmed();
});
