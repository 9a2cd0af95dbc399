/**
 * The model holds to the laws in all that can happen within its bounds, and finds every known
 * fault: an instrument that finds nothing must show that it would. Two searches run at a time.
 */
import { describe, expect, test } from "vitest";
import { BEYOND, EVERYTHING, MISTAKES, OTHERS, STEERING } from "./searches.ts";
import { search } from "./spin.ts";

describe.concurrent("the laws", () => {
  test("hold with every fault at once, and every step of the model is taken", async () => {
    const verdict = await search(EVERYTHING.switches);
    expect(verdict).toMatchObject({ violation: null, errorCount: 0, isExhaustive: true, unreached: [] });
    expect(verdict.stateCount).toBeGreaterThanOrEqual(EVERYTHING.minStateCount);
  });

  test.each([...OTHERS, STEERING])("hold: $name", async ({ switches, minStateCount }) => {
    const verdict = await search(switches);
    expect(verdict).toMatchObject({ violation: null, errorCount: 0, isExhaustive: true });
    expect(verdict.stateCount).toBeGreaterThanOrEqual(minStateCount);
  });
});

describe.concurrent("the instrument", () => {
  test.each(MISTAKES)("finds it when $name", async ({ switches, law }) => {
    const { errorCount, violation, trail } = await search(switches, { endsSoon: true });
    expect(errorCount).toBe(1);
    expect(violation).toMatch(law);
    expect(trail.length).toBeGreaterThan(0);
  });

  test.each(BEYOND)("knows its bounds: the laws do not hold when $name", async ({ switches, law }) => {
    const { errorCount, violation } = await search(switches, { endsSoon: true });
    expect(errorCount).toBe(1);
    expect(violation).toMatch(law);
  });

  test("does not take a search that was cut off for a proof", async () => {
    const { errorCount, isExhaustive } = await search(EVERYTHING.switches, { maxMemoryMb: 250 });
    expect(errorCount).toBe(0);
    expect(isExhaustive).toBe(false);
  });
});
