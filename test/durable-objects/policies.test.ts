/** A pool's policy: its versions, who is told of them, and what is shown of who has which. */
import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { DEFAULT_POOL_POLICY, NO_LIMITS, OPEN_DESTINATIONS } from "../../src/core/pool-policy.ts";
import { MOST_REVOKED, MOST_TENANTS } from "../../src/wire/pool-policy-schema.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import { HostConnection, objects } from "./objects.ts";

const UNRESTRICTED = { destinations: OPEN_DESTINATIONS, limits: NO_LIMITS };
const HOUR_MS = 3_600_000;
let count = 0;

async function newPool() {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`policed-${count}`);
  await stub.configure({});
  return stub;
}

function valueOf<Value>(outcome: Outcome<Value, string>): Value {
  if (!outcome.ok) throw new Error(outcome.refusal);
  return outcome.value;
}

describe("the policy of a pool", () => {
  it("[PY2] is open to every tenant until something is said, and that has no version", async () => {
    const stub = await newPool();
    expect(valueOf(await stub.policy())).toEqual(DEFAULT_POOL_POLICY);
    expect(await objects.EGRESS_POOL.getByName("policed-never").policy()).toEqual({
      ok: false,
      refusal: "pool-unknown",
    });
  });

  it("[PY2] [PY5] gets a higher version with each change, no lower than its time, and keeps what is not given", async () => {
    const stub = await newPool();
    const beforeMs = Date.now();
    const first = valueOf(await stub.changePolicy({ destinations: { deny: ["192.0.2.0/24"] } }, null));
    expect(first.version).toBeGreaterThanOrEqual(beforeMs);
    expect(first.destinations).toEqual({ mode: "enforce", allow: [], deny: ["192.0.2.0/24"] });
    const second = valueOf(await stub.putTenant("shop", { limits: { tunnels: 5 } }, null));
    expect(second.version).toBeGreaterThan(first.version);
    const third = valueOf(await stub.putTenant("shop", { limits: { ports: 9 } }, null));
    expect(third.tenants).toEqual({
      shop: { destinations: OPEN_DESTINATIONS, limits: { ...NO_LIMITS, tunnels: 5, ports: 9 } },
    });
    const closed = valueOf(await stub.changePolicy({ anyTenant: null }, null));
    expect(closed).toMatchObject({
      anyTenant: null,
      tenants: third.tenants,
      destinations: first.destinations,
    });
    const opened = valueOf(await stub.changePolicy({ anyTenant: { limits: { ports: 1 } } }, null));
    expect(opened.anyTenant).toEqual({ ...UNRESTRICTED, limits: { ...NO_LIMITS, ports: 1 } });
    const removed = valueOf(await stub.removeTenant("shop"));
    expect(removed.tenants).toEqual({});
    expect(await stub.removeTenant("shop")).toEqual({ ok: false, refusal: "tenant-unknown" });
    await evictDurableObject(stub);
    expect(valueOf(await stub.policy())).toEqual(removed);
  });

  it("[PY5] that has changed since is not changed by who has not seen that", async () => {
    const stub = await newPool();
    const first = valueOf(await stub.changePolicy({ special: ["10.0.0.0/8"] }, 0));
    expect(await stub.changePolicy({ special: [] }, 0)).toEqual({ ok: false, refusal: "policy-changed" });
    expect(await stub.putTenant("shop", {}, 0)).toEqual({ ok: false, refusal: "policy-changed" });
    expect(valueOf(await stub.policy())).toEqual(first);
    expect((await stub.putTenant("shop", {}, first.version)).ok).toBe(true);
  });

  it("[PY5] that would be too large to be delivered is refused, and nothing of it is kept", async () => {
    const stub = await newPool();
    const deny = Array.from({ length: 1_000 }, (_, at) => `${"long.".repeat(50)}name-${at}.test`);
    const refused = { ok: false, refusal: "policy-too-large" };
    expect(await stub.changePolicy({ destinations: { deny } }, null)).toEqual(refused);
    expect(valueOf(await stub.policy())).toEqual(DEFAULT_POOL_POLICY);
    const most = Array.from({ length: MOST_TENANTS }, (_, at) => `t${at}`);
    for (const tenant of most) valueOf(await stub.putTenant(tenant, {}, null));
    expect(await stub.putTenant("one-more", {}, null)).toEqual(refused);
  });

  it("[PY9] has the tokens that are revoked, for good, until they have ended anyway", async () => {
    const stub = await newPool();
    const lasting = { tokenId: "t1", expiresAtMs: Date.now() + HOUR_MS };
    const version = valueOf(await stub.revokeTokens([lasting, { tokenId: "old", expiresAtMs: 1 }]));
    expect(valueOf(await stub.policy())).toMatchObject({ version, revoked: [lasting] });
    expect(valueOf(await stub.revokeTokens([lasting]))).toBe(version);
    const other = { tokenId: "t2", expiresAtMs: Date.now() + 2 * HOUR_MS };
    expect(valueOf(await stub.revokeTokens([other]))).toBeGreaterThan(version);
    valueOf(await stub.putTenant("shop", {}, null));
    expect(valueOf(await stub.policy()).revoked).toEqual([lasting, other]);
    vi.useFakeTimers({ now: lasting.expiresAtMs + HOUR_MS + 1, toFake: ["Date"] });
    try {
      await stub.putTenant("shop", { limits: { ports: 1 } }, null);
      expect(valueOf(await stub.policy()).revoked).toEqual([other]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("[PY9] takes no more revoked tokens than can be delivered, and says so", async () => {
    const stub = await newPool();
    const expiresAtMs = Date.now() + HOUR_MS;
    const tokens = Array.from({ length: MOST_REVOKED }, (_, at) => ({ tokenId: `t${at}`, expiresAtMs }));
    valueOf(await stub.revokeTokens(tokens));
    const more = [{ tokenId: "one-more", expiresAtMs }];
    expect(await stub.revokeTokens(more)).toEqual({ ok: false, refusal: "policy-too-large" });
    expect(valueOf(await stub.policy()).revoked).toHaveLength(MOST_REVOKED);
  });
});

describe("hosts of a pool", () => {
  it("[PY3] are told the version of its policy when they enlist, and each time it changes", async () => {
    const stub = await newPool();
    const [h1, h2] = [await HostConnection.open(stub, "h1"), await HostConnection.open(stub, "h2")];
    expect(await h1.enlist("instance-1")).toMatchObject({ type: "enlisted", policyVersion: 0 });
    const { version } = valueOf(await stub.putTenant("shop", {}, null));
    expect(await h1.next()).toMatchObject({ type: "enlisted", policyVersion: version });
    expect(await h2.enlist("instance-2")).toMatchObject({ type: "enlisted", policyVersion: version });
    const revoked = valueOf(await stub.revokeTokens([{ tokenId: "t1", expiresAtMs: Date.now() + HOUR_MS }]));
    for (const host of [h1, h2]) expect(await host.next()).toMatchObject({ policyVersion: revoked });
  });

  it("[PY7] are shown with the version that they have, which another instance has to tell anew", async () => {
    const stub = await newPool();
    const host = await HostConnection.open(stub, "h1");
    expect((await host.enlist("instance-1"))["takes"]).toContain("policyVersion");
    const shown = async () => valueOf(await stub.describe());
    expect(await shown()).toMatchObject({ policyVersion: 0, hosts: [{ policyVersion: null }] });
    const report = { type: "report", draining: false, rooms: [] };
    host.send({ ...report, policyVersion: 0 });
    await vi.waitFor(async () => expect((await shown()).hosts[0]!.policyVersion).toBe(0));
    const { version } = valueOf(await stub.putTenant("shop", {}, null));
    expect(await shown()).toMatchObject({ policyVersion: version, hosts: [{ policyVersion: 0 }] });
    host.send({ ...report, policyVersion: version });
    await vi.waitFor(async () => expect((await shown()).hosts[0]!.policyVersion).toBe(version));
    await evictDurableObject(stub);
    const again = await HostConnection.open(stub, "h1");
    await again.enlist("instance-1");
    expect((await shown()).hosts[0]!.policyVersion).toBe(version);
    again.send(report);
    await vi.waitFor(async () => expect((await shown()).hosts[0]!.policyVersion).toBeNull());
  });
});
