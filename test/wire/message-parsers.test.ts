/** What the parts say to one another, and what they do not listen to. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LEASABLE_BLOCK } from "../core/arbitraries.ts";
import type { LeaseReply, LeaseRequest, PoolReply, PoolRequest } from "../../src/core/messages.ts";
import { ShareLedger } from "../../src/core/share-ledger.ts";
import { tokenKey } from "../../src/core/share-messages.ts";
import { DEFAULT_LEASE_SETTINGS, DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import {
  MAX_MESSAGE_LENGTH,
  parseLeaseReply,
  parseLeaseRequest,
  parsePoolReply,
  parsePoolRequest,
} from "../../src/wire/message-parsers.ts";

const PARSERS = [parseLeaseRequest, parseLeaseReply, parsePoolRequest, parsePoolReply];

const plain = { noNullPrototype: true } as const;
const requestId = fc.string({ minLength: 1, maxLength: 64 });
const instance = fc.string({ minLength: 8, maxLength: 128 });
const epoch = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const ip = fc.oneof(fc.ipV4(), fc.ipV6());
const lease = fc.tuple(LEASABLE_BLOCK, epoch).map(([{ base, order }, at]) => ({ base, order, epoch: at }));

const leaseRequest: fc.Arbitrary<LeaseRequest> = fc.oneof(
  fc.record({ type: fc.constant("join" as const), version: fc.constant(1), requestId, instance }, plain),
  fc.record({ type: fc.constant("renew" as const), requestId }, plain),
  fc.record({ type: fc.constant("acquire" as const), requestId, order: fc.integer() }, plain),
  fc.record({ type: fc.constant("release" as const), requestId, base: fc.nat(65_535), epoch }, plain),
);
const leaseReply: fc.Arbitrary<LeaseReply> = fc.oneof(
  fc.record(
    {
      type: fc.constant("answer" as const),
      requestId,
      leases: fc.array(lease),
      leaseDurationMs: fc.option(fc.integer({ min: 1, max: 86_400_000 })),
      granted: fc.option(lease),
      settings: fc.constant(DEFAULT_LEASE_SETTINGS),
    },
    plain,
  ),
  fc.record(
    {
      type: fc.constant("refused" as const),
      requestId: fc.oneof(requestId, fc.constant("")),
      code: fc.constantFrom(
        "stale-epoch" as const,
        "message-malformed" as const,
        "address-exhausted" as const,
      ),
    },
    plain,
  ),
);
const gateway = fc.webUrl();
const count = fc.nat(65_535);
const rooms = fc.array(fc.record({ ip, portCount: count, busiestCount: count }, plain));
const poolRequest: fc.Arbitrary<PoolRequest> = fc.oneof(
  fc.record({ type: fc.constant("enlist" as const), version: fc.constant(1), instance, gateway }, plain),
  fc.record({ type: fc.constant("report" as const), draining: fc.boolean(), rooms }, plain),
);
const poolReply: fc.Arbitrary<PoolReply> = fc.oneof(
  fc.record({ type: fc.constant("enlisted" as const), pool: fc.string(), ips: fc.array(ip) }, plain),
  fc.record({ type: fc.constant("refused" as const), code: fc.constant("pool-unknown" as const) }, plain),
);

const MALFORMED = { ok: false, refusal: "message-malformed" };

function answerWith(base: number, order: number): string {
  return JSON.stringify({
    type: "answer",
    requestId: "a",
    leases: [{ base, order, epoch: 1 }],
    leaseDurationMs: null,
    granted: null,
    settings: DEFAULT_POOL_SETTINGS,
  });
}

describe("a message", () => {
  test("[ME1] arrives as it was sent", () => {
    fc.assert(
      fc.property(leaseRequest, leaseReply, poolRequest, poolReply, (asked, answered, told, heard) => {
        expect(parseLeaseRequest(JSON.stringify(asked))).toEqual({ ok: true, value: asked });
        expect(parseLeaseReply(JSON.stringify(answered))).toEqual({ ok: true, value: answered });
        expect(parsePoolRequest(JSON.stringify(told))).toEqual({ ok: true, value: told });
        expect(parsePoolReply(JSON.stringify(heard))).toEqual({ ok: true, value: heard });
      }),
    );
  });

  test("[ME1] of another version is refused as such, whatever else is new in it", () => {
    const join = { type: "join", version: 2, requestId: "a", instance: "12345678", feature: true };
    expect(parseLeaseRequest(JSON.stringify(join))).toEqual({ ok: false, refusal: "version-unsupported" });
    const enlist = { type: "enlist-as", version: 0 };
    expect(parsePoolRequest(JSON.stringify(enlist))).toEqual({ ok: false, refusal: "version-unsupported" });
    expect(parseLeaseRequest(JSON.stringify({ ...join, version: "1" }))).toEqual(MALFORMED);
  });

  test("[ME3] that is garbage is refused and breaks nothing", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.jsonValue().map((value) => JSON.stringify(value)),
        ),
        (text) => {
          for (const parse of PARSERS) expect(typeof parse(text).ok).toBe("boolean");
        },
      ),
    );
  });

  test("[ME3] with one member changed into something else is refused", () => {
    const stranger = fc.constantFrom(null, -1, 1.5, "", [], {}, "x".repeat(3000), 1e9);
    fc.assert(
      fc.property(leaseRequest, fc.nat(9), stranger, (message, at, value) => {
        const keys = Object.keys(message).filter((key) => key !== "order");
        const key = keys[at % keys.length]!;
        fc.pre(!(key === "epoch" && value === 1e9));
        const outcome = parseLeaseRequest(JSON.stringify({ ...message, [key]: value }));
        expect(outcome.ok).toBe(false);
      }),
    );
  });

  test("[ME3] too long is not even looked at", () => {
    const filler = " ".repeat(MAX_MESSAGE_LENGTH);
    expect(parseLeaseRequest(`{"type":"renew","requestId":"a"}`)).toMatchObject({ ok: true });
    expect(parseLeaseRequest(`{"type":"renew","requestId":"a"}${filler}`)).toEqual(MALFORMED);
  });

  test("[ME3] with a member too many from a host is refused; from an object it is passed over", () => {
    expect(parseLeaseRequest('{"type":"renew","requestId":"a","host":"bert"}')).toEqual(MALFORMED);
    expect(parsePoolReply('{"type":"enlisted","pool":"eu","ips":[],"news":1}')).toEqual({
      ok: true,
      value: { type: "enlisted", pool: "eu", ips: [] },
    });
  });

  test("[ME4] answers with the lease settings; those of the pool itself are passed over there", () => {
    const [before, now] = [DEFAULT_POOL_SETTINGS, DEFAULT_LEASE_SETTINGS].map((settings) =>
      parseLeaseReply(JSON.stringify({ ...JSON.parse(answerWith(1024, 6)), settings })),
    );
    expect(before).toMatchObject({ ok: true, value: { settings: DEFAULT_LEASE_SETTINGS } });
    expect(before).toEqual(now);
  });

  test("[ME3] [PB2] that leases a block which cannot be leased is refused", () => {
    expect(parseLeaseReply(answerWith(1024, 6)).ok).toBe(true);
    expect(parseLeaseReply(answerWith(960, 6))).toEqual(MALFORMED);
    expect(parseLeaseReply(answerWith(1088, 7))).toEqual(MALFORMED);
  });

  test("[LI3] [LI12] that shares out a rate of a token below one, or between two numbers, is read", () => {
    for (const rate of [0.4, 2.5, 1e-6]) {
      const ledger = new ShareLedger(() => null);
      for (const name of ["h1", "h2", "h3"]) ledger.join(name);
      const tenant = tokenKey("t1", "shop", rate);
      const used = { requestsPerSecond: rate };
      const use = { type: "use", number: 0, tenants: [{ tenant, used, wanted: used, rate }] };
      expect(parsePoolRequest(JSON.stringify(use))).toEqual({ ok: true, value: use });
      ledger.report("h1", 0, use.tenants);
      const told = [...ledger.review([tenant]).values()];
      expect(told.length).toBeGreaterThan(0);
      for (const message of told) {
        const shares = { type: "shares", ...message };
        expect(parsePoolReply(JSON.stringify(shares))).toEqual({ ok: true, value: shares });
      }
    }
  });
});
