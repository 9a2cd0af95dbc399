/** A pool whose disk fails, or whose addresses do not answer or have not noticed the time. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { HostConnection, interceptOrders, objects, RouterConnection } from "./objects.ts";

const FIRST = "first-instance";
const DUPLICATE = "other-instance";
const GATEWAY = "http://127.0.0.1:8001";
/** Longer than any test: what happens sooner did not happen by a deadline. */
const NEVER_MS = 60_000;

let worldCount = 0;

/** A pool with one address and one host, that has joined and enlisted. */
async function world(changes: Partial<PoolSettings> = {}) {
  worldCount += 1;
  const name = `troubled-${worldCount}`;
  const pool = objects.EGRESS_POOL.getByName(name);
  const ip = `203.0.113.${worldCount}`;
  await pool.configure({
    steeringDeadlineMs: NEVER_MS,
    routerSilenceMs: NEVER_MS,
    hostSilenceMs: NEVER_MS,
    ...changes,
  });
  expect(await pool.addIp(ip, null)).toMatchObject({ ok: true });
  const address = objects.EGRESS_IP.getByName(ip);
  const host = await HostConnection.open(address, "h1");
  await host.join(FIRST);
  const member = await HostConnection.open(pool, "h1");
  expect(await member.enlist(FIRST, GATEWAY)).toMatchObject({ type: "enlisted", ips: [ip] });
  return { name, pool, ip, address, host, member };
}

type World = Awaited<ReturnType<typeof world>>;

/** A router that has applied the whole table. */
async function readyRouter({ pool }: World, name: string): Promise<RouterConnection> {
  const router = await RouterConnection.open(pool, name);
  router.acknowledge((await router.enroll(FIRST)).sequence);
  await vi.waitFor(async () => {
    const described = await pool.describe();
    const routers = described.ok ? described.value.routers : [];
    expect(routers.find((each) => each.router === name)).toMatchObject({ ready: true });
  });
  return router;
}

/** Acquires a block, which the only router follows. */
async function steeredBlock({ host }: World, router: RouterConnection): Promise<number> {
  host.send({ type: "acquire", requestId: "a", order: 8 });
  const { sequence, put } = await router.change();
  router.acknowledge(sequence);
  expect(await host.next()).toMatchObject({ type: "answer", requestId: "a" });
  return put[0]!.epoch;
}

function runInPool({ name }: World, sql: string): Promise<void> {
  const stub = objects.EGRESS_POOL.getByName(name);
  return runInDurableObject(stub, (_instance: EgressPool, { storage }) => {
    storage.sql.exec(sql);
  });
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a pool whose disk fails", () => {
  const broken = (table: string) =>
    `CREATE TRIGGER broken BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'disk full'); END`;

  it("[DO6] while a host enlists ends its connection and no other, and the host enlists anew", async () => {
    const here = await world();
    await runInPool(here, broken("host"));
    const host = await HostConnection.open(here.pool, "h2");
    host.send({ type: "enlist", version: 1, instance: FIRST, gateway: GATEWAY });
    expect(await host.closed).toMatchObject({ code: 1011, reason: "internal-fault" });
    expect(await here.member.ask("{")).toMatchObject({ code: "message-malformed" });
    expect(host.unread).toEqual([]);
    await runInPool(here, "DROP TRIGGER broken");
    const again = await HostConnection.open(objects.EGRESS_POOL.getByName(here.name), "h2");
    expect(await again.enlist(FIRST, GATEWAY)).toMatchObject({ type: "enlisted", ips: [here.ip] });
  });

  it("[DO6] while a router enrolls ends its connection and no other, and the router enrolls anew", async () => {
    const here = await world();
    await runInPool(here, broken("router"));
    const router = await RouterConnection.open(here.pool, "r1");
    router.send({ type: "enroll", version: 1, instance: FIRST });
    expect(await router.closed).toMatchObject({ code: 1011, reason: "internal-fault" });
    // The pool is steered by now, and hosts are told so.
    expect(await here.member.next()).toMatchObject({ type: "enlisted", steered: true });
    expect(await here.member.ask("{")).toMatchObject({ code: "message-malformed" });
    expect(router.unread).toEqual([]);
    await runInPool(here, "DROP TRIGGER broken");
    const again = await RouterConnection.open(objects.EGRESS_POOL.getByName(here.name), "r1");
    expect(await again.enroll(FIRST)).toMatchObject({ ips: [here.ip] });
  });

  it("[DO6] while a router leaves closes its connection all the same, and no other", async () => {
    const here = await world();
    await readyRouter(here, "r1");
    const leaving = await readyRouter(here, "r2");
    await runInPool(here, broken("router"));
    leaving.close();
    expect(await leaving.closed).toMatchObject({ code: 1000 });
    expect(await here.pool.describe()).toMatchObject({
      value: { routers: [{ live: true }, { live: false }] },
    });
  });
});

describe("a pool that has lost what it was", () => {
  it("[DO10] refuses the next message of a host, and ends its connection", async () => {
    const here = await world();
    await runInPool(here, "DELETE FROM pool");
    expect(await here.member.ask("{")).toEqual({ type: "refused", code: "pool-unknown" });
    expect(await here.member.closed).toEqual({ code: 4002, reason: "pool-unknown" });
  });
});

/** Makes an address take no orders until the returned function is called. */
async function deafen({ address }: World, isAnswering: boolean): Promise<() => Promise<void>> {
  const mended = Promise.withResolvers<void>();
  let isMended = false;
  await interceptOrders(address, async (_wish, carryOut) => {
    if (isAnswering && !isMended) throw new Error("out of order");
    if (!isAnswering) await mended.promise;
    return carryOut();
  });
  return () =>
    runInDurableObject(address, () => {
      isMended = true;
      mended.resolve();
    });
}

describe("the first router of a pool", () => {
  it("[ST15] has the table after 5 s at the latest while an address does not answer", async () => {
    const here = await world();
    const mend = await deafen(here, false);
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation((delayMs, options) =>
      delayMs === 5_000 ? Promise.resolve() : wait(delayMs, options),
    );
    const router = await RouterConnection.open(here.pool, "r1");
    expect(await router.enroll(FIRST)).toMatchObject({ sequence: 0, ips: [], entries: [] });
    await mend();
    expect(await router.change()).toMatchObject({ sequence: 1, addIps: [here.ip] });
  });

  it("[ST10] is not expected back when it has gone before it could have the table", async () => {
    const here = await world();
    const mend = await deafen(here, false);
    const gone = await RouterConnection.open(here.pool, "r1");
    gone.send({ type: "enroll", version: 1, instance: FIRST });
    expect(await gone.ask("{")).toMatchObject({ type: "refused" });
    gone.close();
    await gone.closed;
    await mend();
    const router = await RouterConnection.open(here.pool, "r2");
    expect(await router.enroll(FIRST)).toMatchObject({ ips: [here.ip] });
    const described = await here.pool.describe();
    if (!described.ok) throw new Error(described.refusal);
    expect(described.value.routers).toMatchObject([{ router: "r2", live: true }]);
  });

  it("[ST15] waits for no address that has never answered", async () => {
    const here = await world();
    await readyRouter(here, "r1");
    await runInPool(here, "INSERT INTO egress_ip (ip, revision) VALUES ('192.0.2.99', 1000)");
    const router = await RouterConnection.open(here.pool, "r2");
    router.send({ type: "enroll", version: 1, instance: FIRST });
    // Whatever kept the table waiting would let this be answered first.
    router.send("{");
    expect(await router.table()).toMatchObject({ ips: [here.ip] });
    expect(await router.next()).toEqual({ type: "refused", code: "message-malformed" });
  });
});

describe("a router that comes to a steered pool", () => {
  it.each([
    ["fails", true],
    ["hangs", false],
  ])(
    "[ST4] has the table at once while an address %s, and grants wait for it",
    async (_what, isAnswering) => {
      const here = await world();
      const first = await readyRouter(here, "r1");
      const mend = await deafen(here, isAnswering);
      const configured = here.pool.configure({ quarantineMs: 60_000 });
      const second = await RouterConnection.open(here.pool, "r2");
      second.send({ type: "enroll", version: 1, instance: FIRST });
      // Whatever kept the table waiting would let this be answered first.
      second.send("{");
      const { sequence } = await second.table();
      expect(await second.next()).toEqual({ type: "refused", code: "message-malformed" });
      here.host.send({ type: "acquire", requestId: "a", order: 8 });
      const change = await second.change();
      expect(change).toMatchObject({ sequence: sequence + 1, put: [{ ip: here.ip, epoch: 1 }] });
      first.acknowledge((await first.change()).sequence);
      await vi.waitFor(async () => {
        const described = await here.pool.describe();
        expect(described).toMatchObject({ value: { routers: [{ acknowledged: change.sequence }, {}] } });
      });
      expect(here.host.unread).toEqual([]);
      expect(await here.address.describe()).toMatchObject({ value: { blocks: [{ steered: false }] } });
      second.acknowledge(change.sequence);
      expect(await here.host.next()).toMatchObject({ requestId: "a", granted: { epoch: 1 } });
      await mend();
      await configured;
    },
  );
});

describe("a pool that has waited for its routers", () => {
  it("[ST4] leaves no timer behind that would keep it awake", async () => {
    // Of no other pool of this file, some of which still wait for a router that is gone.
    const steeringDeadlineMs = NEVER_MS - 10_000;
    const addressDeadlineMs = steeringDeadlineMs + 5_000;
    const here = await world({ steeringDeadlineMs });
    const router = await readyRouter(here, "r1");
    const waits: { delayMs: number; signal: AbortSignal | undefined }[] = [];
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation((delayMs, options) => {
      if (delayMs > 0) waits.push({ delayMs, signal: options?.signal });
      return wait(delayMs, options);
    });
    await steeredBlock(here, router);
    const byDeadline = waits.filter(({ delayMs }) =>
      [addressDeadlineMs, steeringDeadlineMs].includes(delayMs),
    );
    expect(byDeadline.map(({ delayMs }) => delayMs)).toEqual([addressDeadlineMs, steeringDeadlineMs]);
    expect(byDeadline.map(({ signal }) => signal?.aborted)).toEqual([true, true]);
    // The looks in between end with the wait that they belong to.
    const looks = waits.filter(
      ({ delayMs, signal }) => delayMs < steeringDeadlineMs && signal === byDeadline[1]!.signal,
    );
    expect(looks.length).toBeGreaterThan(0);
  });
});

describe("a pool that does not answer", () => {
  it("[ST2] [ST6] is given up an eighth of a lease after the routers' time, and told again", async () => {
    const here = await world({ leaseDurationMs: 32_000, steeringDeadlineMs: 3_000 });
    const router = await readyRouter(here, "r1");
    const reported = vi.spyOn(console, "error").mockImplementation(() => {});
    const wait = scheduler.wait.bind(scheduler);
    const delaysMs: number[] = [];
    vi.spyOn(scheduler, "wait").mockImplementation((delayMs, options) => {
      delaysMs.push(delayMs);
      return delayMs === 7_000 ? Promise.resolve() : wait(delayMs, options);
    });
    here.host.send({ type: "acquire", requestId: "a", order: 8 });
    expect(await here.host.next()).toEqual({ type: "refused", requestId: "a", code: "steering-pending" });
    expect(delaysMs).toContain(7_000);
    const lines = reported.mock.calls.map(([line]) => JSON.parse(line as string) as unknown);
    expect(lines).toMatchObject([
      { msg: `address ${here.ip} could not be published`, err: { message: "the pool does not answer" } },
    ]);
    router.acknowledge((await router.change()).sequence);
    vi.restoreAllMocks();
    here.host.send({ type: "acquire", requestId: "a", order: 8 });
    expect(await here.host.next()).toMatchObject({ requestId: "a", granted: { epoch: 1 } });
  });
});

describe("an instance whose name routers steer to its predecessor", () => {
  it("[HO1] [ST12] is let in once the lease is over, though the address has not noticed", async () => {
    // Shorter than what may pass between two looks of the address at the clock.
    const leaseDurationMs = 30_000;
    const here = await world({ leaseDurationMs });
    const router = await readyRouter(here, "r1");
    const epoch = await steeredBlock(here, router);
    for (const connection of [here.host, here.member]) {
      connection.close();
      await connection.closed;
    }
    await runInDurableObject(here.address, async (_instance: EgressIp, { storage }) => {
      await storage.deleteAlarm();
    });
    const enlist = async (): Promise<unknown> =>
      (await HostConnection.open(here.pool, "h1")).enlist(DUPLICATE, "http://127.0.0.1:8002");
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + leaseDurationMs + 1_000);
    expect(await runDurableObjectAlarm(here.address)).toBe(false);
    expect(router.unread).toEqual([]);
    expect(await enlist()).toMatchObject({ code: "host-already-present" });
    const withdrawal = await router.change();
    expect(withdrawal).toMatchObject({ withdraw: [{ ip: here.ip, epoch }] });
    router.acknowledge(withdrawal.sequence);
    expect(await enlist()).toMatchObject({ type: "enlisted", ips: [here.ip] });
  });
});
