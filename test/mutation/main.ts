/**
 * `npm run mutation`: changes the sources in small ways, one at a time, and counts the changes that
 * some test notices. What none noticed is listed, and fewer than a part's least share is a failure.
 *
 *     npm run mutation                              all parts (parts.ts)
 *     npm run mutation -- core wire                 these parts
 *     npm run mutation -- core --file share.ts      one file of a part; its score is only told
 *     npm run mutation -- objects --lines 200       so many lines of it, drawn at random; likewise
 *
 * What makes no difference is named in equivalents.ts, and does not count.
 */
import { readFileSync } from "node:fs";
import { dirname, relative } from "node:path";
import { parseArgs } from "node:util";
import type { MutantResult } from "@stryker-mutator/api/core";
import { Stryker } from "@stryker-mutator/core";
import { EQUIVALENTS, type Equivalent } from "./equivalents.ts";
import { PARTS, type Part } from "./parts.ts";
import { sampleOf } from "./sample.ts";

const NOTICED: ReadonlySet<string> = new Set(["Killed", "Timeout"]);
const UNNOTICED: ReadonlySet<string> = new Set(["Survived", "NoCoverage"]);

const { values, positionals } = parseArgs({
  options: {
    file: { type: "string" },
    lines: { type: "string" },
    threads: { type: "string", default: "2" },
  },
  allowPositionals: true,
});
const names = positionals.length > 0 ? positionals : Object.keys(PARTS);
const unknown = names.filter((name) => PARTS[name] === undefined);
if (unknown.length > 0) {
  console.error(`no such part: ${unknown.join(", ")}; there are ${Object.keys(PARTS).join(", ")}`);
  process.exit(2);
}
for (const name of names) report(name, PARTS[name]!, await mutantsOf(name, PARTS[name]!));

async function mutantsOf(name: string, { sources }: Part): Promise<MutantResult[]> {
  process.env["MUTATION_PART"] = name;
  const { file, lines, threads } = values;
  const chosen = file === undefined ? sources : filesNamed(file, sources);
  return new Stryker({
    configFile: "test/mutation/stryker.json",
    // There is none: TypeScript 7 has no interface by which Stryker could read one.
    tsconfigFile: "none.json",
    mutate: lines === undefined ? [...chosen] : await sampleOf(chosen, Number(lines)),
    concurrency: Number(threads),
  }).runMutationTest();
}

/** Where a part may have a file of this name. */
function filesNamed(file: string, sources: readonly string[]): string[] {
  const folders = sources.filter((source) => !source.startsWith("!")).map((source) => dirname(source));
  return [...new Set(folders)].map((folder) => `${folder}/${file}`);
}

function report(name: string, { leastScore }: Part, mutants: readonly MutantResult[]): void {
  if (mutants.length === 0) {
    console.error(`${name} has no ${values.file ?? "source"} with anything to change`);
    process.exitCode = 2;
    return;
  }
  const noticed = mutants.filter(({ status }) => NOTICED.has(status));
  const unnoticed = mutants.filter(({ status }) => UNNOTICED.has(status));
  const used = new Set<Equivalent>();
  const missed = unnoticed.filter((mutant) => {
    const equivalent = EQUIVALENTS.find((each) => isOf(each, mutant));
    if (equivalent !== undefined) used.add(equivalent);
    return equivalent === undefined;
  });
  for (const { fileName, location, replacement, status } of missed) {
    const where = `${relative(process.cwd(), fileName)}:${location.start.line}:${location.start.column}`;
    console.log(`${where} ${status === "NoCoverage" ? "(no test comes by) " : ""}${replacement}`);
  }
  const countedCount = noticed.length + missed.length;
  const score = (100 * noticed.length) / Math.max(1, countedCount);
  const isWhole = values.file === undefined && values.lines === undefined;
  console.log(
    `${name}: ${noticed.length} of ${countedCount} noticed, ${score.toFixed(1)} % of at least ${leastScore} %; ${unnoticed.length - missed.length} equivalent`,
  );
  if (!isWhole) return;
  if (score < leastScore) process.exitCode = 1;
  const files = new Set(mutants.map(({ fileName }) => fileName));
  for (const each of EQUIVALENTS) {
    if (used.has(each) || ![...files].some((file) => file.endsWith(each.file))) continue;
    console.log(`no longer there, or noticed: ${each.file}: ${each.line}`);
    process.exitCode = 1;
  }
}

function isOf({ file, line, replacement }: Equivalent, mutant: MutantResult): boolean {
  if (!mutant.fileName.endsWith(file)) return false;
  if (replacement !== undefined && replacement !== mutant.replacement) return false;
  const text = readFileSync(mutant.fileName, "utf8").split("\n")[mutant.location.start.line - 1];
  return text?.trim() === line;
}
