/**
 * Finds the few requests that wait long, at next to no cost for all others.
 *
 * A timer and an abort signal of its own would cost a request as much as all else that the edge does
 * for it. So one timer counts for all who wait at the same time: those who still wait when it ends
 * are looked after by themselves from then on. Between requests only plain data is shared, and the
 * ends of promises: each request goes on in its own context.
 */
import type { Background } from "../runtime/environment.ts";

/** A wait that is longer than this is noticed. */
export const UNNOTICED_MS = 1_000;

/** What tells a long wait from an answer. */
export const LONG = Symbol("long");

/** One wait; the code that began it ends it. */
export interface Wait {
  /** Fulfilled when the wait has become long. */
  readonly isLong: Promise<typeof LONG>;
  readonly end: () => void;
}

/** The timer that runs while any request waits, for a second at most. */
interface Count {
  readonly endsAtMs: number;
  readonly waiting: Set<(long: typeof LONG) => void>;
  /** Ends the wait early. */
  readonly stop: () => void;
}

/** The waits of one isolate that are not long yet. */
export class LongWaits {
  #count: Count | null = null;

  /** Begins a wait. The timer runs in the background of one of those who wait. */
  begin(background: Background): Wait {
    const { waiting } = this.#countNow(background);
    const { promise, resolve } = Promise.withResolvers<typeof LONG>();
    waiting.add(resolve);
    const end = (): void => {
      if (waiting.delete(resolve) && waiting.size === 0) this.#stop(waiting);
    };
    return { isLong: promise, end };
  }

  #countNow(background: Background): Count {
    const nowMs = Date.now();
    const before = this.#count;
    // No wait may be forgotten, even if the clock was set back or a context was destroyed.
    if (before !== null && nowMs < before.endsAtMs && before.endsAtMs - nowMs <= UNNOTICED_MS) return before;
    const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
    const count = { endsAtMs: nowMs + UNNOTICED_MS, waiting: before?.waiting ?? new Set<never>(), stop };
    this.#count = count;
    // It outlives its request, or the others would be forgotten when that is over.
    background.waitUntil(this.#run(count, stopped));
    return count;
  }

  #stop(waiting: Count["waiting"]): void {
    const count = this.#count;
    if (count?.waiting !== waiting) return;
    this.#count = null;
    count.stop();
  }

  async #run(count: Count, stopped: Promise<void>): Promise<void> {
    await Promise.race([scheduler.wait(UNNOTICED_MS), stopped]);
    if (this.#count === count) this.#count = null;
    // Forgets requests that broke off without ending their wait, too.
    for (const tell of count.waiting) tell(LONG);
    count.waiting.clear();
  }
}
