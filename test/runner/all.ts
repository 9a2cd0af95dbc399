/**
 * What `npm test` runs: the checks, then every test. The last line is the sum of it all.
 *
 *     npm test                       everything
 *     npm test -- lease-keeper       only test files whose path has this in it, and no checks
 *
 * Most tests wait for a network rather than for a processor, so three stages run at once where
 * each can have a network of its own, and beside them the checks and then, humbly, what computes.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { lackingTests } from "../e2e/client-programs.ts";
import { labAvailability } from "../lab/availability.ts";
import { modelAvailability } from "../model/spin.ts";
import { oldestNode } from "../packages/node-versions.ts";
import { TESTED_VARIABLE } from "./tested-program.ts";
import { canBeApart, type Counts, nameOf, runStage, runToEnd, type Stage } from "./vitest-stage.ts";

interface Tally extends Counts {
  readonly name: string;
  readonly seconds: number;
}

type Task = () => Promise<void>;

const CHECKS = ["format", "lint", "types", "unused"] as const;
/** Two leave processors idle whenever both wait: then the lanes last longer than all there is to compute. */
const LANE_COUNT = 3;
/** The longest first, so that none is left over at the end. */
const STAGES: readonly Stage[] = [
  { project: "lab", shard: "1/2", isNetworker: true },
  { project: "lab", shard: "2/2", isNetworker: true },
  { project: "e2e", shard: "1/2" },
  { project: "e2e", shard: "2/2" },
  { project: "fuzz" },
  { project: "node", shard: "1/2" },
  { project: "node", shard: "2/2" },
  { project: "workerd" },
  { project: "durable-objects" },
  { project: "simulation", isHumble: true },
  { project: "model", isHumble: true },
];

const patterns = process.argv.slice(2);
/** What cannot run everywhere; the variable says that here it must. */
const demanding = [
  { name: "model", availability: modelAvailability(), requirement: "MODEL_REQUIRED" },
  { name: "lab", availability: labAvailability(), requirement: "LAB_REQUIRED" },
];
const missing = [
  ...demanding.flatMap(({ name, availability, requirement }) =>
    availability.ok ? [] : [{ name, reason: availability.reason, requirement }],
  ),
  // Of these, files of tests are left out, and not the project.
  ...lackingTests().map(({ name, reason }) => ({ name, reason, requirement: "CLIENTS_REQUIRED" })),
];
const stages = STAGES.filter((stage) => missing.every(({ name }) => name !== stage.project));
const isApart = patterns.length === 0 && canBeApart();
const reports = await mkdtemp(join(tmpdir(), "ipshard-test-"));
// Tests start hundreds of processes from the same sources: each is compiled once.
process.env["NODE_COMPILE_CACHE"] = join(reports, "compiled");
// A stage apart has no way to the Internet.
await oldestNode().catch((fault: Error) => console.error(`There is no oldest Node: ${fault.message}`));
const tallies: Tally[] = [];
const startMs = performance.now();
const busyBefore = busyMs();
try {
  if (patterns.length === 0) await tally("build", buildPrograms);
  const checks = patterns.length === 0 ? CHECKS.map(taskOfCheck) : [];
  if (isApart) {
    const busy = stages.filter(({ isHumble }) => isHumble !== true).map(taskOfStage);
    const humble = stages.filter(({ isHumble }) => isHumble === true).map(taskOfStage);
    const lanes = Array.from({ length: LANE_COUNT }, () => runInTurn(busy));
    await Promise.all([...lanes, runInTurn([...checks, ...humble])]);
  } else {
    await runInTurn([...checks, ...stages.map(taskOfStage)]);
  }
} finally {
  await rm(reports, { recursive: true, force: true });
}

// Where everything can be had, as in continuous integration, what is skipped has failed.
for (const { name, reason, requirement } of missing) {
  if (process.env[requirement] !== "1") continue;
  const failures = [`was skipped: ${reason}`];
  tallies.push({ name: `test:${name}`, passed: 0, failed: 1, failures, seconds: 0 });
}
const passed = tallies.reduce((sum, { passed: good }) => sum + good, 0);
const failed = tallies.reduce((sum, { failed: bad }) => sum + bad, 0);
// Nothing at all is no success: a pattern that matches no file is a mistake.
const isGood = failed === 0 && passed > 0;
console.log("");
for (const { name, failures } of tallies) {
  for (const failure of failures) console.log(`✗ ${name}: ${failure}`);
}
for (const { name, passed: good, failed: bad, seconds } of tallies) {
  const figures = `${String(good).padStart(5)} passed ${String(bad).padStart(4)} failed`;
  console.log(`${bad === 0 ? "✓" : "✗"} ${name.padEnd(22)}${figures}  ${seconds.toFixed(1)} s`);
}
for (const { name, reason } of missing) console.log(`- ${`test:${name}`.padEnd(28)}skipped: ${reason}`);
const tookMs = performance.now() - startMs;
const busyShare = (busyMs() - busyBefore) / (tookMs * cpus().length);
console.log(`${(tookMs / 60_000).toFixed(1)} min in all, processors busy ${(100 * busyShare).toFixed(0)} %`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = isGood ? 0 : 1;

/** Time that the processors of this machine have worked since its start, in milliseconds. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

/** Runs tasks one after the other, each taken from the front of the list. */
async function runInTurn(list: Task[]): Promise<void> {
  for (let task = list.shift(); task !== undefined; task = list.shift()) await task();
}

function taskOfStage(stage: Stage): Task {
  return () => tally(nameOf(stage), () => runStage(stage, { reports, patterns, isApart }));
}

function taskOfCheck(check: string): Task {
  return () => tally(`check:${check}`, () => runCheck(check));
}

async function tally(name: string, run: () => Promise<Counts>): Promise<void> {
  console.log(`\n── ${name}`);
  const beganMs = performance.now();
  const counts = await run();
  const seconds = (performance.now() - beganMs) / 1000;
  if (isApart) console.log(`── end of ${name}, ${seconds.toFixed(1)} s`);
  tallies.push({ name, ...counts, seconds });
}

function runCheck(check: string): Promise<Counts> {
  return runScript(`check:${check}`);
}

/** What tests start from now on is what is packed. */
async function buildPrograms(): Promise<Counts> {
  const counts = await runScript("build");
  if (counts.failed === 0) process.env[TESTED_VARIABLE] = "built";
  return counts;
}

async function runScript(script: string): Promise<Counts> {
  const code = await runToEnd(["npm", "run", "--silent", script], isApart);
  return code === 0
    ? { passed: 1, failed: 0, failures: [] }
    : { passed: 0, failed: 1, failures: [`ended with ${code}`] };
}
