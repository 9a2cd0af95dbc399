/**
 * Watches over a request that waits for its answer: a host that falls silent takes nobody along.
 *
 * Two must agree that a host is gone: its gateway does not answer, and its pool does not hear
 * it. A gateway that answers has a slow destination; a host that the pool hears is out of this
 * edge's reach for the moment, or busy. Gateways are asked first, so that waiting alone never
 * asks the control plane [LAW9]; and only what has no answer yet is cut. [WK23] [WK24]
 */
import { isHeard, type PlacedHost } from "../core/placement.ts";
import { health, penalties, placements } from "./edge-state.ts";
import type { LoadPlacement } from "./placement-cache.ts";

/** How long a request waits before anybody looks. */
export const PATIENCE_MS = 1_000;
/** How often it is looked after that. */
const LOOK_MS = 1_000;
/** How often, when the gateway did not answer. */
const WORRIED_LOOK_MS = 500;
/** The least time between two questions about one pool from here. */
const CONSULTATION_MS = 1_500;

/** Where a request waits. */
export interface Waiting {
  readonly host: PlacedHost;
  readonly pool: string;
  readonly load: LoadPlacement;
}

/** Looks after one attempt, from now until it is stopped. */
export class HostWatch {
  readonly #waiting: Waiting;
  readonly #onGone: () => void;
  #timer: ReturnType<typeof setTimeout>;
  #isStopped = false;

  constructor(waiting: Waiting, onGone: () => void) {
    this.#waiting = waiting;
    this.#onGone = onGone;
    this.#timer = setTimeout(this.#look, PATIENCE_MS);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  readonly #look = (): void => {
    this.#judge().catch((fault: unknown) => {
      console.error("a host could not be looked after", fault);
    });
  };

  async #judge(): Promise<void> {
    const { host, pool, load } = this.#waiting;
    const isThere = await health.isThere(host);
    if (this.#isStopped) return;
    if (!isThere) {
      penalties.add(host.host, Date.now());
      const found = await placements.reconsider(pool, Date.now(), load, CONSULTATION_MS);
      if (this.#isStopped) return;
      if (found.ok && !isHeard(found.value, host.host)) return this.#onGone();
    }
    this.#timer = setTimeout(this.#look, isThere ? LOOK_MS : WORRIED_LOOK_MS);
  }
}
