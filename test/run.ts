/**
 * What `npm test` runs: the checks, then every test. The last line is the sum of it all.
 *
 *     npm test                       everything
 *     npm test -- lease-keeper       only test files whose path has this in it, and no checks
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { labAvailability } from "./lab/availability.ts";
import { modelAvailability } from "./model/spin.ts";

interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** What failed and how, a line each: it stands at the end, where it is looked for. */
  readonly failures: readonly string[];
}

interface Tally extends Counts {
  readonly name: string;
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
  tallies.push({ name: `test:${project}`, passed: 0, failed: 1, failures: ["was skipped"], seconds: 0 });
}
const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
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
for (const { project, availability } of demanding) {
  if (!availability.ok) console.log(`- ${`test:${project}`.padEnd(15)}skipped: ${availability.reason}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = isGood ? 0 : 1;

async function timed(name: string, run: () => Promise<Counts>): Promise<Tally> {
  console.log(`\n── ${name}`);
  const startMs = performance.now();
  const counts = await run();
  return { name, ...counts, seconds: (performance.now() - startMs) / 1000 };
}

async function runCheck(check: string): Promise<Counts> {
  const code = await runToEnd("npm", ["run", "--silent", `check:${check}`]);
  return code === 0
    ? { passed: 1, failed: 0, failures: [] }
    : { passed: 0, failed: 1, failures: [`ended with ${code}`] };
}

async function runTests(project: string): Promise<Counts> {
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
  return code !== 0 && counts.failed === 0
    ? { ...counts, failed: 1, failures: [`a fault outside all tests; vitest ended with ${code}`] }
    : counts;
}

interface Report {
  readonly numTotalTests: number;
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

async function readReport(file: string): Promise<Counts> {
  let report: Report;
  try {
    report = JSON.parse(await readFile(file, "utf8")) as Report;
  } catch (error) {
    return { passed: 0, failed: 1, failures: [`no report: ${String(error)}`] };
  }
  const { numTotalTests, numPassedTests, testResults } = report;
  const failures: string[] = [];
  let unloadedCount = 0;
  for (const { name, status, message, assertionResults } of testResults) {
    const path = relative(process.cwd(), name);
    if (status === "failed" && assertionResults.length === 0) {
      unloadedCount += 1;
      failures.push(`${path}: ${firstLine(message)}`);
    }
    for (const { fullName, status: end, failureMessages } of assertionResults) {
      if (end === "passed") continue;
      failures.push(`${path} > ${fullName.trim()}: ${firstLine(failureMessages?.[0] ?? end)}`);
    }
  }
  // A skipped test is one that did not pass.
  return { passed: numPassedTests, failed: numTotalTests - numPassedTests + unloadedCount, failures };
}

function firstLine(message: string): string {
  const line = stripVTControlCharacters(message).split("\n", 1)[0] ?? "";
  return line.slice(0, 300);
}

function runToEnd(command: string, args: readonly string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
    child.once("error", reject);
    child.once("exit", resolve);
  });
}
