/** Messages as nobody of ours would write them: refused by name or read for what they are. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MessageRefusal } from "../../src/core/messages.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import {
  MAX_MESSAGE_LENGTH,
  parseLeaseReply,
  parseLeaseRequest,
  parsePoolReply,
  parsePoolRequest,
  parseRouterReply,
  parseRouterRequest,
} from "../../src/wire/message-parsers.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { poolSettingsSchema } from "../../src/wire/pool-settings-schema.ts";
import { garbage, mutationsOf } from "./mutations.ts";
import {
  leaseReplies,
  leaseRequests,
  poolReplies,
  poolRequests,
  poolSettings,
  routerReplies,
  routerRequests,
} from "./valid-messages.ts";

type Parse = (text: string) => Outcome<unknown, MessageRefusal>;

interface Kind {
  readonly name: string;
  readonly parse: Parse;
  readonly valid: fc.Arbitrary<unknown>;
  /** From a host or a router, which may say nothing beyond what it is asked for. */
  readonly isStrict: boolean;
}

const KINDS: readonly Kind[] = [
  { name: "host to address", parse: parseLeaseRequest, valid: leaseRequests, isStrict: true },
  { name: "address to host", parse: parseLeaseReply, valid: leaseReplies, isStrict: false },
  { name: "host to pool", parse: parsePoolRequest, valid: poolRequests, isStrict: true },
  { name: "pool to host", parse: parsePoolReply, valid: poolReplies, isStrict: false },
  { name: "router to pool", parse: parseRouterRequest, valid: routerRequests, isStrict: true },
  { name: "pool to router", parse: parseRouterReply, valid: routerReplies, isStrict: false },
];

const WATCHED = {
  type: "watched",
  now: {
    version: "",
    startedAtMs: 0,
    processCount: 0,
    runningCount: 0,
    addresses: [],
    minute: { atMs: 0, requestCount: 0, flowCount: 0, refusals: {}, portCount: 0 },
  },
};

/** Refused by one of the two names, or read so that writing and reading it again gives the same. */
function judge({ parse, isStrict }: Kind, text: string): boolean {
  const outcome = parse(text);
  if (!outcome.ok) {
    expect(["message-malformed", "version-unsupported"]).toContain(outcome.refusal);
    return false;
  }
  const again = JSON.stringify(outcome.value);
  expect(parse(again)).toEqual(parse(text));
  expect(JSON.stringify((parse(again) as { value: unknown }).value)).toBe(again);
  // A host is taken at its word, all of it.
  if (isStrict) expect(JSON.parse(again)).toEqual(withoutNegativeZero(JSON.parse(text)));
  return true;
}

/** JSON reads `-0`, and writes it as `0`. */
function withoutNegativeZero(json: unknown): unknown {
  return JSON.parse(JSON.stringify(json));
}

test("[ME3] a key that JavaScript takes for a prototype is refused, and not left out", () => {
  const slot = { atMs: 0, requestCount: 0, flowCount: 0, portCount: 0 };
  const counted = (refusals: string): string =>
    JSON.stringify({ ...WATCHED, past: { minutes: [{ ...slot, refusals: 0 }], quarters: [] } }).replace(
      '"refusals":0',
      `"refusals":${refusals}`,
    );
  expect(parsePoolRequest(counted('{"no-host":3}')).ok).toBe(true);
  expect(parsePoolRequest(counted('{"__proto__":3}'))).toEqual({ ok: false, refusal: "message-malformed" });
});

describe.each(KINDS)("a message from $name", (kind) => {
  test("[ME1] arrives as it was sent", () => {
    fc.assert(
      fc.property(kind.valid, (message) => {
        expect(kind.parse(JSON.stringify(message))).toEqual({ ok: true, value: message });
      }),
    );
  });

  test("[ME3] broken in any way is refused by name, or is another message", () => {
    let readCount = 0;
    let refusedCount = 0;
    fc.assert(
      fc.property(mutationsOf(kind.valid), (text) => {
        if (judge(kind, text)) readCount += 1;
        else refusedCount += 1;
      }),
      { numRuns: 600 },
    );
    // Mutations that are all refused, or all harmless, would try nothing.
    expect(readCount).toBeGreaterThan(0);
    expect(refusedCount).toBeGreaterThan(150);
  });

  test("[ME3] that is garbage is refused by name", () => {
    fc.assert(fc.property(garbage, (text) => !judge(kind, text)));
  });

  test("[ME1] of any other version is refused as such, however it is broken", () => {
    const others = fc.integer({ min: 0 }).filter((version) => version !== 1);
    fc.assert(
      fc.property(others, fc.dictionary(fc.string(), fc.jsonValue()), (version, rest) => {
        const refusal = kind.isStrict ? "version-unsupported" : "message-malformed";
        expect(kind.parse(JSON.stringify({ ...rest, version }))).toEqual({ ok: false, refusal });
      }),
    );
  });

  test("[ME3] as long as a message may be is judged, however it is built", () => {
    for (const text of LONGEST) {
      expect(text.length).toBeLessThanOrEqual(MAX_MESSAGE_LENGTH);
      expect(judge(kind, text)).toBe(false);
    }
  });
});

/** A text as long as a message may be, all of it one thing over and over. */
function longest(head: string, unit: string, tail: string): string {
  const room = MAX_MESSAGE_LENGTH - head.length - tail.length - 1;
  return `${head}${unit.repeat(Math.floor(room / unit.length))}${tail}`;
}

const HALF = MAX_MESSAGE_LENGTH / 2;
const LONGEST: readonly string[] = [
  "[".repeat(HALF) + "]".repeat(HALF),
  "[".repeat(MAX_MESSAGE_LENGTH),
  longest('{"type":"renew","requestId":"', "\\", '"}'),
  longest('{"type":"renew","requestId":"', "x", '"}'),
  longest('{"type":"enlisted","pool":"eu","ips":["', "1:", '"]}'),
  longest('{"type":"enlisted","pool":"eu","ips":["', "0", '"]}'),
  longest('{"type":"report","draining":true,"rooms":[', "{},", "0]}"),
  longest('{"type":"acknowledge","sequence":', "9", "}"),
  longest('{"type":"enroll","version":1,"instance":"', "é", '","a":1}'),
  longest("{", '"type":"renew",', '"a":1}'),
];

test("[ME3] of a member that is repeated the last counts", () => {
  expect(parseLeaseRequest('{"type":"join","requestId":"a","requestId":"b","type":"renew"}')).toEqual({
    ok: true,
    value: { type: "renew", requestId: "b" },
  });
});

test("[ME3] minus nought is nought, wherever a number stands", () => {
  for (const [parse, text] of [
    [parseLeaseRequest, '{"type":"acquire","requestId":"a","order":-0}'],
    [parseLeaseRequest, '{"type":"release","requestId":"a","base":-0,"epoch":1}'],
    [
      parsePoolRequest,
      '{"type":"report","draining":true,"rooms":[{"ip":"::","portCount":-0,"busiestCount":-0}]}',
    ],
    [parseRouterRequest, '{"type":"acknowledge","sequence":-0}'],
    [parseLeaseReply, answerWith({ ...DEFAULT_POOL_SETTINGS, quarantineMs: 0 }).replace('Ms":0', 'Ms":-0')],
  ] as const) {
    expect(text).toContain("-0");
    const plain = parse(text.replaceAll("-0", "0"));
    expect(plain.ok).toBe(true);
    expect(parse(text)).toEqual(plain);
  }
});

function answerWith(settings: PoolSettings): string {
  const answer = { type: "answer", requestId: "a", leases: [], leaseDurationMs: 1, granted: null, settings };
  return JSON.stringify(answer);
}

describe("text in a message", () => {
  test("[ME3] that is half a character is refused, since no disk gives it back", () => {
    const half = '"first-instance\\ud800"';
    for (const text of [
      '{"type":"renew","requestId":"\\udc00"}',
      `{"type":"join","version":1,"requestId":"a","instance":${half}}`,
      `{"type":"renew","requestId":"\\udc00\\ud800"}`,
    ]) {
      expect(parseLeaseRequest(text)).toEqual({ ok: false, refusal: "message-malformed" });
    }
    const enlist = `{"type":"enlist","version":1,"instance":${half},"gateway":"http://x"}`;
    expect(parsePoolRequest(enlist)).toEqual({ ok: false, refusal: "message-malformed" });
    const enroll = `{"type":"enroll","version":1,"instance":${half}}`;
    expect(parseRouterRequest(enroll)).toEqual({ ok: false, refusal: "message-malformed" });
    const pair = '{"type":"renew","requestId":"\\ud83d\\ude00"}';
    expect(parseLeaseRequest(pair)).toEqual({ ok: true, value: { type: "renew", requestId: "😀" } });
  });
});

describe("settings", () => {
  test("[ME4] are taken as they are or refused", () => {
    fc.assert(
      fc.property(poolSettings, (settings) => {
        expect(poolSettingsSchema.safeParse(settings)).toEqual({ success: true, data: settings });
      }),
    );
    fc.assert(
      fc.property(mutationsOf(poolSettings), (text) => {
        let json: unknown;
        try {
          json = JSON.parse(text);
        } catch {
          return;
        }
        const parsed = poolSettingsSchema.safeParse(json);
        if (!parsed.success) return;
        const { staticPortsPerHost, published, ...counts } = parsed.data;
        expect(published).toBeTypeOf("boolean");
        expect(Object.values(counts).every(Number.isSafeInteger)).toBe(true);
        expect([null, 64, 128, 256, 512, 1_024, 2_048, 4_096]).toContain(staticPortsPerHost);
        expect(JSON.stringify(poolSettingsSchema.parse(parsed.data))).toBe(JSON.stringify(parsed.data));
        expect(Object.keys(parsed.data).toSorted()).toEqual(Object.keys(json as object).toSorted());
      }),
      { numRuns: 600 },
    );
  });
});
