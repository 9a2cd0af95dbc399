/** Spans of the requests and flows that a host sends, for a collector of OpenTelemetry. [MT13] [MT14] */
import type { FinishedSpan } from "../metrics/otlp.ts";
import { readClock } from "../process/clock.ts";
import { recordedParent, spanBelow, TRACEPARENT, writeTraceParent } from "../wire/trace-context.ts";
import { type FlowContext, toldAs } from "./egress/flow-context.ts";
import type { RawHeaders } from "./traffic/http/forwarded-headers.ts";
import type { HopSpan, HopSpans } from "./traffic/origins/request-watch.ts";

/** One per process that carries traffic, if there is a collector. */
export class RequestSpans implements HopSpans {
  readonly #add: (span: FinishedSpan) => void;

  /** `add` takes those that have ended. */
  constructor(add: (span: FinishedSpan) => void) {
    this.#add = add;
  }

  begin(method: string, headers: RawHeaders, context: FlowContext, what = method): HopSpan | null {
    const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === TRACEPARENT);
    const parent = at < 0 ? null : recordedParent(headers[at + 1]);
    if (parent === null) return null;
    const own = spanBelow(parent);
    const { wallMs, monotonicMs } = readClock();
    headers[at + 1] = writeTraceParent(own);
    return new RequestSpan(this.#add, monotonicMs, {
      ...own,
      parentSpanId: parent.spanId,
      name: `egress ${what}`,
      beganAtMs: wallMs,
      facts: {
        "http.request.method": method,
        "ipshard.request_id": context.requestId,
        "ipshard.pool": context.pool,
        "ipshard.ip": toldAs(context.address),
      },
    });
  }
}

class RequestSpan implements HopSpan {
  readonly #add: (span: FinishedSpan) => void;
  readonly #begun: Omit<FinishedSpan, "endedAtMs" | "code">;
  readonly #sinceMs: number;
  #answer: Record<string, number | null> = {};
  #carried: Record<string, number> = {};
  #code: string | null = null;
  #hasEnded = false;

  constructor(
    add: (span: FinishedSpan) => void,
    sinceMs: number,
    begun: Omit<FinishedSpan, "endedAtMs" | "code">,
  ) {
    this.#add = add;
    this.#sinceMs = sinceMs;
    this.#begun = begun;
  }

  answered(status: number, port: number | null): void {
    this.#answer = { "http.response.status_code": status, "ipshard.port": port };
  }

  carried(sentBytes: number, receivedBytes: number): void {
    this.#carried = { "ipshard.sent_bytes": sentBytes, "ipshard.received_bytes": receivedBytes };
  }

  refused(code: string): void {
    this.#code ??= code;
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    // A wall clock that is set meanwhile makes no span longer.
    const endedAtMs = this.#begun.beganAtMs + readClock().monotonicMs - this.#sinceMs;
    const facts = { ...this.#begun.facts, ...this.#answer, ...this.#carried };
    this.#add({ ...this.#begun, endedAtMs, facts, code: this.#code });
  }
}
