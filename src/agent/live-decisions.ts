/**
 * Decisions as they are made, for who looks at this host: noted only while somebody does, beside whoever
 * logs or measures them. [LV7]
 */
import type { LiveDecision, TakenDecisions } from "../core/live-view.ts";
import type { DecisionParts } from "./decision-log.ts";
import type { FlowContext } from "./egress/flow-context.ts";
import { NotedDecisions } from "./watch/noted-decisions.ts";

/** Whose decisions they are. */
type Parts = Omit<DecisionParts, "log">;

/** One per data plane. */
export class LiveDecisions {
  readonly #parts: Parts;
  readonly #noted = new NotedDecisions();
  /** Puts back what was called before; null while nothing is noted. */
  #untap: (() => void) | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Has at most so many noted until they are taken; none for 0. */
  limit(most: number): void {
    this.#noted.limit(most);
    if (most > 0) this.#untap ??= this.#tap();
    else {
      this.#untap?.();
      this.#untap = null;
    }
  }

  take(): TakenDecisions {
    return this.#noted.take();
  }

  #tap(): () => void {
    const { admission, outgoing, refusalCounts } = this.#parts;
    const { onAdmitted } = admission;
    const { onFirstByte } = outgoing;
    const { onRefused } = refusalCounts;
    admission.onAdmitted = (context, kind) => {
      if (kind !== "request") this.#note("admitted", () => ({ ...factsOf(context), kind }));
      onAdmitted?.(context, kind);
    };
    outgoing.onFirstByte = (tookMs, context, status, port) => {
      const more = { ...(port === null ? {} : { port }), status, tookMs: Math.round(tookMs) };
      this.#note("answered", () => ({ ...factsOf(context), ...more }));
      onFirstByte?.(tookMs, context, status, port);
    };
    refusalCounts.onRefused = (code, context, requestId) => {
      const named = requestId === null ? {} : { requestId };
      this.#note("refused", () => ({ ...(context === null ? named : factsOf(context)), code }));
      onRefused?.(code, context, requestId);
    };
    return () => {
      admission.onAdmitted = onAdmitted;
      outgoing.onFirstByte = onFirstByte;
      refusalCounts.onRefused = onRefused;
    };
  }

  #note(decision: LiveDecision["decision"], facts: () => Omit<LiveDecision, "atMs" | "decision">): void {
    this.#noted.note(() => ({ atMs: Date.now(), decision, ...facts() }));
  }
}

function factsOf({
  requestId,
  tenant,
  client,
  address,
}: FlowContext): Omit<LiveDecision, "atMs" | "decision"> {
  return { ...(requestId === null ? {} : { requestId }), tenant, client, ip: address.ip };
}
