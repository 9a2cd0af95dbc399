/**
 * Random integers that a stranger cannot predict (RFC 6056), at the price of an array read:
 * the generator of the kernel is asked once for many.
 */
import { randomFillSync } from "node:crypto";

/** Gives an integer in [0, limit); `limit` is at most 65,536. */
export type RandomBelow = (limit: number) => number;

const BATCH = 2048;

/** A source of its own; unbiased to one part in 65,536. */
export function createRandomBelow(): RandomBelow {
  const batch = new Uint32Array(BATCH);
  let at = BATCH;
  return (limit) => {
    if (at === BATCH) {
      randomFillSync(batch);
      at = 0;
    }
    // Multiply and shift instead of a remainder: no division, and the bias is below 2^-16.
    const drawn = batch[at]!;
    batch[at] = 0;
    at += 1;
    return Math.floor((drawn * limit) / 0x1_0000_0000);
  };
}
