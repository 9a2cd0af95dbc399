/**
 * Whether a host's gateway is there, found out by asking it: the answer of the data path, which
 * needs no control plane. What was learnt is shared by the requests of an isolate as plain
 * data, so that many that wait for one host ask it once. [WK24]
 */
import type { PlacedHost } from "../../core/placement.ts";

/** A gateway that has not answered by then is not there. */
export const ANSWER_DEADLINE_MS = 1_000;
/** How long an answer is used before the gateway is asked again. */
const SHARED_MS = 1_000;
/** Gateways that are remembered; beyond it the oldest is forgotten. */
const REMEMBERED_GATEWAYS = 4_096;

interface Knowledge {
  askedAtMs: number;
  isThere: boolean;
}

/** What one isolate knows. */
export class HostHealth {
  readonly #known = new Map<string, Knowledge>();

  /** Whether a gateway is there, as of a moment ago; while another request asks, what was known. */
  async isThere({ gateway }: PlacedHost): Promise<boolean> {
    const known = this.#known.get(gateway);
    const ageMs = known === undefined ? Infinity : Date.now() - known.askedAtMs;
    // A clock that was set back must not make it last.
    return known !== undefined && Math.abs(ageMs) < SHARED_MS ? known.isThere : this.ask(gateway);
  }

  /** Asks now. */
  async ask(gateway: string): Promise<boolean> {
    const before = this.#known.get(gateway);
    const present = { askedAtMs: Date.now(), isThere: before?.isThere ?? true };
    this.#known.delete(gateway);
    if (this.#known.size >= REMEMBERED_GATEWAYS) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(gateway, present);
    present.isThere = await answers(gateway);
    present.askedAtMs = Date.now();
    return present.isThere;
  }
}

/** A gateway that cannot serve says so, and is there; a proxy before it answers in another way. */
async function answers(gateway: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_DEADLINE_MS);
    const response = await fetch(`${gateway}/health`, { redirect: "manual", signal });
    const said = await response.json<{ status?: unknown } | null>();
    return typeof said?.status === "string";
  } catch {
    return false;
  }
}
