/** The edge's part in the trace of a request, where there is a collector and the trace is recorded. [MT13] */
import { spansBody, TRACES_PATH } from "../../metrics/otlp.ts";
import { EGRESS_HOST } from "../../wire/header-names.ts";
import {
  recordedParent,
  type SpanPlace,
  spanBelow,
  TRACEPARENT,
  writeTraceParent,
} from "../../wire/trace-context.ts";
import type { Environment } from "../runtime/environment.ts";
import { say } from "../runtime/log.ts";

/** One request whose trace is recorded. */
export interface EdgeTrace {
  readonly own: SpanPlace;
  readonly parent: SpanPlace;
  /** The field for the host. */
  readonly traceParent: string;
}

/** What became of it. */
export interface TracedAnswer {
  readonly answer: Response;
  readonly code: string | null;
  readonly method: string;
  readonly requestId: string;
  readonly beganAtMs: number;
}

const SERVICE = { "service.name": "ipshard-edge" };

/** Null unless the edge is to record it. */
export function traceOf({ headers }: Request, { OTLP_URL }: Environment): EdgeTrace | null {
  if (OTLP_URL === undefined || OTLP_URL === "") return null;
  const parent = recordedParent(headers.get(TRACEPARENT));
  if (parent === null) return null;
  const own = spanBelow(parent);
  return { own, parent, traceParent: writeTraceParent(own) };
}

/** Sends the span, which ends where the answer begins; one that is not taken is lost. */
export async function sendSpan(trace: EdgeTrace, traced: TracedAnswer, env: Environment): Promise<void> {
  const { answer, code, method, requestId, beganAtMs } = traced;
  const span = {
    ...trace.own,
    parentSpanId: trace.parent.spanId,
    name: `egress ${method}`,
    beganAtMs,
    endedAtMs: Date.now(),
    facts: {
      "http.request.method": method,
      "http.response.status_code": answer.status,
      "ipshard.request_id": requestId,
      "ipshard.host": answer.headers.get(EGRESS_HOST),
    },
    code,
  };
  try {
    const taken = await fetch((env.OTLP_URL ?? "").replace(/\/$/, "") + TRACES_PATH, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: spansBody(SERVICE, [span]),
    });
    await taken.body?.cancel();
  } catch (fault) {
    say("warn", "a span was lost", { requestId }, fault);
  }
}
