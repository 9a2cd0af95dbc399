/** What a pool did over an hour or a day, as columns to draw. */
import type { CountSlot, PastCounts } from "../../core/live-view.ts";

/** How far back is looked. */
export type Reach = "hour" | "day";

/** Columns of one length; times in Unix seconds, as charts have them. Null where nothing is known. */
export interface PastColumns {
  readonly atSeconds: readonly number[];
  readonly requestsPerSecond: readonly (number | null)[];
  readonly flowsPerSecond: readonly (number | null)[];
  readonly portCount: readonly (number | null)[];
  /** By codes, the most frequent first; the last may be `others`. */
  readonly refusals: readonly (readonly [code: string, counts: readonly (number | null)[]])[];
}

/** Codes that are told apart. */
const MOST_CODES = 6;
export const OTHERS = "others";

const STEP_MS: Readonly<Record<Reach, number>> = { hour: 60_000, day: 900_000 };
const STEPS: Readonly<Record<Reach, number>> = { hour: 60, day: 96 };

/** The columns up to `nowMs`, one for each slot there could be; `running` is the minute that goes on. */
export function pastColumns(
  past: PastCounts,
  reach: Reach,
  nowMs: number,
  running: CountSlot | null = null,
): PastColumns {
  const stepMs = STEP_MS[reach];
  const lastMs = Math.floor(nowMs / stepMs) * stepMs;
  const slots = new Map<number, CountSlot>();
  for (const slot of reach === "hour" ? past.minutes : past.quarters)
    slots.set(Math.floor(slot.atMs / stepMs) * stepMs, slot);
  if (running !== null && reach === "hour") slots.set(Math.floor(running.atMs / stepMs) * stepMs, running);
  const times = Array.from({ length: STEPS[reach] }, (_, at) => lastMs - (STEPS[reach] - 1 - at) * stepMs);
  const column = (countOf: (slot: CountSlot, seconds: number) => number): (number | null)[] =>
    times.map((atMs) => {
      const slot = slots.get(atMs);
      return slot === undefined ? null : countOf(slot, secondsOf(atMs, stepMs, nowMs));
    });
  const codes = codesOf(slots.values());
  const told = codes.slice(0, MOST_CODES);
  const others = codes.slice(MOST_CODES);
  const sumOf = (of: readonly string[]) =>
    column(({ refusals }) => of.reduce((sum, code) => sum + refusalCount(refusals, code), 0));
  return {
    atSeconds: times.map((atMs) => atMs / 1000),
    requestsPerSecond: column(({ requestCount }, seconds) => requestCount / seconds),
    flowsPerSecond: column(({ flowCount }, seconds) => flowCount / seconds),
    portCount: column(({ portCount }) => portCount),
    refusals: [
      ...told.map((code) => [code, sumOf([code])] as const),
      ...(others.length === 0 ? [] : [[OTHERS, sumOf(others)] as const]),
    ],
  };
}

/** The sum of what hosts tell of the minute that runs; null while none does. */
export function runningMinute(minutes: Iterable<CountSlot>): CountSlot | null {
  const all = [...minutes];
  if (all.length === 0) return null;
  const atMs = usualMinuteOf(all);
  const refusals = new Map<string, number>();
  let [requestCount, flowCount, portCount] = [0, 0, 0];
  for (const slot of all) {
    portCount += slot.portCount;
    // One that is a minute behind has told of that minute already.
    if (slot.atMs !== atMs) continue;
    requestCount += slot.requestCount;
    flowCount += slot.flowCount;
    for (const [code, count] of Object.entries(slot.refusals))
      refusals.set(code, (refusals.get(code) ?? 0) + count);
  }
  return { atMs, requestCount, flowCount, portCount, refusals: Object.fromEntries(refusals) };
}

/** The minute that most hosts are in, the later of two: one clock that is wrong hides none of the others. */
function usualMinuteOf(all: readonly CountSlot[]): number {
  const counts = new Map<number, number>();
  for (const { atMs } of all) counts.set(atMs, (counts.get(atMs) ?? 0) + 1);
  const [[atMs] = [0]] = [...counts].toSorted((one, other) => other[1] - one[1] || other[0] - one[0]);
  return atMs;
}

/** A code may be named as what every object has. */
function refusalCount(refusals: CountSlot["refusals"], code: string): number {
  return Object.hasOwn(refusals, code) ? refusals[code]! : 0;
}

/** Each column upon those before it. */
export function stacked(columns: readonly (readonly (number | null)[])[]): readonly (number | null)[][] {
  const sums: (number | null)[][] = [];
  for (const column of columns) {
    const below = sums.at(-1);
    sums.push(column.map((count, at) => (count === null ? null : count + (below?.[at] ?? 0))));
  }
  return sums;
}

/** The last slot is not over. */
function secondsOf(atMs: number, stepMs: number, nowMs: number): number {
  return Math.max(5, Math.min(stepMs, nowMs - atMs) / 1000);
}

function codesOf(slots: Iterable<CountSlot>): readonly string[] {
  const sums = new Map<string, number>();
  for (const { refusals } of slots)
    for (const [code, count] of Object.entries(refusals)) sums.set(code, (sums.get(code) ?? 0) + count);
  return [...sums]
    .filter(([, count]) => count > 0)
    .toSorted(([a, countA], [b, countB]) => countB - countA || a.localeCompare(b))
    .map(([code]) => code);
}
