/** Whom a grant waits for before a router has enrolled, and for whom never. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { HEARTBEAT } from "../../src/core/messages.ts";
import { RouterConnection } from "./objects.ts";
import { acquireSoon, blocksOf, FIRST, readyRouter, statusOf, DUPLICATE, world } from "./steered-world.ts";

/** Until it is set right, the clock is an hour ahead. */
function setClockAhead(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3_600_000 });
}

afterEach(() => {
  vi.useRealTimers();
});

describe("a grant", () => {
  it("[ST14] waits for a router that is connected and was not heard to enrol", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    const silent = await RouterConnection.open(here.pool, "r2");
    acquireSoon(here.host, "a");
    const { sequence } = await router.change();
    router.acknowledge(sequence);
    await vi.waitFor(async () =>
      expect(await statusOf(here, "r1")).toMatchObject({ acknowledged: sequence }),
    );
    expect(here.host.unread).toEqual([]);
    const table = await silent.enroll(DUPLICATE);
    expect(table.entries).toMatchObject([{ ip: here.ip, epoch: 1 }]);
    expect(here.host.unread).toEqual([]);
    silent.acknowledge(table.sequence);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
  });

  it("[ST14] also after the object was put to sleep, but not when the connection has ended", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    const silent = await RouterConnection.open(here.pool, "r2");
    await evictDurableObject(here.pool);
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    expect(await blocksOf(here)).toMatchObject([{ steered: false }]);
    silent.close();
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await statusOf(here, "r2")).toBeUndefined();
  });

  it("[ST14] goes ahead of a router that never enrols when the deadline has passed, and names it", async () => {
    const here = await world({ steeringDeadlineMs: 500 });
    const { router } = await readyRouter(here);
    const silent = await RouterConnection.open(here.pool, "r2");
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    const standing = { live: true, ready: false, acknowledged: null, lagging: true };
    expect(await statusOf(here, "r2")).toMatchObject(standing);
    silent.close();
    await vi.waitFor(async () => expect(await statusOf(here, "r2")).toMatchObject({ live: false }));
  });

  it("[ST13] of a steered pool waits for an observer only until it says that it is one", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    const observer = await RouterConnection.open(here.pool, "r9");
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    expect(await blocksOf(here)).toMatchObject([{ steered: false }]);
    observer.send({ type: "observe", version: 1 });
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await observer.table()).toMatchObject({ entries: [{ ip: here.ip, epoch: 1 }] });
    expect(await statusOf(here, "r9")).toBeUndefined();
  });

  it("[ST13] does not wait for who only observes, and the pool stays unsteered", async () => {
    const here = await world();
    const observer = await RouterConnection.open(here.pool, "r9");
    observer.send({ type: "observe", version: 1 });
    expect(await observer.table()).toMatchObject({ sequence: 0, entries: [] });
    acquireSoon(here.host, "a");
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await statusOf(here, "r9")).toBeUndefined();
    expect(observer.unread).toEqual([]);
    const described = await here.pool.describe();
    expect(described).toMatchObject({ ok: true, value: { steeringSequence: 0, routers: [] } });
  });
});

describe("a router", () => {
  it("[ST15] is not ready before each address has published that was there when steering began", async () => {
    const here = await world();
    const { granted } = await here.host.acquire(8);
    // As an object does that was told of routers, and was restarted before all addresses had been.
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      storage.sql.exec("UPDATE pool SET is_steered = 1, revision = revision + 1");
    });
    const router = await RouterConnection.open(here.pool, "r1");
    const enrolled = router.enroll(FIRST);
    const told = here.pool.configure({});
    const { sequence, entries } = await enrolled;
    expect(entries).toMatchObject([{ ip: here.ip, ...granted }]);
    router.acknowledge(sequence);
    expect(await told).toMatchObject({ steeringSequence: 1 });
  });

  it("[ST14] that enrols again on the same connection gets no second table", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    router.send({ type: "enroll", version: 1, instance: FIRST });
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, ready: true });
  });

  it("[ST9] that fell silent before the clock was set back makes way for another instance", async () => {
    const here = await world();
    setClockAhead();
    const { router: first } = await readyRouter(here);
    vi.useRealTimers();
    expect(await statusOf(here, "r1")).toMatchObject({ live: false });
    const successor = await RouterConnection.open(here.pool, "r1");
    expect(await successor.enroll(DUPLICATE)).toMatchObject({ ips: [here.ip] });
    expect(await first.closed).toMatchObject({ reason: "stale-session" });
  });

  it("[ST2] is waited for after the clock was set back, from its next heartbeat on", async () => {
    const here = await world();
    setClockAhead();
    const { router } = await readyRouter(here);
    vi.useRealTimers();
    router.send(HEARTBEAT);
    expect(await router.nextText()).toBe("pong");
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, ready: true });
    acquireSoon(here.host, "a");
    const { sequence } = await router.change();
    expect(here.host.unread).toEqual([]);
    router.acknowledge(sequence);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
  });
});
