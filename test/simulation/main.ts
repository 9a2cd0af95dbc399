/**
 * `npm run sim`: runs seeds, and says what came of them.
 *
 *     npm run sim                                  200 fresh seeds
 *     npm run sim -- --seeds 2000 --events 2000    that many, with so many events under faults each
 *     npm run sim -- --threads 1                   on so many threads, instead of all that there are
 *     npm run sim -- --seed 17                     one seed, twice, with all that was counted
 *     npm run sim -- --seed 17 --trace             one seed, with all that was said and done
 *     npm run sim -- --static                      any of these, in static pools
 *     npm run sim -- --restores                    any of these, with edges restored from older copies
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { runSeed } from "./judged-run.ts";
import { freshSeeds } from "./fresh-seeds.ts";
import { sweep } from "./sweep.ts";
import { TRANSITIONS, unmet } from "./transitions.ts";

const DEFAULT_EVENT_COUNT = 2_000;
const DEFAULT_SEED_COUNT = 200;
const MOST_SEEDS = 1_000_000;
const MOST_FAILURES_SHOWN = 20;
const MOST_THREADS = 1_024;
const USAGE = `usage: npm run sim                                 ${DEFAULT_SEED_COUNT} fresh seeds
       npm run sim -- [--seeds N] [--events N] [--threads N]
                                                   N seeds, with N events under faults each, on N threads
       npm run sim -- --seed N [--trace]          one seed, twice; with all that was said and done
       npm run sim -- --static                    any of these, in static pools
       npm run sim -- --restores                  any of these, with edges restored from older copies`;
/** Exit status when nothing could be found out. */
const UNKNOWN = 2;

// Who reads no more needs no result.
process.stdout.on("error", () => process.exit(UNKNOWN));
const asked = optionsOf(process.argv.slice(2));
const eventCount = countOf("events", asked.events, 0, Number.MAX_SAFE_INTEGER) ?? DEFAULT_EVENT_COUNT;
const seedNumber = countOf("seed", asked.seed, 0, Number.MAX_SAFE_INTEGER);
const seedCount = countOf("seeds", asked.seeds, 1, MOST_SEEDS);
const threadCount = countOf("threads", asked.threads, 1, MOST_THREADS) ?? availableParallelism();
if (asked.help === true) console.log(USAGE);
else if (seedNumber !== null && seedCount !== null)
  giveUp("--seed is one seed, --seeds says how many: which is it?");
else if (seedNumber !== null) await runOne(seedNumber);
else if (asked.trace === true) giveUp("--trace shows one seed: say which, with --seed");
else await runMany(freshSeeds(seedCount ?? DEFAULT_SEED_COUNT));

async function runOne(seed: number): Promise<void> {
  const kind = { isStatic: asked.static === true, areRestored: asked.restores === true };
  const trace = (line: string): void => void process.stdout.write(`${line}\n`);
  const options = asked.trace === true ? { ...kind, trace } : kind;
  const result = await runSeed(seed, eventCount, options);
  for (const [what, count] of result.counts) console.log(`${String(count).padStart(8)}  ${what}`);
  const again = await runSeed(seed, eventCount, kind);
  console.log(`seed ${seed}: ${result.eventCount} events, ${Math.round(result.lastedMs / 1000)} s simulated`);
  console.log(`hash ${result.hash}, and ${again.hash} when run again`);
  if (result.problem !== null) console.log(result.problem);
  if (result.hash !== again.hash) console.log("the two runs differ: something does not follow from the seed");
  process.exitCode = result.problem === null && result.hash === again.hash ? 0 : 1;
}

async function runMany(chosen: readonly number[]): Promise<void> {
  const startMs = performance.now();
  let doneCount = 0;
  let happenedCount = 0;
  let simulatedMs = 0;
  const failed: number[] = [];
  const counts = new Map<string, number>();
  const conclude = (): void => {
    const seconds = (performance.now() - startMs) / 1000;
    const pace = Math.round(happenedCount / seconds / threadCount);
    const hours = Math.round(simulatedMs / 3_600_000);
    console.log(
      `${doneCount} seeds from ${chosen[0]} on, ${happenedCount} events, ${hours} h simulated
${seconds.toFixed(1)} s on ${threadCount} threads: ${pace} events/s on each
${failed.length === 0 ? "every law held" : `${failed.length} seeds broke a law`}`,
    );
    const missing = unmet(counts);
    console.log(`${TRANSITIONS.length - missing.length} of ${TRANSITIONS.length} transitions were met`);
    for (const transition of missing) console.log(`    not met: ${transition}`);
  };
  process.once("SIGINT", () => {
    console.log(`stopped, with ${chosen.length - doneCount} seeds left`);
    conclude();
    process.exit(UNKNOWN);
  });
  const kind = { isStatic: asked.static === true, areRestored: asked.restores === true };
  await sweep({ seeds: chosen, eventCount, threadCount, ...kind }, (result) => {
    doneCount += 1;
    happenedCount += result.eventCount;
    simulatedMs += result.lastedMs;
    for (const [what, count] of result.counts) counts.set(what, (counts.get(what) ?? 0) + count);
    if (result.problem === null) return;
    failed.push(result.seed);
    if (failed.length > MOST_FAILURES_SHOWN) return;
    console.log(`seed ${result.seed}: ${result.problem}`);
    const kindText = `${kind.areRestored ? " --restores" : ""}${kind.isStatic ? " --static" : ""}`;
    console.log(`    npm run sim -- --seed ${result.seed} --events ${eventCount}${kindText} --trace`);
  });
  conclude();
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function optionsOf(args: string[]) {
  try {
    const option = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    const options = {
      seed: option,
      seeds: option,
      events: option,
      threads: option,
      trace: flag,
      static: flag,
      restores: flag,
      help: flag,
    };
    return parseArgs({ args, options }).values;
  } catch (fault) {
    return giveUp(fault instanceof Error ? fault.message : String(fault));
  }
}

/** Null if it was not given. */
function countOf(option: string, text: string | undefined, least: number, most: number): number | null {
  if (text === undefined) return null;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= least && count <= most) return count;
  return giveUp(`--${option} takes a whole number from ${least} to ${most}, not "${text}"`);
}

function giveUp(why: string): never {
  console.error(`${why}\n${USAGE}`);
  process.exit(UNKNOWN);
}
