/**
 * What a host was told, as far as it has surely been acted upon: its kernel hears of an answer a moment after the agent
 * has read it, and a machine that sleeps in that moment wakes up with what its kernel had before. Several answers may
 * come within such a moment, so each counts from its own.
 */

/** An answer has been acted upon when the agent has run for so long: the kernel was told. */
export const ADOPTION_MS = 1_000;

interface Telling {
  readonly endsAtMs: number;
  /** By the time that the agent ran. */
  readonly atRunningMs: number;
}

/** Of one address of a host. */
export class ActedUpon {
  #endsAtMs = 0;
  /** Not acted upon yet, as far as is known; the newest last. */
  #news: Telling[] = [];

  /** The agent, having run for so long, has read that its blocks are its own until then (true time). */
  told(endsAtMs: number, runningMs: number): void {
    this.surelyEndsAtMs(runningMs);
    this.#news.push({ endsAtMs, atRunningMs: runningMs });
  }

  /** Until when its kernel surely lets it send, in true time, once its agent has run for so long. */
  surelyEndsAtMs(runningMs: number): number {
    while (this.#news.length > 0 && runningMs - this.#news[0]!.atRunningMs >= ADOPTION_MS) {
      this.#endsAtMs = Math.max(this.#endsAtMs, this.#news.shift()!.endsAtMs);
    }
    return this.#endsAtMs;
  }

  /** The agent has ended after having run for so long: the rest its kernel may never hear. */
  ended(runningMs: number): void {
    this.surelyEndsAtMs(runningMs);
    this.#news = [];
  }
}
