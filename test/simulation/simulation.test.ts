/**
 * Fresh seeds each time, and every seed that ever broke a law. When one fails, its number is in
 * the message: `npm run sim -- --seed N --trace` shows it again, step by step.
 */
import { availableParallelism } from "node:os";
import { describe, expect, test } from "vitest";
import { freshSeeds } from "./fresh-seeds.ts";
import { runSeed, type SeedResult } from "./judged-run.ts";
import { REGRESSIONS } from "./regressions.ts";
import { sweep } from "./sweep.ts";

const EVENT_COUNT = 2_000;
const FRESH_SEED_COUNT = 300;
const STATIC_SEED_COUNT = 30;
const RESTORED_SEED_COUNT = 60;
const RESTORED_STATIC_SEED_COUNT = 20;
/** Slots change hands only when an operator has removed a host, and they have rested. */
const STATIC_EVENT_COUNT = 4_000;
/** Time for an operator to look at all hosts, and for the wait that comes then. */
const LONG_EVENT_COUNT = 8_000;

async function resultsOf(
  seeds: readonly number[],
  kind: { readonly isStatic?: boolean; readonly areRestored?: boolean } = {},
  eventCount = EVENT_COUNT,
): Promise<SeedResult[]> {
  const results: SeedResult[] = [];
  const threadCount = availableParallelism();
  await sweep({ seeds, eventCount, threadCount, ...kind }, (result) => results.push(result));
  return results;
}

function problemsOf(results: readonly SeedResult[]): string[] {
  return results.flatMap(({ seed, problem }) => (problem === null ? [] : [`seed ${seed}: ${problem}`]));
}

describe("the laws under every fault", () => {
  test(`hold for ${FRESH_SEED_COUNT} seeds that nobody has run before`, { timeout: 1_200_000 }, async () => {
    const seeds = freshSeeds(FRESH_SEED_COUNT);
    console.log(`simulating the seeds from ${seeds[0]} on`);
    const results = await resultsOf(seeds);
    expect(problemsOf(results)).toEqual([]);
    expect(results).toHaveLength(FRESH_SEED_COUNT);
    // A run in which nothing is granted, sent or refused would break no law either.
    const total = (what: string): number =>
      results.reduce((sum, { counts }) => sum + (counts.get(what) ?? 0), 0);
    const wanted = ["grants", "told", "entries", "packet sent", "packet held back", "answer steered"];
    for (const what of [...wanted, "translatedPackets", "entriesLooked"]) {
      expect(total(what), what).toBeGreaterThan(FRESH_SEED_COUNT);
    }
    // Only in a third of all runs a machine may translate.
    expect(total("translatedBreaks"), "flows of containers that were broken off").toBeGreaterThan(0);
  });

  test(`hold in static pools, for ${STATIC_SEED_COUNT} seeds`, { timeout: 600_000 }, async () => {
    const seeds = freshSeeds(STATIC_SEED_COUNT);
    console.log(`simulating the seeds from ${seeds[0]} on, with --static`);
    const results = await resultsOf(seeds, { isStatic: true }, STATIC_EVENT_COUNT);
    expect(problemsOf(results)).toEqual([]);
    expect(results).toHaveLength(STATIC_SEED_COUNT);
    const total = (what: string): number =>
      results.reduce((sum, { counts }) => sum + (counts.get(what) ?? 0), 0);
    for (const what of ["grants", "packet sent", "flowsOpened"]) {
      expect(total(what), what).toBeGreaterThan(STATIC_SEED_COUNT);
    }
    // Where no slot changes hands, nobody can be in another's way.
    expect(total("block: granted to another host")).toBeGreaterThan(0);
  });

  test(
    `hold for ${RESTORED_SEED_COUNT} seeds whose edge is restored from older copies`,
    {
      timeout: 600_000,
    },
    async () => {
      const seeds = freshSeeds(RESTORED_SEED_COUNT);
      console.log(`simulating the seeds from ${seeds[0]} on, with --restores`);
      const results = await resultsOf(seeds, { areRestored: true });
      expect(problemsOf(results)).toEqual([]);
      expect(results).toHaveLength(RESTORED_SEED_COUNT);
      const wanted = ["fault: restore-edge", "host: holdings-wanted", "host: address-recovering", "grants"];
      for (const what of wanted) {
        const total = results.reduce((sum, { counts }) => sum + (counts.get(what) ?? 0), 0);
        expect(total, what).toBeGreaterThan(RESTORED_SEED_COUNT);
      }
    },
  );

  test(`hold for ${RESTORED_STATIC_SEED_COUNT} static ones of these`, { timeout: 600_000 }, async () => {
    const seeds = freshSeeds(RESTORED_STATIC_SEED_COUNT);
    console.log(`simulating the seeds from ${seeds[0]} on, with --restores --static`);
    const results = await resultsOf(seeds, { areRestored: true, isStatic: true }, LONG_EVENT_COUNT);
    expect(problemsOf(results)).toEqual([]);
    expect(results).toHaveLength(RESTORED_STATIC_SEED_COUNT);
    const wanted = ["fault: restore-edge", "fault: slots-known", "host: holdings-wanted", "grants"];
    for (const what of wanted) {
      const total = results.reduce((sum, { counts }) => sum + (counts.get(what) ?? 0), 0);
      expect(total, what).toBeGreaterThan(RESTORED_STATIC_SEED_COUNT);
    }
  });

  test.each(REGRESSIONS)(
    "hold where they once did not: $name",
    { timeout: 300_000 },
    async ({ seed, eventCount, kind }) => {
      const { problem } = await runSeed(seed, eventCount, kind);
      expect(problem).toBeNull();
    },
  );
});

test("a seed does the same each time, bit for bit", { timeout: 300_000 }, async () => {
  for (const seed of [1, 2, 3, 5, 8]) {
    const first = await runSeed(seed, EVENT_COUNT);
    const again = await runSeed(seed, EVENT_COUNT);
    expect(again).toEqual(first);
  }
  const other = await runSeed(13, EVENT_COUNT);
  expect(other.hash).not.toBe((await runSeed(1, EVENT_COUNT)).hash);
});

test("[LV1] hosts that could be watched say no more, since nobody looks", async () => {
  const said: string[] = [];
  await runSeed(3, 400, { trace: (line) => said.push(line) });
  // Each says so within what it says anyway; one that was watched would throw.
  expect(said.filter((line) => line.includes('"watchable":true')).length).toBeGreaterThan(0);
  expect(said.filter((line) => /"type":"watch(ed)?"/.test(line))).toEqual([]);
});
