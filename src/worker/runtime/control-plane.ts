/**
 * Every call of a Durable Object goes through here: it is counted, so that a test can prove
 * that a request in steady state makes none, and bounded in time. [WK5]
 */
import { say } from "./log.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";

/** What this isolate did since it began. */
export const edgeCounters = {
  /** Calls of Durable Objects. */
  controlPlaneCalls: 0,
  /** Requests that were given to a host, tries on further hosts not counted. */
  handedOver: 0,
  /** Tries on further hosts. */
  retries: 0,
};

/** Requests that were given to a host, by their pool. */
export const handedOverOf = new Map<string, number>();

/** An object that has not answered by then counts as unreachable. */
const ANSWER_DEADLINE_MS = 5_000;

/**
 * Asks an object. A fault becomes a refusal and is logged; it is never tried again here,
 * least of all when the object is overloaded. [WK6]
 */
export async function askControlPlane<Answer>(
  call: () => Promise<Answer>,
): Promise<Outcome<Answer, "control-plane-unavailable">> {
  edgeCounters.controlPlaneCalls += 1;
  let timer: ReturnType<typeof setTimeout> | null = null;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("no answer in time")), ANSWER_DEADLINE_MS);
  });
  try {
    return ok(await Promise.race([call(), deadline]));
  } catch (fault) {
    say("warn", "an object did not answer", { code: "control-plane-unavailable" }, fault);
    return refuse("control-plane-unavailable");
  } finally {
    clearTimeout(timer);
  }
}
