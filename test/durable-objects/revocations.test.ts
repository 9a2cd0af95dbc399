import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { CATALOGUE_NAME } from "../../durable-objects/bindings.ts";
import {
  HOST_HEADER,
  KEY_HEADER,
  ROUTER_HEADER,
  TOKEN_HEADER,
} from "../../durable-objects/calls/peer-headers.ts";
import { CLOSE_REFUSED } from "../../durable-objects/platform/object-platform.ts";
import { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { parsePoolPolicy } from "../../src/wire/pool-policy-schema.ts";
import { objects, upgrade } from "./objects.ts";

const HOUR_MS = 3_600_000;
const CUT_OFF = { code: CLOSE_REFUSED, reason: "token-revoked" };
const BY = { name: "operator", pools: ["*"] };

let count = 0;

async function newPool() {
  count += 1;
  const pool = `revoking-${count}`;
  const ip = `198.51.100.${count}`;
  await objects.POOL_CATALOGUE.getByName(CATALOGUE_NAME).add(pool);
  const stub = objects.EGRESS_POOL.getByName(pool);
  await stub.configure({});
  await stub.addIp(ip, null);
  return { pool, ip, stub, address: objects.EGRESS_IP.getByName(ip) };
}

type Connectable = Parameters<typeof upgrade>[0];

/** How the connection ended; null while it has not. */
async function connected(stub: Connectable, header: string, name: string, token: string, by = TOKEN_HEADER) {
  const response = await upgrade(stub, { upgrade: "websocket", [header]: name, [by]: token });
  if (response.webSocket === null) return { status: response.status, end: () => null };
  let end: { code: number; reason: string } | null = null;
  response.webSocket.addEventListener("close", ({ code, reason }) => {
    end = { code, reason };
  });
  response.webSocket.accept();
  return { status: response.status, end: () => end };
}

/** A register of the test's own, so that tests do not meet. */
function newRegister() {
  count += 1;
  return objects.ACCESS_REGISTER.getByName(`register-${count}`);
}

afterEach(() => {
  vi.useRealTimers();
});

describe("a pool that is told of revoked tokens", () => {
  it("[TK6] ends the connections to itself and its addresses, and no others", async () => {
    const { stub, address } = await newPool();
    const cut = [
      await connected(stub, HOST_HEADER, "h1", "bad"),
      await connected(stub, ROUTER_HEADER, "r1", "bad"),
      await connected(address, HOST_HEADER, "h1", "bad"),
    ];
    const kept = [
      await connected(stub, HOST_HEADER, "h1", "good"),
      await connected(stub, ROUTER_HEADER, "r1", "good"),
      await connected(address, HOST_HEADER, "h1", "good"),
    ];
    const revoked = [{ tokenId: "bad", expiresAtMs: Date.now() + HOUR_MS, role: null }];
    expect(await stub.takeRevocations(revoked)).toMatchObject({ ok: true });
    await vi.waitFor(() => expect(cut.map(({ end }) => end())).toEqual([CUT_OFF, CUT_OFF, CUT_OFF]));
    expect(kept.map(({ end }) => end())).toEqual([null, null, null]);
  });

  it("[TK6] lets nobody in by them, until they would have ended", async () => {
    const { stub } = await newPool();
    vi.useFakeTimers({ toFake: ["Date"] });
    const revoked = [{ tokenId: "bad", expiresAtMs: Date.now() + HOUR_MS, role: "host" as const }];
    await stub.takeRevocations(revoked);
    expect((await connected(stub, HOST_HEADER, "h1", "bad")).status).toBe(401);
    expect((await connected(stub, ROUTER_HEADER, "r1", "bad")).status).toBe(401);
    expect((await connected(stub, HOST_HEADER, "h1", "good")).status).toBe(101);
    expect((await upgrade(stub, { upgrade: "websocket", [HOST_HEADER]: "h2" })).status).toBe(101);
    // Clocks differ: an hour is given to them.
    vi.setSystemTime(Date.now() + 2 * HOUR_MS + 1);
    await stub.takeRevocations([{ tokenId: "other", expiresAtMs: Date.now() + HOUR_MS, role: "client" }]);
    expect((await connected(stub, HOST_HEADER, "h1", "bad")).status).toBe(101);
  });
});

describe("the register", () => {
  it("[TK6] tells the pools of the token, and of every pool where it is for all", async () => {
    const [one, two] = [await newPool(), await newPool()];
    const register = newRegister();
    const token = { id: "t1", role: "host" as const, name: "h1", tenant: null, restrictions: null };
    const more = { pools: [one.pool], endsAtMs: Date.now() + HOUR_MS, registeredBy: "operator", kid: null };
    await register.register({ ...token, ...more });
    const cut = await connected(one.stub, HOST_HEADER, "h1", "t1");
    const kept = await connected(two.stub, HOST_HEADER, "h1", "t1");
    expect(await register.revoke(BY, { id: "t1" })).toEqual({
      ok: true,
      value: { ids: ["t1"], pendingPools: [] },
    });
    await vi.waitFor(() => expect(cut.end()).toEqual(CUT_OFF));
    expect(kept.end()).toBeNull();
    const every = [
      await connected(one.stub, HOST_HEADER, "h1", "t2"),
      await connected(two.stub, HOST_HEADER, "h1", "t2"),
    ];
    await register.revoke(BY, { id: "t2" });
    await vi.waitFor(() => expect(every.map(({ end }) => end())).toEqual([CUT_OFF, CUT_OFF]));
  });

  it("[TK6] tells again a pool that could not take it, and all of them once more when no copy is old", async () => {
    const { pool, stub } = await newPool();
    const register = newRegister();
    let [asked, isBroken] = [0, true];
    await runInDurableObject(stub, (instance: EgressPool) => {
      const takeRevocations: EgressPool["takeRevocations"] = (...words) => {
        asked += 1;
        if (isBroken) throw new Error("out of order");
        return EgressPool.prototype.takeRevocations.apply(instance, words);
      };
      Object.setPrototypeOf(
        instance,
        Object.create(EgressPool.prototype, { takeRevocations: { value: takeRevocations } }),
      );
    });
    const first = await register.revoke({ name: "operator", pools: [pool] }, { id: "t1" });
    expect(first).toEqual({ ok: true, value: { ids: ["t1"], pendingPools: [pool] } });
    isBroken = false;
    const cut = await connected(stub, HOST_HEADER, "h1", "t1");
    expect(await runDurableObjectAlarm(register)).toBe(true);
    expect(asked).toBe(2);
    await vi.waitFor(() => expect(cut.end()).toEqual(CUT_OFF));
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + 16_000);
    expect(await runDurableObjectAlarm(register)).toBe(true);
    expect(asked).toBe(3);
    // Then there is nothing left to tell.
    expect(await runDurableObjectAlarm(register)).toBe(false);
  });

  it("[TK4] [TK5] [TK9] keeps no more than it should", async () => {
    const register = newRegister();
    const many = Array.from({ length: 10_000 }, (_, at) => `t${at}`);
    await runInDurableObject(register, (_instance, state) => {
      for (const id of many) {
        state.storage.sql.exec(
          "INSERT INTO revocation (id, role, pools, spread, ends_at_ms, revoked_at_ms, revoked_by) VALUES (?, NULL, '[]', '[]', ?, 0, 'x')",
          id,
          Date.now() + HOUR_MS,
        );
      }
    });
    expect(await register.revoke(BY, { id: "one-more" })).toEqual({ ok: false, refusal: "register-full" });
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + HOUR_MS + 1);
    expect(await register.revoke(BY, { id: "one-more" })).toMatchObject({ ok: true });
    const offer = { role: "host" as const, name: "h", pools: ["*"], ttlMs: 1_000 };
    for (let at = 0; at < 1_000; at += 1) expect((await register.offerJoin(BY, offer)).ok).toBe(true);
    expect(await register.offerJoin(BY, offer)).toEqual({ ok: false, refusal: "register-full" });
  });

  it("[TK7] ends all connections by tokens of a key that is retired, and of no other", async () => {
    const { stub, address } = await newPool();
    const register = newRegister();
    const by = (kid: string) =>
      Promise.all([
        connected(stub, HOST_HEADER, `h-${kid.slice(-1)}`, kid, KEY_HEADER),
        connected(stub, ROUTER_HEADER, `r-${kid.slice(-1)}`, kid, KEY_HEADER),
        connected(address, HOST_HEADER, `h-${kid.slice(-1)}`, kid, KEY_HEADER),
      ]);
    const [cut, kept] = [await by("issuer:a"), await by("issuer:b")];
    await register.retireKey("issuer:a", "issuer", "operator");
    await vi.waitFor(() => expect(cut.map(({ end }) => end())).toEqual([CUT_OFF, CUT_OFF, CUT_OFF]));
    expect(kept.map(({ end }) => end())).toEqual([null, null, null]);
    // Let in meanwhile by a part of the edge that did not know.
    const late = await by("issuer:a");
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + 16_000);
    expect(await runDurableObjectAlarm(register)).toBe(true);
    await vi.waitFor(() => expect(late.map(({ end }) => end())).toEqual([CUT_OFF, CUT_OFF, CUT_OFF]));
    expect(await runDurableObjectAlarm(register)).toBe(false);
  });

  it("[TK5] goes by the later end that is said of a token, and tells it", async () => {
    const { pool, stub } = await newPool();
    const register = newRegister();
    const nowMs = Date.now();
    const by = { name: "operator", pools: [pool] };
    await register.revoke(by, { id: "t1", endsAtMs: nowMs + HOUR_MS });
    await register.revoke(by, { id: "t1", endsAtMs: nowMs + 3 * HOUR_MS });
    // What is said later of an earlier end takes nothing back.
    await register.revoke(by, { id: "t1", endsAtMs: nowMs + 2 * HOUR_MS });
    const expected = { tokenId: "t1", expiresAtMs: nowMs + 3 * HOUR_MS };
    expect((await register.access(null))!.revocations).toEqual([{ ...expected, pools: [pool] }]);
    expect(await stub.policy()).toMatchObject({ value: { revoked: [expected] } });
  });

  it("[TK5] [ID6] the word of one administrator takes nothing of another's back", async () => {
    const [one, two] = [await newPool(), await newPool()];
    const register = newRegister();
    for (const { pool } of [one, two]) await register.revoke({ name: pool, pools: [pool] }, { id: "t1" });
    const [revocation] = (await register.access(null))!.revocations;
    expect(revocation!.pools.toSorted()).toEqual([one.pool, two.pool].toSorted());
    const { version } = (await register.access(null))!;
    // To say the same once more is no news.
    await register.revoke({ name: one.pool, pools: [one.pool] }, { id: "t1" });
    expect(await register.access(version)).toBeNull();
  });

  it("[PY4] [TK5] tells hosts whole numbers, whenever a token ends", async () => {
    const { pool, stub } = await newPool();
    const register = newRegister();
    const token = {
      id: "t1",
      role: "client" as const,
      name: "c",
      tenant: null,
      restrictions: null,
      kid: null,
    };
    const endsAtMs = Date.now() + 1_000 * HOUR_MS + 0.5;
    await register.register({ ...token, pools: [pool], endsAtMs, registeredBy: "operator" });
    await register.revoke(BY, { id: "t1" });
    await register.revoke(BY, { id: "t2", endsAtMs });
    const policy = await stub.policy();
    expect(policy.ok && parsePoolPolicy(policy.value)).toMatchObject({
      revoked: [{ tokenId: "t1" }, { tokenId: "t2" }],
    });
  });

  it("[TK4] [TK5] [TK9] [ID6] keeps room for others, whatever an administrator of some pools does", async () => {
    const register = newRegister();
    const { pool } = await newPool();
    const full = { ok: false, refusal: "register-full" };
    const held = (name: string) => ({ name, pools: [pool] });
    const offer = { role: "host" as const, name: "h", pools: [pool], ttlMs: 1_000 };
    for (const name of ["a", "b", "c"]) {
      for (let at = 0; at < 250; at += 1) expect((await register.offerJoin(held(name), offer)).ok).toBe(true);
      expect(await register.offerJoin(held(name), offer)).toEqual(full);
    }
    expect(await register.offerJoin(held("d"), offer)).toEqual(full);
    expect((await register.offerJoin(BY, offer)).ok).toBe(true);
    await runInDurableObject(register, (_instance, state) => {
      for (let at = 0; at < 7_500; at += 1) {
        state.storage.sql.exec(
          "INSERT INTO revocation (id, role, pools, spread, ends_at_ms, revoked_at_ms, revoked_by) VALUES (?, NULL, '[]', '[]', ?, 0, ?)",
          `t${at}`,
          Date.now() + HOUR_MS,
          `${at % 3}`,
        );
      }
      state.storage.sql.exec("UPDATE register SET told_sequence = 7500");
    });
    expect(await register.revoke(held("0"), { id: "one-more" })).toEqual(full);
    expect(await register.revoke(held("3"), { id: "one-more" })).toEqual(full);
    expect(await register.revoke(BY, { id: "one-more" })).toMatchObject({ ok: true });
  });

  it("[TK4] tells its state only to whom it is news", async () => {
    const register = newRegister();
    const state = await register.access(null);
    expect(state).toMatchObject({ revocations: [], issuers: [], joinedIds: [] });
    expect(await register.access(state!.version)).toBeNull();
    await register.revoke(BY, { id: "t1" });
    const later = await register.access(state!.version);
    expect(later).toMatchObject({
      revocations: [{ tokenId: "t1", pools: ["*"] }],
      keysVersion: state!.keysVersion,
    });
  });
});
