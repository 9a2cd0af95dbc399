/**
 * Held ports in the order in which their time ends, which is the order in which they came: all
 * of a queue wait equally long. Adding and taking out cost the same however many wait.
 */
import type { HeldPort } from "./held-port.ts";

/** First in, first out; a port is in one queue at a time. */
export class HoldQueue {
  /** Ports that wait. */
  count = 0;
  #first: HeldPort | null = null;
  #last: HeldPort | null = null;

  /** When the first one's time ends; null when none waits. */
  get endsAtMs(): number | null {
    return this.#first?.lapsesAtMs ?? null;
  }

  /** Adds a port; its time ends no earlier than that of those before it. */
  push(held: HeldPort, lapsesAtMs: number): void {
    held.lapsesAtMs = lapsesAtMs;
    held.next = null;
    if (this.#last === null) this.#first = held;
    else this.#last.next = held;
    this.#last = held;
    this.count += 1;
  }

  /** Takes out the first, if its time has ended or more than so many wait; else null. */
  shift(nowMs: number, maxCount = Infinity): HeldPort | null {
    const first = this.#first;
    if (first === null || (first.lapsesAtMs > nowMs && this.count <= maxCount)) return null;
    this.#first = first.next;
    if (this.#first === null) this.#last = null;
    first.next = null;
    this.count -= 1;
    return first;
  }
}
