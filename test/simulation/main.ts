/**
 * `npm run sim`: runs seeds, and says what came of them.
 *
 *     npm run sim                                  200 fresh seeds
 *     npm run sim -- --seeds 2000 --events 2000    that many, with so many events under faults each
 *     npm run sim -- --seed 17                     one seed, twice, with all that was counted
 *     npm run sim -- --seed 17 --trace             one seed, with all that was said and done
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { runSeed } from "./judged-run.ts";
import { freshSeeds } from "./fresh-seeds.ts";
import { sweep } from "./sweep.ts";

const DEFAULT_EVENT_COUNT = 2_000;
const DEFAULT_SEED_COUNT = 200;
const MOST_FAILURES_SHOWN = 20;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    events: { type: "string" },
    trace: { type: "boolean" },
  },
});
const eventCount = countOf("events", values.events, DEFAULT_EVENT_COUNT);
if (values.seed === undefined) {
  await runMany(freshSeeds(countOf("seeds", values.seeds, DEFAULT_SEED_COUNT)));
} else {
  await runOne(countOf("seed", values.seed, 0));
}

async function runOne(seed: number): Promise<void> {
  const options =
    values.trace === true ? { trace: (line: string) => void process.stdout.write(`${line}\n`) } : {};
  const result = await runSeed(seed, eventCount, options);
  for (const [what, count] of result.counts) console.log(`${String(count).padStart(8)}  ${what}`);
  const again = await runSeed(seed, eventCount);
  console.log(`seed ${seed}: ${result.eventCount} events, ${Math.round(result.lastedMs / 1000)} s simulated`);
  console.log(`hash ${result.hash}, and ${again.hash} when run again`);
  if (result.problem !== null) console.log(result.problem);
  if (result.hash !== again.hash) console.log("the two runs differ: something does not follow from the seed");
  process.exitCode = result.problem === null && result.hash === again.hash ? 0 : 1;
}

async function runMany(seeds: readonly number[]): Promise<void> {
  const threadCount = availableParallelism();
  const startMs = performance.now();
  let events = 0;
  let simulatedMs = 0;
  const failed: number[] = [];
  await sweep({ seeds, eventCount, threadCount }, (result) => {
    events += result.eventCount;
    simulatedMs += result.lastedMs;
    if (result.problem === null) return;
    failed.push(result.seed);
    if (failed.length > MOST_FAILURES_SHOWN) return;
    console.log(`seed ${result.seed}: ${result.problem}`);
    console.log(`    npm run sim -- --seed ${result.seed} --events ${eventCount} --trace`);
  });
  const seconds = (performance.now() - startMs) / 1000;
  const pace = Math.round(events / seconds / threadCount);
  console.log(
    `${seeds.length} seeds from ${seeds[0]} on, ${events} events, ${Math.round(simulatedMs / 3_600_000)} h simulated`,
  );
  console.log(`${seconds.toFixed(1)} s on ${threadCount} threads: ${pace} events/s on each`);
  console.log(failed.length === 0 ? "every law held" : `${failed.length} seeds broke a law`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function countOf(option: string, text: string | undefined, whenAbsent: number): number {
  if (text === undefined) return whenAbsent;
  const count = Number(text);
  if (Number.isSafeInteger(count) && count >= 0) return count;
  console.error(`--${option} ${text} is no whole number`);
  process.exit(2);
}
