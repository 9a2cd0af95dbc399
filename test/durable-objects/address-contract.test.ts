/** The contract of an address, kept by the real object: real storage, alarms, sockets, evictions. */
import * as fc from "fast-check";
import { afterEach, expect, it, vi } from "vitest";
import { interruptions, playOnKeeper, START_MS } from "../contract/address-contract.ts";
import { generator, unsteeredHistories } from "../contract/lease-history.ts";
import { drawFrom, ObjectAddress } from "./object-address.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it(
  "[DO3] [DO8] answers as the core alone, evicted and woken between any two commands",
  { timeout: 60_000 },
  async () => {
    let objectCount = 0;
    let grantCount = 0;
    await fc.assert(
      fc.asyncProperty(unsteeredHistories, interruptions, async (history, interrupted) => {
        objectCount += 1;
        vi.useFakeTimers({ toFake: ["Date"], now: START_MS });
        drawFrom(generator(history.seed));
        const keeper = await ObjectAddress.open(`contract-${objectCount}`);
        grantCount += (await playOnKeeper(keeper, history, interrupted)).grantCount;
      }),
      // The limit is for shrinking what has failed, which else may take minutes.
      { numRuns: 20, interruptAfterTimeLimit: 50_000 },
    );
    expect(grantCount).toBeGreaterThan(20);
  },
);
