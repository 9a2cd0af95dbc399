import { expect, test } from "vitest";
import { parseInstant, parseInstantSpan } from "../../src/wire/instant.ts";

test.each([
  ["2026-11-29T12:03:07Z", Date.UTC(2026, 10, 29, 12, 3, 7)],
  ["2026-11-29t12:03:07.25z", Date.UTC(2026, 10, 29, 12, 3, 7, 250)],
  ["2026-11-29 12:03:07.123456789Z", Date.UTC(2026, 10, 29, 12, 3, 7, 123)],
  ["2026-11-29T00:30:00+01:00", Date.UTC(2026, 10, 28, 23, 30)],
  ["1795953787000", 1_795_953_787_000],
  ["0", 0],
])("[AT4] %s is a time", (text, atMs) => {
  expect(parseInstant(text)).toBe(atMs);
});

test.each([
  "",
  "now",
  "2026-11-29",
  "2026-11-29T12:03Z",
  "2026-11-29T12:03:07",
  "2026-02-30T12:00:00Z",
  "2026-13-01T12:00:00Z",
  "2026-11-29T25:00:00Z",
  "2026-11-29T12:03:07+99:00",
  "1969-12-31T23:59:59Z",
  "-1",
  "1e3",
  "1234567890123456",
])("[AT4] %j is none", (text) => {
  expect(parseInstant(text)).toBeNull();
});

test.each([
  ["2026-11-29T12:03:07Z", 999],
  ["2026-11-29T12:03:07+01:00", 999],
  ["2026-11-29T12:03:07.0Z", 0],
  ["2026-11-29T12:03:07.25Z", 0],
  ["1795953787000", 0],
])("[AT9] %s means so many further milliseconds: %i", (text, furtherMs) => {
  const fromMs = parseInstant(text)!;
  expect(parseInstantSpan(text)).toEqual({ fromMs, throughMs: fromMs + furtherMs });
});
