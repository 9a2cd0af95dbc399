/** Since when a host has had more of an address than it needs. [LK7] */
import type { LeaseSettings } from "../../core/pool-settings.ts";
import { type Holdings, isAtRest, restShare } from "./growth-policy.ts";

/** One per keeper. Times are of the monotonic clock, in milliseconds. */
export class RestWatch {
  readonly #restMs: number;
  #sinceMs: number | null = null;

  constructor(restMs: number) {
    this.#restMs = restMs;
  }

  /** Whether it has rested for long enough; then the next rest begins. */
  isOver(holdings: Holdings, settings: LeaseSettings, nowMs: number): boolean {
    if (!isAtRest(holdings, settings)) {
      this.#sinceMs = null;
      return false;
    }
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < this.#restMs * restShare(holdings)) return false;
    this.#sinceMs = null;
    return true;
  }
}
