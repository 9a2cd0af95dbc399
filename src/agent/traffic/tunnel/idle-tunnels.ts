/**
 * Ends tunnels on which nothing passes. RFC 5382 REQ-5: not before 2 hours and 4 minutes while both
 * directions are open, and not before 4 minutes when one has ended. [TN4]
 *
 * One timer for all of them: when a tunnel was last used need not be known to the second.
 */
import { monotonicMs } from "../../../process/clock.ts";

/** A tunnel as its watch sees it. */
export interface WatchedTunnel {
  /** By `IdleTunnels.nowMs`. */
  readonly usedAtMs: number;
  readonly isHalfClosed: boolean;
  /** Ends it. */
  expire(): void;
}

/** How long nothing may pass. */
export interface IdleLimits {
  readonly openMs: number;
  readonly halfClosedMs: number;
}

/** The least that RFC 5382 REQ-5 allows. */
export const IDLE_LIMITS: IdleLimits = { openMs: 7_440_000, halfClosedMs: 240_000 };
const LOOK_EVERY_MS = 5_000;

/** One for all tunnels of a process. */
export class IdleTunnels {
  /** The present, to be compared with itself only: as of the last look. */
  nowMs = monotonicMs();
  readonly #limits: IdleLimits;
  readonly #lookEveryMs: number;
  readonly #tunnels = new Set<WatchedTunnel>();
  #timer: NodeJS.Timeout | null = null;

  constructor(limits: IdleLimits = IDLE_LIMITS) {
    this.#limits = limits;
    this.#lookEveryMs = Math.min(LOOK_EVERY_MS, limits.openMs / 4, limits.halfClosedMs / 4);
  }

  /** Tunnels that stand. */
  get size(): number {
    return this.#tunnels.size;
  }

  add(tunnel: WatchedTunnel): void {
    this.#tunnels.add(tunnel);
    this.#timer ??= setInterval(() => this.look(), this.#lookEveryMs).unref();
  }

  remove(tunnel: WatchedTunnel): void {
    this.#tunnels.delete(tunnel);
    if (this.#tunnels.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Ends those whose time is over. */
  look(): void {
    this.nowMs = monotonicMs();
    const { openMs, halfClosedMs } = this.#limits;
    for (const tunnel of this.#tunnels) {
      const idleMs = this.nowMs - tunnel.usedAtMs;
      if (idleMs >= (tunnel.isHalfClosed ? halfClosedMs : openMs)) tunnel.expire();
    }
  }
}
