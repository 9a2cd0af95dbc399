/**
 * Hunts planted bugs, each in the first seeds there are until one shows it, and prints a line of JSON
 * for each. What a seed shows without the bug as well does not count, nor what the bug cannot cause.
 *
 *     node test/simulation/bug-hunt.ts              all bugs
 *     node test/simulation/bug-hunt.ts BUG...       these
 *     node test/simulation/bug-hunt.ts --remember   all, and writes down which seed has shown each
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Chance } from "./chance.ts";
import { FAULTS } from "./faults.ts";
import { PLANTED_BUGS, type PlantedBug } from "./planted-bugs.ts";
import { BUGS_OF_TRANSLATION } from "./planted-translation-bugs.ts";
import { plant } from "./planting.ts";
import { Run, type RunReport } from "./run.ts";
import { drawScenario, drawTranslators } from "./scenario.ts";
import { judge } from "./second-opinion.ts";

/** How a bug was caught. */
export interface Catch {
  readonly name: string;
  /** Of the seed that showed it; how many there were if none did. */
  readonly seed: number;
  /** What was said of it, law first; null if no seed has shown it. */
  readonly byRun: string | null;
  /** The same, by the second opinion. */
  readonly byJudge: string | null;
}

/** More than four times what any bug has needed yet. */
const MOST_SEEDS = 600;
/**
 * Of each bug the seed that showed it last time: it is tried first. After a change of the code another
 * one may be the first; then the hunt is only longer.
 */
const REMEMBERED = join(import.meta.dirname, "caught-by.json");
/** Under faults; the calm that follows takes about 7,000, so that fewer would be a waste. */
const EVENT_COUNT = 4_000;

async function hunt(bug: PlantedBug): Promise<Catch> {
  const { name, laws, isOfRestores = false } = bug;
  const planted = await plant(bug);
  const ifWanted = (said: string | null): string | null =>
    said !== null && laws.some((law) => said.startsWith(`${law}: `)) ? said : null;
  for (const seed of seedsFor(bug)) {
    const report = await new planted.Run(seed, { areRestored: isOfRestores }).run(EVENT_COUNT);
    const byRun = ifWanted(report.violation?.message ?? null);
    const byJudge = ifWanted(verdictOn(report));
    if (byRun === null && byJudge === null) continue;
    if (await isSound(seed, isOfRestores)) return { name, seed, byRun, byJudge };
  }
  return { name, seed: MOST_SEEDS, byRun: null, byJudge: null };
}

/** All seeds: the remembered one, then those in which the faults that show the bug happen most often. */
function seedsFor(bug: PlantedBug): number[] {
  const { name, shownBy = [] } = bug;
  const all = Array.from({ length: MOST_SEEDS }, (_, at) => at + 1);
  const seeds = BUGS_OF_TRANSLATION.includes(bug) ? all.filter(isTranslating) : all;
  const rates = new Map(seeds.map((seed) => [seed, rateOf(shownBy, seed)]));
  const known = remembered[name];
  return seeds.toSorted(
    (one, other) => Number(other === known) - Number(one === known) || rates.get(other)! - rates.get(one)!,
  );
}

function isTranslating(seed: number): boolean {
  return drawTranslators(seed).some((chance) => chance !== null);
}

/** How often any of these faults happens in a seed, per millisecond. */
function rateOf(faults: readonly string[], seed: number): number {
  const { faultWeights, faultEveryMs } = drawScenario(new Chance(seed), Object.keys(FAULTS));
  const weightOf = (names: Iterable<string>): number => {
    let weight = 0;
    for (const name of names) weight += faultWeights.get(name)!;
    return weight;
  };
  return weightOf(faults) / Math.max(1, weightOf(faultWeights.keys())) / faultEveryMs;
}

const soundness = { usual: new Map<number, boolean>(), restored: new Map<number, boolean>() };

/** Whether nothing is found in a seed without any bug. */
async function isSound(seed: number, areRestored: boolean): Promise<boolean> {
  const known = areRestored ? soundness.restored : soundness.usual;
  let isKnownSound = known.get(seed);
  if (isKnownSound === undefined) {
    const report = await new Run(seed, { areRestored }).run(EVENT_COUNT);
    isKnownSound = report.violation === null && verdictOn(report) === null;
    known.set(seed, isKnownSound);
  }
  return isKnownSound;
}

function verdictOn({ history, tellingMs }: RunReport): string | null {
  const verdict = judge(history, tellingMs)[0];
  if (verdict === undefined) return null;
  return `${verdict.law === "calm" ? "calm" : `law ${verdict.law}`}: ${verdict.sentence}`;
}

const names = process.argv.slice(2).filter((word) => word !== "--remember");
const remembered = JSON.parse(await readFile(REMEMBERED, "utf8")) as Record<string, number>;
const caughtBy: Record<string, number> = {};
for (const bug of PLANTED_BUGS) {
  if (names.length > 0 && !names.includes(bug.name)) continue;
  const found = await hunt(bug);
  console.log(JSON.stringify(found));
  if ((found.byRun ?? found.byJudge) !== null) caughtBy[bug.name] = found.seed;
}
if (process.argv.includes("--remember"))
  await writeFile(REMEMBERED, `${JSON.stringify(caughtBy, null, 2)}\n`);
