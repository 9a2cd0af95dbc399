import * as fc from "fast-check";
import { expect, test } from "vitest";
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

test("[LV2] [LV8] whatever else is said, or was kept, is refused or none, and never a fault", () => {
  fc.assert(
    fc.property(fc.oneof(garbage, mutationsOf(lookRequests)), (said) => {
      const look = parseLookRequest(said);
      if (look.ok)
        expect(Object.keys(look.value).every((name) => ["type", "past", "decisions"].includes(name))).toBe(
          true,
        );
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
  '{"type":"look"}'.padEnd(1_025),
])("[LV2] is no look: %s", (said) => {
  expect(parseLookRequest(said)).toEqual(MALFORMED);
});
