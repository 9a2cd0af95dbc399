/** Law 4: routers before hosts. Real sockets, and objects that are restarted at the worst moment. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import { HostConnection, objects, RouterConnection } from "./objects.ts";
import { acquireSoon, blocksOf, FIRST, readyRouter, statusOf, DUPLICATE, world } from "./steered-world.ts";

const TIMEOUT = { timeout: 10_000, interval: 20 };

describe("a grant", () => {
  it("[ST4] is told to its host when the router has acknowledged it, and not before", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    const { sequence, put } = await router.change();
    expect(put).toMatchObject([{ ip: here.ip, host: "h1", order: 8, epoch: 1 }]);

    expect(await blocksOf(here)).toMatchObject([{ epoch: 1, state: "leased", steered: false }]);
    // Not even a new connection of the host hears of the block.
    const second = await HostConnection.open(here.address, "h1");
    expect(await second.join(FIRST)).toMatchObject({ type: "answer", leases: [] });
    acquireSoon(second, "a");
    expect(second.unread).toEqual([]);

    router.acknowledge(sequence);
    const answer = await second.next();
    const { base, order, epoch } = put[0]!;
    const lease = { base, order, epoch };
    expect(answer).toMatchObject({ type: "answer", requestId: "a", granted: lease, leases: [lease] });
    expect(await blocksOf(here)).toMatchObject([{ steered: true }]);
  });

  it("[ST4] waits for every live router", async () => {
    const here = await world();
    const [{ router: quick }, { router: slow }] = [await readyRouter(here), await readyRouter(here, "r2")];
    acquireSoon(here.host, "a");
    quick.acknowledge((await quick.change()).sequence);
    const { sequence } = await slow.change();
    await vi.waitFor(async () =>
      expect(await statusOf(here, "r1")).toMatchObject({ acknowledged: sequence }),
    );
    expect(here.host.unread).toEqual([]);
    expect(await blocksOf(here)).toMatchObject([{ steered: false }]);
    slow.acknowledge(sequence);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
  });

  it("[ST4] goes ahead when the deadline has passed, and the laggard is named until it follows", async () => {
    const here = await world({ steeringDeadlineMs: 500 });
    const { router } = await readyRouter(here);
    const { router: other } = await readyRouter(here, "r2");
    acquireSoon(here.host, "a");
    other.acknowledge((await other.change()).sequence);
    const { sequence } = await router.change();
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, lagging: true });
    expect(await statusOf(here, "r2")).toMatchObject({ live: true, lagging: false });
    await evictDurableObject(here.pool);
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, lagging: true });
    router.acknowledge(sequence);
    await vi.waitFor(async () => expect(await statusOf(here, "r1")).toMatchObject({ lagging: false }));
  });

  it("[ST4] waits no longer for a router whose connection ends", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    await router.change();
    router.close();
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    // It goes on forwarding by what it applied last.
    expect(await statusOf(here, "r1")).toMatchObject({ live: false, ready: false, lagging: true });
  });

  it("[ST4] waits no longer for a router that has fallen silent", async () => {
    const here = await world({ routerSilenceMs: 800 });
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    await router.change();
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await statusOf(here, "r1")).toMatchObject({ live: false });
  });

  it("[ST10] waits for routers that a restart of the edge has cut off, as long as they are due", async () => {
    const here = await world({ steeringDeadlineMs: 2_000 });
    await readyRouter(here);
    await evictDurableObject(here.pool, { webSockets: "close" });
    acquireSoon(here.host, "a");
    await vi.waitFor(async () => expect(await blocksOf(here)).toMatchObject([{ steered: false }]));
    expect(here.host.unread).toEqual([]);
    const { table } = await readyRouter(here);
    expect(table.entries).toMatchObject([{ ip: here.ip, epoch: 1 }]);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, lagging: false });
  });

  it("[ST6] is not asked for while another of the host waits", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    const { sequence } = await router.change();
    expect(await here.host.acquire(8)).toMatchObject({ type: "refused", code: "steering-pending" });
    router.acknowledge(sequence);
    expect(await here.host.next()).toMatchObject({ requestId: "a", granted: { epoch: 1 } });
    expect(await blocksOf(here)).toHaveLength(1);
  });

  it("[ME2] that is asked twice while it is held back is answered once", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    const { sequence } = await router.change();
    acquireSoon(here.host, "a");
    // By then the second one has been heard as well.
    expect(await here.host.ask("{")).toMatchObject({ code: "message-malformed" });
    router.acknowledge(sequence);
    expect(await here.host.next()).toMatchObject({ requestId: "a", granted: { epoch: 1 } });
    expect(await here.host.ask({ type: "renew", requestId: "b" })).toMatchObject({ requestId: "b" });
  });

  it("[ST6] of which the pool cannot be told is refused by name, and steered later", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE INSERT ON steering_entry BEGIN SELECT RAISE(ABORT, 'disk full'); END",
      );
    });
    expect(await here.host.acquire(8)).toMatchObject({ type: "refused", code: "steering-pending" });
    expect(await here.host.renew()).toMatchObject({ type: "answer", leases: [] });
    expect(await blocksOf(here)).toMatchObject([{ steered: false }]);
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      storage.sql.exec("DROP TRIGGER broken");
    });
    // Nobody asks again: the alarm does it.
    const { sequence } = await router.change();
    router.acknowledge(sequence);
    await vi.waitFor(async () => {
      expect(await here.host.renew()).toMatchObject({ leases: [{ epoch: 1, order: 8 }] });
    }, TIMEOUT);
  }, 20_000);
});

describe("a pool that cannot be told", () => {
  const BREAK = `CREATE TRIGGER broken BEFORE UPDATE OF steering_version ON egress_ip
    BEGIN SELECT RAISE(ABORT, 'disk full'); END`;

  it("[RE3] keeps an address that is empty, until it has taken all that was published", async () => {
    const here = await world({ quarantineMs: 0 });
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    const { granted } = await here.host.next();
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => void storage.sql.exec(BREAK));
    await here.host.release(granted);
    const described = await here.pool.describe();
    if (!described.ok) throw new Error(described.refusal);
    const order = { revision: 1_000, wish: "leave" } as const;
    expect(await here.address.assign(here.name, described.value.settings, true, order)).toMatchObject({
      value: { status: "retiring", leasedPortCount: 0, quarantinedPortCount: 0, isEmpty: false },
    });
    expect(await here.address.describe()).toMatchObject({ value: { retiring: true, blocks: [] } });
  });
});

describe("a crash between a grant and its acknowledgement", () => {
  /** Ends an object in the middle of whatever it does; its connections end too. */
  async function crash(stub: DurableObjectStub): Promise<void> {
    const crashed = runInDurableObject(stub, (_instance, state) => state.abort("crash"));
    await crashed.catch(() => {});
  }

  it("[ST5] of the address loses neither the block nor the wait", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    const { sequence, put } = await router.change();
    await crash(here.address);
    await here.host.closed;
    const anew = { ...here, address: objects.EGRESS_IP.getByName(here.ip) };
    const again = await HostConnection.open(anew.address, "h1");
    expect(await again.join(FIRST)).toMatchObject({ leases: [] });
    acquireSoon(again, "a");
    expect(await blocksOf(anew)).toMatchObject([{ steered: false }]);
    expect(again.unread).toEqual([]);
    router.acknowledge(sequence);
    const { base, order, epoch } = put[0]!;
    expect(await again.next()).toMatchObject({ requestId: "a", granted: { base, order, epoch } });
    expect(await blocksOf(anew)).toHaveLength(1);
    expect(router.unread).toEqual([]);
  });

  it("[ST5] of the address is made good by its alarm alone", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    const { sequence } = await router.change();
    await crash(here.address);
    router.acknowledge(sequence);
    const stub = objects.EGRESS_IP.getByName(here.ip);
    const stored = () =>
      runInDurableObject(stub, (_instance: EgressIp, { storage }) =>
        storage.sql.exec("SELECT is_steered FROM lease").toArray(),
      );
    expect(await stored()).toEqual([{ is_steered: 0 }]);
    await vi.waitFor(async () => expect(await stored()).toEqual([{ is_steered: 1 }]), TIMEOUT);
  }, 20_000);

  it("[ST5] of the pool makes the address publish again, and the router reads the table", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    await router.change();
    await crash(here.pool);
    expect(await here.host.next()).toMatchObject({ type: "refused", code: "steering-pending" });
    await router.closed;
    const { table } = await readyRouter({ pool: objects.EGRESS_POOL.getByName(here.name) });
    expect(table.entries).toMatchObject([{ ip: here.ip, epoch: 1 }]);
    await vi.waitFor(async () => {
      expect(await here.host.renew()).toMatchObject({ leases: [{ epoch: 1 }] });
    }, TIMEOUT);
  }, 20_000);
});

describe("the end of a lease", () => {
  it("[ST5] is published without anybody waiting", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    const { sequence, put } = await router.change();
    router.acknowledge(sequence);
    const { granted } = await here.host.next();
    expect(await here.host.release(granted)).toMatchObject({ type: "answer", leases: [] });
    const withdrawal = await router.change();
    expect(withdrawal).toMatchObject({ sequence: sequence + 1, put: [] });
    expect(withdrawal.withdraw).toEqual([{ ip: here.ip, base: put[0]!.base, epoch: 1 }]);
  });

  it("[ST5] by time alone is published too", async () => {
    const here = await world({ leaseDurationMs: 1_000, quarantineMs: 1_000 });
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    await here.host.next();
    expect((await router.change()).withdraw).toMatchObject([{ ip: here.ip, epoch: 1 }]);
  }, 20_000);

  it("[ST3] and the next grant of the same ports come in order", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    router.acknowledge((await router.change()).sequence);
    const { granted } = await here.host.next();
    await here.host.release(granted);
    router.acknowledge((await router.change()).sequence);
    acquireSoon(here.host, "b");
    const { put, sequence } = await router.change();
    expect(put).toEqual([{ ip: here.ip, base: granted.base, order: 8, host: "h1", epoch: 2 }]);
    router.acknowledge(sequence);
    expect(await here.host.next()).toMatchObject({ granted: { ...granted, epoch: 2 } });
  });
});

describe("publications", () => {
  it("[ST5] older than what was taken change nothing", async () => {
    const here = await world();
    await readyRouter(here);
    const taken = {
      version: 5,
      lastEpoch: 3,
      blocks: [{ base: 2048, order: 6, host: "h1", instance: "key-of-h1", epoch: 3 }],
    };
    const older = {
      version: 4,
      lastEpoch: 2,
      blocks: [{ base: 2048, order: 6, host: "h2", instance: "key-of-h2", epoch: 2 }],
    };
    void here.pool.publish(here.ip, taken).catch(() => {});
    await vi.waitFor(async () => {
      expect(await here.pool.describe()).toMatchObject({ value: { steeringSequence: 2 } });
    });
    const outdated = { ok: false, refusal: "publication-outdated" };
    expect(await here.pool.publish(here.ip, older)).toEqual(outdated);
    expect(await here.pool.publish(here.ip, { ...older, version: 6 })).toEqual(outdated);
    expect(await here.pool.publish("203.0.113.9", taken)).toEqual({ ok: false, refusal: "ip-unknown" });
  });

  it("[ST5] of many addresses at once are one change", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    const others = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    for (const ip of others) {
      void here.pool.addIp(ip, null);
      router.acknowledge((await router.change()).sequence);
    }
    const published = others.map((ip) =>
      here.pool.publish(ip, {
        version: 2,
        lastEpoch: 1,
        blocks: [{ base: 4096, order: 6, host: "h1", instance: FIRST, epoch: 1 }],
      }),
    );
    const change = await router.change();
    expect(change.put.map(({ ip }) => ip).toSorted()).toEqual(others);
    router.acknowledge(change.sequence);
    expect(await Promise.all(published)).toEqual(others.map(() => ({ ok: true, value: [] })));
  });

  it("[ST1] of one address that come at once are put before they are withdrawn", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    const block = { base: 4096, order: 6, host: "h1", instance: FIRST, epoch: 1 };
    const granted = here.pool.publish(here.ip, { version: 2, lastEpoch: 1, blocks: [block] });
    const released = here.pool.publish(here.ip, { version: 3, lastEpoch: 1, blocks: [] });
    const entry = { ip: here.ip, base: 4096, epoch: 1 };
    expect(await router.change()).toMatchObject({ sequence: 2, withdraw: [], put: [entry] });
    expect(await router.change()).toMatchObject({ sequence: 3, withdraw: [entry], put: [] });
    router.acknowledge(3);
    expect(await Promise.all([granted, released])).toEqual([
      { ok: true, value: [] },
      { ok: true, value: [] },
    ]);
  });

  it("[ST11] are not made in a pool that never had a router", async () => {
    const here = await world();
    const { granted } = await here.host.acquire(8);
    await here.host.release(granted);
    expect(await here.pool.describe()).toMatchObject({ value: { steeringSequence: 0, routers: [] } });
    const steering = await runInDurableObject(here.address, (_instance: EgressIp, { storage }) =>
      storage.sql.exec("SELECT steering_version, published_version FROM assignment").toArray(),
    );
    expect(steering).toEqual([{ steering_version: 0, published_version: 0 }]);
  });
});

describe("a router", () => {
  it("[ST8] that joins late gets the whole table, and is ready when it has applied it", async () => {
    const here = await world();
    const { granted } = await here.host.acquire(8);
    const hostToPool = await HostConnection.open(here.pool, "h1");
    await hostToPool.enlist(FIRST, "http://gateway:1", { ipv4: "192.0.2.7", ipv6: null });
    const router = await RouterConnection.open(here.pool, "r1");
    const table = await router.enroll(FIRST);
    expect(table).toEqual({
      sequence: 1,
      ips: [here.ip],
      entries: [{ ip: here.ip, host: "h1", ...granted }],
      nextHops: [{ host: "h1", ipv4: "192.0.2.7", ipv6: null }],
    });
    expect(await statusOf(here, "r1")).toMatchObject({ live: true, ready: false, acknowledged: null });
    router.acknowledge(table.sequence);
    await vi.waitFor(async () => {
      expect(await statusOf(here, "r1")).toMatchObject({ ready: true, acknowledged: 1, lagging: false });
    });
    // What was leased before there were routers is in use and waits for none.
    expect(await here.host.renew()).toMatchObject({ leases: [granted] });
  });

  it("[ST8] [ST5] gets an address from before addresses knew their names", async () => {
    const here = await world();
    const { granted } = await here.host.acquire(8);
    await runInDurableObject(here.address, (_instance: EgressIp, { storage }) => {
      storage.sql.exec("UPDATE assignment SET ip = NULL");
    });
    await evictDurableObject(here.address);
    const router = await RouterConnection.open(here.pool, "r1");
    expect(await router.enroll(FIRST)).toMatchObject({ ips: [here.ip], entries: [granted] });
  });

  it("[ST8] gets a table of any size in parts that it can read", async () => {
    const here = await world();
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
        INSERT INTO steering_entry (ip, base, block_order, host, epoch) SELECT '2001:db8:aaaa:bbbb:cccc:dddd:eeee:' || (i / 1000),
        1024 + (i % 1000) * 64, 6, ?, 1000000 + i FROM n`,
        "h".repeat(63),
      );
    });
    const router = await RouterConnection.open(here.pool, "r1");
    const table = await router.enroll(FIRST);
    expect(table.entries).toHaveLength(5_000);
    expect(new Set(table.entries.map(({ epoch }) => epoch)).size).toBe(5_000);
    expect(table.ips).toEqual([here.ip]);
  });

  it("[ST8] gets addresses and hosts in parts as well, and no part too many", async () => {
    const here = await world();
    await readyRouter(here);
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      const many = (count: number) =>
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;
      storage.sql.exec(
        `${many(1_500)} INSERT INTO egress_ip (ip, revision, is_confirmed, steering_version)
        SELECT '2001:db8::' || i, 1000, 1, 1 FROM n`,
      );
      storage.sql.exec(
        `${many(2_000)} INSERT INTO host (host, instance, gateway, draining, rooms, reach_ipv4)
        SELECT 'n' || i, 'instance', 'http://gateway:1', 0, '[]', '192.0.2.1' FROM n`,
      );
    });
    const router = await RouterConnection.open(here.pool, "r2");
    const table = await router.enroll(FIRST);
    expect(new Set(table.ips).size).toBe(1_501);
    expect(new Set(table.nextHops.map(({ host }) => host)).size).toBe(2_000);
    expect(await router.ask("{")).toMatchObject({ type: "refused" });
  });

  it("[ST7] that acknowledges late, twice or out of order takes nothing back", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    for (const requestId of ["a", "b"]) {
      acquireSoon(here.host, requestId);
      const { sequence } = await router.change();
      for (const repeated of [sequence, sequence, sequence - 1, 0]) router.acknowledge(repeated);
      expect(await here.host.next()).toMatchObject({ requestId });
    }
    expect(await statusOf(here, "r1")).toMatchObject({ acknowledged: 3, lagging: false });
  });

  it("[ST7] that acknowledges several changes at once has applied them all", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    acquireSoon(here.host, "a");
    await router.change();
    const other = await HostConnection.open(here.address, "h2");
    await other.join(DUPLICATE);
    acquireSoon(other, "b");
    // The address publishes one after the other; the second is told when the first is done.
    router.acknowledge(2);
    expect(await here.host.next()).toMatchObject({ requestId: "a" });
    const { sequence } = await router.change();
    expect(sequence).toBe(3);
    expect(other.unread).toEqual([]);
    router.acknowledge(sequence);
    expect(await other.next()).toMatchObject({ requestId: "b", granted: { epoch: 2 } });
  });

  it("[ST7] that acknowledges what there has not been is refused, and it counts for nothing", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    expect(await router.ask({ type: "acknowledge", sequence: 99 })).toEqual({
      type: "refused",
      code: "sequence-unknown",
    });
    acquireSoon(here.host, "a");
    const { sequence } = await router.change();
    expect(await blocksOf(here)).toMatchObject([{ steered: false }]);
    router.acknowledge(sequence);
    expect(await here.host.next()).toMatchObject({ type: "answer" });
  });

  it("[ST8] that asks for it gets the whole table again, and grants wait until it has applied it", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    router.send({ type: "resync" });
    const table = await router.table();
    expect(await statusOf(here, "r1")).toMatchObject({ ready: false });
    router.acknowledge(table.sequence);
    await vi.waitFor(async () => expect(await statusOf(here, "r1")).toMatchObject({ ready: true }));
  });

  it("[ST9] is the only instance of its name; its own newer connection replaces the older", async () => {
    const here = await world();
    const { router: first } = await readyRouter(here);
    const duplicate = await RouterConnection.open(here.pool, "r1");
    expect(await duplicate.ask({ type: "enroll", version: 1, instance: DUPLICATE })).toEqual({
      type: "refused",
      code: "router-already-present",
    });
    expect(await duplicate.closed).toMatchObject({ reason: "router-already-present" });
    const again = await RouterConnection.open(here.pool, "r1");
    await again.enroll(FIRST);
    expect(await first.closed).toMatchObject({ reason: "stale-session" });
    expect(await statusOf(here, "r1")).toMatchObject({ live: true });
  });

  it("[ST9] [ST10] is not taken for gone when the connection ends that a newer one has replaced", async () => {
    const here = await world({ steeringDeadlineMs: 2_000 });
    const { router: first } = await readyRouter(here);
    const { router: again } = await readyRouter(here);
    await first.closed;
    const noted = () =>
      runInDurableObject(here.pool, (_instance: EgressPool, { storage }) =>
        storage.sql.exec("SELECT * FROM router").toArray(),
      );
    const standing = await noted();
    expect(standing).toMatchObject([{ router: "r1", instance: FIRST, is_connected: 1 }]);
    // A restart of the edge cuts the newer one off: a grant waits for its return all the same.
    await evictDurableObject(here.pool, { webSockets: "close" });
    acquireSoon(here.host, "a");
    await vi.waitFor(async () => expect(await blocksOf(here)).toMatchObject([{ steered: false }]));
    expect(here.host.unread).toEqual([]);
    again.close();
    const { table } = await readyRouter(here);
    expect(table.entries).toMatchObject([{ ip: here.ip, epoch: 1 }]);
    expect(await here.host.next()).toMatchObject({ type: "answer", granted: { epoch: 1 } });
  });

  it("[ST12] hears of a host that is reached otherwise, and of no other enlistment", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    for (const [ipv4, sequence] of [
      ["192.0.2.7", 2],
      ["192.0.2.8", 3],
    ] as const) {
      for (let time = 0; time < 2; time += 1) {
        const member = await HostConnection.open(here.pool, "h1");
        await member.enlist(FIRST, "http://gateway:1", { ipv4, ipv6: "2001:db8::7" });
      }
      const nextHops = [{ host: "h1", ipv4, ipv6: "2001:db8::7" }];
      expect(await router.change()).toMatchObject({ sequence, put: [], nextHops });
    }
    expect(await router.ask("{")).toMatchObject({ type: "refused" });
  });

  it("[ST1] is told of a new address and of a host that is reached otherwise, in one numbering", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    const ip = "203.0.113.7";
    const added = here.pool.addIp(ip, null);
    expect(await router.change()).toMatchObject({ sequence: 2, addIps: [ip] });
    router.acknowledge(2);
    expect(await added).toMatchObject({ ok: true });
    const hostToPool = await HostConnection.open(here.pool, "h1");
    const reach = { ipv4: null, ipv6: "2001:db8::7" };
    await hostToPool.enlist(FIRST, "http://gateway:1", reach);
    expect(await router.change()).toMatchObject({ sequence: 3, nextHops: [{ host: "h1", ...reach }] });
  });

  it("[HO1] [ST12] never sends a host's packets to a duplicate instance, however long the host is away", async () => {
    const here = await world({ routerSilenceMs: 500 });
    const { router } = await readyRouter(here);
    const nextHopOf = (last: number) => ({ ipv4: `192.0.2.${last}`, ipv6: null });
    // The duplicate instance enlists while the host is away and has nothing.
    const duplicate = await HostConnection.open(here.pool, "h1");
    await duplicate.enlist(DUPLICATE, "http://gateway:2", nextHopOf(2));
    expect(await router.change()).toMatchObject({ nextHops: [{ host: "h1", ...nextHopOf(2) }] });
    duplicate.close();
    // Then the host gets a block: what comes to it goes nowhere until the host has enlisted.
    acquireSoon(here.host, "a");
    const granted = await router.change();
    expect(granted).toMatchObject({ put: [{ host: ":h1" }], nextHops: [] });
    router.acknowledge(granted.sequence);
    await here.host.next();
    const first = await HostConnection.open(here.pool, "h1");
    expect(await first.enlist(FIRST, "http://gateway:1", nextHopOf(1))).toMatchObject({ type: "enlisted" });
    const { epoch } = granted.put[0]!;
    expect(await router.change()).toMatchObject({
      put: [{ host: "h1", epoch }],
      nextHops: [{ host: "h1", ...nextHopOf(1) }],
    });
    // While it has the block no duplicate instance gets in, silent as the host may be.
    first.close();
    const again = await HostConnection.open(here.pool, "h1");
    expect(await again.enlist(DUPLICATE, "http://gateway:2", nextHopOf(2))).toMatchObject({
      code: "host-already-present",
    });
  });

  it.each([
    ["no JSON", "{", "message-malformed"],
    ["an acknowledgement before it has enrolled", '{"type":"acknowledge","sequence":0}', "message-malformed"],
    ["what a host says", '{"type":"report","draining":false,"rooms":[]}', "message-malformed"],
    ["another version", '{"type":"enroll","version":99,"instance":"first-instance"}', "version-unsupported"],
  ])("[ME3] that says %s is refused", async (_what, message, code) => {
    const router = await RouterConnection.open((await world()).pool, "r1");
    expect(await router.ask(message)).toEqual({ type: "refused", code });
  });

  it("[ST9] that has been away for a week is forgotten when another comes", async () => {
    const here = await world();
    const { router } = await readyRouter(here);
    router.close();
    await vi.waitFor(async () => expect(await statusOf(here, "r1")).toMatchObject({ live: false }));
    await runInDurableObject(here.pool, (_instance: EgressPool, { storage }) => {
      storage.sql.exec("UPDATE router SET seen_at_ms = seen_at_ms - ?", 8 * 86_400_000);
    });
    await readyRouter(here, "r2");
    expect(await statusOf(here, "r1")).toBeUndefined();
    expect(await runDurableObjectAlarm(here.pool)).toBe(false);
  });
});
