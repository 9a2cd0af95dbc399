/** Whom a grant waits for and for how long, and what a pool remembers of a router that is away. */
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

/** How often a wait for routers looks again. */
const LOOK_AGAIN_MS = 500;

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
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

  it("[ST10] waits for routers that a restart cut off no longer than they may be silent", async () => {
    const here = await world({ routerSilenceMs: 500 });
    await readyRouter(here);
    await evictDurableObject(here.pool, { webSockets: "close" });
    acquireSoon(here.host, "a");
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await routersNoted(here)).toMatchObject([{ is_connected: 1, overdue: null }]);
  });

  it("[ST10] does not wait again for such a router when a deadline has passed in vain", async () => {
    const here = await world({ steeringDeadlineMs: 500 });
    await readyRouter(here);
    await evictDurableObject(here.pool, { webSockets: "close" });
    acquireSoon(here.host, "a");
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await routersNoted(here)).toMatchObject([{ is_connected: 0, overdue: 2 }]);
  });

  it("[ST4] that went ahead of a router is written down with what the router has", async () => {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    const here = await world({ steeringDeadlineMs: 500 });
    await readyRouter(here);
    acquireSoon(here.host, "a");
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await routersNoted(here)).toMatchObject([{ is_connected: 1, acknowledged: 1, overdue: 2 }]);
    expect(warned.mock.calls).toEqual([
      [expect.stringContaining("router r1 has not applied change 2 in time")],
    ]);
  });

  it("[ST2] goes ahead as soon as the last router has come to it, has gone, or only looks", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    // Nobody looks again without a reason.
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation((delayMs, options) =>
      delayMs === LOOK_AGAIN_MS ? new Promise(() => {}) : wait(delayMs, options),
    );
    const endings: ((last: RouterConnection) => void)[] = [
      (last) => last.close(),
      (last) => last.send({ type: "observe", version: 1 }),
    ];
    for (const [at, end] of endings.entries()) {
      const last = await RouterConnection.open(here.pool, `last-${at}`);
      acquireSoon(here.host, `a${at}`);
      const { sequence } = await router.change();
      router.acknowledge(sequence);
      await vi.waitFor(async () =>
        expect(await statusOf(here, "r1")).toMatchObject({ acknowledged: sequence }),
      );
      expect(here.host.unread).toEqual([]);
      end(last);
      expect(await here.host.next()).toMatchObject({ requestId: `a${at}`, granted: { epoch: at + 1 } });
    }
    acquireSoon(here.host, "b");
    router.acknowledge((await router.change()).sequence);
    expect(await here.host.next()).toMatchObject({ requestId: "b", granted: { epoch: 3 } });
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
    expect(await told).toMatchObject({ value: { steeringSequence: 1 } });
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

  it("[ST9] is let in under another instance when the first is silent, whose connection ends", async () => {
    const here = await world({ routerSilenceMs: 500 });
    const { router: first } = await readyRouter(here);
    await vi.waitFor(async () => expect(await statusOf(here, "r1")).toMatchObject({ live: false }));
    const second = await RouterConnection.open(here.pool, "r1");
    expect(await second.enroll(DUPLICATE)).toMatchObject({ ips: [here.ip] });
    expect(await first.closed).toEqual({ code: 4001, reason: "stale-session" });
  });

  it("[ST9] that stays connected is not forgotten, whenever it was written of last", async () => {
    const here = await world();
    await readyRouter(here);
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      storage.sql.exec("UPDATE router SET seen_at_ms = seen_at_ms - ?", 8 * 86_400_000);
    });
    await readyRouter(here, "r2");
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, ready: true, acknowledged: 1 });
  });

  it("[ST9] that has gone is known by what it acknowledged last", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    router.close();
    await vi.waitFor(async () => expect(await statusOf(here, "r1")).toMatchObject({ live: false }));
    const standing = { ready: false, acknowledged: 1, lagging: false };
    expect(await statusOf(here, "r1")).toMatchObject(standing);
    await evictDurableObject(here.pool);
    expect(await statusOf(here, "r1")).toMatchObject(standing);
  });

  it("[ST10] is not expected back when its connection was seen to break", async () => {
    const here = await world();
    await readyRouter(here);
    await runInDurableObject(here.pool, async (instance: EgressPool, state) => {
      await instance.webSocketError(state.getWebSockets(":routers")[0]!);
    });
    expect(await routersNoted(here)).toMatchObject([{ router: "r1", is_connected: 0, acknowledged: 1 }]);
  });

  it("[ST10] that acknowledges is written of at most once a minute", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const here = await world();
    const { router } = await readyRouter(here);
    const noted = async () => (await routersNoted(here))[0];
    const enrolledAtMs = (await noted())!["seen_at_ms"] as number;
    expect(await noted()).toMatchObject({ acknowledged: null });
    for (const [laterMs, acknowledged] of [
      [59_999, null],
      [60_000, 1],
    ] as const) {
      vi.setSystemTime(enrolledAtMs + laterMs);
      router.acknowledge(1);
      expect(await router.ask("{")).toMatchObject({ type: "refused" });
      expect(await noted()).toMatchObject({ acknowledged, is_connected: 1 });
    }
    expect(await noted()).toMatchObject({ seen_at_ms: enrolledAtMs + 60_000 });
  });
});

/** What is on disk of the routers of a pool. */
function routersNoted({ pool }: Pick<Awaited<ReturnType<typeof world>>, "pool">) {
  return runInDurableObject(pool, (_instance: EgressPool, { storage }) =>
    storage.sql.exec("SELECT * FROM router ORDER BY router").toArray(),
  );
}
