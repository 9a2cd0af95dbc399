/**
 * By how much the clocks of hosts differ from that of whoever looks, as far as it can be told: the minute
 * that a host counts begins by its clock, and is not over. A difference is taken to be as small as what
 * was heard permits, and so is none where the clocks may be right. [PG6]
 */
import type { WatchedHost } from "../../core/live-view.ts";

const MINUTE_MS = 60_000;

interface Bounds {
  readonly leastMs: number;
  readonly mostMs: number;
}

/** The clocks. */
export class HostClocks {
  readonly #bounds = new Map<string, Bounds>();

  /** What hosts told just now. */
  take(hosts: Readonly<Record<string, WatchedHost>>, nowMs: number): void {
    for (const [host, { minute }] of Object.entries(hosts)) {
      const leastMs = minute.atMs - nowMs;
      const mostMs = leastMs + MINUTE_MS;
      const before = this.#bounds.get(host) ?? { leastMs: -Infinity, mostMs: Infinity };
      // A clock that was set since then contradicts what was known.
      const isOther = leastMs > before.mostMs || mostMs < before.leastMs;
      this.#bounds.set(
        host,
        isOther
          ? { leastMs, mostMs }
          : { leastMs: Math.max(before.leastMs, leastMs), mostMs: Math.min(before.mostMs, mostMs) },
      );
    }
  }

  /** What to add to the time of whoever looks to have that of a host. */
  offsetMs(host: string): number {
    const { leastMs, mostMs } = this.#bounds.get(host) ?? { leastMs: 0, mostMs: 0 };
    return Math.min(Math.max(0, leastMs), mostMs);
  }

  /** The same for all hosts together: that of the one in the middle. */
  usualOffsetMs(): number {
    const offsets = [...this.#bounds.keys()].map((host) => this.offsetMs(host)).toSorted((a, b) => a - b);
    return offsets[Math.floor(offsets.length / 2)] ?? 0;
  }
}
