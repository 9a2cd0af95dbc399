/**
 * The only source of chance in a run: the same seed gives the same run, bit for bit. The generator
 * is sfc32 (Chris Doty-Humphrey), 128 bits of state, which passes the common batteries of tests;
 * one that repeats early would make many seeds into few runs.
 */

/** Draws that follow from a seed. */
export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = Math.trunc(seed / 2 ** 32) | 0;
    this.#b = seed | 0;
    this.#c = 0x9e3779b9;
    // The first draws still show the seed.
    for (let at = 0; at < 16; at += 1) this.#draw();
  }

  /** A number in [0, 1). */
  readonly next = (): number => this.#draw() / 2 ** 32;

  /** An integer in [0, limit). */
  readonly below = (limit: number): number => Math.floor(this.next() * limit);

  /** A number in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** Yes, with this probability. */
  isLikely(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of these, each as likely as the others. */
  pick<Item>(items: readonly Item[]): Item {
    if (items.length === 0) throw new RangeError("there is nothing to pick from");
    return items[this.below(items.length)]!;
  }

  /** A generator of its own, so that what draws from it does not disturb the others. */
  fork(): Chance {
    return new Chance(this.#draw() * 2 ** 20 + (this.#draw() >>> 12));
  }

  #draw(): number {
    const drawn = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + drawn;
    this.#c |= 0;
    return drawn >>> 0;
  }
}
