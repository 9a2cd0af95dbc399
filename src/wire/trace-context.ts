/**
 * The trace that a request belongs to, as W3C Trace Context writes it in `traceparent`. Whoever has no part in a
 * trace passes the field on as it is; whoever has one puts its own span in the place of the one before. [MT13]
 */

/** The field. `tracestate` beside it always passes as it is. */
export const TRACEPARENT = "traceparent";

/** A span of a trace. */
export interface SpanPlace {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
}

const SAMPLED = 1;
const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SPAN_BYTES = 8;

/** The span that sent a request, if its trace is recorded; null for anything else, which is passed on as it is. */
export function recordedParent(value: string | null | undefined): SpanPlace | null {
  const [, version, traceId, spanId, flags, more] = PARENT.exec(value ?? "") ?? [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return null;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return null;
  return (Number.parseInt(flags!, 16) & SAMPLED) === 0 ? null : { traceId: traceId!, spanId: spanId! };
}

/** A new span of the same trace. */
export function spanBelow({ traceId }: SpanPlace): SpanPlace {
  const bytes = crypto.getRandomValues(new Uint8Array(SPAN_BYTES));
  const spanId = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { traceId, spanId };
}

/** The field for who comes next. */
export function writeTraceParent({ traceId, spanId }: SpanPlace): string {
  return `00-${traceId}-${spanId}-01`;
}
