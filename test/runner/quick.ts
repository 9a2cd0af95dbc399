/**
 * What `npm run test:quick` runs: the checks, and the tests that a change may break, the nearest
 * first, until the time is over. It says what it left out; `npm test` runs everything.
 *
 *     npm run test:quick                         what differs from the last commit, or made that commit
 *     npm run test:quick -- src/core/share.ts    as if these files had changed
 */
import { execFileSync } from "node:child_process";
import { dirname, join, relative } from "node:path";
import { createVitest, type TestSequencer, type TestSpecification, type Vitest } from "vitest/node";
import { testsAffectedBy } from "./affected.ts";
import { runToEnd } from "./vitest-stage.ts";

/** Of the minute and a half that somebody waits; what runs at its end is let go on. */
const BUDGET_MS = 60_000;
/** They need neither processes nor a network of their own, nor minutes. */
const PROJECTS = ["node", "workerd", "durable-objects"];
const CHECKS = ["format", "types", "lint"] as const;

/** The nearest first, and of those the quickest, as far as vitest remembers. */
class NearestFirst implements TestSequencer {
  readonly #vitest: Vitest;

  constructor(vitest: Vitest) {
    this.#vitest = vitest;
  }

  shard(files: TestSpecification[]): TestSpecification[] {
    return files;
  }

  sort(files: TestSpecification[]): TestSpecification[] {
    const lasted = ({ project, moduleId }: TestSpecification): number =>
      this.#vitest.cache.getFileTestResults(`${project.name}:${fileOf(moduleId)}`)?.duration ?? 0;
    const distance = ({ moduleId }: TestSpecification): number => distances.get(fileOf(moduleId)) ?? Infinity;
    return files.toSorted((a, b) => distance(a) - distance(b) || lasted(a) - lasted(b));
  }
}

const startMs = performance.now();
const named = process.argv.slice(2);
const changed = named.length > 0 ? named : changedFiles();
console.log(`changed: ${changed.join(", ")}`);
const distances = await testsAffectedBy(changed);
const checked = Promise.all(
  CHECKS.map(async (check) => [check, await runToEnd(["npm", "run", "--silent", `check:${check}`], true)]),
);
const leftOut = await runTests();
for (const [check, code] of await checked) {
  if (code === 0) continue;
  console.log(`✗ check:${check}`);
  process.exitCode = 1;
}
if (leftOut.length > 0) {
  const counts = Map.groupBy(leftOut, (file) => dirname(file));
  const where = [...counts].map(([folder, { length }]) => `${length} in ${folder}`);
  console.log(
    `left out, though the change may break them: ${leftOut.length} test files, ${where.join(", ")}`,
  );
}
console.log(`${((performance.now() - startMs) / 1000).toFixed(0)} s in all`);
process.exit();

function changedFiles(): string[] {
  const git = (...args: string[]): string[] =>
    execFileSync("git", args, { encoding: "utf8" })
      .split("\n")
      .filter((line) => line !== "");
  const present = [
    ...git("diff", "--name-only", "HEAD"),
    ...git("ls-files", "--others", "--exclude-standard"),
  ];
  return present.length > 0 ? present : git("diff", "--name-only", "HEAD~1");
}

function fileOf(path: string): string {
  return relative(process.cwd(), path);
}

/** Runs tests until the time is over; the files that did not come to their turn, or never do. */
async function runTests(): Promise<string[]> {
  const vitest = await createVitest("test", {
    watch: false,
    project: PROJECTS,
    passWithNoTests: true,
    sequence: { sequencer: NearestFirst },
  });
  await vitest.standalone();
  const files = [...distances.keys()];
  const specifications = files.flatMap((file) => {
    const path = join(process.cwd(), file);
    const projects = vitest.projects.filter((project) => project.matchesTestGlob(path));
    return projects.map((project) => project.createSpecification(path));
  });
  const timer = setTimeout(
    () => void vitest.cancelCurrentRun("keyboard-input"),
    BUDGET_MS - (performance.now() - startMs),
  );
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  clearTimeout(timer);
  const ended = testModules.filter((module) => ["passed", "failed"].includes(module.state()));
  const done = new Set(ended.map(({ moduleId }) => fileOf(moduleId)));
  await vitest.close();
  // To vitest a run that was cut off has failed; here it has only come to its end.
  const hasFailed = unhandledErrors.length > 0 || testModules.some((module) => !module.ok());
  process.exitCode = hasFailed ? 1 : 0;
  return files.filter((file) => !done.has(file));
}
