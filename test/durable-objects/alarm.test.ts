/** What time alone does to an address, in real time: leases of a second instead of a mocked clock. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import { KEPT_PAST_LEASES } from "../../durable-objects/address/past-leases.ts";
import type { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { HostConnection, objects, settings } from "./objects.ts";

const SHORT = { ...settings, leaseDurationMs: 1_000, quarantineMs: 1_000 };
const TIMEOUT = { timeout: 10_000, interval: 50 };
const LONG_TEST = { timeout: 30_000 };

/** What is on disk, without the look at the clock that asking the object would be. */
function storedIn(stub: DurableObjectStub<EgressIp>) {
  return runInDurableObject(stub, async (_instance: EgressIp, { storage }) => ({
    live: storage.sql.exec("SELECT * FROM lease").toArray(),
    past: storage.sql.exec("SELECT * FROM past_lease").toArray(),
    holders: storage.sql.exec("SELECT host, expires_at_ms FROM holder").toArray(),
    alarmAtMs: await storage.getAlarm(),
  }));
}

it(
  "[DO8] the leases of a silent host end, are quarantined and freed by the alarm alone",
  LONG_TEST,
  async () => {
    const stub = objects.EGRESS_IP.getByName("203.0.113.1");
    await stub.assign("eu", SHORT);
    const host = await HostConnection.open(stub, "h1");
    await host.join("first-instance");
    await host.acquire(8);
    const [holder] = (await storedIn(stub)).holders;
    await evictDurableObject(stub);

    await vi.waitFor(async () => {
      const [row] = (await storedIn(stub)).live;
      expect(row).toMatchObject({ epoch: 1, end_reason: "expired" });
      expect(row!["ended_at_ms"]).toBeGreaterThanOrEqual(holder!["expires_at_ms"] as number);
      expect(row!["free_at_ms"]).toBe((row!["ended_at_ms"] as number) + SHORT.quarantineMs);
    }, TIMEOUT);
    await vi.waitFor(async () => {
      const { live, past } = await storedIn(stub);
      expect(live).toEqual([]);
      expect(past).toMatchObject([{ epoch: 1, host: "h1", end_reason: "expired" }]);
    }, TIMEOUT);
    // Nothing is left that could end, so nothing wakes the object up any more.
    await vi.waitFor(async () => {
      expect(await storedIn(stub)).toMatchObject({ holders: [], alarmAtMs: null });
    }, TIMEOUT);
    expect(await host.renew()).toMatchObject({ type: "refused", code: "stale-session" });
  },
);

it("[DO8] a host that renews keeps its leases past many alarms", LONG_TEST, async () => {
  const stub = objects.EGRESS_IP.getByName("203.0.113.2");
  await stub.assign("eu", SHORT);
  const host = await HostConnection.open(stub, "h1");
  await host.join("first-instance");
  const { granted } = await host.acquire(8);
  const startedAtMs = Date.now();
  await vi.waitFor(async () => {
    expect(await host.renew()).toMatchObject({ type: "answer", leases: [granted] });
    expect(Date.now() - startedAtMs).toBeGreaterThan(2_500);
  }, TIMEOUT);
});

it("[DO8] a renewal does not move an alarm that comes early enough", async () => {
  const stub = objects.EGRESS_IP.getByName("203.0.113.3");
  await stub.assign("eu", settings);
  const host = await HostConnection.open(stub, "h1");
  await host.join("first-instance");
  await host.acquire(8);
  const { alarmAtMs } = await storedIn(stub);
  expect(alarmAtMs).not.toBeNull();
  await host.renew();
  await evictDurableObject(stub);
  await host.renew();
  expect((await storedIn(stub)).alarmAtMs).toBe(alarmAtMs);
});

it("[DO8] a word of the pool is enough to notice that the clock was set back an hour", async () => {
  const stub = objects.EGRESS_IP.getByName("203.0.113.6");
  await stub.assign("eu", settings);
  const host = await HostConnection.open(stub, "h1");
  await host.join("first-instance");
  await host.acquire(8);
  const hourMs = 3_600_000;
  await runInDurableObject(stub, async (_instance: EgressIp, { storage }) => {
    storage.sql.exec("UPDATE assignment SET seen_at_ms = seen_at_ms + ?", hourMs);
    storage.sql.exec("UPDATE holder SET expires_at_ms = expires_at_ms + ?", hourMs);
    await storage.setAlarm((await storage.getAlarm())! + hourMs);
  });
  await evictDurableObject(stub);
  await stub.assign("eu", settings);
  const { holders, alarmAtMs } = await storedIn(stub);
  // The gap that is never believed is left over. [LE6]
  const latestMs = Date.now() + settings.leaseDurationMs + settings.quarantineMs;
  expect(holders[0]!["expires_at_ms"]).toBeLessThan(latestMs);
  expect(alarmAtMs).toBeLessThan(latestMs);
});

it("[DO8] the alarm comes earlier for a newcomer whose term ends before all others", async () => {
  const stub = objects.EGRESS_IP.getByName("203.0.113.5");
  const unhurried = { ...settings, leaseDurationMs: 3_600_000, quarantineMs: 3_600_000 };
  await stub.assign("eu", unhurried);
  const host = await HostConnection.open(stub, "h1");
  await host.join("first-instance");
  await host.acquire(8);
  const shorter = { ...unhurried, leaseDurationMs: 60_000 };
  await stub.assign("eu", shorter);
  const before = await storedIn(stub);
  const newcomer = await HostConnection.open(stub, "h2");
  await newcomer.join("other-instance");
  const after = await storedIn(stub);
  const { expires_at_ms: endsAtMs } = after.holders.find((holder) => holder["host"] === "h2")!;
  expect(before.alarmAtMs).toBeGreaterThan(endsAtMs as number);
  expect(after.alarmAtMs).toBe(endsAtMs);
});

it("[DO8] an alarm that comes early, or twice, changes no lease and is set again", async () => {
  const stub = objects.EGRESS_IP.getByName("203.0.113.4");
  await stub.assign("eu", settings);
  const host = await HostConnection.open(stub, "h1");
  await host.join("first-instance");
  await host.acquire(8);
  const before = await storedIn(stub);
  for (let time = 0; time < 3; time += 1) {
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    await evictDurableObject(stub);
  }
  const after = await storedIn(stub);
  expect(after).toEqual({ ...before, alarmAtMs: after.alarmAtMs });
  expect(after.alarmAtMs).not.toBeNull();
});

it("[DO4] the alarm forgets the oldest past leases beyond those that are kept", async () => {
  const stub = objects.EGRESS_IP.getByName("203.0.113.8");
  await stub.assign("eu", settings);
  const host = await HostConnection.open(stub, "h1");
  await host.join("first-instance");
  await host.acquire(8);
  const endedAtMs = Date.now();
  await runInDurableObject(stub, (_instance: EgressIp, { storage }) => {
    for (const epoch of [2, 3, KEPT_PAST_LEASES + 2]) {
      storage.sql.exec(
        "INSERT INTO past_lease VALUES (?, 2048, 6, 'h1', ?, 'released', ?, 'eu', NULL)",
        epoch,
        endedAtMs - 1,
        endedAtMs,
      );
    }
  });
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  const { live, past } = await storedIn(stub);
  expect(past.map(({ epoch }) => epoch)).toEqual([3, KEPT_PAST_LEASES + 2]);
  expect(live).toMatchObject([{ epoch: 1 }]);
});
