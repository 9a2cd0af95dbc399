/** The picture of a plan, as far as its text tells what is seen. */
import { expect, test } from "vitest";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { type PlannedLoad, USUAL_LOAD } from "../../src/plan/load.ts";
import { pictureOf } from "../../src/plan/plan-picture.ts";
import { addressesAt } from "../../src/plan/plan.ts";

const CURVES = ["slices", "own", "recommended", "tight", "minimum"] as const;

function loadOf(connectionsPerSecond: number): PlannedLoad {
  return { ...USUAL_LOAD, sites: [{ site: null, hostCount: 100 }], connectionsPerSecond };
}

/** Points of the line of this name. */
function pointsOf(picture: string, name: string): number[][] {
  const path = new RegExp(`<path class="${name}"[^>]*clip-path[^>]* d="([^"]+)"`).exec(picture)![1]!;
  return path
    .split(/[ML]/)
    .filter(Boolean)
    .map((place) => place.trim().split(" ").map(Number));
}

test("[PN8] every line is drawn over the whole load, and named with its number", () => {
  const load = loadOf(5_000);
  const picture = pictureOf(load, DEFAULT_POOL_SETTINGS);
  for (const name of CURVES) {
    const points = pointsOf(picture, name);
    expect(points.flat().every(Number.isFinite), name).toBe(true);
    expect([points[0]![0], points.at(-1)![0]], name).toEqual([64, 560]);
  }
  const { recommended, tight, minimum } = addressesAt(load, 1, DEFAULT_POOL_SETTINGS);
  for (const count of [recommended, tight, minimum]) expect(picture).toContain(`>${count} as planned<`);
});

test("[PN8] more addresses are drawn higher, and the pool's lines are within the picture", () => {
  const picture = pictureOf(loadOf(5_000), DEFAULT_POOL_SETTINGS);
  const end = (name: string): number => pointsOf(picture, name).at(-1)![1]!;
  expect(end("recommended")).toBeLessThanOrEqual(end("tight"));
  expect(end("tight")).toBeLessThan(end("minimum"));
  for (const name of ["recommended", "tight", "minimum"]) {
    for (const [, y] of pointsOf(picture, name)) {
      expect(y).toBeGreaterThanOrEqual(48);
      expect(y).toBeLessThanOrEqual(384);
    }
  }
});

test.each([0.01, 1, 12_345, 1e8])("[PN8] a load of %d is drawn with a handful of marks", (rate) => {
  const picture = pictureOf(loadOf(rate), DEFAULT_POOL_SETTINGS);
  expect(picture).not.toMatch(/NaN|Infinity|undefined/);
  const marks = picture.match(/text-anchor="(?:end|middle)"/g)!.length;
  expect(marks).toBeGreaterThan(6);
  expect(marks).toBeLessThan(20);
});

test("[PN8] it is well-formed, fetches nothing, and has colours for the dark", () => {
  const picture = pictureOf(loadOf(5_000), DEFAULT_POOL_SETTINGS);
  const open: string[] = [];
  for (const [, end, name, rest] of picture.matchAll(/<(\/?)([A-Za-z]+)([^>]*)>/g)) {
    if (end === "/") expect(open.pop()).toBe(name);
    else if (!rest!.endsWith("/")) open.push(name!);
  }
  expect(open).toEqual([]);
  expect(picture).toContain("prefers-color-scheme: dark");
  expect(picture.replace("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|<script|@import/);
});
