/**
 * How the clocks of addresses were set. A forward leap ends leases early, by as much as the address
 * believes it; in all no more than it can absorb. [LE6]
 */
import type { Timeline } from "./timeline.ts";

/** Of all that an operator may set in a run. */
export const LONGEST_LEASE_MS = 15_000;

/** Told of a leap, and of how much of it is believed. */
type OnLeap = (ip: string, byMs: number, believedMs: number) => void;

/** One per run. */
export class AddressClocks {
  readonly #timeline: Timeline;
  readonly #quarantineMs: number;
  readonly #onLeap: OnLeap;
  readonly #leaps: { readonly ip: string; readonly atMs: number; readonly byMs: number }[] = [];

  constructor(timeline: Timeline, quarantineMs: number, onLeap: OnLeap) {
    this.#timeline = timeline;
    this.#quarantineMs = quarantineMs;
    this.#onLeap = onLeap;
  }

  /** By how much an address has taken leaps for time that has passed, since then. */
  believedLeapsMs(ip: string, sinceMs: number): number {
    let believedMs = 0;
    for (const leap of this.#leaps) {
      if (leap.ip === ip && leap.atMs >= sinceMs && leap.byMs > 0) believedMs += this.#believed(leap.byMs);
    }
    return believedMs;
  }

  /** Whether a clock may be set by this much; if so it is noted. */
  mayLeap(ip: string, byMs: number): boolean {
    const windowMs = LONGEST_LEASE_MS + 2 * this.#quarantineMs;
    const before = this.believedLeapsMs(ip, this.#timeline.nowMs - windowMs);
    if (byMs > 0 && before + this.#believed(byMs) > this.#mostMs) return false;
    this.#leaps.push({ ip, atMs: this.#timeline.nowMs, byMs });
    this.#onLeap(ip, byMs, this.#believed(byMs));
    return true;
  }

  /** An address takes at most half a quarantine of a forward leap for time that has passed. */
  get #mostMs(): number {
    return Math.max(1_000, this.#quarantineMs / 2);
  }

  #believed(byMs: number): number {
    return Math.min(this.#mostMs, byMs);
  }
}
