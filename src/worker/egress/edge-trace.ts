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

/** A collector that takes longer than this takes nothing. */
const ANSWER_MS = 2_000;
/** Spans that are on their way at once: whoever asks decides how many there are. */
const MOST_ON_THEIR_WAY = 64;

const onTheirWay = new Set<{ readonly sinceMs: number }>();
let hasFailed = false;

const SERVICE = { "service.name": "ipshard-edge" };

/** Null unless the edge is to record it. */
export function traceOf({ headers }: Request, { OTLP_URL }: Environment): EdgeTrace | null {
  if (OTLP_URL === undefined || OTLP_URL === "") return null;
  const parent = recordedParent(headers.get(TRACEPARENT));
  if (parent === null) return null;
  const own = spanBelow(parent);
  return { own, parent, traceParent: writeTraceParent(own) };
}

/** Sends the span, which ends where the answer begins; one that is not taken, or of too many at once, is lost. */
export async function sendSpan(trace: EdgeTrace, traced: TracedAnswer, env: Environment): Promise<void> {
  const way = startOfWay(Date.now());
  if (way === null) return;
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
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await taken.body?.cancel();
    if (!taken.ok) throw new Error(`the collector answered ${taken.status}`);
    hasFailed = false;
  } catch (fault) {
    // Once, until it works again: there may be one for each request.
    if (!hasFailed) say("warn", "a span was lost", { requestId }, fault);
    hasFailed = true;
  } finally {
    onTheirWay.delete(way);
  }
}

function startOfWay(sinceMs: number): { readonly sinceMs: number } | null {
  if (onTheirWay.size >= MOST_ON_THEIR_WAY) {
    // The platform may have ended a request together with what it was to do when a span has been sent.
    for (const way of onTheirWay) if (sinceMs - way.sinceMs > 2 * ANSWER_MS) onTheirWay.delete(way);
  }
  if (onTheirWay.size >= MOST_ON_THEIR_WAY) return null;
  const way = { sinceMs };
  onTheirWay.add(way);
  return way;
}
