/** A minute of answers, right and broken; `npm run fuzz -- answers --minutes 60` is an hour of them. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runAnswers } from "./answers.ts";
import { runH2Answers } from "./h2-answers.ts";
import { Target } from "./target.ts";

/** Of each version of HTTP. */
const DURATION_MS = 30_000;

let target: Target;
beforeAll(async () => {
  target = await Target.start();
});
afterAll(() => target?.stop());

test.each([
  ["HTTP/1.1", runAnswers],
  ["HTTP/2", runH2Answers],
] as const)(
  "what is right arrives whole over %s, and nothing else looks whole",
  { timeout: 240_000 },
  async (_version, run) => {
    const seed = randomInt(2 ** 31);
    const { findings, results, answerCount } = await run(target, seed, DURATION_MS);
    console.log(`seed ${seed}: ${answerCount} answers, ${JSON.stringify(results)}`);
    expect(findings, `seed ${seed}`).toEqual([]);
    await target.assertUnharmed();
  },
);
