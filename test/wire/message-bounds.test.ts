/** Each message in its plainest form, and what lies just outside of its bounds. */
import { describe, expect, test } from "vitest";
import { MAX_DOUBTS } from "../../src/core/uplink.ts";
import {
  MAX_MESSAGE_LENGTH,
  parseLeaseRequest,
  parsePoolReply,
  parsePoolRequest,
  parseRouterReply,
  parseRouterRequest,
} from "../../src/wire/message-parsers.ts";

type Parse = (text: string) => { readonly ok: boolean };

const INSTANCE = "disk-0001";
const ONE = { ip: "192.0.2.1", port: 1 };
const LAST = { ip: "2001:db8::1", port: 65_535 };
const MOST = Array.from({ length: MAX_DOUBTS }, () => LAST);
const TOO_MANY = [...MOST, ONE];
const UPLINK = { state: "suspect", destinationCount: 2, failedCount: 1, doubts: [ONE, LAST] };
const ROOM = { ip: "192.0.2.1", portCount: 64, busiestCount: 3, uplink: UPLINK };
const ENLIST = { type: "enlist", version: 1, instance: INSTANCE, gateway: "http://192.0.2.9:8800" };
const REPORT = { type: "report", draining: false, rooms: [ROOM] };
const WATCH = { type: "watch", everyMs: 1_000, forMs: 30_000, past: true, decisionCount: 20 };
const SLOT = { atMs: 0, requestCount: 1, flowCount: 2, refusals: codes(25), portCount: 4 };
const FULL_PAST = { minutes: many(60, SLOT), quarters: many(96, SLOT) };
const NOW = {
  version: "1.0.0",
  startedAtMs: 1.5,
  processCount: 1,
  runningCount: 0,
  addresses: [
    {
      ip: "192.0.2.1",
      renewedAtMs: 1,
      renewsAtMs: 2,
      endsAtMs: null,
      inUseCount: 3,
      blocks: [[1_024, 64, 3]],
    },
  ],
  minute: SLOT,
};
const DECISION = { atMs: 1, decision: "refused", client: "c".repeat(128), code: "draining" };

function many(length: number, one: unknown): unknown[] {
  return Array.from({ length }, () => one);
}

function codes(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`code-${at}`, 1]));
}

function towards(busiestDestination: object): object {
  return { ...REPORT, rooms: [{ ...ROOM, busiestDestination }] };
}

function withUplink(changed: object): object {
  return { ...REPORT, rooms: [{ ...ROOM, uplink: { ...UPLINK, ...changed } }] };
}

describe("a message", () => {
  test.each<[Parse, object]>([
    [parseLeaseRequest, { type: "release", requestId: "r", base: 65_535, epoch: 1 }],
    [parsePoolRequest, ENLIST],
    [parsePoolRequest, { ...ENLIST, site: "Rack 7, Frankfurt", weight: 0.001 }],
    [parsePoolRequest, { ...ENLIST, site: "~".repeat(63), weight: 1_000_000 }],
    [parsePoolRequest, REPORT],
    [parsePoolRequest, withUplink({ state: "good", doubts: [] })],
    [parsePoolRequest, withUplink({ doubts: MOST })],
    [parsePoolRequest, towards({ protocol: "tcp", ...ONE })],
    [parsePoolRequest, towards({ protocol: "udp", ...LAST })],
    [parsePoolRequest, { type: "tried", ip: "192.0.2.1", reached: MOST }],
    [parsePoolRequest, { ...REPORT, watchable: true }],
    [parsePoolRequest, { type: "watched" }],
    [parsePoolRequest, { type: "watched", now: NOW, past: FULL_PAST, decisions: [DECISION], lostCount: 1 }],
    [parsePoolReply, WATCH],
    [parsePoolReply, { type: "try", ip: "192.0.2.1", places: MOST }],
    [parsePoolReply, { type: "ejected", ips: ["192.0.2.1", "2001:db8::1"] }],
    [parseRouterRequest, { type: "enroll", version: 1, instance: INSTANCE }],
    [parseRouterRequest, { type: "observe", version: 1 }],
    [parseRouterRequest, { type: "acknowledge", sequence: 0 }],
    [parseRouterRequest, { type: "resync" }],
    [parseRouterReply, { type: "refused", code: "sequence-unknown" }],
  ])("[ME3] is read as it was written: %s %j", (parse, message) => {
    expect(parse(JSON.stringify(message))).toEqual({ ok: true, value: message });
  });

  test.each<[Parse, object]>([
    [parseLeaseRequest, { type: "release", requestId: "r", base: 65_536, epoch: 1 }],
    [parseLeaseRequest, { type: "release", requestId: "r", base: 64, epoch: 0 }],
    [parsePoolRequest, { ...ENLIST, site: "" }],
    [parsePoolRequest, { ...ENLIST, site: " fra1" }],
    [parsePoolRequest, { ...ENLIST, site: "fra1 " }],
    [parsePoolRequest, { ...ENLIST, site: "fr\na1" }],
    [parsePoolRequest, { ...ENLIST, site: "körb" }],
    [parsePoolRequest, { ...ENLIST, site: "~".repeat(64) }],
    [parsePoolRequest, { ...ENLIST, site: null }],
    [parsePoolRequest, { ...ENLIST, weight: 0 }],
    [parsePoolRequest, { ...ENLIST, weight: -1 }],
    [parsePoolRequest, { ...ENLIST, weight: 1_000_001 }],
    [parsePoolRequest, { ...ENLIST, weight: "1" }],
    [parsePoolRequest, { ...REPORT, rooms: [{ ...ROOM, more: 1 }] }],
    [parsePoolRequest, withUplink({ more: 1 })],
    [parsePoolRequest, withUplink({ state: "" })],
    [parsePoolRequest, withUplink({ state: "dead" })],
    [parsePoolRequest, withUplink({ doubts: TOO_MANY })],
    [parsePoolRequest, withUplink({ doubts: [{ ...ONE, port: 0 }] })],
    [parsePoolRequest, withUplink({ doubts: [{ ...ONE, port: 65_536 }] })],
    [parsePoolRequest, withUplink({ doubts: [{ ...ONE, more: 1 }] })],
    [parsePoolRequest, withUplink({ doubts: [{ ...ONE, ip: "a.example" }] })],
    [parsePoolRequest, towards({ protocol: "icmp", ...ONE })],
    [parsePoolRequest, towards({ protocol: "tcp", ...ONE, port: 0 })],
    [parsePoolRequest, towards({ protocol: "tcp", ...ONE, more: 1 })],
    [parsePoolRequest, { type: "", ip: "192.0.2.1", reached: [] }],
    [parsePoolRequest, { type: "tried", ip: "192.0.2.1", reached: TOO_MANY }],
    [parsePoolRequest, { ...REPORT, watchable: false }],
    [parsePoolRequest, { type: "watched", more: 1 }],
    [parsePoolRequest, { type: "watched", now: { ...NOW, more: 1 } }],
    [parsePoolRequest, { type: "watched", now: { ...NOW, addresses: many(513, NOW.addresses[0]) } }],
    [parsePoolRequest, { type: "watched", past: { ...FULL_PAST, minutes: many(61, SLOT) } }],
    [parsePoolRequest, { type: "watched", past: { ...FULL_PAST, quarters: many(97, SLOT) } }],
    [
      parsePoolRequest,
      { type: "watched", past: { minutes: [{ ...SLOT, refusals: codes(26) }], quarters: [] } },
    ],
    [
      parsePoolRequest,
      { type: "watched", past: { minutes: [{ ...SLOT, refusals: { "<b>": 1 } }], quarters: [] } },
    ],
    [parsePoolRequest, { type: "watched", decisions: many(21, DECISION) }],
    [parsePoolRequest, { type: "watched", decisions: [{ ...DECISION, client: "c".repeat(129) }] }],
    [parsePoolRequest, { type: "watched", decisions: [{ ...DECISION, decision: "made" }] }],
    [parsePoolRequest, { type: "watched", lostCount: -1 }],
    [parsePoolReply, { ...WATCH, everyMs: 99 }],
    [parsePoolReply, { ...WATCH, everyMs: 60_001 }],
    [parsePoolReply, { ...WATCH, forMs: 600_001 }],
    [parsePoolReply, { ...WATCH, decisionCount: 21 }],
    [parsePoolReply, { type: "try", ip: "192.0.2.1", places: TOO_MANY }],
    [parsePoolReply, { type: "", ip: "192.0.2.1", places: [] }],
    [parsePoolReply, { type: "", ips: [] }],
    [parseRouterRequest, { type: "", version: 1 }],
    [parseRouterReply, { type: "refused", code: "" }],
  ])("[ME3] outside of its bounds is refused: %s %j", (parse, message) => {
    expect(parse(JSON.stringify(message))).toEqual({ ok: false, refusal: "message-malformed" });
  });

  test("[ME3] has one zero", () => {
    const read = parseLeaseRequest('{"type":"acquire","requestId":"r","order":-0}');
    expect(Object.is((read as { value: { order: number } }).value.order, 0)).toBe(true);
  });

  test("[ME3] may be as long as the longest and no longer", () => {
    const text = JSON.stringify({ type: "resync" });
    const longest = text.padEnd(MAX_MESSAGE_LENGTH);
    expect(parseRouterRequest(longest)).toEqual({ ok: true, value: { type: "resync" } });
    expect(parseRouterRequest(`${longest} `)).toEqual({ ok: false, refusal: "message-malformed" });
    expect(parseRouterRequest(text.slice(1))).toEqual({ ok: false, refusal: "message-malformed" });
  });
});
