/** The simulator is only as good as what it would find: bugs are planted, and each has to be found. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Catch } from "./bug-hunt.ts";
import { PLANTED_BUGS } from "./planted-bugs.ts";

const HUNTER_COUNT = 2;

const catches = new Map<string, Catch>();
const hunters = new Set<ReturnType<typeof spawn>>();

async function hunt(names: readonly string[]): Promise<void> {
  const hunter = spawn(process.execPath, [join(import.meta.dirname, "bug-hunt.ts"), ...names], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  hunters.add(hunter);
  const ended = new Promise((resolve) => hunter.once("close", resolve));
  for await (const line of createInterface({ input: hunter.stdout })) {
    const found = JSON.parse(line) as Catch;
    catches.set(found.name, found);
  }
  expect(await ended, "how the hunter ended").toBe(0);
  hunters.delete(hunter);
}

describe("a planted bug is found", () => {
  beforeAll(async () => {
    const shares = Array.from({ length: HUNTER_COUNT }, (_, share) =>
      PLANTED_BUGS.filter((_bug, at) => at % HUNTER_COUNT === share).map(({ name }) => name),
    );
    await Promise.all(shares.map(hunt));
  }, 1_800_000);

  afterAll(() => {
    for (const hunter of hunters) hunter.kill("SIGKILL");
  });

  test.each(PLANTED_BUGS)("$name", ({ name }) => {
    const found = catches.get(name);
    expect(found, "the hunter came that far").toBeDefined();
    expect(found?.byRun ?? found?.byJudge, `after ${found?.seed} seeds`).not.toBeNull();
  });
});
