/** The counts of the last hour and day, of one host or of many together. Bounded, whatever is counted. [LV8] */
import {
  type CountSlot,
  MINUTE_MS,
  MOST_CODES,
  MOST_MINUTES,
  MOST_QUARTERS,
  OTHER_CODES,
  type PastCounts,
  QUARTER_MS,
} from "./live-view.ts";

/** What was counted in some while. */
export type Counted = Omit<CountSlot, "atMs">;

/** Nothing. */
export const NOTHING_COUNTED: Counted = { requestCount: 0, flowCount: 0, refusals: {}, portCount: 0 };

/** Slots of one length, the oldest first. */
class Slots {
  readonly #slotMs: number;
  readonly #most: number;
  #slots: CountSlot[];

  constructor(slotMs: number, most: number, kept: readonly CountSlot[]) {
    this.#slotMs = slotMs;
    this.#most = most;
    this.#slots = kept
      .filter(({ atMs }) => atMs % slotMs === 0)
      .toSorted((one, other) => one.atMs - other.atMs)
      .filter(({ atMs }, at, all) => all[at - 1]?.atMs !== atMs);
  }

  add(nowMs: number, counted: Counted): void {
    const atMs = Math.floor(nowMs / this.#slotMs) * this.#slotMs;
    this.#forget(atMs);
    const last = this.#slots.at(-1);
    if (last?.atMs === atMs) this.#slots.pop();
    const before = last?.atMs === atMs ? last : NOTHING_COUNTED;
    // The most that were in use at a time: of times that follow one another, the larger.
    const portCount = Math.max(before.portCount, counted.portCount);
    this.#slots.push({ atMs, ...sumOf(before, counted), portCount });
  }

  at(nowMs: number): readonly CountSlot[] {
    this.#forget(Math.floor(nowMs / this.#slotMs) * this.#slotMs);
    return this.#slots;
  }

  /** What is too old; and what seems to be still to come, since the clock was set back. */
  #forget(atMs: number): void {
    const oldestMs = atMs - (this.#most - 1) * this.#slotMs;
    const isKept = (slot: CountSlot | undefined): boolean =>
      slot === undefined || (slot.atMs >= oldestMs && slot.atMs <= atMs);
    if (isKept(this.#slots[0]) && isKept(this.#slots.at(-1))) return;
    this.#slots = this.#slots.filter(isKept);
  }
}

/** Of one host. */
export class PastRings {
  readonly #minutes: Slots;
  readonly #quarters: Slots;

  /** `kept` is of an earlier run. */
  constructor(kept: PastCounts | null = null) {
    this.#minutes = new Slots(MINUTE_MS, MOST_MINUTES, kept?.minutes ?? []);
    this.#quarters = new Slots(QUARTER_MS, MOST_QUARTERS, kept?.quarters ?? []);
  }

  /** Counts what has come since this was called last. */
  add(nowMs: number, counted: Counted): void {
    this.#minutes.add(nowMs, counted);
    this.#quarters.add(nowMs, counted);
  }

  /** All that is known. */
  past(nowMs: number): PastCounts {
    return { minutes: [...this.#minutes.at(nowMs)], quarters: [...this.#quarters.at(nowMs)] };
  }

  /** The minute that runs. */
  minute(nowMs: number): CountSlot {
    const atMs = Math.floor(nowMs / MINUTE_MS) * MINUTE_MS;
    const last = this.#minutes.at(nowMs).at(-1);
    return last?.atMs === atMs ? last : { atMs, ...NOTHING_COUNTED };
  }
}

/** The counts of several hosts together, told one after the other. */
export class PastSum {
  readonly #minutes = new Map<number, CountSlot>();
  readonly #quarters = new Map<number, CountSlot>();

  /** Adds those of one more, as far as they can be of the past: nobody's future takes the place of what was. */
  add({ minutes, quarters }: PastCounts, nowMs: number): void {
    addTo(this.#minutes, pastOf(minutes, MINUTE_MS, nowMs));
    addTo(this.#quarters, pastOf(quarters, QUARTER_MS, nowMs));
  }

  /** The sum. Clocks of hosts differ, so the newest count where they would be too many. */
  sum(): PastCounts {
    return {
      minutes: inOrder(this.#minutes).slice(-MOST_MINUTES),
      quarters: inOrder(this.#quarters).slice(-MOST_QUARTERS),
    };
  }
}

/** Clocks of hosts differ a little. */
function pastOf(slots: readonly CountSlot[], slotMs: number, nowMs: number): readonly CountSlot[] {
  return slots.filter(({ atMs }) => atMs % slotMs === 0 && atMs <= nowMs + MINUTE_MS);
}

function addTo(sum: Map<number, CountSlot>, slots: readonly CountSlot[]): void {
  for (const slot of slots) {
    const before = sum.get(slot.atMs) ?? NOTHING_COUNTED;
    sum.set(slot.atMs, { atMs: slot.atMs, ...sumOf(before, slot) });
  }
}

function inOrder(slots: ReadonlyMap<number, CountSlot>): CountSlot[] {
  return [...slots.values()].toSorted((one, other) => one.atMs - other.atMs);
}

function sumOf(one: Counted, other: Counted): Counted {
  return {
    requestCount: one.requestCount + other.requestCount,
    flowCount: one.flowCount + other.flowCount,
    refusals: sumOfRefusals(one.refusals, other.refusals),
    portCount: one.portCount + other.portCount,
  };
}

/** So many codes are told apart; what comes beyond is one. */
function sumOfRefusals(
  one: Readonly<Record<string, number>>,
  other: Readonly<Record<string, number>>,
): Record<string, number> {
  const sum = new Map(Object.entries(one));
  for (const [code, count] of Object.entries(other)) {
    const hasRoom = sum.has(code) || sum.size - (sum.has(OTHER_CODES) ? 1 : 0) < MOST_CODES;
    const name = hasRoom ? code : OTHER_CODES;
    sum.set(name, (sum.get(name) ?? 0) + count);
  }
  return Object.fromEntries(sum);
}
