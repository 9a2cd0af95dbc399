/** How far the kernel is behind what the pool has said. Hosts wait for it before they use new ports. [MT7] */
import { monotonicMs } from "../../process/clock.ts";

/** One per router. */
export class SteeringLag {
  /** Told how long a change took from being heard to being applied. */
  onApplied: ((tookMs: number) => void) | null = null;
  readonly #nowMs: () => number;
  /** Changes that the kernel has not applied: their numbers rise, and so do their times. */
  readonly #heard = new Map<number, number>();

  /** `nowMs` reads a monotonic clock. */
  constructor(nowMs: () => number = monotonicMs) {
    this.#nowMs = nowMs;
  }

  /** The pool has said a change, or its whole table as of it. */
  heard(sequence: number): void {
    // Told once more it is no newer.
    if (!this.#heard.has(sequence)) this.#heard.set(sequence, this.#nowMs());
  }

  /** The kernel has applied everything up to this number. */
  applied(sequence: number): void {
    const nowMs = this.#nowMs();
    for (const [number, atMs] of this.#heard) {
      if (number > sequence) continue;
      this.#heard.delete(number);
      this.onApplied?.(nowMs - atMs);
    }
  }

  /** The connection is new: what the pool says now is what counts. */
  begunAnew(): void {
    this.#heard.clear();
  }

  /** How long the oldest of them waits (milliseconds); 0 when none does. */
  get ms(): number {
    const [oldestAtMs] = this.#heard.values();
    return oldestAtMs === undefined ? 0 : this.#nowMs() - oldestAtMs;
  }
}
