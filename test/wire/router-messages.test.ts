import { describe, expect, test } from "vitest";
import { PROTOCOL_VERSION } from "../../src/core/messages.ts";
import {
  MAX_MESSAGE_LENGTH,
  parsePoolRequest,
  parseRouterReply,
  parseRouterRequest,
} from "../../src/wire/message-parsers.ts";

const MALFORMED = { ok: false, refusal: "message-malformed" };
const ENTRY = { ip: "192.0.2.1", base: 2048, order: 8, host: "h1", epoch: 7 };
const TABLE = {
  sequence: 3,
  ips: ["192.0.2.1", "2001:db8::1"],
  entries: [ENTRY],
  nextHops: [{ host: "h1", ipv4: "10.0.0.1", ipv6: null }],
};
const CHANGE = {
  sequence: 4,
  withdraw: [{ ip: "192.0.2.1", base: 2048, epoch: 7 }],
  put: [{ ...ENTRY, epoch: 8 }],
  addIps: [],
  removeIps: [],
  nextHops: [],
};

describe("what a router says", () => {
  test.each([
    { type: "enroll", version: PROTOCOL_VERSION, instance: "first-instance" },
    { type: "acknowledge", sequence: 0 },
    { type: "resync" },
  ])("[ME3] $type is read as it was written", (message) => {
    expect(parseRouterRequest(JSON.stringify(message))).toEqual({ ok: true, value: message });
  });

  test.each([
    { type: "acknowledge", sequence: -1 },
    { type: "acknowledge", sequence: 1.5 },
    { type: "acknowledge", sequence: "1" },
    { type: "enroll", version: PROTOCOL_VERSION, instance: "short" },
    { type: "resync", because: "lost" },
    { type: "enlist", version: PROTOCOL_VERSION, instance: "first-instance", gateway: "http://x" },
  ])("[ME3] %j is malformed", (message) => {
    expect(parseRouterRequest(JSON.stringify(message))).toEqual(MALFORMED);
  });

  test("[ME1] in another version is refused as such, whatever else it holds", () => {
    const other = { type: "enroll", version: PROTOCOL_VERSION + 1, shape: "unheard of" };
    expect(parseRouterRequest(JSON.stringify(other))).toEqual({ ok: false, refusal: "version-unsupported" });
  });
});

describe("what a router hears", () => {
  test.each([
    { type: "table", part: 1, parts: 2, table: TABLE },
    { type: "change", change: CHANGE },
    { type: "refused", code: "router-already-present" },
  ])("[ME3] $type is read as it was written", (message) => {
    expect(parseRouterReply(JSON.stringify(message))).toEqual({ ok: true, value: message });
  });

  test("[ME3] entries that are no blocks or no addresses are malformed", () => {
    for (const broken of [
      { base: 2049 },
      { base: 0 },
      { order: 5 },
      { epoch: 0 },
      { ip: "h1" },
      { host: "" },
    ]) {
      const change = { ...CHANGE, put: [{ ...ENTRY, ...broken }] };
      expect(parseRouterReply(JSON.stringify({ type: "change", change }))).toEqual(MALFORMED);
    }
  });

  test("[ST8] a message of a thousand entries with the longest names can be read", () => {
    const longest = {
      ip: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
      base: 65_472,
      order: 6,
      host: "h".repeat(63),
      epoch: Number.MAX_SAFE_INTEGER,
    };
    const entries = Array.from({ length: 1_000 }, () => longest);
    const text = JSON.stringify({ type: "table", part: 1000, parts: 1000, table: { ...TABLE, entries } });
    expect(text.length).toBeLessThan(MAX_MESSAGE_LENGTH);
    expect(parseRouterReply(text).ok).toBe(true);
  });
});

describe("where a host is reached", () => {
  const enlist = {
    type: "enlist",
    version: PROTOCOL_VERSION,
    instance: "first-instance",
    gateway: "http://x",
  };

  test("[ST12] may be told, by IP address, or left out", () => {
    for (const reach of [{ ipv4: "10.0.0.1", ipv6: "fd00::1" }, { ipv4: null, ipv6: null }, undefined]) {
      expect(parsePoolRequest(JSON.stringify({ ...enlist, reach })).ok).toBe(true);
    }
  });

  test.each([
    { ipv4: "host.example", ipv6: null },
    { ipv4: "fd00::1", ipv6: null },
    { ipv4: "10.0.0.1" },
    null,
  ])("[ST12] %j is malformed", (reach) => {
    expect(parsePoolRequest(JSON.stringify({ ...enlist, reach }))).toEqual(MALFORMED);
  });
});
