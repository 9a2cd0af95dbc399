/** What happened to a pool: one event for each thing, none for what only flickers, and all of it after a restart. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { ADDRESS_MIGRATIONS } from "../../durable-objects/address/address-schema.ts";
import { LeaseStore } from "../../durable-objects/address/lease-store.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { migrate } from "../../durable-objects/storage/migrate.ts";
import type { SqlValue } from "../../durable-objects/storage/sql-database.ts";
import { newestOf, placeText } from "../../src/core/history-event.ts";
import type { LeaseEvent } from "../../src/core/lease-table.ts";
import { enlistAll, hostNames, type ObedientHost, type Pool, settle } from "./obedient-host.ts";
import { HostConnection, objects, settings } from "./objects.ts";
import { acquireSoon, FIRST, readyRouter, world } from "./steered-world.ts";

const BY = { subject: "ada", tokenId: "token-1", route: "putPool", given: "{}" };
const PAGE = { sinceMs: 0, before: null, kinds: null, host: null, limit: 100 } as const;
let count = 0;

afterEach(() => vi.useRealTimers());

async function newPool(hostCount: number) {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`eventful-${count}`);
  const ip = `198.19.77.${count}`;
  await stub.configure({ minHostsPerIp: 1 }, BY);
  await stub.addIp(ip, null, { ...BY, route: "putIp", given: JSON.stringify({ ip }) });
  const hosts = await enlistAll(stub, hostNames(hostCount));
  await settle(stub, hosts);
  return { stub, ip, hosts };
}

async function eventsOf(stub: Pool, page: object = {}, ip?: string) {
  const events = await stub.events({ ...PAGE, ...page }, ip);
  if (!events.ok) throw new Error(events.refusal);
  return [...events.value];
}

/** Oldest first: what happened, and to whom. */
async function told(stub: Pool, page: object = {}): Promise<string[]> {
  return (await eventsOf(stub, page))
    .toReversed()
    .map(({ kind, host, router, ip }) =>
      [kind, host ?? router ?? ip].filter((part) => part !== null).join(" "),
    );
}

const rowsIn = (stub: Pool): Promise<unknown> =>
  runInDurableObject(
    stub,
    (_instance: EgressPool, { storage }) =>
      storage.sql.exec("SELECT count(*) AS count FROM event").one()["count"],
  );

describe("what happened to a pool", () => {
  it("[EV1] [EV3] begins with its making, and has who joined, drained, was drained and resumed", async () => {
    const { stub, ip, hosts } = await newPool(2);
    const [h0] = hosts as [ObedientHost];
    h0.flows.set(ip, 2);
    const drain = { ...BY, given: '{"host":"h0"}' };
    await stub.drainHost("h0", true, { ...drain, route: "drainHost" });
    await settle(stub, hosts);
    const begun = [
      "pool-made",
      `address-added ${ip}`,
      "host-joined h0",
      "host-joined h1",
      "host-draining h0",
    ];
    expect(await told(stub)).toEqual(begun);
    h0.flows.clear();
    await settle(stub, hosts);
    await stub.drainHost("h0", false, { ...drain, route: "resumeHost" });
    await stub.drainHost("h0", false, { ...drain, route: "resumeHost" });
    await stub.configure({ quarantineMs: 7_000 }, BY);
    const ended = [...begun, "host-drained h0", "host-resumed h0", "settings-changed"];
    expect(await told(stub)).toEqual(ended);
    await evictDurableObject(stub);
    expect(await told(stub)).toEqual(ended);
    const [changed, resumed] = await eventsOf(stub);
    expect(changed).toMatchObject({
      by: { subject: "ada", tokenId: "token-1" },
      before: '{"quarantineMs":120000}',
      after: '{"quarantineMs":7000}',
    });
    expect(await told(stub, { before: resumed })).toEqual(ended.slice(0, -2));
    expect(await told(stub, { kinds: ["host-joined"], host: "h1" })).toEqual(["host-joined h1"]);
    expect((await eventsOf(stub, {}, ip)).map(({ kind }) => kind)).toEqual(["address-added"]);
    // Two that joined, and one that was drained: all else is read from the log of changes.
    expect(await rowsIn(stub)).toBe(3);
  });

  it("[EV3] has a host that is away for longer than a restart takes, and not one that restarts", async () => {
    const { stub, hosts } = await newPool(3);
    const [h0, ...others] = hosts as [ObedientHost, ...ObedientHost[]];
    h0.connection.close();
    await h0.connection.closed;
    await settle(stub, others);
    const away = { kinds: ["host-silent", "host-back", "host-joined"] };
    const joined = ["host-joined h0", "host-joined h1", "host-joined h2"];
    const again = await HostConnection.open(stub, "h0");
    await again.enlist("h0-instance", "http://127.0.0.1:8001");
    await settle(stub, others);
    expect(await told(stub, away)).toEqual(joined);
    again.close();
    await again.closed;
    await settle(stub, others);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 15_001 });
    await settle(stub, others);
    await settle(stub, others);
    expect(await told(stub, away)).toEqual([...joined, "host-silent h0"]);
    await evictDurableObject(stub);
    await settle(stub, others);
    const back = await HostConnection.open(stub, "h0");
    await back.enlist("h0-instance", "http://127.0.0.1:8001");
    await settle(stub, others);
    expect(await told(stub, away)).toEqual([...joined, "host-silent h0", "host-back h0"]);
    back.send({ type: "report", draining: true, rooms: [] });
    await vi.waitFor(async () => expect((await told(stub)).at(-1)).toBe("host-draining h0"));
    expect((await eventsOf(stub))[0]!.by).toBeNull();
  });

  it("[EV3] has an address that is drained, and one that has left", async () => {
    const { stub, ip, hosts } = await newPool(1);
    await stub.drainIp(ip, true, { ...BY, route: "drainIp", given: JSON.stringify({ ip }) });
    await settle(stub, hosts);
    await stub.removeIp(ip, { ...BY, route: "deleteIp", given: JSON.stringify({ ip }) });
    await vi.waitFor(async () => {
      await settle(stub, hosts);
      expect((await eventsOf(stub, {}, ip)).toReversed().map(({ kind }) => kind)).toEqual([
        "address-added",
        "address-draining",
        "address-drained",
        "address-retiring",
        "address-removed",
      ]);
    });
    const elsewhere = await newPool(0);
    expect(await stub.addIp(elsewhere.ip, null)).toEqual({ ok: false, refusal: "ip-elsewhere" });
    expect((await eventsOf(stub, { kinds: ["address-removed"] }))[0]).toMatchObject({
      ip: elsewhere.ip,
      reason: "ip-elsewhere",
    });
  });

  it("[EV3] has a router that comes, falls behind, which is told once, and goes", async () => {
    const here = await world({ steeringDeadlineMs: 100 });
    const { router } = await readyRouter(here);
    for (const request of ["a", "b"]) {
      acquireSoon(here.host, request);
      await router.change();
      expect(await here.host.next()).toMatchObject({ type: "answer", requestId: request });
    }
    router.close();
    const kinds = ["router-joined", "steering-overdue", "router-gone"];
    await vi.waitFor(async () =>
      expect(await told(here.pool, { kinds })).toEqual(kinds.map((kind) => `${kind} r1`)),
    );
  });

  it("[EV5] has nothing of before what the pool keeps", async () => {
    const { stub } = await newPool(1);
    await stub.configure({ historyDays: 2 }, BY);
    const nowMs = Date.now();
    expect((await told(stub)).length).toBeGreaterThan(2);
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs + 2 * 86_400_000 + 60_000 });
    expect(await told(stub)).toEqual([]);
    const never = objects.EGRESS_POOL.getByName("eventful-never");
    expect(await never.events(PAGE)).toEqual({ ok: false, refusal: "pool-unknown" });
  });
});

it("[EV2] [EV4] an address tells its grants and what became of them, page by page", async () => {
  const ip = "198.19.77.250";
  const stub = objects.EGRESS_IP.getByName(ip);
  const question = { ...PAGE, pools: null };
  expect(await stub.events(question)).toEqual({ ok: false, refusal: "ip-unknown" });
  await stub.assign("eventful", settings);
  const host = await HostConnection.open(stub, "h1");
  await host.join(FIRST);
  const { granted } = await host.acquire(6, "a");
  await host.acquire(6, "b");
  await host.release(granted);
  const answer = await stub.events(question);
  if (!answer.ok) throw new Error(answer.refusal);
  const { pool, events } = answer.value;
  expect(pool).toBe("eventful");
  expect(events.map(({ kind, epoch }) => `${kind} ${epoch}`).toSorted()).toEqual([
    "block-granted 1",
    "block-granted 2",
    "block-returned 1",
  ]);
  expect(newestOf([events], 9)).toEqual(events);
  const read = [];
  for (let before: (typeof events)[number] | null = null; ;) {
    const page: Awaited<ReturnType<typeof stub.events>> = await stub.events({
      ...question,
      before,
      limit: 1,
    });
    if (!page.ok || page.value.events.length === 0) break;
    before = page.value.events[0]!;
    read.push(placeText(before));
  }
  expect(read).toEqual(events.map(placeText));
});

it("[EV2] a grant writes no row for it, and a lease that is over one of an index", async () => {
  const stub = objects.EGRESS_IP.getByName("198.19.77.251");
  await runInDurableObject(stub, (_instance: EgressIp, { storage }) => {
    migrate(storage, ADDRESS_MIGRATIONS);
    let rowCount = 0;
    // As the platform counts them, rows of indexes too.
    const exec = (query: string, ...bindings: SqlValue[]) => {
      const cursor = storage.sql.exec(query, ...bindings);
      const rows = cursor.toArray();
      rowCount += cursor.rowsWritten;
      return { toArray: () => rows };
    };
    const store = new LeaseStore({ sql: { exec } });
    store.assign("198.19.77.251", "eventful", settings, 1);
    const costs = (epoch: number): number[] => {
      const block = { base: 2048, order: 6, epoch, host: "h1", instance: "i", state: "leased" } as const;
      const rest = { grantedAtMs: epoch, requestId: "r", endedAtMs: null, freeAtMs: null, steered: true };
      const life: LeaseEvent[] = [
        { type: "granted", row: { ...block, ...rest } },
        { type: "ended", epoch, end: "released", endedAtMs: epoch, freeAtMs: epoch },
        { type: "freed", epoch },
      ];
      return life.map((event) => {
        rowCount = 0;
        store.append([event]);
        return rowCount;
      });
    };
    const after = costs(1);
    storage.sql.exec("DROP INDEX past_lease_by_end");
    const before = costs(2);
    expect({ before, after }).toEqual({ before: [1, 1, 3], after: [1, 1, 4] });
  });
});
