/** Flows that wait for a port, each for so long at most, and only while somebody wants it. [BI6] */
import type { CancelTimer, Timers } from "../../process/timers.ts";

/** One per address. */
export class PortWaiters {
  readonly #timers: Timers;
  readonly #waiting = new Set<() => void>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Resolves when there may be a port, when the time is over, or when nobody wants it any more. */
  wait(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        signal?.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      const cancel: CancelTimer = this.#timers.after(timeoutMs, wake);
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  /** There may be ports now. */
  wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
