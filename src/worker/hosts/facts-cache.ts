/**
 * A copy of what all pools publish. Strangers ask for it, so it is one copy for all questions, be they about
 * pools that there are or not, and objects are asked for it at most once in a while. Plain data: no
 * promise is shared between requests. [PF4]
 */
import type { PublishedPool } from "../../core/egress-facts.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";

/** How long a copy is used without asking. */
export const FACTS_FRESH_MS = 60_000;
/** The least time between two questions, whatever comes of them and whoever asks. */
const LEAST_INTERVAL_MS = 1_000;
/** How long a failed question is not repeated. */
const PAUSE_AFTER_FAILURE_MS = 10_000;
/** How long whoever has no copy waits for the one that another is asking for. */
const WAIT_MS = 5_000;
const LOOK_EVERY_MS = 20;

/** What was published, and as of when. */
export interface FactsCopy {
  readonly pools: readonly PublishedPool[];
  readonly asOfMs: number;
}

/** Asks for all of it. */
export type LoadFacts = () => Promise<Outcome<readonly PublishedPool[], "control-plane-unavailable">>;
type Found = Outcome<FactsCopy, "control-plane-unavailable">;

/** The copy of one isolate. */
export class FactsCache {
  #copy: FactsCopy | null = null;
  #isDoubted = false;
  #isAsking = false;
  #askAgainAtMs = -Infinity;

  /** What is published; the old copy while it is asked for, and when nobody answers. */
  async find(now: () => number, load: LoadFacts): Promise<Found> {
    const nowMs = now();
    // A clock that was set back must not make anything last.
    if (this.#askAgainAtMs - nowMs > FACTS_FRESH_MS) this.#askAgainAtMs = nowMs;
    const ageMs = this.#copy === null ? Infinity : Math.abs(nowMs - this.#copy.asOfMs);
    if (this.#copy !== null && ageMs < FACTS_FRESH_MS && !this.#isDoubted) return ok(this.#copy);
    if (!this.#isAsking && nowMs >= this.#askAgainAtMs) await this.#ask(now, load);
    const endMs = nowMs + WAIT_MS;
    while (this.#copy === null && this.#isAsking && now() < endMs) {
      await new Promise((resolve) => {
        setTimeout(resolve, LOOK_EVERY_MS);
      });
    }
    return this.#copy === null ? refuse("control-plane-unavailable") : ok(this.#copy);
  }

  /** Something was changed by way of this isolate. */
  doubt(): void {
    this.#isDoubted = true;
    this.#askAgainAtMs = -Infinity;
  }

  async #ask(now: () => number, load: LoadFacts): Promise<void> {
    this.#isAsking = true;
    this.#isDoubted = false;
    const asOfMs = now();
    this.#askAgainAtMs = asOfMs + LEAST_INTERVAL_MS;
    try {
      const loaded = await load();
      if (loaded.ok) this.#copy = { pools: loaded.value, asOfMs };
      else this.#askAgainAtMs = now() + PAUSE_AFTER_FAILURE_MS;
    } finally {
      this.#isAsking = false;
    }
  }
}
