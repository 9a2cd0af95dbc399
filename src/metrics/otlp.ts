/**
 * Spans as a collector of OpenTelemetry takes them: OTLP over HTTP, in JSON. One kind of span, so this is all
 * that is needed of it, at the edge and on hosts. [MT13]
 */

/** What a span says of itself; what is null is not said. */
export type SpanFacts = Readonly<Record<string, string | number | null>>;

/** One hop of a request, from its beginning to its end. */
export interface FinishedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** Unix milliseconds. */
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  readonly facts: SpanFacts;
  /** The code of a refusal that ended it; null for none. */
  readonly code: string | null;
}

/** Where at a collector spans go. */
export const TRACES_PATH = "/v1/traces";

const KIND_SERVER = 2;
const STATUS_ERROR = 2;

/** The body of a request to a collector; `service` is said of all of them. */
export function spansBody(service: SpanFacts, spans: readonly FinishedSpan[]): string {
  const scopeSpans = [{ scope: { name: "ipshard" }, spans: spans.map(spanOf) }];
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: attributesOf(service) }, scopeSpans }] });
}

function spanOf({ traceId, spanId, parentSpanId, name, beganAtMs, endedAtMs, facts, code }: FinishedSpan) {
  return {
    traceId,
    spanId,
    parentSpanId,
    name,
    kind: KIND_SERVER,
    startTimeUnixNano: nanoseconds(beganAtMs),
    endTimeUnixNano: nanoseconds(endedAtMs),
    attributes: attributesOf({ ...facts, "error.type": code }),
    status: code === null ? {} : { code: STATUS_ERROR, message: code },
  };
}

function attributesOf(facts: SpanFacts): { key: string; value: Record<string, string> }[] {
  return Object.entries(facts).flatMap(([key, fact]) => {
    if (fact === null) return [];
    return { key, value: typeof fact === "number" ? { intValue: String(fact) } : { stringValue: fact } };
  });
}

/** A number of JSON would lose some of it. */
function nanoseconds(ms: number): string {
  return `${Math.floor(ms)}${String(Math.floor((ms % 1) * 1_000_000)).padStart(6, "0")}`;
}
