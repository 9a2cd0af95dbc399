/**
 * Whether a host's gateway is there, found out by asking it: the answer of the data path, which
 * needs no control plane. What was learnt is shared by the requests of an isolate as plain
 * data, so that many that wait for one host ask it once. [WK24]
 */
import type { PlacedHost } from "../../core/placement.ts";

/** A gateway that has not answered by then is not there. */
const ANSWER_DEADLINE_MS = 1_000;
/** In so many steps, each of which begins when the one before it was seen to end. */
const DEADLINE_STEPS = 10;
/** How long an answer is used before the gateway is asked again. */
const SHARED_MS = 1_000;
/** Gateways that are remembered; beyond it the oldest is forgotten. */
const REMEMBERED_GATEWAYS = 4_096;

interface Knowledge {
  /** When a question was begun or answered last: for so long what is known is used. */
  sharedFromMs: number;
  isThere: boolean;
  /** When the question was asked that found this out. */
  asOfMs: number;
}

/** What one isolate knows. */
export class HostHealth {
  readonly #known = new Map<string, Knowledge>();

  /** Whether a gateway is there, as of a moment ago; while another request asks, what was known. */
  async isThere({ gateway }: PlacedHost): Promise<boolean> {
    const known = this.#known.get(gateway);
    const ageMs = known === undefined ? Infinity : Date.now() - known.sharedFromMs;
    // A clock that was set back must not make it last.
    return known !== undefined && Math.abs(ageMs) < SHARED_MS ? known.isThere : this.ask(gateway);
  }

  /** Asks now. */
  async ask(gateway: string): Promise<boolean> {
    const nowMs = Date.now();
    const before = this.#known.get(gateway);
    const present = {
      sharedFromMs: nowMs,
      isThere: before?.isThere ?? true,
      asOfMs: Math.min(before?.asOfMs ?? 0, nowMs),
    };
    this.#known.delete(gateway);
    if (this.#known.size >= REMEMBERED_GATEWAYS) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(gateway, present);
    const isThere = await answers(gateway);
    present.sharedFromMs = Date.now();
    // A silent gateway takes as long as an answer is shared, so the next question may have begun:
    // unless this one counts then too, each would be lost to the one after it.
    const latest = this.#known.get(gateway) ?? present;
    if (latest.asOfMs <= nowMs) Object.assign(latest, { isThere, asOfMs: nowMs });
    return isThere;
  }
}

/** A gateway that cannot serve says so, and is there; a proxy before it answers in another way. */
async function answers(gateway: string): Promise<boolean> {
  const deadline = new Deadline();
  try {
    const response = await fetch(`${gateway}/health`, { redirect: "manual", signal: deadline.signal });
    const said = await response.json<{ status?: unknown } | null>();
    return typeof said?.status === "string";
  } catch {
    return false;
  } finally {
    deadline.cancel();
  }
}

/**
 * A second of silence, as far as there was somebody to hear. A Worker that was held up for seconds, by
 * thousands of requests or a slow disk, finds its timers due before it comes to the answers that arrived
 * meanwhile: for it one step has passed, not the second. [WK24]
 */
class Deadline {
  readonly #controller = new AbortController();
  #stepsLeft = DEADLINE_STEPS;
  #timer = this.#step();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  #step(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      this.#stepsLeft -= 1;
      if (this.#stepsLeft === 0) this.#controller.abort();
      else this.#timer = this.#step();
    }, ANSWER_DEADLINE_MS / DEADLINE_STEPS);
  }
}
