import * as fc from "fast-check";
import { expect, test } from "vitest";
import { MOST_TOLD_BLOCKS } from "../../src/core/live-view.ts";
import { parsePoolRequest } from "../../src/wire/message-parsers.ts";
import { parseLookRequest, parsePastCounts } from "../../src/wire/live-view-schema.ts";
import { garbage, mutationsOf } from "./mutations.ts";
import { lookRequests } from "./valid-messages.ts";

const MALFORMED = { ok: false, refusal: "message-malformed" };

test("[LV2] what a page says is read as it was written", () => {
  fc.assert(
    fc.property(lookRequests, (look) => {
      expect(parseLookRequest(JSON.stringify(look))).toEqual({ ok: true, value: look });
    }),
  );
});

test("[LV7] a host tells of so many blocks of all its addresses together", () => {
  const minute = { atMs: 0, requestCount: 0, flowCount: 0, refusals: {}, portCount: 0 };
  const address = { ip: "192.0.2.1", renewedAtMs: null, renewsAtMs: null, endsAtMs: null, inUseCount: 0 };
  const isTaken = (counts: readonly number[]): boolean => {
    const blocksOf = (length: number) => Array.from({ length }, () => [1_024, 64, 1]);
    const addresses = counts.map((length) => ({ ...address, blocks: blocksOf(length) }));
    const now = { version: "1", startedAtMs: 0, processCount: 1, runningCount: 0, addresses, minute };
    return parsePoolRequest(JSON.stringify({ type: "watched", now })).ok;
  };
  expect(isTaken([MOST_TOLD_BLOCKS - 1, 1])).toBe(true);
  expect(isTaken([MOST_TOLD_BLOCKS, 1])).toBe(false);
});

test("[LV2] [LV8] whatever else is said, or was kept, is refused or none, and never a fault", () => {
  fc.assert(
    fc.property(fc.oneof(garbage, mutationsOf(lookRequests)), (said) => {
      const look = parseLookRequest(said);
      if (look.ok)
        expect(
          Object.keys(look.value).every((name) => ["type", "past", "decisions", "heard"].includes(name)),
        ).toBe(true);
      else expect(look).toEqual(MALFORMED);
      expect(parsePastCounts(said)).toBeNull();
    }),
  );
});

test.each([
  "",
  "null",
  '"look"',
  '{"type":"looks"}',
  '{"type":"look","past":1}',
  '{"type":"look","pool":"eu"}',
  '{"type":"look","heard":-1}',
  '{"type":"look"}'.padEnd(1_025),
])("[LV2] is no look: %s", (said) => {
  expect(parseLookRequest(said)).toEqual(MALFORMED);
});
