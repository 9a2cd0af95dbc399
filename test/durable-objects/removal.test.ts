/** An address that is taken from its pool, and given to another: with objects restarted at every step. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { AddressOrder } from "../../durable-objects/calls/address-calls.ts";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import {
  HostConnection,
  interceptOrders,
  objects,
  type Reply,
  RouterConnection,
  settings,
} from "./objects.ts";

const FIRST = "first-instance";
/** Longer than any test: what happens sooner did not happen by a deadline. */
const NEVER_MS = 60_000;
const TIMEOUT = { timeout: 10_000, interval: 20 };
const LEAVE: AddressOrder = { revision: 1_000, wish: "leave" };
const ELSEWHERE = { ok: false, refusal: "ip-elsewhere" };

let worldCount = 0;

/** Two pools; the first has an address of which its host holds a block. */
async function world(changes: Partial<PoolSettings> = {}) {
  worldCount += 1;
  const name = `left-${worldCount}`;
  const pool = objects.EGRESS_POOL.getByName(name);
  const other = objects.EGRESS_POOL.getByName(`entered-${worldCount}`);
  const ip = `198.51.100.${worldCount}`;
  const shared = {
    steeringDeadlineMs: NEVER_MS,
    routerSilenceMs: NEVER_MS,
    hostSilenceMs: NEVER_MS,
    ...changes,
  };
  for (const each of [pool, other]) await each.configure(shared);
  expect(await pool.addIp(ip, null)).toMatchObject({ ok: true });
  const address = objects.EGRESS_IP.getByName(ip);
  const host = await HostConnection.open(address, "h1");
  await host.join(FIRST);
  const lease = (await host.acquire(8))["granted"] as { base: number; order: number; epoch: number };
  return { name, pool, other, ip, address, host, lease };
}

type World = Awaited<ReturnType<typeof world>>;

/** Ways to objects that have ended. */
function anew(here: World): World {
  const { name, ip } = here;
  return { ...here, pool: objects.EGRESS_POOL.getByName(name), address: objects.EGRESS_IP.getByName(ip) };
}

/** A host of the pool that is placed with room on the address. */
async function enlistedHost({ pool, ip }: World) {
  const member = await HostConnection.open(pool, "h1");
  expect(await member.enlist(FIRST)).toMatchObject({ ips: [ip] });
  member.send({ type: "report", draining: false, rooms: [{ ip, portCount: 256, busiestCount: 0 }] });
  await vi.waitFor(async () => expect(await hostsPlaced(pool)).toBe(1));
  return member;
}

async function hostsPlaced(pool: World["pool"]): Promise<number> {
  const placement = await pool.placement();
  if (!placement.ok) throw new Error(placement.refusal);
  return placement.value.ips.flatMap(({ hosts }) => hosts).length;
}

async function ipsOf(pool: World["pool"]): Promise<Reply[]> {
  const described = await pool.describe();
  if (!described.ok) throw new Error(described.refusal);
  return [...described.value.ips];
}

/** Of what the pool wants of its addresses. */
function revisionOf({ name }: World): Promise<number> {
  return runInDurableObject(objects.EGRESS_POOL.getByName(name), (_instance: EgressPool, { storage }) =>
    Number(storage.sql.exec("SELECT revision FROM pool").one()["revision"]),
  );
}

/** Rings for the pool until its address is gone; everything sleeps in between. */
async function ringUntilGone({ pool, address }: World): Promise<void> {
  await vi.waitFor(async () => {
    await evict(pool, address);
    await runDurableObjectAlarm(pool);
    expect(await ipsOf(pool)).toEqual([]);
  }, TIMEOUT);
  expect(await runDurableObjectAlarm(pool)).toBe(false);
}

async function evict(...stubs: DurableObjectStub[]): Promise<void> {
  for (const stub of stubs) {
    // An object that sleeps cannot be put to sleep.
    await runInDurableObject(stub, () => {});
    await evictDurableObject(stub);
  }
}

/** Ends an object in the middle of whatever it does; its connections end too. */
async function crash(stub: DurableObjectStub): Promise<void> {
  const crashed = runInDurableObject(stub, (_instance, state) => state.abort("crash"));
  await crashed.catch(() => {});
}

/** Writes of an address fail until the returned function is called. */
async function breakDisk({ ip }: World): Promise<() => Promise<void>> {
  const run = (sql: string): Promise<void> =>
    // Who fails to write ends, and what led to it with it.
    runInDurableObject(objects.EGRESS_IP.getByName(ip), (_instance: EgressIp, { storage }) => {
      storage.sql.exec(sql);
    });
  await run("CREATE TRIGGER broken BEFORE UPDATE ON assignment BEGIN SELECT RAISE(ABORT, 'disk full'); END");
  return () => run("DROP TRIGGER broken");
}

/** Loses what an address answers to "serve", and makes the order to retire wait, until it is mended. */
async function hardOfHearing(ip: string) {
  const address = objects.EGRESS_IP.getByName(ip);
  const came: string[] = [];
  const mended = Promise.withResolvers<void>();
  let isMended = false;
  await interceptOrders(address, async (wish, carryOut) => {
    came.push(wish);
    if (wish !== "serve") await mended.promise;
    const status = await carryOut();
    if (!isMended) throw new Error("the answer is lost");
    return status;
  });
  const mend = () =>
    runInDurableObject(address, () => {
      isMended = true;
      mended.resolve();
    });
  return { came, mend };
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("an address that was removed", () => {
  it("[RE1] grants nothing new, and what is held is renewed and released", async () => {
    const here = await world();
    expect(await here.pool.removeIp(here.ip)).toMatchObject({
      value: {
        ips: [{ ip: here.ip, advertised: null, retiring: { leasedPortCount: 256, quarantinedPortCount: 0 } }],
      },
    });
    expect(await here.host.acquire(8)).toMatchObject({ type: "refused", code: "ip-retiring" });
    await evict(here.address);
    expect(await here.host.acquire(8)).toMatchObject({ type: "refused", code: "ip-retiring" });
    expect(await here.host.renew()).toMatchObject({
      leases: [here.lease],
      leaseDurationMs: settings.leaseDurationMs,
    });
    const again = await HostConnection.open(here.address, "h1");
    expect(await again.join(FIRST)).toMatchObject({ type: "answer", leases: [here.lease] });
    expect(await again.release(here.lease)).toMatchObject({ type: "answer", leases: [] });
    expect(await here.address.describe()).toMatchObject({ value: { retiring: true } });
  });

  it("[RE1] is named to no host and placed nowhere from the same moment on", async () => {
    const here = await world();
    const member = await enlistedHost(here);
    await here.pool.removeIp(here.ip);
    expect(await member.next()).toMatchObject({ type: "enlisted", ips: [] });
    expect(await here.pool.placement()).toMatchObject({ value: { ips: [] } });
    // Giving it up again is told to nobody.
    await here.pool.removeIp(here.ip);
    expect(await member.ask("{")).toMatchObject({ type: "refused" });
    await evict(here.pool);
    const back = await HostConnection.open(here.pool, "h1");
    expect(await back.enlist(FIRST)).toMatchObject({ ips: [] });
    member.close();
    back.close();
  });

  it("[RE1] is unknown once it is gone, and removing it again is the same removal before", async () => {
    const here = await world({ quarantineMs: 0 });
    for (let time = 0; time < 2; time += 1) {
      expect(await here.pool.removeIp(here.ip)).toMatchObject({
        value: { ips: [{ retiring: { leasedPortCount: 256 } }] },
      });
    }
    await here.host.release(here.lease);
    expect(await here.pool.removeIp(here.ip)).toMatchObject({ value: { ips: [] } });
    expect(await here.pool.removeIp(here.ip)).toEqual({ ok: false, refusal: "ip-unknown" });
    expect(await here.address.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
    // Who is still connected learns it with the next word.
    here.host.send({ type: "renew", requestId: "late" });
    expect(await here.host.closed).toMatchObject({ reason: "ip-unknown" });
  });

  it("[RE3] [QU1] stays until the last quarantine is over, and until then no other pool has it", async () => {
    const here = await world({ quarantineMs: 1_500 });
    await here.pool.removeIp(here.ip);
    expect(await here.other.addIp(here.ip, null)).toEqual(ELSEWHERE);
    await here.host.release(here.lease);
    expect(await here.pool.removeIp(here.ip)).toMatchObject({
      value: { ips: [{ retiring: { leasedPortCount: 0, quarantinedPortCount: 256 } }] },
    });
    expect(await here.other.addIp(here.ip, null)).toEqual(ELSEWHERE);
    expect(await ipsOf(here.other)).toEqual([]);
    await ringUntilGone(here);
    const described = await here.other.addIp(here.ip, null);
    expect(described).toMatchObject({ value: { ips: [{ ip: here.ip, retiring: null }] } });
  });

  it("[RE3] whose holder is lost goes when the lease and the quarantine have ended", async () => {
    const here = await world({ quarantineMs: 1_000, leaseDurationMs: 1_000 });
    await here.pool.removeIp(here.ip);
    here.host.close();
    await ringUntilGone(here);
    expect(await here.address.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
  });
});

describe("the alarm of a pool", () => {
  const alarmInMs = ({ pool }: World) =>
    runInDurableObject(pool, async (_instance, { storage }) => (await storage.getAlarm())! - Date.now());

  it("[RE6] rings when the first retiring address may have news, sooner when one could not be told", async () => {
    const here = await world({ leaseDurationMs: 40_000, quarantineMs: 3_600_000 });
    const second = `203.0.113.${worldCount}`;
    const third = `192.0.2.${worldCount}`;
    for (const ip of [second, third]) await here.pool.addIp(ip, null);
    const host = await HostConnection.open(objects.EGRESS_IP.getByName(second), "h1");
    await host.join(FIRST);
    const { granted } = await host.acquire(8);
    await host.release(granted as World["lease"]);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    await here.host.renew();
    await here.pool.removeIp(here.ip);
    expect(await alarmInMs(here)).toBe(40_000);
    // Of this one nothing ends within the longest time between two questions.
    await here.pool.removeIp(second);
    expect(await alarmInMs(here)).toBe(40_000);
    let isBroken = true;
    await interceptOrders(objects.EGRESS_IP.getByName(third), (_wish, carryOut) => {
      if (!isBroken) return carryOut();
      isBroken = false;
      return Promise.reject(new Error("out of order"));
    });
    await here.pool.removeIp(third);
    expect(await alarmInMs(here)).toBe(2_000);
  });
});

describe("a removal that is interrupted", () => {
  it("[RE6] before the address has heard of it is completed by the alarm", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    const mendDisk = await breakDisk(here);
    expect(await here.pool.removeIp(here.ip)).toMatchObject({
      value: { ips: [{ retiring: { leasedPortCount: null, quarantinedPortCount: null } }] },
    });
    await mendDisk();
    expect(await anew(here).address.describe()).toMatchObject({ value: { retiring: false } });
    await ringUntilGone(anew(here));
    expect(await here.other.addIp(here.ip, null)).toMatchObject({ ok: true });
  });

  it("[RE6] after the address has left is completed, though another pool has it already", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    const mendDisk = await breakDisk(here);
    await here.pool.removeIp(here.ip);
    await mendDisk();
    const { address } = anew(here);
    const left = { ok: true, value: { status: "left" } };
    expect(await address.assign(here.name, settings, false, LEAVE)).toEqual(left);
    expect(await here.other.addIp(here.ip, null)).toMatchObject({ ok: true });
    await ringUntilGone(anew(here));
    expect(await address.describe()).toMatchObject({ value: { pool: `entered-${worldCount}` } });
  });

  it("[RE6] is not undone by an older order that comes late", async () => {
    const here = await world({ quarantineMs: 0 });
    const tell = (order: AddressOrder) => here.address.assign(here.name, settings, false, order);
    await tell({ revision: 70, wish: "retire" });
    const outdated = { ok: true, value: { status: "outdated", revision: 70 } };
    expect(await tell({ revision: 69, wish: "serve" })).toEqual(outdated);
    expect(await here.host.acquire(8)).toMatchObject({ code: "ip-retiring" });
    expect(await tell({ revision: 71, wish: "leave" })).toMatchObject({ value: { status: "retiring" } });
    await here.address.assign(here.name, { ...settings, quarantineMs: 0 }, false, {
      revision: 72,
      wish: "retire",
    });
    await here.host.release(here.lease);
    expect(await tell({ revision: 73, wish: "leave" })).toEqual({ ok: true, value: { status: "left" } });
    await tell({ revision: 72, wish: "serve" });
    expect(await here.address.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
  });

  it("[RE6] has a revision of its own, and so has what takes it back", async () => {
    const here = await world();
    const before = await revisionOf(here);
    for (const [change, revision] of [
      [() => here.pool.removeIp(here.ip), before + 1],
      [() => here.pool.removeIp(here.ip), before + 1],
      [() => here.pool.addIp(here.ip, null), before + 2],
    ] as const) {
      expect(await change()).toMatchObject({ ok: true });
      expect(await revisionOf(here)).toBe(revision);
    }
  });

  it("[RE6] by a pool that was restored from an old copy goes on, beyond what was said before", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    await here.address.assign(here.name, settings, false, { revision: 500, wish: "serve" });
    expect(await here.pool.removeIp(here.ip)).toMatchObject({ value: { ips: [{ ip: here.ip }] } });
    expect(await revisionOf(here)).toBeGreaterThan(500);
    await ringUntilGone(here);
    expect(await here.address.describe()).toEqual({ ok: false, refusal: "ip-unknown" });
  });

  it("[RE6] and taken back before the address had ever answered is told to hosts", async () => {
    const here = await world();
    const member = await enlistedHost(here);
    const ip = `203.0.113.${worldCount}`;
    const { came, mend } = await hardOfHearing(ip);
    // The address is the pool's, but the pool has not heard so.
    const added = here.pool.addIp(ip, null).then(
      () => "",
      (fault: Error) => fault.message,
    );
    expect(await added).toContain("does not answer yet");
    const removed = here.pool.removeIp(ip);
    await vi.waitFor(() => expect(came).toContain("retire"));
    const back = here.pool.addIp(ip, null);
    await mend();
    await removed;
    expect(await back).toMatchObject({ ok: true });
    // For the host nothing had changed before.
    expect(await member.next()).toMatchObject({ ips: [here.ip, ip] });
    member.close();
  });

  it("[RE2] is taken back by adding the address again", async () => {
    const here = await world();
    const member = await enlistedHost(here);
    await here.pool.removeIp(here.ip);
    expect(await member.next()).toMatchObject({ ips: [] });
    await evict(here.pool, here.address);
    const back = await here.pool.addIp(here.ip, { advertised: "203.0.113.5" });
    expect(back).toMatchObject({ value: { ips: [{ advertised: "203.0.113.5", retiring: null }] } });
    expect(await member.next()).toMatchObject({ ips: [here.ip] });
    await evict(here.pool, here.address);
    expect(await here.host.acquire(8)).toMatchObject({ type: "answer", granted: { epoch: 2 } });
    expect(await hostsPlaced(here.pool)).toBe(1);
    expect(await runDurableObjectAlarm(here.pool)).toBe(false);
    member.close();
  });

  it("[RE2] is taken back even while the address leaves", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    const came: string[] = [];
    const mended = Promise.withResolvers<void>();
    await interceptOrders(here.address, async (wish, carryOut) => {
      came.push(wish);
      const status = await carryOut();
      if (wish === "leave") await mended.promise;
      return status;
    });
    const removed = here.pool.removeIp(here.ip);
    await vi.waitFor(() => expect(came).toContain("leave"));
    const back = here.pool.addIp(here.ip, null);
    expect(await ipsOf(here.pool)).toMatchObject([{ ip: here.ip, retiring: null }]);
    await runInDurableObject(here.address, () => mended.resolve());
    await removed;
    expect(await back).toMatchObject({ ok: true, value: { ips: [{ ip: here.ip, retiring: null }] } });
    expect(await here.address.describe()).toMatchObject({ value: { pool: here.name, retiring: false } });
  });

  it("[RE6] is not over when the address does not heed the order to leave", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    await interceptOrders(here.address, async (wish, carryOut) =>
      wish === "leave" ? { ok: true, value: { status: "outdated", revision: 900 } } : carryOut(),
    );
    await here.pool.removeIp(here.ip);
    expect(await ipsOf(here.pool)).toMatchObject([{ ip: here.ip, retiring: { leasedPortCount: 0 } }]);
    await ringUntilGone(here);
  });

  it("[RE2] cannot be taken back when another pool has the address", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    const mendDisk = await breakDisk(here);
    await here.pool.removeIp(here.ip);
    await mendDisk();
    await anew(here).address.assign(here.name, settings, false, LEAVE);
    await here.other.addIp(here.ip, null);
    expect(await here.pool.addIp(here.ip, null)).toEqual(ELSEWHERE);
    expect(await ipsOf(here.pool)).toEqual([]);
  });
});

describe("an address in its next pool", () => {
  it("[RE5] [EP1] [HO2] goes on with its epochs and sessions", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    await here.pool.removeIp(here.ip);
    await evict(here.address);
    expect(await here.other.addIp(here.ip, null)).toMatchObject({ ok: true });
    const next = await HostConnection.open(here.address, "h2");
    expect(await next.join("second-instance")).toMatchObject({ leases: [] });
    expect(await next.acquire(8)).toMatchObject({ granted: { epoch: here.lease.epoch + 1 } });
    expect(await here.address.describe()).toMatchObject({
      value: { holders: [{ host: "h2", session: 2 }] },
    });
  });

  it("[RE7] does not serve who was connected to it in the one before", async () => {
    const here = await world({ quarantineMs: 0 });
    await here.host.release(here.lease);
    await here.pool.removeIp(here.ip);
    await here.other.addIp(here.ip, null);
    here.host.send({ type: "join", version: 1, requestId: "j", instance: FIRST });
    expect(await here.host.closed).toMatchObject({ reason: "ip-unknown" });
  });

  it("[RE5] [ST11] waits for routers only where there are any, and its versions go on rising", async () => {
    const here = await world({ quarantineMs: 0 });
    const router = await readyRouter(here);
    await here.host.release(here.lease);
    router.acknowledge((await router.change()).sequence);
    const gone = here.pool.removeIp(here.ip);
    router.acknowledge((await router.change()).sequence);
    await gone;
    await here.other.addIp(here.ip, null);
    const next = await HostConnection.open(here.address, "h2");
    await next.join("second-instance");
    const { granted } = await next.acquire(8);
    await next.release(granted as World["lease"]);
    const before = await versionOf(here);
    await here.other.removeIp(here.ip);
    const added = here.pool.addIp(here.ip, null);
    const { sequence, addIps } = await router.change();
    expect(addIps).toEqual([here.ip]);
    router.acknowledge(sequence);
    expect(await added).toMatchObject({ ok: true });
    expect(await versionOf(here)).toBeGreaterThan(before);
  });
});

/** The newest version that the address has published, which a pool refuses to go back behind. */
async function versionOf({ address }: World): Promise<number> {
  return runInDurableObject(address, (_instance: EgressIp, { storage }) =>
    Number(storage.sql.exec("SELECT published_version AS at FROM assignment").one()["at"]),
  );
}

/** A router that has applied the whole table. */
async function readyRouter({ pool, ip }: World): Promise<RouterConnection> {
  const router = await RouterConnection.open(pool, "r1");
  const table = await router.enroll(FIRST);
  expect(table.ips).toEqual([ip]);
  router.acknowledge(table.sequence);
  await vi.waitFor(async () =>
    expect(await pool.describe()).toMatchObject({ value: { routers: [{ ready: true }] } }),
  );
  return router;
}

describe("the routers of a removed address", () => {
  it("[RE4] lose its entries as its leases end, and the address itself when nothing is left of it", async () => {
    const here = await world({ quarantineMs: 1_500 });
    const router = await readyRouter(here);
    await here.pool.removeIp(here.ip);
    expect(router.unread).toEqual([]);
    await here.host.release(here.lease);
    const withdrawal = await router.change();
    expect(withdrawal).toMatchObject({ withdraw: [{ epoch: here.lease.epoch }], removeIps: [] });
    router.acknowledge(withdrawal.sequence);
    expect(await ipsOf(here.pool)).toMatchObject([{ ip: here.ip }]);
    expect(router.unread).toEqual([]);
    const gone = ringUntilGone(here);
    const removal = await router.change();
    expect(removal).toMatchObject({ withdraw: [], put: [], addIps: [], removeIps: [here.ip] });
    router.acknowledge(removal.sequence);
    await gone;
    const table = await (await RouterConnection.open(here.pool, "r2")).enroll(FIRST);
    expect(table).toMatchObject({ sequence: removal.sequence, ips: [], entries: [] });
  });

  it("[RE4] forget it when another pool has it already, and so do hosts", async () => {
    const here = await world({ quarantineMs: 0 });
    const member = await enlistedHost(here);
    const router = await readyRouter(here);
    expect(await member.next()).toMatchObject({ steered: true, ips: [here.ip] });
    await here.host.release(here.lease);
    router.acknowledge((await router.change()).sequence);
    await vi.waitFor(async () =>
      expect(await here.address.assign(here.name, settings, true, LEAVE)).toMatchObject({
        value: { status: "left" },
      }),
    );
    await here.other.addIp(here.ip, null);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    await here.pool.configure({ quarantineMs: 1_000 });
    expect(await router.change()).toMatchObject({ removeIps: [here.ip] });
    expect(await member.next()).toMatchObject({ ips: [] });
    expect(await ipsOf(here.pool)).toEqual([]);
    expect(warned.mock.calls).toEqual([
      [expect.stringContaining(`address ${here.ip} belongs to another pool by now`)],
    ]);
    // Of one that never was the pool's there is nothing to say.
    expect(await here.pool.addIp(here.ip, null)).toEqual(ELSEWHERE);
    expect(warned).toHaveBeenCalledTimes(1);
  });

  it("[ST15] keep no other router waiting that comes while they are to forget it", async () => {
    const here = await world({ quarantineMs: 0 });
    const router = await readyRouter(here);
    await here.host.release(here.lease);
    router.acknowledge((await router.change()).sequence);
    const removing = here.pool.removeIp(here.ip);
    const { sequence } = await router.change();
    const second = await RouterConnection.open(here.pool, "r2");
    second.send({ type: "enroll", version: 1, instance: FIRST });
    // Whatever kept the table waiting would let this be answered first.
    second.send("{");
    expect(await second.table()).toMatchObject({ sequence, ips: [] });
    for (const each of [router, second]) each.acknowledge(sequence);
    expect(await removing).toMatchObject({ ok: true, value: { ips: [] } });
  });

  it("[ST15] wait for it while it has something leased when the pool is steered", async () => {
    const here = await world();
    await here.pool.removeIp(here.ip);
    const router = await RouterConnection.open(here.pool, "r1");
    expect(await router.enroll(FIRST)).toMatchObject({ ips: [here.ip], entries: [here.lease] });
  });

  it("[RE2] know it again when it is taken back while they are to forget it", async () => {
    const here = await world({ quarantineMs: 0 });
    const router = await readyRouter(here);
    await here.host.release(here.lease);
    router.acknowledge((await router.change()).sequence);
    const came: string[] = [];
    await interceptOrders(here.address, (wish, carryOut) => {
      came.push(wish);
      return carryOut();
    });
    const removing = here.pool.removeIp(here.ip);
    const removal = await router.change();
    expect(removal).toMatchObject({ removeIps: [here.ip] });
    const back = here.pool.addIp(here.ip, null);
    expect(await ipsOf(here.pool)).toMatchObject([{ ip: here.ip, retiring: null }]);
    router.acknowledge(removal.sequence);
    await removing;
    const change = await router.change();
    expect(change).toMatchObject({ addIps: [here.ip] });
    router.acknowledge(change.sequence);
    expect(await back).toMatchObject({ ok: true });
    expect(came).toEqual(["retire", "serve"]);
  });

  it("[RE4] have applied it before another pool can have it, whoever is restarted meanwhile", async () => {
    const here = await world({ quarantineMs: 0 });
    const router = await readyRouter(here);
    await here.host.release(here.lease);
    router.acknowledge((await router.change()).sequence);
    const removing = here.pool.removeIp(here.ip).then(
      () => "answered",
      () => "cut off",
    );
    expect(await router.change()).toMatchObject({ removeIps: [here.ip] });
    expect(await here.other.addIp(here.ip, null)).toEqual(ELSEWHERE);
    await crash(here.pool);
    expect(await removing).toBe("cut off");
    // The router is expected back, and has applied it when it has the table without the address.
    const { pool } = anew(here);
    const resumed = runDurableObjectAlarm(pool);
    expect(await ipsOf(pool)).toMatchObject([{ retiring: { leasedPortCount: 0 } }]);
    expect(await here.other.addIp(here.ip, null)).toEqual(ELSEWHERE);
    const back = await RouterConnection.open(pool, "r1");
    const table = await back.enroll(FIRST);
    expect(table.ips).toEqual([]);
    expect(await here.other.addIp(here.ip, null)).toEqual(ELSEWHERE);
    back.acknowledge(table.sequence);
    expect(await resumed).toBe(true);
    expect(await ipsOf(pool)).toEqual([]);
    expect(back.unread).toEqual([]);
    expect(await here.other.addIp(here.ip, null)).toMatchObject({ ok: true });
  });
});
