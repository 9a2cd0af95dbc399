/** A minute of answers, right and broken; `npm run fuzz -- answers --minutes 60` is an hour of them. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runAnswers } from "./answers.ts";
import { Target } from "./target.ts";

const DURATION_MS = 60_000;

let target: Target;
beforeAll(async () => {
  target = await Target.start();
});
afterAll(() => target?.stop());

test("what is right arrives whole, and nothing else looks whole", { timeout: 240_000 }, async () => {
  const seed = randomInt(2 ** 31);
  const { findings, results, answerCount } = await runAnswers(target, seed, DURATION_MS);
  console.log(`seed ${seed}: ${answerCount} answers, ${JSON.stringify(results)}`);
  expect(findings, `seed ${seed}`).toEqual([]);
  await target.assertUnharmed();
});
