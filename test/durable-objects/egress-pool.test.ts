import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { CATALOGUE_NAME } from "../../durable-objects/bindings.ts";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { CLOSE_FENCED, CLOSE_REFUSED } from "../../durable-objects/platform/object-platform.ts";
import { HOST_HEADER } from "../../durable-objects/calls/peer-headers.ts";
import { HEARTBEAT, PROTOCOL_VERSION } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { PLACELESS } from "../../src/core/whereabouts.ts";
import { HostConnection, objects, type Reply, upgrade } from "./objects.ts";

const FIRST = "first-instance";
const DUPLICATE = "other-instance";
const GATEWAY = "http://127.0.0.1:8001";

let count = 0;

/** A pool with one address, both new. */
async function newPool() {
  count += 1;
  const pool = `pool-${count}`;
  const ip = `192.0.2.${count}`;
  const stub = objects.EGRESS_POOL.getByName(pool);
  await stub.configure({});
  expect(await stub.addIp(ip, null)).toMatchObject({ ok: true });
  return { pool, ip, stub };
}

async function hostsPlaced(stub: Awaited<ReturnType<typeof newPool>>["stub"]): Promise<Reply[]> {
  const placement = await stub.placement();
  if (!placement.ok) throw new Error(placement.refusal);
  return placement.value.ips.flatMap(({ hosts }) => hosts);
}

function report(ip: string, portCount: number, draining = false): object {
  return { type: "report", draining, rooms: [{ ip, portCount, busiestCount: 3 }] };
}

/** A host that is placed with 256 ports. */
async function placedHost({ stub, ip }: Awaited<ReturnType<typeof newPool>>, name: string) {
  const host = await HostConnection.open(stub, name);
  expect(await host.enlist(FIRST, GATEWAY)).toMatchObject({ type: "enlisted" });
  host.send(report(ip, 256));
  await vi.waitFor(async () => {
    expect((await hostsPlaced(stub)).map(({ host: placed }) => placed as string)).toContain(name);
  });
  return host;
}

/** Until it is set right, the clock is an hour ahead. */
function setClockAhead(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3_600_000 });
}

/** Lets so much time pass for objects, while the clock does as it is told. */
function pass(durationMs: number): void {
  vi.setSystemTime(Date.now() + durationMs);
}

afterEach(() => {
  vi.useRealTimers();
});

describe("the catalogue", () => {
  it("[DO10] a pool nobody configured is unknown", async () => {
    const stub = objects.EGRESS_POOL.getByName("nowhere");
    const unknown = { ok: false, refusal: "pool-unknown" };
    expect(await stub.placement()).toEqual(unknown);
    expect(await stub.describe()).toEqual(unknown);
    expect(await stub.hosts()).toEqual(unknown);
    expect(await stub.addIp("192.0.2.250", null)).toEqual(unknown);
    const response = await upgrade(stub, { upgrade: "websocket", [HOST_HEADER]: "h1" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "pool-unknown" });
  });

  it("[DO11] settings are kept one by one, the rest by default", async () => {
    const { stub, pool, ip } = await newPool();
    await stub.configure({ quarantineMs: 60_000 });
    await evictDurableObject(stub);
    await stub.configure({ hostSilenceMs: 3_000 });
    expect(await stub.describe()).toEqual({
      ok: true,
      value: {
        pool,
        settings: { ...DEFAULT_POOL_SETTINGS, quarantineMs: 60_000, hostSilenceMs: 3_000 },
        ips: [{ ip, advertised: null, ...PLACELESS, retiring: null, drain: null, busiestDestination: null }],
        hosts: [],
        slots: null,
        steeringSequence: 0,
        routers: [],
        policyVersion: 0,
      },
    });
  });

  it("[DO7] an address belongs to one pool", async () => {
    const { ip } = await newPool();
    const other = await newPool();
    expect(await other.stub.addIp(ip, null)).toEqual({ ok: false, refusal: "ip-elsewhere" });
    expect(await other.stub.addIp(other.ip, { advertised: "198.51.100.7" })).toMatchObject({
      value: { ips: [{ ip: other.ip, advertised: "198.51.100.7", retiring: null }] },
    });
  });

  it("[DO11] new settings reach every address of the pool", async () => {
    const { stub, ip } = await newPool();
    await stub.configure({ leaseDurationMs: 30_000 });
    const described = await objects.EGRESS_IP.getByName(ip).describe();
    expect(described).toMatchObject({ value: { settings: { leaseDurationMs: 30_000 } } });
  });

  it("[DO11] an address that could not be told its settings is told by the alarm", async () => {
    const { stub, ip } = await newPool();
    await runInDurableObject(objects.EGRESS_IP.getByName(ip), (_instance: EgressIp, { storage }) => {
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE UPDATE ON assignment BEGIN SELECT RAISE(ABORT, 'disk full'); END",
      );
    });
    await stub.configure({ leaseDurationMs: 30_000 });
    const address = objects.EGRESS_IP.getByName(ip);
    await runInDurableObject(address, (_instance: EgressIp, { storage }) => {
      storage.sql.exec("DROP TRIGGER broken");
    });
    await evictDurableObject(stub);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect(await address.describe()).toMatchObject({ value: { settings: { leaseDurationMs: 30_000 } } });
    expect(await runDurableObjectAlarm(stub)).toBe(false);
  });

  it("[DO13] pools are listed once each, in order", async () => {
    const stub = objects.POOL_CATALOGUE.getByName(CATALOGUE_NAME);
    for (const pool of ["us", "eu", "us"]) await stub.add(pool);
    await evictDurableObject(stub);
    expect(await stub.list()).toEqual(["eu", "us"]);
  });
});

describe("placement", () => {
  it("[PL8] a host that drains is told apart from one that has fallen silent", async () => {
    const world = await newPool();
    const draining = await placedHost(world, "h1");
    const leaving = await placedHost(world, "h2");
    draining.send(report(world.ip, 256, true));
    leaving.close();
    await vi.waitFor(async () => {
      expect(await world.stub.placement()).toMatchObject({
        value: { ips: [{ hosts: [] }], resting: ["h1"] },
      });
    });
    draining.close();
  });

  it("[DO10] what a host reported survives evictions while its socket stays", async () => {
    const world = await newPool();
    const host = await placedHost(world, "h1");
    await evictDurableObject(world.stub);
    expect(await world.stub.placement()).toEqual({
      ok: true,
      value: {
        pool: world.pool,
        ips: [
          {
            ip: world.ip,
            hosts: [{ host: "h1", gateway: GATEWAY, portCount: 256, busiestCount: 3 }],
          },
        ],
        resting: [],
        settingUpUntilMs: expect.any(Number) as number,
      },
    });
    host.close();
  });

  it("[PL10] tells of an address that came after the pool's first minutes when it came, for a day", async () => {
    const { stub, ip } = await newPool();
    const placed = async (): Promise<Reply> => ((await stub.placement()) as Reply)["value"] as Reply;
    expect((await placed())["settingUpUntilMs"]).toBeGreaterThan(Date.now());
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 600_001 });
    count += 1;
    const added = `192.0.2.${count}`;
    await stub.addIp(added, null);
    const addedAtMs = Date.now();
    await evictDurableObject(stub);
    const { ips, ...rest } = await placed();
    expect(rest).not.toHaveProperty("settingUpUntilMs");
    // A minute later, for Workers that have an older copy.
    expect(ips).toEqual([
      { ip, hosts: [] },
      { ip: added, hosts: [], sinceMs: addedAtMs + 60_000 },
    ]);
    vi.setSystemTime(addedAtMs + 60_000 + 86_400_000);
    expect((await placed())["ips"]).toEqual([
      { ip, hosts: [] },
      { ip: added, hosts: [] },
    ]);
    await stub.removeIp(added);
    expect((await placed())["retiring"] ?? []).toEqual([]);
  });

  it.each([
    ["without a port", (ip: string) => report(ip, 0)],
    ["that drains", (ip: string) => report(ip, 256, true)],
    ["on another address", () => report("203.0.113.99", 256)],
  ])("[DO10] a host %s is not placed", async (_what, reportFor) => {
    const world = await newPool();
    const host = await placedHost(world, "h1");
    host.send(reportFor(world.ip));
    await vi.waitFor(async () => expect(await hostsPlaced(world.stub)).toEqual([]));
    expect(await world.stub.hosts()).toMatchObject({ value: [{ host: "h1", live: true }] });
  });

  it("[DO10] a host that closed its connection is not placed, one that stays is", async () => {
    const world = await newPool();
    const leaving = await placedHost(world, "h1");
    await placedHost(world, "h2");
    leaving.close();
    await leaving.closed;
    expect(await hostsPlaced(world.stub)).toMatchObject([{ host: "h2" }]);
  });

  it("[DO10] a silent host is not placed, until it is heard again", async () => {
    const world = await newPool();
    const host = await placedHost(world, "h1");
    await world.stub.configure({ hostSilenceMs: 500 });
    expect(await host.next()).toMatchObject({ type: "enlisted", settings: { hostSilenceMs: 500 } });
    await vi.waitFor(async () => expect(await hostsPlaced(world.stub)).toEqual([]), { timeout: 5_000 });
    await evictDurableObject(world.stub);
    host.send(HEARTBEAT);
    expect(await host.nextText()).toBe("pong");
    expect(await hostsPlaced(world.stub)).toMatchObject([{ host: "h1" }]);
  });

  it("[DO10] a host is not placed for what was heard before the clock was set back, but for a heartbeat since", async () => {
    const world = await newPool();
    setClockAhead();
    const host = await placedHost(world, "h1");
    vi.useRealTimers();
    expect(await hostsPlaced(world.stub)).toEqual([]);
    host.send(HEARTBEAT);
    expect(await host.nextText()).toBe("pong");
    expect(await hostsPlaced(world.stub)).toMatchObject([{ host: "h1" }]);
  });

  it("[DO10] a report counts as being heard, and what is refused does not", async () => {
    const world = await newPool();
    vi.useFakeTimers({ toFake: ["Date"] });
    const host = await placedHost(world, "h1");
    vi.setSystemTime(Date.now() + 40_000);
    host.send(report(world.ip, 256));
    expect(await host.ask("{")).toMatchObject({ type: "refused" });
    vi.setSystemTime(Date.now() + 40_000);
    expect(await host.ask("{")).toMatchObject({ type: "refused" });
    expect(await hostsPlaced(world.stub)).toHaveLength(1);
    vi.setSystemTime(Date.now() + 10_000);
    expect(await hostsPlaced(world.stub)).toEqual([]);
    host.send({ type: "tried", ip: world.ip, reached: [] });
    expect(await host.ask("{")).toMatchObject({ type: "refused" });
    expect(await hostsPlaced(world.stub)).toHaveLength(1);
  });

  it("[DO12] a host that lost only its connection is placed again at once", async () => {
    const world = await newPool();
    await placedHost(world, "h1");
    await evictDurableObject(world.stub, { webSockets: "close" });
    expect(await hostsPlaced(world.stub)).toEqual([]);
    const again = await HostConnection.open(world.stub, "h1");
    await again.enlist(FIRST, "http://127.0.0.1:8002");
    expect(await hostsPlaced(world.stub)).toMatchObject([{ host: "h1", gateway: "http://127.0.0.1:8002" }]);
  });
});

describe("enlisting", () => {
  it("[DO11] hosts are told the addresses, and again when there are more", async () => {
    const { stub, pool, ip } = await newPool();
    const host = await HostConnection.open(stub, "h1");
    const notEnlisted = await HostConnection.open(stub, "h2");
    expect(await host.enlist(FIRST)).toEqual({
      type: "enlisted",
      pool,
      ips: [ip],
      retiring: [],
      steered: false,
      takes: ["busiestDestination", "policyVersion", "tenants", "watchable"],
      settings: { hostSilenceMs: 50_000, steeringDeadlineMs: 2_000 },
      policyVersion: 0,
    });
    await evictDurableObject(stub);
    count += 1;
    await stub.addIp(`192.0.2.${count}`, null);
    expect(await host.next()).toMatchObject({ type: "enlisted", pool, ips: [ip, `192.0.2.${count}`] });
    // The first thing the other hears is the answer to what it asks itself.
    expect(await notEnlisted.ask("{")).toMatchObject({ type: "refused" });
  });

  it("[DO11] hosts are told the pool's own settings, and again when they change", async () => {
    const { stub } = await newPool();
    const host = await HostConnection.open(stub, "h1");
    const settings = { hostSilenceMs: 50_000, steeringDeadlineMs: 2_000 };
    expect(await host.enlist(FIRST)).toMatchObject({ settings });
    await evictDurableObject(stub);
    // How addresses lease is told by them.
    await stub.configure({ leaseDurationMs: 30_000, steeringDeadlineMs: 2_000 });
    await stub.configure({ steeringDeadlineMs: 1_000 });
    expect(await host.next()).toMatchObject({
      type: "enlisted",
      settings: { ...settings, steeringDeadlineMs: 1_000 },
    });
  });

  it("[HO1] a duplicate instance is refused while the first is live, and may come when it has gone", async () => {
    const world = await newPool();
    const first = await placedHost(world, "h1");
    await evictDurableObject(world.stub);
    const duplicate = await HostConnection.open(world.stub, "h1");
    expect(await duplicate.enlist(DUPLICATE)).toEqual({ type: "refused", code: "host-already-present" });
    expect(await duplicate.closed).toEqual({ code: CLOSE_REFUSED, reason: "host-already-present" });
    first.close();
    await first.closed;
    const successor = await HostConnection.open(world.stub, "h1");
    expect(await successor.enlist(DUPLICATE)).toMatchObject({ type: "enlisted" });
    // What the first had room for says nothing of the other.
    expect(await hostsPlaced(world.stub)).toEqual([]);
  });

  it("[HO1] [DO20] another instance is let in soon after the first has gone without a word", async () => {
    const world = await newPool();
    vi.useFakeTimers({ toFake: ["Date"] });
    const first = await placedHost(world, "h1");
    pass(10_000);
    const early = await HostConnection.open(world.stub, "h1");
    expect(await early.enlist(DUPLICATE)).toEqual({ type: "refused", code: "host-already-present" });
    expect(await first.next()).toMatchObject({ type: "enlisted" });
    pass(3_000);
    const successor = await HostConnection.open(world.stub, "h1");
    expect(await successor.enlist(DUPLICATE)).toMatchObject({ type: "enlisted" });
    expect(await first.closed).toMatchObject({ code: CLOSE_FENCED });
  });

  it("[HO1] another instance may come when the first fell silent before the clock was set back", async () => {
    const world = await newPool();
    setClockAhead();
    const first = await placedHost(world, "h1");
    vi.useRealTimers();
    const successor = await HostConnection.open(world.stub, "h1");
    expect(await successor.enlist(DUPLICATE)).toMatchObject({ type: "enlisted" });
    expect(await first.closed).toMatchObject({ code: CLOSE_FENCED });
  });

  it("[HO1] another instance is let in when the first is silent, and ends its connection", async () => {
    const world = await newPool();
    const first = await placedHost(world, "h1");
    await world.stub.configure({ hostSilenceMs: 500 });
    await vi.waitFor(async () => expect(await hostsPlaced(world.stub)).toEqual([]), { timeout: 5_000 });
    const successor = await HostConnection.open(world.stub, "h1");
    expect(await successor.enlist(DUPLICATE)).toMatchObject({ type: "enlisted" });
    expect(await first.closed).toEqual({ code: CLOSE_FENCED, reason: "stale-session" });
  });

  it("[DO9] what an older connection still reports is refused", async () => {
    const world = await newPool();
    const older = await placedHost(world, "h1");
    const newer = await HostConnection.open(world.stub, "h1");
    const enlisted = newer.enlist(FIRST);
    // It is on its way while the newer connection takes over.
    older.send(report(world.ip, 7));
    await enlisted;
    await older.closed;
    expect(await hostsPlaced(world.stub)).toMatchObject([{ host: "h1", portCount: 256 }]);
  });

  it("[DO9] a newer connection of the same instance closes the older", async () => {
    const world = await newPool();
    const older = await placedHost(world, "h1");
    const newer = await HostConnection.open(world.stub, "h1");
    await newer.enlist(FIRST);
    expect(await older.closed).toEqual({ code: CLOSE_FENCED, reason: "stale-session" });
    expect(await hostsPlaced(world.stub)).toHaveLength(1);
  });

  it.each([
    "relative/path",
    "ftp://host/",
    "http://user:secret@host/",
    "http://host/?token=x",
    "https://host/#part",
    "http://",
  ])("[DO14] %s is no gateway", async (gateway) => {
    const { stub } = await newPool();
    const host = await HostConnection.open(stub, "h1");
    expect(await host.enlist(FIRST, gateway)).toEqual({ type: "refused", code: "gateway-invalid" });
    expect(await host.closed).toEqual({ code: CLOSE_REFUSED, reason: "gateway-invalid" });
    expect(await stub.hosts()).toEqual({ ok: true, value: [] });
  });

  it("[DO14] a gateway is kept and told in one form, however its host writes it", async () => {
    const { stub } = await newPool();
    const host = await HostConnection.open(stub, "h1");
    await host.enlist(FIRST, "HTTPS://H1.example:443/base//");
    expect(await stub.hosts()).toMatchObject({ value: [{ gateway: "https://h1.example/base" }] });
  });

  it.each([
    ["no JSON", "{"],
    ["bytes", new TextEncoder().encode("{}").buffer],
    ["an unknown type", '{"type":"leave"}'],
    ["a report before it has enlisted", '{"type":"report","draining":false,"rooms":[]}'],
    ["a trial before it has enlisted", '{"type":"tried","ip":"192.0.2.1","reached":[]}'],
    [
      "room at no address",
      '{"type":"report","draining":false,"rooms":[{"ip":"x","portCount":1,"busiestCount":0}]}',
    ],
  ])("[ME3] %s is refused, and the connection goes on", async (_what, message) => {
    const { stub } = await newPool();
    const host = await HostConnection.open(stub, "h1");
    expect(await host.ask(message)).toEqual({ type: "refused", code: "message-malformed" });
    expect(await host.enlist(FIRST)).toMatchObject({ type: "enlisted" });
  });

  it("[ME1] another version is refused, and the connection closed", async () => {
    const { stub } = await newPool();
    const host = await HostConnection.open(stub, "h1");
    const version = PROTOCOL_VERSION + 1;
    const refused = await host.ask({ type: "enlist", version, instance: FIRST, gateway: GATEWAY });
    expect(refused).toEqual({ type: "refused", code: "version-unsupported" });
    expect(await host.closed).toMatchObject({ code: CLOSE_REFUSED });
  });

  it("[DO5] a description tells nobody the key that proves a host's identity", async () => {
    const world = await newPool();
    await placedHost(world, "h1");
    const text = JSON.stringify([await world.stub.describe(), await world.stub.hosts()]);
    expect(text).toContain("h1");
    expect(text).not.toContain(FIRST);
  });
});
