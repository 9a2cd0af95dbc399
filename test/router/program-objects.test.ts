/** The program for the kernel as it is compiled, and what its source and the router must say alike. */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildPrograms, programObjects } from "../../src/router/kernel/program-objects.ts";
import { DROP_REASONS } from "../../src/router/steering/drop-reasons.ts";
import { LINE_ENTRIES, MOST_ADDRESSES, MOST_HOPS } from "../../src/router/xdp/map-layout.ts";

const SOURCES = join(import.meta.dirname, "../../src/router/xdp");

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ipshard-objects-"));
});

afterAll(() => rm(directory, { recursive: true }));

test("[PK9] an object is the same wherever it is built, and says nothing of the place", async () => {
  const places = ["one", "another/far/away"].map((name) => join(directory, name));
  for (const place of places) {
    await mkdir(place, { recursive: true });
    await buildPrograms(place);
  }
  const { steer, devices } = await programObjects();
  for (const [name, used] of [
    ["steer.o", steer],
    ["devices.o", devices],
  ] as const) {
    const [one, another] = await Promise.all(places.map((place) => readFile(join(place, name))));
    expect(one!.equals(another!), name).toBe(true);
    // What a checkout steers by is what its source compiles to.
    expect(one!.equals(await readFile(used)), name).toBe(true);
    expect(one!.includes(SOURCES)).toBe(false);
    expect(one!.includes(directory)).toBe(false);
  }
});

test("[RT15] the source and the router mean the same by the numbers and the order of reasons", async () => {
  const tables = await readFile(join(SOURCES, "tables.h"), "utf8");
  const defined = (name: string): number => Number(new RegExp(`#define ${name} (\\d+)`).exec(tables)?.[1]);
  expect(defined("LINE_ENTRIES")).toBe(LINE_ENTRIES);
  expect(defined("MOST_ADDRESSES")).toBe(MOST_ADDRESSES);
  expect(defined("MOST_HOPS")).toBe(MOST_HOPS);
  const reasons = /enum reason \{([^}]+)\}/.exec(tables)![1]!.match(/\w+/g)!;
  // The last ones are their number, and what the kernel's own rules count.
  expect(reasons.map((name) => name.toLowerCase()).slice(0, -1)).toEqual(
    DROP_REASONS.filter((reason) => reason !== "absent"),
  );
});
