/** A full address and who comes late, from the first answer to the last connection. */
import { describe, expect, test } from "vitest";
import { LEASABLE_PORT_COUNT, portCountOf } from "../../src/core/port-block.ts";
import { type FakeHost, World } from "./keeper-world.ts";

const LEASE_MS = 600_000;
const QUARANTINE_MS = 120_000;
/** A renewal, a quarantine, and the longest pause between two requests for growth. */
const BOUND_MS = LEASE_MS / 3 + QUARANTINE_MS + 35_000;

function heldBy(world: World, name: string): number {
  return world.rowsOf(name).reduce((sum, { order }) => sum + portCountOf(order), 0);
}

/** Hosts that have grown until the address was full, each with a flow on every block. */
function crowd(world: World, names: readonly string[]): FakeHost[] {
  const hosts = names.map((name) => world.start(name));
  for (let step = 0; step < 400; step += 1) {
    for (const host of hosts) {
      host.ports.busiestCount = host.ports.usablePortCount();
      host.ports.report();
    }
    world.timeline.advance(100);
  }
  for (const { ports } of hosts) for (const block of ports.blocks.values()) block.flows = 1;
  const held = names.reduce((sum, name) => sum + heldBy(world, name), 0);
  expect(held).toBe(LEASABLE_PORT_COUNT);
  return hosts;
}

/** Lets time pass, and looks now and then: there is much to look at. */
function pass(world: World, ms: number, everyTwentySeconds?: () => void): void {
  for (let leftMs = ms; leftMs > 0; leftMs -= 20_000) {
    world.timeline.advance(Math.min(leftMs, 20_000));
    world.assertOneSender();
    everyTwentySeconds?.();
  }
}

function endFlows(host: FakeHost): void {
  for (const block of host.ports.blocks.values()) if (block.isDraining) block.flows = 0;
}

describe("a newcomer to a full address", () => {
  test("[LK10] has its minimum within a renewal and a quarantine; no flow of the others is reset", () => {
    const world = new World({ maxPortsPerHost: LEASABLE_PORT_COUNT });
    const hosts = crowd(world, ["h1", "h2", "h3"]);
    const newcomer = world.start("late");
    world.advance(1_000);
    expect(newcomer.sendable()).toEqual([]);
    // Flows end by themselves, a while after their block has begun to drain.
    pass(world, BOUND_MS, () => hosts.forEach(endFlows));
    expect(newcomer.ports.usablePortCount()).toBeGreaterThanOrEqual(256);
    expect(heldBy(world, "late")).toBe(512);
    for (const { name, ports } of hosts) {
      expect(ports.resetFlows).toEqual([]);
      expect(heldBy(world, name), name).toBeGreaterThan(LEASABLE_PORT_COUNT / 6);
    }
  });

  test("[LK10] costs a host with a spare the spare, and none of its flows", () => {
    const world = new World({ maxPortsPerHost: LEASABLE_PORT_COUNT });
    const [first] = crowd(world, ["h1", "h2"]);
    const epochs = first!.ports.epochs();
    // After a restart its newest block is the spare, while its use is ordinary again.
    first!.crash();
    const again = world.start("h1", { highestEpoch: first!.highestEpoch });
    again.ports.busiestCount = 10_000;
    world.advance(1_000);
    expect(again.ports.epochs()).toEqual(epochs.slice(0, -1));
    world.start("late");
    pass(world, BOUND_MS);
    expect(heldBy(world, "late")).toBe(512);
    expect([...again.ports.blocks.values()].filter(({ isDraining }) => isDraining)).toEqual([]);
    expect(again.events).toContainEqual({ type: "released", epoch: epochs.at(-1)! });
  });

  test("[LK10] is waited for as long as flows last: what others send is never cut for it", () => {
    const world = new World({ maxPortsPerHost: LEASABLE_PORT_COUNT });
    const hosts = crowd(world, ["h1", "h2"]);
    const newcomer = world.start("late");
    pass(world, 3 * LEASE_MS);
    expect(newcomer.sendable()).toEqual([]);
    for (const { ports } of hosts) expect(ports.resetFlows).toEqual([]);
    for (const host of hosts) endFlows(host);
    pass(world, QUARANTINE_MS + 35_000);
    expect(heldBy(world, "late")).toBe(512);
  });

  test("[LK10] keeps its minimum, and nobody gives back and takes again without end", () => {
    const world = new World({ maxPortsPerHost: LEASABLE_PORT_COUNT });
    const hosts = crowd(world, ["h1", "h2", "h3"]);
    world.start("late");
    pass(world, BOUND_MS, () => hosts.forEach(endFlows));
    const epochs = (): number[] => [...world.table.rows.keys()].toSorted((a, b) => a - b);
    const before = epochs();
    pass(world, 5 * LEASE_MS);
    expect(epochs()).toEqual(before);
    expect(heldBy(world, "late")).toBe(512);
  });
});

describe("three hosts that want more than there is", () => {
  test("[AL7] [LK10] come to fair shares in a few steps, though two of them had everything, and stay there", () => {
    const world = new World({});
    const hosts = crowd(world, ["h1", "h2"]);
    const late = world.start("h3");
    const all = [...hosts, late];
    const press = (): void => {
      for (const { ports } of all) {
        ports.busiestCount = ports.usablePortCount();
        ports.report();
        for (const block of ports.blocks.values()) block.flows = block.isDraining ? 0 : 1;
      }
    };
    // Its minimum, and then four times as much in each step.
    pass(world, 4 * BOUND_MS, press);
    const third = LEASABLE_PORT_COUNT / 3;
    const held = all.map(({ name }) => heldBy(world, name));
    for (const count of held) expect(count).toBeLessThanOrEqual(third * (17 / 16));
    for (const count of held) expect(count).toBeGreaterThanOrEqual(third * (7 / 8));
    for (const { ports } of all) expect(ports.resetFlows).toEqual([]);
    const epochs = (): number[] => [...world.table.rows.keys()].toSorted((a, b) => a - b);
    const before = epochs();
    pass(world, 5 * LEASE_MS, press);
    expect(epochs()).toEqual(before);
  });
});

describe("a maximum that the operator lowers", () => {
  test("[LK10] is followed at the next answer, blocks with flows when these have ended", () => {
    const world = new World({ maxPortsPerHost: 8192 });
    const host = world.start("h1");
    for (let step = 0; step < 200; step += 1) {
      host.ports.busiestCount = host.ports.usablePortCount();
      host.ports.report();
      world.timeline.advance(50);
    }
    expect(heldBy(world, "h1")).toBe(8192);
    for (const block of host.ports.blocks.values()) block.flows = 1;
    world.execute({ type: "configure", settings: { ...world.table.settings, maxPortsPerHost: 1024 } });
    world.advance(LEASE_MS / 3);
    expect(host.ports.usablePortCount()).toBe(1024);
    expect(heldBy(world, "h1")).toBe(8192);
    host.sent.length = 0;
    for (const block of host.ports.blocks.values()) if (block.isDraining) block.flows = 0;
    world.advance(2_000);
    expect(heldBy(world, "h1")).toBe(1024);
    expect(host.sentTypes()).not.toContain("acquire");
    expect(host.ports.resetFlows).toEqual([]);
    world.execute({ type: "configure", settings: { ...world.table.settings, maxPortsPerHost: 1536 } });
    world.advance(LEASE_MS / 3);
    // A spare as large as all that is active has no room: a smaller one is better than none.
    expect(world.rowsOf("h1").at(-1)).toMatchObject({ order: 9 });
    expect(heldBy(world, "h1")).toBe(1536);
  });
});
