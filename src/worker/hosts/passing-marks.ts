/**
 * What is true of something for a while: a host that failed a moment ago, a name that has no
 * IPv6 address. Bounded, so that no stranger can fill an isolate's memory.
 */

/** Marks that pass by themselves. */
export class PassingMarks {
  readonly #durationMs: number;
  readonly #limit: number;
  /** In the order in which they end, for all last alike. */
  readonly #untilMs = new Map<string, number>();

  constructor(durationMs: number, limit: number) {
    this.#durationMs = durationMs;
    this.#limit = limit;
  }

  /** Marks from now on; beyond the limit the oldest mark is forgotten. */
  add(key: string, nowMs: number): void {
    this.#untilMs.delete(key);
    if (this.#untilMs.size >= this.#limit) this.#untilMs.delete(this.#untilMs.keys().next().value!);
    this.#untilMs.set(key, nowMs + this.#durationMs);
  }

  /** Takes a mark off. */
  remove(key: string): void {
    this.#untilMs.delete(key);
  }

  has(key: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined) return false;
    if (this.#lasts(untilMs, nowMs)) return true;
    this.#untilMs.delete(key);
    return false;
  }

  /** All that is marked now, oldest marks first. */
  present(nowMs: number): string[] {
    return [...this.#untilMs].filter(([, untilMs]) => this.#lasts(untilMs, nowMs)).map(([key]) => key);
  }

  /** Whether nothing is marked now: the common case, which should cost nothing. */
  isEmpty(nowMs: number): boolean {
    for (const [key, untilMs] of this.#untilMs) {
      if (this.#lasts(untilMs, nowMs)) return false;
      this.#untilMs.delete(key);
    }
    return true;
  }

  /** A clock that was set back must not make a mark last. */
  #lasts(untilMs: number, nowMs: number): boolean {
    return nowMs < untilMs && untilMs - nowMs <= this.#durationMs;
  }
}
