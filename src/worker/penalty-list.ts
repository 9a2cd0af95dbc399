/** Hosts that failed a moment ago and are not asked for a while, if there are others. [WK8] */

/** How long a host is passed over. */
export const PENALTY_MS = 5_000;

const NONE: ReadonlySet<string> = new Set();

/** The penalties of one isolate. */
export class PenaltyList {
  readonly #untilMs = new Map<string, number>();

  /** Passes a host over from now on. */
  add(host: string, nowMs: number): void {
    this.#untilMs.set(host, nowMs + PENALTY_MS);
  }

  /** The hosts to be passed over now. */
  current(nowMs: number): ReadonlySet<string> {
    if (this.#untilMs.size === 0) return NONE;
    for (const [host, untilMs] of this.#untilMs) if (nowMs >= untilMs) this.#untilMs.delete(host);
    return new Set(this.#untilMs.keys());
  }
}
