/** When a keeper renews, and which of two answers counts. */
import { expect, test } from "vitest";
import { World } from "./keeper-world.ts";

test("[LK12] [LE5] a host that hears of new settings renews within a second, and then at their pace", () => {
  const world = new World();
  const host = world.start("h1");
  world.advance(5_000);
  const renewals = (): number => host.sentTypes().filter((type) => type === "renew").length;
  const endsAtMs = world.table.holders.get("h1")!.expiresAtMs;
  expect(renewals()).toBe(0);
  world.table.settings = { ...world.table.settings, leaseDurationMs: 6_000 };
  for (let count = 0; count < 3; count += 1) host.keeper.message({ type: "changed" });
  world.advance(1_000);
  expect(renewals()).toBe(1);
  // No lease ends sooner than its host was told before.
  expect(world.table.holders.get("h1")!.expiresAtMs).toBe(endsAtMs);
  world.advance(10_000);
  expect(renewals()).toBeGreaterThanOrEqual(5);
  expect(host.ports.resetFlows).toEqual([]);
});

test("[LK12] hearing of them once more puts the renewal off no further", () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const world = new World({}, {}, seed);
    const host = world.start("h1");
    world.advance(5_000);
    const renewals = (): number => host.sentTypes().filter((type) => type === "renew").length;
    for (let count = 0; count < 10; count += 1) {
      if (renewals() > 0) break;
      host.keeper.message({ type: "changed" });
      world.advance(100);
    }
    expect(renewals()).toBe(1);
  }
});

test("[LK5] renewals of hosts that began at one moment spread over a tenth of a third of the lease", () => {
  const leaseDurationMs = 60_000;
  const world = new World({ leaseDurationMs });
  const hosts = Array.from({ length: 40 }, (_, at) => world.start(`h${at}`));
  const renewedAtMs: number[] = [];
  world.fateOfRequest = (request) => {
    if (request.type === "renew") renewedAtMs.push(world.timeline.nowMs);
    return "deliver";
  };
  world.advance(leaseDurationMs / 3 + 1_000);
  expect(renewedAtMs).toHaveLength(hosts.length);
  const width = Math.max(...renewedAtMs) - Math.min(...renewedAtMs);
  expect(width).toBeGreaterThan((leaseDurationMs / 30) * 0.8);
  expect(width).toBeLessThan(leaseDurationMs / 30 + 1_000);
});

test("[LAW7] [LK1] after a sleep a shorter lease counts as soon as it lasts longer than the one before", () => {
  const world = new World({ leaseDurationMs: 15_000 });
  const host = world.start("h1");
  world.advance(1_000);
  host.pause();
  world.advance(5_000);
  // The monotonic clock halts while the machine sleeps.
  host.monotonicSkewMs -= 5_000;
  host.wake();
  world.table.settings = { ...world.table.settings, leaseDurationMs: 5_000 };
  host.keeper.message({ type: "changed" });
  world.advance(20_000);
  expect(host.eventTypes()).not.toContain("lapsed");
});
