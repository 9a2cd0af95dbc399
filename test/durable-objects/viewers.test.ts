import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import {
  HOST_HEADER,
  ROUTER_HEADER,
  SESSION_END_HEADER,
  VIEWER_HEADER,
} from "../../durable-objects/calls/peer-headers.ts";
import {
  CLOSE_GONE,
  CLOSE_MALFORMED,
  CLOSE_REFUSED,
} from "../../durable-objects/platform/object-platform.ts";
import { MOST_VIEWERS } from "../../durable-objects/viewing/viewer-sockets.ts";
import { LOOK_LASTS_MS, MOST_UNHEARD } from "../../src/core/live-view.ts";
import {
  HostConnection,
  objects,
  type Reply,
  settings,
  upgrade,
  ViewerConnection,
  viewerHeaders,
} from "./objects.ts";

const HOUR_MS = 3_600_000;
let count = 0;

async function newAddress() {
  count += 1;
  const ip = `203.0.113.${count}`;
  const stub = objects.EGRESS_IP.getByName(ip);
  await stub.assign("eu", settings);
  const host = await HostConnection.open(stub, "h1");
  await host.join("instance-of-h1");
  return { ip, stub, host };
}

async function newPool() {
  count += 1;
  const [pool, ip] = [`seen-${count}`, `203.0.113.${count}`];
  const stub = objects.EGRESS_POOL.getByName(pool);
  await stub.configure({ hostSilenceMs: LOOK_LASTS_MS / 3 });
  await stub.addIp(ip, null);
  return { pool, ip, stub };
}

/** What the Worker answers from: all that is true now. */
async function truthOf(stub: DurableObjectStub<EgressIp>): Promise<Reply> {
  const described = await stub.describe();
  if (!described.ok) throw new Error(described.refusal);
  return JSON.parse(JSON.stringify(described.value)) as Reply;
}

/** As a page does it. */
function followed(address: Reply, change: Reply): Reply {
  const blocks = new Map<number, Reply>(address["blocks"].map((block: Reply) => [block["epoch"], block]));
  for (const epoch of change["goneEpochs"]) blocks.delete(epoch);
  for (const block of change["blocks"]) blocks.set(block.epoch, block);
  return { ...change["rest"], blocks: [...blocks.values()] };
}

afterEach(() => {
  vi.useRealTimers();
});

describe("who looks at an address", () => {
  it("[LV5] is told the table, then what has become other, and after an eviction all of it again", async () => {
    const { ip, stub, host } = await newAddress();
    const viewer = await ViewerConnection.open(stub);
    const whole = await viewer.look();
    expect(whole).toEqual({ type: "address", ip, address: await truthOf(stub) });
    let seen = whole["address"] as Reply;
    const { granted } = await host.acquire(6);
    let change = await viewer.nextOf("address-change");
    expect(change["blocks"]).toMatchObject([{ epoch: granted.epoch, host: "h1", state: "leased" }]);
    seen = followed(seen, change);
    expect(seen).toEqual(await truthOf(stub));
    await host.acquire(7);
    await host.release(granted);
    // Whatever became of it within a quarter of a second is one message.
    change = await viewer.nextOf("address-change");
    expect(change["blocks"]).toHaveLength(2);
    seen = followed(seen, change);
    expect(seen).toEqual(await truthOf(stub));
    await evictDurableObject(stub);
    await host.acquire(6);
    expect(await viewer.nextOf("address")).toEqual({ type: "address", ip, address: await truthOf(stub) });
  });

  it("[LV5] is told differences only when there are some, and each viewer the whole once", async () => {
    const { stub, host } = await newAddress();
    const [one, two] = [await ViewerConnection.open(stub), await ViewerConnection.open(stub)];
    expect(await one.look()).toMatchObject({ type: "address" });
    expect(await two.look()).toMatchObject({ type: "address" });
    one.send({ type: "look" });
    await host.acquire(6);
    expect(await two.next()).toMatchObject({ type: "address-change" });
    expect(await one.next()).toMatchObject({ type: "address-change" });
    expect([one.unread, two.unread]).toEqual([[], []]);
  });

  it("[LV2] is no host: its bytes never reach the leases, and what is no look ends its own connection only", async () => {
    const { stub, host } = await newAddress();
    const join = { type: "join", version: 1, requestId: "r1", instance: "instance-of-h1" };
    for (const said of [
      join,
      "not json",
      "[]",
      JSON.stringify({ type: "look", more: 1 }),
      new ArrayBuffer(3),
      "x".repeat(2_000),
    ]) {
      const [bad, good] = [await ViewerConnection.open(stub), await ViewerConnection.open(stub)];
      bad.send(said);
      expect(await bad.closed).toEqual({ code: CLOSE_MALFORMED, reason: "message-malformed" });
      expect(await good.look()).toMatchObject({ type: "address" });
      good.close();
    }
    expect(await host.renew()).toMatchObject({ type: "answer" });
    expect((await truthOf(stub))["holders"]).toMatchObject([{ host: "h1", session: 1 }]);
  });

  it("[LV2] comes with a session and its end, and as nobody else", async () => {
    const { stub } = await newAddress();
    const whole = { upgrade: "websocket", ...viewerHeaders() };
    const endless = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== SESSION_END_HEADER));
    const statuses = [];
    for (const headers of [
      whole,
      endless,
      { ...whole, [SESSION_END_HEADER]: "soon" },
      { ...whole, [HOST_HEADER]: "h1" },
      { ...whole, [ROUTER_HEADER]: "r1" },
    ]) {
      statuses.push((await upgrade(stub, headers)).status);
    }
    expect(statuses).toEqual([101, 403, 403, 403, 403]);
  });

  it("[LV3] sees no more when the session is over, or it or its token is taken back", async () => {
    const { stub, host } = await newAddress();
    const endsAtMs = Date.now() + HOUR_MS;
    const [late, told, kept] = [
      await ViewerConnection.open(stub, { session: "s1", endsAtMs }),
      await ViewerConnection.open(stub, { session: "s2", endsAtMs }),
      await ViewerConnection.open(stub, { session: "s4", token: "t4", endsAtMs: endsAtMs + HOUR_MS }),
    ];
    const [signedOut, revoked] = [
      await ViewerConnection.open(stub, { session: "s5" }),
      await ViewerConnection.open(stub, { session: "s6", token: "t6" }),
    ];
    await told.look();
    await stub.dropTokens(["s5", "t6"]);
    for (const { closed } of [signedOut, revoked]) {
      expect(await closed).toEqual({ code: CLOSE_REFUSED, reason: "token-revoked" });
    }
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(endsAtMs + 1);
    late.send({ type: "look" });
    expect(await late.closed).toEqual({ code: CLOSE_REFUSED, reason: "session-ended" });
    // Who only listens is told no more either.
    await kept.look();
    await host.join("instance-of-h1");
    await host.acquire(6);
    expect(await told.closed).toEqual({ code: CLOSE_REFUSED, reason: "session-ended" });
    expect(await kept.nextOf("address-change")).toMatchObject({ blocks: [{ host: "h1" }] });
  });

  it("[LV1] is told nothing while it does not say that it looks, and all of it when it does again", async () => {
    const { ip, stub, host } = await newAddress();
    const [silent, kept] = [await ViewerConnection.open(stub), await ViewerConnection.open(stub)];
    await silent.look();
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + LOOK_LASTS_MS);
    await kept.look();
    await host.acquire(6);
    await kept.nextOf("address-change");
    expect(silent.unread).toEqual([]);
    expect(await silent.look()).toEqual({ type: "address", ip, address: await truthOf(stub) });
    // Where nobody looked meanwhile, what it has missed is a difference.
    vi.setSystemTime(Date.now() + LOOK_LASTS_MS);
    await host.acquire(6);
    expect(await silent.look()).toMatchObject({ type: "address-change", blocks: [{ host: "h1" }] });
  });

  it("[LV4] is refused when as many look already, and takes the place of who is silent", async () => {
    const { stub } = await newAddress();
    const all: ViewerConnection[] = [];
    for (let at = 0; at < MOST_VIEWERS; at += 1) all.push(await ViewerConnection.open(stub));
    const refused = await upgrade(stub, { upgrade: "websocket", ...viewerHeaders() });
    expect([refused.status, (await refused.json<Reply>())["code"]]).toEqual([429, "viewers-exhausted"]);
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + LOOK_LASTS_MS);
    all[0]!.send({ type: "look" });
    expect(await all[0]!.next()).toMatchObject({ type: "address" });
    await ViewerConnection.open(stub);
    expect(await all[1]!.closed).toEqual({ code: CLOSE_GONE, reason: "look-missed" });
  });

  it("[LV4] that holds most places leaves one to somebody else, but not to itself", async () => {
    const { stub } = await newAddress();
    const all: ViewerConnection[] = [];
    for (let at = 0; at < MOST_VIEWERS; at += 1) all.push(await ViewerConnection.open(stub));
    const headers = { upgrade: "websocket", ...viewerHeaders() };
    expect((await upgrade(stub, headers)).status).toBe(429);
    const other = await upgrade(stub, { ...headers, [VIEWER_HEADER]: "somebody-else" });
    other.webSocket?.accept();
    expect(other.status).toBe(101);
    const closed = await Promise.race(all.map((one) => one.closed));
    expect(closed).toEqual({ code: CLOSE_GONE, reason: "look-missed" });
    expect((await upgrade(stub, headers)).status).toBe(429);
  });

  it("[LV9] that does not read is told nothing more until it has caught up", async () => {
    const { ip, stub, host } = await newAddress();
    const [deaf, kept] = [await ViewerConnection.open(stub), await ViewerConnection.open(stub)];
    await deaf.look();
    const whole = JSON.stringify(await kept.look());
    const told: number[] = [];
    await runInDurableObject(stub, (_instance: EgressIp, state) => {
      for (const socket of state.getWebSockets(":viewers")) {
        const viewer = socket.deserializeAttachment() as { toldLength: number };
        told.push(viewer.toldLength);
        socket.serializeAttachment({ ...viewer, toldLength: MOST_UNHEARD + 1 });
      }
    });
    expect(told).toEqual([whole.length, whole.length]);
    // One of them says that it has heard all; more than there was nobody has.
    kept.send({ type: "look", heard: Number.MAX_SAFE_INTEGER });
    deaf.send({ type: "look", heard: 0 });
    await host.acquire(6);
    await kept.nextOf("address-change");
    expect(deaf.unread).toEqual([]);
    const address = await truthOf(stub);
    expect(await deaf.look({ heard: MOST_UNHEARD })).toEqual({ type: "address", ip, address });
  });

  it("[LV5] that has left its pool learns that it is gone", async () => {
    const { stub } = await newAddress();
    const viewer = await ViewerConnection.open(stub);
    await viewer.look();
    await stub.assign("eu", settings, false, { revision: null, wish: "leave" });
    expect(await viewer.closed).toEqual({ code: CLOSE_GONE, reason: "ip-unknown" });
  });
});

describe("who looks at a pool", () => {
  it("[LV5] [LV6] is told all of it, and then each entry that has become other", async () => {
    const { pool, ip, stub } = await newPool();
    const viewer = await ViewerConnection.open(stub);
    const described = await stub.describe();
    if (!described.ok) throw new Error(described.refusal);
    expect(await viewer.look()).toEqual({
      type: "pool",
      pool: JSON.parse(JSON.stringify(described.value)),
    });
    const host = await HostConnection.open(stub, "h1");
    await host.enlist("instance-of-h1");
    expect(await viewer.nextOf("pool-change")).toMatchObject({
      hosts: [{ host: "h1", live: true }],
      goneHosts: [],
    });
    await stub.drainIp(ip, true);
    expect(await viewer.nextOf("pool-change")).toMatchObject({
      ips: [{ ip, drain: { state: expect.any(String) } }],
    });
    // That a host is silent shows by time alone.
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + LOOK_LASTS_MS / 2);
    expect(await viewer.nextOf("pool-change")).toMatchObject({ hosts: [{ host: "h1", live: false }] });
    await stub.configure({ hostSilenceMs: 77_000 });
    expect(await viewer.nextOf("pool-change")).toMatchObject({
      rest: { pool, settings: { hostSilenceMs: 77_000 } },
    });
    // Nobody looks any more: the pool can be put to sleep.
    vi.setSystemTime(Date.now() + LOOK_LASTS_MS);
    await evictDurableObject(stub);
    expect(await viewer.look()).toMatchObject({ type: "pool", pool: { pool } });
  });

  it("[LV3] loses sight with its session or its token", async () => {
    const { pool, stub, ip } = await newPool();
    const address = objects.EGRESS_IP.getByName(ip);
    const ended = [
      await ViewerConnection.open(stub, { session: "s9" }),
      await ViewerConnection.open(address, { session: "s9" }),
      await ViewerConnection.open(stub, { session: "s8", token: "t9" }),
      await ViewerConnection.open(address, { session: "s8", token: "t9" }),
    ];
    const kept = await ViewerConnection.open(stub, { session: "s7" });
    const revoked = ["s9", "t9"].map((tokenId) => ({
      tokenId,
      expiresAtMs: Date.now() + HOUR_MS,
      role: "admin" as const,
    }));
    await stub.takeRevocations(revoked);
    for (const { closed } of ended)
      expect(await closed).toEqual({ code: CLOSE_REFUSED, reason: "token-revoked" });
    expect(await kept.look()).toMatchObject({ type: "pool", pool: { pool } });
  });

  it("[LV2] says nothing to it but looks", async () => {
    const { stub } = await newPool();
    for (const said of [
      { type: "enlist", version: 1, instance: "x".repeat(9), gateway: "http://h" },
      { type: "enroll", version: 1, instance: "x".repeat(9) },
      "{",
    ]) {
      const viewer = await ViewerConnection.open(stub);
      viewer.send(said);
      expect(await viewer.closed).toEqual({ code: CLOSE_MALFORMED, reason: "message-malformed" });
    }
    expect(await stub.describe()).toMatchObject({ value: { hosts: [], routers: [] } });
  });
});

const NOW = {
  version: "1.2.3",
  startedAtMs: 5,
  processCount: 2,
  runningCount: 1,
  addresses: [
    { ip: "192.0.2.1", renewedAtMs: 1, renewsAtMs: 2, endsAtMs: 3, inUseCount: 9, blocks: [[1_024, 64, 9]] },
  ],
  minute: { atMs: 60_000, requestCount: 4, flowCount: 1, refusals: { draining: 2 }, portCount: 9 },
};
const PAST = { minutes: [NOW.minute], quarters: [{ ...NOW.minute, atMs: 0 }] };
const DECISION = { atMs: 7, decision: "refused", code: "draining", tenant: "shop" };

async function enlisted(stub: Parameters<typeof upgrade>[0], name: string, watchable: object) {
  const host = await HostConnection.open(stub, name);
  expect((await host.enlist(`instance-of-${name}`))["takes"]).toContain("watchable");
  host.send({ type: "report", draining: false, rooms: [], ...watchable });
  return host;
}

describe("hosts of a pool that somebody looks at", () => {
  it("[LV7] [ME7] are asked to tell of themselves, those that can, and it is told on by their names", async () => {
    const { stub } = await newPool();
    const [able, old] = [await enlisted(stub, "able", { watchable: true }), await enlisted(stub, "old", {})];
    await stub.describe();
    expect(able.unread).toEqual([]);
    const viewer = await ViewerConnection.open(stub);
    await viewer.look({ decisions: true });
    const watch = await able.next();
    expect(watch).toMatchObject({
      type: "watch",
      everyMs: 1_000,
      forMs: 30_000,
      past: false,
      decisionCount: 20,
    });
    able.send({ type: "watched", now: NOW, decisions: [DECISION], lostCount: 3 });
    expect(await viewer.nextOf("watched")).toEqual({ type: "watched", hosts: { able: NOW } });
    expect(await viewer.nextOf("decisions")).toEqual({
      type: "decisions",
      decisions: [{ ...DECISION, host: "able" }],
      lostCount: 3,
    });
    // Who comes later is told at once what is known, and decisions only if it wants them.
    const later = await ViewerConnection.open(stub);
    await later.look();
    expect(await later.nextOf("watched")).toEqual({ type: "watched", hosts: { able: NOW } });
    able.send({ type: "watched", now: NOW, decisions: [DECISION] });
    await viewer.nextOf("decisions");
    later.send({ type: "look", past: true });
    expect(await able.next()).toMatchObject({ type: "watch", past: true });
    able.send({ type: "watched", past: PAST });
    const past = await later.nextOf("past");
    expect(past).toEqual({ type: "past", past: PAST, hostCount: 1, silentHosts: ["old"] });
    expect([...viewer.unread, ...later.unread].filter((text) => /"past"|"decisions"/.test(text))).toEqual([]);
    expect(old.unread).toEqual([]);
    // What no host says is refused, and nothing of it is told on.
    able.send({ type: "watched", now: { ...NOW, minute: { ...NOW.minute, refusals: { "<b>": 1 } } } });
    expect(await able.next()).toEqual({ type: "refused", code: "message-malformed" });
  });

  it("[LV7] are not written to for each wish that comes and goes, and none takes the place of all", async () => {
    const { stub } = await newPool();
    const [able, loud] = [
      await enlisted(stub, "able", { watchable: true }),
      await enlisted(stub, "loud", { watchable: true }),
    ];
    const viewer = await ViewerConnection.open(stub);
    await viewer.look({ decisions: true });
    expect(await able.next()).toMatchObject({ decisionCount: 20 });
    viewer.send({ type: "look", decisions: false });
    viewer.send({ type: "look", decisions: true });
    for (let at = 0; at < 30; at += 1)
      loud.send({ type: "watched", decisions: Array.from({ length: 20 }, () => DECISION) });
    await stub.describe();
    able.send({ type: "watched", now: NOW, decisions: [DECISION] });
    const all: Reply[] = [];
    do all.push(await viewer.nextOf("decisions"));
    while (!JSON.stringify(all).includes('"host":"able"'));
    expect(all.flatMap(({ decisions }) => decisions).length).toBeLessThan(40 * all.length + 2);
    viewer.send({ type: "look", decisions: false });
    able.send({ type: "watched", now: NOW });
    await viewer.nextOf("watched");
    expect(able.unread).toEqual([]);
  });

  it("[LV7] are told once when nobody looks any more, and asked at once by who looks next", async () => {
    const { stub } = await newPool();
    const able = await enlisted(stub, "able", { watchable: true });
    const viewer = await ViewerConnection.open(stub);
    await viewer.look();
    expect(await able.next()).toMatchObject({ type: "watch", forMs: 30_000 });
    viewer.close();
    expect(await able.next()).toMatchObject({ type: "watch", forMs: 0 });
    const next = await ViewerConnection.open(stub);
    await next.look();
    expect(await able.next()).toMatchObject({ type: "watch", forMs: 30_000 });
    expect(able.unread).toEqual([]);
  });

  it("[LV1] are asked for nothing when nobody looks any more, and what they tell then is of no use", async () => {
    const { stub } = await newPool();
    const able = await enlisted(stub, "able", { watchable: true });
    const viewer = await ViewerConnection.open(stub);
    await viewer.look();
    await able.next();
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + LOOK_LASTS_MS);
    // It can be put to sleep only when nothing is under way.
    await evictDurableObject(stub);
    able.send({ type: "watched", now: NOW });
    await stub.describe();
    expect(able.unread).toEqual([]);
    expect(await viewer.look()).toMatchObject({ type: "pool" });
    expect(await able.next()).toMatchObject({ type: "watch" });
  });
});
