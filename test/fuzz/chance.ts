/** Chance from a seed, so that a run can be told again. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** In [0, 1): mulberry32. */
  share(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.share() * limit);
  }

  /** One of these. */
  of<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]!;
  }

  /** Yes, this often. */
  is(share: number): boolean {
    return this.share() < share;
  }
}
