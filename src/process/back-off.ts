/**
 * How long to wait before trying again: twice as long each time, at random between nothing and
 * that, so that many hosts that lost the same edge do not come back in step.
 */

/** Bounds of the wait, in milliseconds: `firstMs` for the first failure, `longestMs` at most. */
export interface BackOffBounds {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Counts failures in a row. */
export class BackOff {
  readonly #bounds: BackOffBounds;
  readonly #random: () => number;
  #failures = 0;

  constructor(bounds: BackOffBounds, random: () => number) {
    this.#bounds = bounds;
    this.#random = random;
  }

  /** Notes a failure and tells how long to wait, in milliseconds; never under `firstMs`. */
  fail(): number {
    const { firstMs, longestMs } = this.#bounds;
    const ceilingMs = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures + 1, 30));
    this.#failures += 1;
    return firstMs + this.#random() * Math.max(0, ceilingMs - firstMs);
  }

  /** Forgets the failures. */
  succeed(): void {
    this.#failures = 0;
  }
}
