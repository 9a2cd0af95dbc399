/**
 * So many in a second: a bucket that fills evenly and holds as much as one second brings, so that over
 * any time no more pass than the rate allows and one second's worth besides. [LI2]
 */

/** Of one rate. */
export class TokenBucket {
  #perSecond: number;
  #level: number;
  #filledAtMs: number;

  /** Begins full. */
  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#level = perSecond;
    this.#filledAtMs = nowMs;
  }

  /** Goes on at another rate. What is in it stays, and no more than then fits. */
  change(perSecond: number, nowMs: number): void {
    if (perSecond === this.#perSecond) return;
    this.#fill(nowMs);
    this.#perSecond = perSecond;
    this.#level = Math.min(this.#level, perSecond);
  }

  /** Takes one, if there is one. */
  take(nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#level < 1) return false;
    this.#level -= 1;
    return true;
  }

  /** Whether one could be taken. */
  has(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#level >= 1;
  }

  /** Whether it is as if it had never been used. */
  isFull(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#level >= Math.max(1, this.#perSecond);
  }

  /** Until there is one; infinite where none ever comes. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs);
    if (this.#level >= 1) return 0;
    return this.#perSecond <= 0 ? Infinity : ((1 - this.#level) / this.#perSecond) * 1_000;
  }

  #fill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#filledAtMs);
    this.#filledAtMs = nowMs;
    this.#level = Math.min(Math.max(1, this.#perSecond), this.#level + (passedMs * this.#perSecond) / 1_000);
  }
}
