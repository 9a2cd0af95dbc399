import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  acknowledge,
  beginning,
  hasApplied,
  laggardsOf,
  type Progress,
  steeringTimeoutMs,
} from "../../src/core/acknowledgement.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";

/** Progress after these acknowledgements of a table at `from`, with changes up to `newest`. */
function after(from: number, newest: number, sequences: readonly number[]): Progress {
  let progress = beginning(from);
  for (const sequence of sequences) {
    const judged = acknowledge(progress, sequence, newest);
    if (judged.ok) progress = judged.value;
  }
  return progress;
}

describe("acknowledgements", () => {
  test("[ST7] count for all changes up to theirs", () => {
    const progress = after(3, 9, [7]);
    expect([3, 6, 7, 8].map((sequence) => hasApplied(progress, sequence))).toEqual([true, true, true, false]);
  });

  test("[ST7] from before the table say nothing of it", () => {
    expect(after(5, 9, [4]).acknowledged).toBeNull();
    expect(hasApplied(after(5, 9, [4]), 0)).toBe(false);
    expect(after(5, 9, [4, 5]).acknowledged).toBe(5);
    expect(after(0, 0, [0]).acknowledged).toBe(0);
  });

  test("[ST7] of what there has not been are refused", () => {
    expect(acknowledge(beginning(5), 10, 9)).toEqual({ ok: false, refusal: "sequence-unknown" });
  });

  test("[ST7] lead to the same end in any order, however often they come", () => {
    const sequences = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1 });
    fc.assert(
      fc.property(sequences, fc.integer({ min: 0, max: 20 }), (given, from) => {
        const counting = given.filter((sequence) => sequence >= from && sequence <= 25);
        const expected = counting.length === 0 ? null : Math.max(...counting);
        expect(after(from, 25, given).acknowledged).toBe(expected);
        expect(after(from, 25, [...given, ...given.toReversed()]).acknowledged).toBe(expected);
      }),
    );
  });
});

describe("a grant", () => {
  const status = (router: string, acknowledged: number | null, isLive = true) => ({
    router,
    tableSequence: 0,
    acknowledged,
    isLive,
  });

  test("[ST4] waits for live routers that are behind, ready or not, and for no other", () => {
    const routers = [status("slow", 6), status("here", 7), status("away", 2, false), status("new", null)];
    expect(laggardsOf(routers, 7)).toEqual(["new", "slow"]);
    expect(laggardsOf([], 7)).toEqual([]);
  });

  test("[ST4] waits for the deadline, but never for more than an eighth of a lease", () => {
    expect(steeringTimeoutMs(DEFAULT_POOL_SETTINGS)).toBe(2_000);
    expect(steeringTimeoutMs({ ...DEFAULT_POOL_SETTINGS, leaseDurationMs: 4_000 })).toBe(500);
  });
});
