/**
 * How ports are divided while hosts want more than there are: as many for each as can be, where nobody
 * who needs less is asked for any (max-min fairness). [AL7]
 */
import type { LeaseTable } from "./lease-table.ts";

/** For so long a refusal shows that a host wants more: it asks again every half minute at least. */
const WANT_MS = 90_000;
/** What is fresher than this is not written down once more. */
const FRESH_MS = 20_000;

/** Whether a host was refused more lately, and has got none since. */
export function isWanting({ wants }: LeaseTable, host: string, nowMs: number): boolean {
  return isYoungerThan(WANT_MS, wants.get(host), nowMs);
}

/** Whether that is on record since a moment ago. */
export function isWantFresh({ wants }: LeaseTable, host: string, nowMs: number): boolean {
  return isYoungerThan(FRESH_MS, wants.get(host), nowMs);
}

/**
 * The level up to which everybody can have what they need, of so much in all: nobody who needs less
 * than the level lacks anything, and all others have the same. No bound when all needs fit.
 */
export function levelOf(total: number, needs: readonly number[]): number {
  let left = total;
  let sharerCount = needs.length;
  for (const need of needs.toSorted((a, b) => a - b)) {
    // Who needs less than an equal part of what is left leaves more for the others.
    if (need * sharerCount > left) return left / sharerCount;
    left -= need;
    sharerCount -= 1;
  }
  return Infinity;
}

/** The clock may have been set back since. */
function isYoungerThan(ageMs: number, atMs: number | undefined, nowMs: number): boolean {
  return atMs !== undefined && Math.abs(nowMs - atMs) < ageMs;
}
