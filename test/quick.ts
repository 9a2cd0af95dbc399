/**
 * What `npm run test:quick` runs: the checks, and the tests that a change may break, the nearest
 * first, until the time is over. It says what it left out; `npm test` runs everything.
 *
 *     npm run test:quick                         what differs from the last commit, or made that commit
 *     npm run test:quick -- src/core/share.ts    as if these files had changed
 */
import { execFileSync } from "node:child_process";
import { dirname, join, relative } from "node:path";
import { createVitest, type TestSequencer, type TestSpecification } from "vitest/node";
import { testsAffectedBy } from "./affected.ts";
import { runToEnd } from "./stage.ts";

/** Of the minute and a half that somebody waits; what runs at its end is let go on. */
const BUDGET_MS = 60_000;
/** They need neither processes nor a network of their own, nor minutes. */
const PROJECTS = ["node", "workerd", "durable-objects"];
const CHECKS = ["format", "types", "lint"] as const;

class InGivenOrder implements TestSequencer {
  shard(files: TestSpecification[]): TestSpecification[] {
    return files;
  }

  sort(files: TestSpecification[]): TestSpecification[] {
    return files;
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
const leftOut = await runTests([...distances.keys()]);
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

/** Runs them in this order until the time is over; the files that did not come to their turn, or never do. */
async function runTests(files: readonly string[]): Promise<string[]> {
  const vitest = await createVitest("test", {
    watch: false,
    project: PROJECTS,
    passWithNoTests: true,
    sequence: { sequencer: InGivenOrder },
  });
  await vitest.standalone();
  const specifications = files.flatMap((file) => {
    const path = join(process.cwd(), file);
    const projects = vitest.projects.filter((project) => project.matchesTestGlob(path));
    return projects.map((project) => project.createSpecification(path));
  });
  const timer = setTimeout(
    () => void vitest.cancelCurrentRun("keyboard-input"),
    BUDGET_MS - (performance.now() - startMs),
  );
  const { testModules } = await vitest.runTestSpecifications(specifications);
  clearTimeout(timer);
  const ended = testModules.filter((module) => ["passed", "failed"].includes(module.state()));
  const done = new Set(ended.map(({ moduleId }) => relative(process.cwd(), moduleId)));
  await vitest.close();
  return files.filter((file) => !done.has(file));
}
