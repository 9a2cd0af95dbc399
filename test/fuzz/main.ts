/**
 * `npm run fuzz`: real processes under fire for as long as one likes, and what came of it.
 *
 *     npm run fuzz -- resets                        connections that end at every moment, for a minute
 *     npm run fuzz -- answers --minutes 60          answers of origins, right and broken, for an hour
 *     npm run fuzz -- h2-answers                    the same over HTTP/2
 *     npm run fuzz -- requests                      what clients say to a proxy, in HTTP and SOCKS
 *     npm run fuzz -- tunnels                       100,000 tunnels, and what is left of them
 *     npm run fuzz -- parsers                       10,000,000 broken inputs for all that reads strangers' bytes
 *     npm run fuzz -- parsers --keep                the same, and inputs that did something new join the corpus
 *     npm run fuzz -- resets --seed 17 --count 100000
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { runAnswers } from "./answers.ts";
import { runH2Answers } from "./h2-answers.ts";
import { allParsers, closeParsers, keepNovel, runParsers } from "./parsers/run-parsers.ts";
import { runRequests } from "./requests.ts";
import { runResets } from "./resets.ts";
import { Target } from "./target.ts";
import { faultsOf, SoakedAgent } from "./tunnel-soak.ts";

const USAGE =
  "usage: npm run fuzz -- resets|answers|h2-answers|requests|tunnels|parsers [--minutes N] [--seed N] [--count N] [--keep]";
const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: {
    minutes: { type: "string" },
    seed: { type: "string" },
    count: { type: "string" },
    keep: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const [what = ""] = positionals;
const seed = Number(values.seed ?? randomInt(2 ** 31));
const mostCount = Number(values.count ?? Infinity);
const durationMs = Number(values.minutes ?? (values.count === undefined ? 1 : 600)) * 60_000;
const TUNNEL_COUNT = 100_000;
const INPUT_COUNT = 10_000_000;
/** Until an agent is as large as it gets by its code alone. */
const WARM_UP_COUNT = 10_000;

/** What a run came to, without what it found. */
type Told = Record<string, unknown> & { readonly findings: readonly string[] };

const AT_TARGET: Readonly<Record<string, (target: Target) => Promise<Told>>> = {
  resets: async (target) => {
    const { stuck, ...tally } = await runResets(target, seed, durationMs, mostCount);
    return { ...tally, findings: stuck.map((plan) => JSON.stringify(plan)) };
  },
  answers: async (target) => ({ ...(await runAnswers(target, seed, durationMs, mostCount)) }),
  "h2-answers": async (target) => ({ ...(await runH2Answers(target, seed, durationMs)) }),
  requests: async (target) => ({ ...(await runRequests(target, seed, durationMs, mostCount)) }),
};

async function underFire(run: (target: Target) => Promise<Told>): Promise<void> {
  const target = await Target.start();
  try {
    const { findings, ...tally } = await run(target);
    console.log(JSON.stringify(tally, null, 1));
    for (const finding of findings) console.log(finding);
    if (findings.length > 0) process.exitCode = 1;
    await target.assertUnharmed();
    console.log(`both hosts live and hold nothing; the witness was answered ${target.witnessed} times`);
  } catch (fault) {
    console.log(fault);
    console.log(target.complaint());
    process.exitCode = 1;
  } finally {
    await target.stop();
  }
}

async function soak(): Promise<void> {
  const agent = await SoakedAgent.start();
  try {
    const count = Number.isFinite(mostCount) ? mostCount : TUNNEL_COUNT;
    const report = await agent.soak(seed, WARM_UP_COUNT, count);
    console.log(JSON.stringify(report, null, 1));
    for (const fault of faultsOf(report)) {
      console.log(fault);
      process.exitCode = 1;
    }
  } finally {
    await agent.stop();
  }
}

async function fireAtParsers(): Promise<void> {
  const parsers = await allParsers();
  const count = Number.isFinite(mostCount) ? mostCount : INPUT_COUNT;
  const run = await runParsers(parsers, seed, count, console.log);
  await closeParsers(parsers);
  if (values.keep) await keepNovel(run);
  const { inputCount, heapGrowthBytes, findings } = run;
  console.log(JSON.stringify({ inputCount, heapGrowthBytes, findings: findings.length }, null, 1));
  for (const finding of findings) console.log(finding);
  if (findings.length > 0) process.exitCode = 1;
}

const BY_ITSELF: Readonly<Record<string, () => Promise<void>>> = { tunnels: soak, parsers: fireAtParsers };

const run = AT_TARGET[what];
const runItself = BY_ITSELF[what];
if ((run === undefined && runItself === undefined) || !(durationMs > 0) || Number.isNaN(seed + mostCount)) {
  console.error(USAGE);
  process.exit(2);
}
console.log(`seed ${seed}`);
await (run === undefined ? runItself!() : underFire(run));
// Whatever its own origins and clients have left open.
process.exit();
