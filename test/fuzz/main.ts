/**
 * `npm run fuzz`: real processes under fire for as long as one likes, and what came of it.
 *
 *     npm run fuzz -- resets                        connections that end at every moment, for a minute
 *     npm run fuzz -- answers --minutes 60          answers of origins, right and broken, for an hour
 *     npm run fuzz -- h2-answers                    the same over HTTP/2
 *     npm run fuzz -- resets --seed 17 --count 100000
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { runAnswers } from "./answers.ts";
import { runH2Answers } from "./h2-answers.ts";
import { runResets } from "./resets.ts";
import { Target } from "./target.ts";

const USAGE = "usage: npm run fuzz -- resets|answers|h2-answers [--minutes N] [--seed N] [--count N]";
const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { minutes: { type: "string" }, seed: { type: "string" }, count: { type: "string" } },
  allowPositionals: true,
});
const [what] = positionals;
const seed = Number(values.seed ?? randomInt(2 ** 31));
const mostCount = Number(values.count ?? Infinity);
const durationMs = Number(values.minutes ?? (values.count === undefined ? 1 : 600)) * 60_000;
const KINDS = ["resets", "answers", "h2-answers"];
if (!KINDS.includes(what ?? "") || !(durationMs > 0) || Number.isNaN(seed + mostCount)) {
  console.error(USAGE);
  process.exit(2);
}

console.log(`seed ${seed}`);
const target = await Target.start();
try {
  if (what === "resets") {
    const tally = await runResets(target, seed, durationMs, mostCount);
    console.log(JSON.stringify({ ...tally, stuck: tally.stuck.slice(0, 20) }, null, 1));
    if (tally.fates.stuck > 0) process.exitCode = 1;
  } else {
    const { findings, ...tally } = await (what === "answers"
      ? runAnswers(target, seed, durationMs, mostCount)
      : runH2Answers(target, seed, durationMs));
    console.log(JSON.stringify(tally, null, 1));
    for (const finding of findings) console.log(finding);
    if (findings.length > 0) process.exitCode = 1;
  }
  await target.assertUnharmed();
  console.log(`both hosts live and hold nothing; the witness was answered ${target.witnessed} times`);
} catch (fault) {
  console.log(fault);
  console.log(target.complaint());
  process.exitCode = 1;
} finally {
  await target.stop();
}
// Whatever its own origins and clients have left open.
process.exit();
