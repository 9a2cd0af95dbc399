/**
 * What `npm test` runs: the checks, then every test. The last line is the sum of it all.
 *
 *     npm test                       everything
 *     npm test -- lease-keeper       only test files whose path has this in it, and no checks
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { labAvailability } from "./lab/availability.ts";
import { modelAvailability } from "./model/spin.ts";

interface Tally {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
}

const CHECKS = ["format", "lint", "types", "unused"] as const;
const PROJECTS = ["node", "workerd", "durable-objects", "e2e", "fuzz"] as const;

const patterns = process.argv.slice(2);
/** What cannot run everywhere; the variable says that here it must. */
const demanding = [
  { project: "model", availability: modelAvailability(), requirement: "MODEL_REQUIRED" },
  { project: "lab", availability: labAvailability(), requirement: "LAB_REQUIRED" },
] as const;
const reports = await mkdtemp(join(tmpdir(), "ipshard-test-"));
const tallies: Tally[] = [];
try {
  if (patterns.length === 0) {
    for (const check of CHECKS) {
      tallies.push(await timed(`check:${check}`, () => runCheck(check)));
    }
  }
  for (const project of PROJECTS) {
    tallies.push(await timed(`test:${project}`, () => runTests(project)));
  }
  for (const { project, availability } of demanding) {
    if (availability.ok) tallies.push(await timed(`test:${project}`, () => runTests(project)));
  }
} finally {
  await rm(reports, { recursive: true, force: true });
}

// Where everything can be had, as in continuous integration, what is skipped has failed.
for (const { project, availability, requirement } of demanding) {
  if (availability.ok || process.env[requirement] !== "1") continue;
  tallies.push({ name: `test:${project}`, passed: 0, failed: 1, seconds: 0 });
}
const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
// Nothing at all is no success: a pattern that matches no file is a mistake.
const isGood = failed === 0 && passed > 0;
console.log("");
for (const { name, passed: good, failed: bad, seconds } of tallies) {
  const figures = `${String(good).padStart(5)} passed ${String(bad).padStart(4)} failed`;
  console.log(`${bad === 0 ? "✓" : "✗"} ${name.padEnd(22)}${figures}  ${seconds.toFixed(1)} s`);
}
for (const { project, availability } of demanding) {
  if (!availability.ok) console.log(`- ${`test:${project}`.padEnd(15)}skipped: ${availability.reason}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = isGood ? 0 : 1;

async function timed(name: string, run: () => Promise<{ passed: number; failed: number }>): Promise<Tally> {
  console.log(`\n── ${name}`);
  const startMs = performance.now();
  const counts = await run();
  return { name, ...counts, seconds: (performance.now() - startMs) / 1000 };
}

async function runCheck(check: string): Promise<{ passed: number; failed: number }> {
  const code = await runToEnd("npm", ["run", "--silent", `check:${check}`]);
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

async function runTests(project: string): Promise<{ passed: number; failed: number }> {
  const report = join(reports, `${project}.json`);
  const code = await runToEnd("vitest", [
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    "--passWithNoTests",
    ...patterns,
  ]);
  const counts = await readReport(report);
  // A fault outside all tests shows in the exit code alone.
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

interface Report {
  readonly numTotalTests: number;
  readonly numPassedTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

async function readReport(file: string): Promise<{ passed: number; failed: number }> {
  try {
    const report = JSON.parse(await readFile(file, "utf8")) as Report;
    const { numTotalTests, numPassedTests, testResults } = report;
    const unloaded = testResults.filter(
      ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
    );
    // A skipped test is one that did not pass.
    return { passed: numPassedTests, failed: numTotalTests - numPassedTests + unloaded.length };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

function runToEnd(command: string, args: readonly string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
    child.once("error", reject);
    child.once("exit", resolve);
  });
}
