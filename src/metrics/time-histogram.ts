/** Times by how long they were, for where no library for it runs: the Worker. [MT15] */

/** One series of a histogram: how many times were as long as each bound, or shorter. */
export class TimeHistogram {
  readonly #bounds: readonly number[];
  /** Of each bound those that no smaller one has; the last are longer than all. */
  readonly #counts: number[];
  #sumMs = 0;

  /** Upper bounds in seconds, rising. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  /** Notes a time that has passed, in milliseconds. */
  note(durationMs: number): void {
    // A clock that was set back meanwhile takes nothing from the sum.
    const ms = Math.max(0, durationMs);
    const at = this.#bounds.findIndex((bound) => ms <= bound * 1_000);
    this.#counts[at < 0 ? this.#bounds.length : at]! += 1;
    this.#sumMs += ms;
  }

  /** As Prometheus has it: each bound counts those of the smaller ones, too. */
  read(): Readings {
    let count = 0;
    const buckets = [...this.#bounds.map(String), "+Inf"].map((bound, at) => {
      count += this.#counts[at]!;
      return { bound, count };
    });
    return { buckets, count, sumSeconds: this.#sumMs / 1_000 };
  }
}

/** What a series says. */
export interface Readings {
  readonly buckets: readonly { readonly bound: string; readonly count: number }[];
  readonly count: number;
  readonly sumSeconds: number;
}
