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

test("[LK5] [DO21] hosts that began at any moment renew together from their first renewal on", () => {
  const leaseDurationMs = 60_000;
  const world = new World({ leaseDurationMs });
  const renewedAtMs: number[] = [];
  world.fateOfRequest = (request) => {
    if (request.type === "renew") renewedAtMs.push(world.timeline.nowMs);
    return "deliver";
  };
  const beganAtMs = world.timeline.nowMs;
  for (let at = 0; at < 40; at += 1) {
    world.start(`h${at}`);
    world.advance(400);
  }
  world.advance(60_000);
  const moments = Map.groupBy(renewedAtMs, (atMs) => Math.round(atMs / 1_000));
  // Every 18 s from some moment on, and each time whoever had begun two seconds before.
  const count = Math.ceil((world.timeline.nowMs - beganAtMs) / 18_000);
  expect(moments.size).toBeLessThanOrEqual(count);
  expect([...moments.values()].slice(1).every(({ length }) => length >= 36)).toBe(true);
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
