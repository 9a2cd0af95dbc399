/** The keeper of a static slot against the real lease table: no clock, no edge, no renewal ends it. */
import { describe, expect, test } from "vitest";
import { ENDLESS_TERM } from "../../src/core/lease-term.ts";
import { World } from "./keeper-world.ts";

const DAY = 86_400_000;
const STATIC = { staticPortsPerHost: 2_048 };

/** A host that has its slot. */
function slotted() {
  const world = new World(STATIC);
  const host = world.start("h1");
  world.advance(1_000);
  const [row] = world.rowsOf("h1");
  return { world, host, slot: { base: row!.base, order: row!.order, epoch: row!.epoch } };
}

/** The operator's word, and nothing else: the host may be there all the same. */
function remove(world: World): void {
  const epochs = world.rowsOf("h1").map(({ epoch }) => epoch);
  world.execute({ type: "remove", host: "h1", epochs });
}

describe("a slot", () => {
  test("[SM2] [SM4] is asked for once, used whole, and is neither grown nor given back", () => {
    const { world, host, slot } = slotted();
    expect(slot).toMatchObject({ base: 2_048, order: 11 });
    host.ports.busiestCount = 2_048;
    world.advance(60_000);
    host.ports.busiestCount = 0;
    world.advance(600_000);
    expect(host.sentTypes().filter((type) => type === "acquire" || type === "release")).toEqual(["acquire"]);
    expect(host.ports.usablePortCount()).toBe(2_048);
    expect(host.keeper.portLimit).toBe(2_048);
    expect(host.ports.growthOutstanding).toBe(false);
  });

  test("[SM3] is used on without the edge, for any time and by any clock", () => {
    const { world, host, slot } = slotted();
    host.disconnect();
    for (const [wallMs, monotonicMs] of [
      [5_000 * DAY, 0],
      [-9_000 * DAY, 0],
      [0, 400 * DAY],
    ] as const) {
      host.wallSkewMs += wallMs;
      host.monotonicSkewMs += monotonicMs;
      host.keeper.tick();
      world.advance(10_000);
      expect(host.sendable()).toEqual([slot]);
    }
    expect(host.ports.term).toEqual(ENDLESS_TERM);
    expect(host.eventTypes()).not.toContain("lapsed");
  });

  test("[SM3] is asked after now and then, so that the edge has a say", () => {
    const { world, host } = slotted();
    world.advance(3_600_000);
    const renewals = host.sentTypes().filter((type) => type === "renew");
    expect(renewals.length).toBeGreaterThan(15);
    expect(renewals.length).toBeLessThan(25);
  });

  test("[SM9] from the disk is used at once, and the edge finds it in use when it is back", () => {
    const { world, host, slot } = slotted();
    host.crash();
    const next = world.startAlone("h1", [slot]);
    expect(next.sendable()).toEqual([slot]);
    world.advance(30 * 60_000);
    expect(next.sendable()).toEqual([slot]);
    expect(next.sent).toEqual([]);
    next.ports.blocks.get(slot.epoch)!.flows = 3;
    next.connect();
    world.advance(1_000);
    expect(next.sentTypes()).toEqual(["join"]);
    expect(next.sendable()).toEqual([slot]);
    expect(next.ports.resetFlows).toEqual([]);
  });

  test("[SM5] that the edge does not list any more ends at once, with its flows", () => {
    const { world, host, slot } = slotted();
    host.crash();
    const next = world.startAlone("h1", [slot]);
    next.ports.blocks.get(slot.epoch)!.flows = 2;
    remove(world);
    next.connect();
    world.timeline.advance(1_000);
    expect(next.events).toContainEqual({ type: "lost", leases: [slot] });
    expect(next.ports.resetFlows).toEqual([{ epoch: slot.epoch, flows: 2 }]);
    // What it gets then is a lease like any other.
    expect(next.sendable().map(({ epoch }) => epoch)).toEqual([slot.epoch + 1]);
  });

  test("[SM9] [LK9] is kept by a host that ends, with no word to the edge, and given back by one that is to", () => {
    for (const keepsSlots of [true, false]) {
      const { world, host, slot } = slotted();
      host.ports.blocks.get(slot.epoch)!.flows = 1;
      host.keeper.drain(10_000, keepsSlots);
      world.advance(5_000);
      expect(host.eventTypes()).not.toContain("drained");
      world.advance(10_000);
      expect(host.eventTypes()).toContain("drained");
      expect(host.sendable()).toEqual([]);
      expect(world.rowsOf("h1")).toHaveLength(keepsSlots ? 1 : 0);
      expect(host.sentTypes().includes("release")).toBe(!keepsSlots);
    }
  });

  test("[SM9] is given back only when the edge is there to take it, however long that takes", () => {
    const { world, host } = slotted();
    host.disconnect();
    host.keeper.drain(0);
    world.advance(60_000);
    expect(host.eventTypes()).not.toContain("drained");
    host.connect();
    world.advance(1_000);
    expect(host.eventTypes()).toContain("drained");
    expect(world.rowsOf("h1")).toEqual([]);
  });
});

describe("a pool that changes its kind", () => {
  test("[SM6] [SM3] takes the end from what a host holds only as the host hears it, in both directions", () => {
    const world = new World();
    const host = world.start("h1");
    world.advance(1_000);
    expect(host.ports.term).not.toEqual(ENDLESS_TERM);
    host.keeper.drain(0);
    world.advance(1_000);
    const { settings } = world.table;
    world.execute({ type: "configure", settings: { ...settings, ...STATIC } });
    const next = world.start("h1");
    world.advance(1_000);
    expect(next.ports.term).toEqual(ENDLESS_TERM);
    // The slot goes, and with it what had no end.
    remove(world);
    world.execute({ type: "configure", settings });
    next.keeper.message({ type: "changed" });
    world.timeline.advance(3_000);
    expect(next.ports.term).not.toEqual(ENDLESS_TERM);
    expect(next.ports.term).not.toBeNull();
    expect(next.events).toContainEqual(expect.objectContaining({ type: "lost" }));
    world.advance(1_000);
    expect(next.sendable().length).toBeGreaterThan(0);
  });
});
