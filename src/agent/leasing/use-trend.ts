/** How fast use grows, so that a block is asked for before it is needed. [LK14] */

/** A look that comes sooner after the last says little. */
const LEAST_INTERVAL_MS = 1_000;
/** After so long without a look nothing is known. */
const LONGEST_INTERVAL_MS = 10_000;
/** What was seen before counts for so much less with every look: growth that pauses is not over. */
const FADING = 0.5;

/** Growth of one number, seen at each look at it. Times are of the monotonic clock. */
export class UseTrend {
  #atMs = -Infinity;
  #count = 0;
  #perSecond = 0;

  /** Growth in ports a second; never negative. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Takes a look. */
  note(count: number, nowMs: number): void {
    const tookMs = nowMs - this.#atMs;
    if (tookMs < LEAST_INTERVAL_MS) return;
    const seen = tookMs > LONGEST_INTERVAL_MS ? 0 : ((count - this.#count) * 1000) / tookMs;
    this.#perSecond = Math.max(seen, tookMs > LONGEST_INTERVAL_MS ? 0 : this.#perSecond * FADING);
    if (this.#perSecond < 1) this.#perSecond = 0;
    this.#atMs = nowMs;
    this.#count = count;
  }
}
