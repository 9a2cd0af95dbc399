/**
 * The ports of one egress address that are held towards one destination, and the choice of
 * one that is not.
 *
 * A port can serve every destination at once, so what is taken is kept per destination, and
 * only for the units of 64 ports in which something is taken: two words each. A choice draws a
 * unit at random, then one of its free ports. When several units in a row turn out full, the
 * destination is nearly exhausted, and from then on it keeps the exact list of its units with
 * free ports. Building that list costs a fraction of the connections it took to get there, so every
 * choice is constant in time, and every port can be used. [BI1] [BI2]
 *
 * A port that was used rests: it is free, but chosen only when no other is, the longest unused
 * first. [BI14]
 */
import { UNIT_PORT_COUNT, unitOf } from "../../core/port-block.ts";
import type { RandomBelow } from "./random-numbers.ts";

/** Full units met in a row before the exact list is consulted. */
const GUESSES = 4;
const ALL = -1;

/** The units that may be chosen from now; shared by all destinations of an address. */
export interface UsableUnits {
  /** Unit numbers, in no order. */
  readonly list: readonly number[];
  /** By unit number: 1 when it is in the list. */
  readonly has: Uint8Array;
}

/** Held and resting ports of one unit, one bit each. */
interface UnitMask {
  low: number;
  high: number;
}

/** A port that rests, in the list of those of its destination. */
export interface RestingPort {
  readonly port: number;
  /** The next that rests towards the same destination. */
  nextResting: RestingPort | null;
  /** Rested, until it was needed before its time. */
  isTakenUp: boolean;
}

/** What is held towards one destination. */
export class PerDestinationPorts {
  /** Remote address, port and protocol as one text. */
  readonly key: string;
  /** Ports held, whether their unit is still usable or not. */
  heldCount = 0;
  /** Ports held in usable units. */
  usedCount = 0;
  /** Ports that rest. */
  restingCount = 0;
  /** Ports of usable units that are held or rest. */
  #takenCount = 0;
  #restingFirst: RestingPort | null = null;
  #restingLast: RestingPort | null = null;
  readonly #usable: UsableUnits;
  readonly #masks = new Map<number, UnitMask>();
  /** Held down after flows of this process, and held for somebody else as well. */
  readonly #kept = new Set<number>();
  /** Usable units with a free port; null until the choice needs it. */
  #open: number[] | null = null;
  #openAt: Map<number, number> | null = null;

  constructor(key: string, usable: UsableUnits) {
    this.key = key;
    this.#usable = usable;
  }

  /** A free port at random that does not rest, or -1 when there is none. It is not held yet. */
  choose(random: RandomBelow): number {
    const { list } = this.#usable;
    if (this.#takenCount >= list.length * UNIT_PORT_COUNT) return -1;
    for (let guess = 0; guess < GUESSES; guess += 1) {
      const unit = list[random(list.length)]!;
      const mask = this.#masks.get(unit);
      if (mask === undefined) return unit * UNIT_PORT_COUNT + random(UNIT_PORT_COUNT);
      if (!isFull(mask)) return unit * UNIT_PORT_COUNT + freeBitOf(mask, random);
    }
    const open = this.#openUnits();
    const unit = open[random(open.length)]!;
    const mask = this.#masks.get(unit);
    return unit * UNIT_PORT_COUNT + (mask ? freeBitOf(mask, random) : random(UNIT_PORT_COUNT));
  }

  /** The usable port that has rested longest, no longer at rest; -1 when none rests. It is not held yet. */
  takeUp(): number {
    for (let first = this.#restingFirst; first !== null; first = this.#restingFirst) {
      first.isTakenUp = true;
      this.wake(first);
      if (this.#usable.has[unitOf(first.port)] === 1) return first.port;
    }
    return -1;
  }

  /** Holds a free port of a usable unit. */
  hold(port: number): void {
    const unit = unitOf(port);
    let mask = this.#masks.get(unit);
    if (mask === undefined) {
      mask = { low: 0, high: 0 };
      this.#masks.set(unit, mask);
    }
    const bit = port % UNIT_PORT_COUNT;
    if (bit < 32) mask.low |= 1 << bit;
    else mask.high |= 1 << (bit - 32);
    this.heldCount += 1;
    this.usedCount += 1;
    this.#takenCount += 1;
    if (isFull(mask)) this.#close(unit);
  }

  /** Frees a held port that was not used. */
  unhold(port: number): void {
    this.heldCount -= 1;
    if (this.#usable.has[unitOf(port)] === 1) this.usedCount -= 1;
    this.#clear(port);
  }

  /**
   * Holds this very port for somebody else, also one that rests, or is held down after a flow of this
   * process: that one's end must not free it then.
   */
  holdThis(port: number): void {
    if (!this.#isTaken(port)) return this.hold(port);
    if (!this.#takeUpThis(port)) this.#kept.add(port);
    else this.hold(port);
  }

  /** Whether a port whose own time has ended is to stay held all the same. */
  keeps(port: number): boolean {
    return this.#kept.delete(port);
  }

  /** Lets a held port rest. */
  rest(held: RestingPort): void {
    this.heldCount -= 1;
    if (this.#usable.has[unitOf(held.port)] === 1) this.usedCount -= 1;
    this.restingCount += 1;
    if (this.#restingLast === null) this.#restingFirst = held;
    else this.#restingLast.nextResting = held;
    this.#restingLast = held;
  }

  /** Ends the rest of the port that has rested longest, which this must be. */
  wake(held: RestingPort): void {
    this.#restingFirst = held.nextResting;
    if (this.#restingFirst === null) this.#restingLast = null;
    held.nextResting = null;
    this.restingCount -= 1;
    this.#clear(held.port);
  }

  /** To be called after the usable units have changed. */
  recount(): void {
    this.#open = null;
    this.#openAt = null;
    this.#takenCount = 0;
    for (const [unit, { low, high }] of this.#masks) {
      if (this.#usable.has[unit] === 1) this.#takenCount += bitCount(low) + bitCount(high);
    }
    this.usedCount = this.#takenCount;
    for (let resting = this.#restingFirst; resting !== null; resting = resting.nextResting) {
      if (this.#usable.has[unitOf(resting.port)] === 1) this.usedCount -= 1;
    }
  }

  #isTaken(port: number): boolean {
    const mask = this.#masks.get(unitOf(port));
    const bit = port % UNIT_PORT_COUNT;
    if (mask === undefined) return false;
    return ((bit < 32 ? mask.low >>> bit : mask.high >>> (bit - 32)) & 1) === 1;
  }

  /** Ends the rest of this very port; false if it does not rest. */
  #takeUpThis(port: number): boolean {
    let before: RestingPort | null = null;
    for (let resting = this.#restingFirst; resting !== null; resting = resting.nextResting) {
      if (resting.port !== port) {
        before = resting;
        continue;
      }
      if (before === null) {
        this.wake(resting);
      } else {
        before.nextResting = resting.nextResting;
        if (this.#restingLast === resting) this.#restingLast = before;
        resting.nextResting = null;
        this.restingCount -= 1;
        this.#clear(port);
      }
      resting.isTakenUp = true;
      return true;
    }
    return false;
  }

  #clear(port: number): void {
    const unit = unitOf(port);
    const mask = this.#masks.get(unit)!;
    if (isFull(mask)) this.#reopen(unit);
    const bit = port % UNIT_PORT_COUNT;
    if (bit < 32) mask.low &= ~(1 << bit);
    else mask.high &= ~(1 << (bit - 32));
    if (this.#usable.has[unit] === 1) this.#takenCount -= 1;
    if (mask.low === 0 && mask.high === 0) this.#masks.delete(unit);
  }

  #openUnits(): number[] {
    if (this.#open === null) {
      this.#open = this.#usable.list.filter((unit) => {
        const mask = this.#masks.get(unit);
        return mask === undefined || !isFull(mask);
      });
      this.#openAt = new Map(this.#open.map((unit, at) => [unit, at]));
    }
    return this.#open;
  }

  #close(unit: number): void {
    const at = this.#openAt?.get(unit);
    if (at === undefined) return;
    // The last one takes its place.
    const last = this.#open!.pop()!;
    this.#openAt!.delete(unit);
    if (last === unit) return;
    this.#open![at] = last;
    this.#openAt!.set(last, at);
  }

  #reopen(unit: number): void {
    if (this.#open === null || this.#usable.has[unit] !== 1) return;
    this.#openAt!.set(unit, this.#open.length);
    this.#open.push(unit);
  }
}

function isFull(mask: UnitMask): boolean {
  return mask.low === ALL && mask.high === ALL;
}

/** One of the free bits, each as likely as the others; there is at least one. */
function freeBitOf(mask: UnitMask, random: RandomBelow): number {
  const lowFree = 32 - bitCount(mask.low);
  const drawn = random(lowFree + 32 - bitCount(mask.high));
  return drawn < lowFree ? nthFreeBit(mask.low, drawn) : 32 + nthFreeBit(mask.high, drawn - lowFree);
}

function nthFreeBit(held: number, nth: number): number {
  let free = ~held;
  for (let skipped = 0; skipped < nth; skipped += 1) free &= free - 1;
  return 31 - Math.clz32(free & -free);
}

function bitCount(word: number): number {
  let count = word - ((word >>> 1) & 0x5555_5555);
  count = (count & 0x3333_3333) + ((count >>> 2) & 0x3333_3333);
  return Math.imul((count + (count >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
