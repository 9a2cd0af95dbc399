import { expect, test } from "vitest";
import { recordedParent, spanBelow, writeTraceParent } from "../../src/wire/trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

test("[MT13] who sent a request is read from traceparent if the trace is recorded, also of later versions", () => {
  const parent = { traceId: TRACE, spanId: SPAN };
  expect(recordedParent(`00-${TRACE}-${SPAN}-01`)).toEqual(parent);
  expect(recordedParent(`00-${TRACE}-${SPAN}-03`)).toEqual(parent);
  expect(recordedParent(`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`)).toEqual(parent);
});

test.each([
  null,
  undefined,
  "",
  `00-${TRACE}-${SPAN}-00`,
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
])("[MT13] nobody takes part in what is no recorded trace: %s", (value) => {
  expect(recordedParent(value)).toBeNull();
});

test("[MT13] each span below another is a new one of the same trace", () => {
  const parent = { traceId: TRACE, spanId: SPAN };
  const [one, other] = [spanBelow(parent), spanBelow(parent)];
  expect(one.traceId).toBe(TRACE);
  expect(one.spanId).toMatch(/^[0-9a-f]{16}$/);
  expect(one.spanId).not.toBe(other.spanId);
  expect(recordedParent(writeTraceParent(one))).toEqual(one);
});
