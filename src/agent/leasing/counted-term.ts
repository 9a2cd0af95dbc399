/**
 * Until when a keeper counts on what it holds of an address, and when it asks to renew it: of leases
 * by its own two clocks, from before it asked; of static slots without an end. [LK1] [LK5] [SM3]
 */
import {
  type ClockReading,
  ENDLESS_TERM,
  isEndless,
  type LeaseTerm,
  remainingMs,
  termFrom,
} from "../../core/lease-term.ts";
import type { LeaseReply } from "../../core/messages.ts";
import { renewalDelayMs } from "../../core/renewal-time.ts";
import { isStatic } from "../../core/static-slots.ts";

/** What of an answer concerns the term. */
type TermAnswer = Pick<LeaseReply & { type: "answer" }, "settings" | "leaseDurationMs">;

/** One per keeper. */
export class CountedTerm {
  readonly #renewalPhase: number;
  #term: LeaseTerm | null;
  #renewAtMs = 0;

  /**
   * What a host has on its own disk it has without an end, until the edge says otherwise [SM9].
   * `renewalPhase` is as `renewalPhaseOf` tells.
   */
  constructor(hasSlots: boolean, renewalPhase: number) {
    this.#renewalPhase = renewalPhase;
    this.#term = hasSlots ? ENDLESS_TERM : null;
  }

  /** When to renew, by the monotonic clock. */
  get renewAtMs(): number {
    return this.#renewAtMs;
  }

  /** Null while nothing may be used. */
  get value(): LeaseTerm | null {
    return this.#term;
  }

  /** Whether its end has come, by the stricter of both clocks. */
  isOver(now: ClockReading): boolean {
    return this.#term !== null && remainingMs(this.#term, now) <= 0;
  }

  /** Time left from now on; infinite where there is no term, or no end. */
  leftMs(now: ClockReading): number {
    return this.#term === null ? Infinity : remainingMs(this.#term, now);
  }

  /** Whether no time ends it. */
  get isEndless(): boolean {
    return isEndless(this.#term);
  }

  /** Nothing may be used any more. */
  end(): void {
    this.#term = null;
  }

  /** Takes what an answer gives to a request that was sent at `sentAt` for the first time. */
  answered({ settings, leaseDurationMs }: TermAnswer, sentAt: ClockReading, now: ClockReading): void {
    // A pool that is not static any more lists no slot: what had no end is over with that. [SM6]
    if (isEndless(this.#term) && !isStatic(settings)) this.#term = null;
    if (leaseDurationMs === null) return;
    const term = isStatic(settings) ? ENDLESS_TERM : termFrom(sentAt, leaseDurationMs);
    this.#renewAtMs = now.monotonicMs;
    // An answer that is read after the end of its own term gives nothing. [LK2]
    if (remainingMs(term, now) <= 0) return;
    // Each holds as a whole, by its own two clocks: the wall clock may have been set since the older
    // one was counted, and the machine may have slept. [HO4]
    if (this.#term === null || remainingMs(term, now) >= remainingMs(this.#term, now)) this.#term = term;
    const delayMs = renewalDelayMs(sentAt.wallMs, leaseDurationMs, this.#renewalPhase);
    this.#renewAtMs = sentAt.monotonicMs + delayMs;
  }
}
