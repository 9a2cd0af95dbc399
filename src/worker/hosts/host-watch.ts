/**
 * Watches a request that waits for its answer, or for more of an event stream, so that a host that is
 * gone does not leave it waiting.
 *
 * Two must agree that a host is gone: its gateway does not answer, and its pool, which asks it for a
 * word then, does not hear it. A gateway that answers has a slow destination, and one that answers late
 * is busy; a host that the pool hears is busy, or cannot be
 * reached from this edge for the moment. Gateways are asked first, so that waiting alone never
 * asks the control plane [LAW9]. [WK23] [WK24] [WK44]
 */
import { isHeard, type PlacedHost } from "../../core/placement.ts";
import { OpenQuestions } from "./host-health.ts";
import { health, hostDoubts, missHost, placements } from "./edge-state.ts";
import { type LoadPlacement, RENEWAL_INTERVAL_MS } from "./placement-cache.ts";
import { say } from "../runtime/log.ts";

/** How often a host is looked after, and at first. */
const REQUEST_PACE_MS = 1_000;
/** The same for an event stream, which may last long. */
export const STREAM_PACE_MS = 5_000;
/** How often, when the gateway did not answer. */
const WORRIED_LOOK_MS = 500;
/** The least time between two questions about one pool from here, which its hosts have to answer. */
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
  readonly #paceMs: number;
  #timer: ReturnType<typeof setTimeout>;
  readonly #questions = new OpenQuestions();
  #isStopped = false;

  constructor(waiting: Waiting, onGone: () => void, paceMs = REQUEST_PACE_MS) {
    this.#waiting = waiting;
    this.#onGone = onGone;
    this.#paceMs = paceMs;
    this.#timer = setTimeout(this.#look, paceMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  readonly #look = (): void => {
    this.#judge().catch((fault: unknown) => {
      say("error", "a host could not be looked after", { host: this.#waiting.host.host }, fault);
    });
  };

  async #judge(): Promise<void> {
    const { host, pool, load } = this.#waiting;
    const isThere = await health.isThere(host, this.#questions);
    if (this.#isStopped) return;
    if (isThere) {
      hostDoubts.remove(pool, host.host);
    } else {
      missHost(pool, host.host);
      const nowMs = Date.now();
      // The pool can look after it only once it has been told.
      const isTold = hostDoubts.isTold(pool, host.host, nowMs);
      const intervalMs = isTold ? CONSULTATION_MS : RENEWAL_INTERVAL_MS;
      const found = await placements.reconsider(pool, nowMs, load, intervalMs);
      if (this.#isStopped) return;
      if (found.ok && !isHeard(found.value, host) && health.isLost(host)) return this.#onGone();
    }
    this.#timer = setTimeout(this.#look, isThere ? this.#paceMs : WORRIED_LOOK_MS);
  }
}
