/** Whole numbers as JSON spells them: `-0` too, which is written as `0` and so must not be kept apart. [ME3] */
import { z } from "zod";

/** From 0 to `most`, or without an upper end. */
export function countUpTo(most: number = Number.MAX_SAFE_INTEGER): z.ZodInt {
  return wholeNumber().min(0).max(most);
}

/** Any whole number that is told from its neighbours. */
export function wholeNumber(): z.ZodInt {
  // In floating point -0 + 0 is 0, and nothing else changes.
  return z.int().overwrite((value) => value + 0);
}
