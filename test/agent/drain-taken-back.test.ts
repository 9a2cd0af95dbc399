/** An address that is given up and wanted back: nothing of it is cut, and it is used at once. */
import { expect, test } from "vitest";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { readClock } from "../../src/process/clock.ts";
import { World } from "./keeper-world.ts";

const DEADLINE_MS = 30_000;

test("[LK11] a drain that is taken back cuts nothing, and its blocks take new connections at once", () => {
  const world = new World();
  const host = world.start("h1");
  world.advance(1_000);
  const [epoch] = host.ports.epochs();
  host.ports.blocks.get(epoch!)!.flows = 2;
  host.keeper.drain(DEADLINE_MS);
  world.advance(15_000);
  expect(host.ports.usablePortCount()).toBe(0);
  expect(host.keeper.resume()).toBe(true);
  expect(host.ports.usablePortCount()).toBe(256);
  world.advance(2 * DEADLINE_MS);
  expect(host.ports.resetFlows).toEqual([]);
  expect(host.ports.epochs()[0]).toBe(epoch);
  expect(host.eventTypes()).not.toContain("drained");
  // And the spare is there again.
  expect(world.rowsOf("h1").length).toBe(2);
});

test("[LK11] without connections its blocks had gone: it asks for others at once, and has its own again", () => {
  const world = new World();
  const host = world.start("h1");
  world.advance(1_000);
  const before = world.rowsOf("h1").map(({ base }) => base);
  host.ports.blocks.get(host.ports.epochs()[0]!)!.flows = 1;
  host.keeper.drain(DEADLINE_MS);
  world.advance(100);
  host.ports.blocks.get(host.ports.epochs()[0]!)!.flows = 0;
  host.keeper.tick();
  expect(host.ports.epochs()).toEqual([]);
  if (!host.keeper.resume()) throw new Error("it was over already");
  world.advance(1_000);
  expect(host.ports.usablePortCount()).toBe(256);
  expect(world.rowsOf("h1").map(({ base }) => base)).toEqual(before);
});

test("[LK11] what is drained for good is not taken back, nor what is past its deadline", () => {
  const world = new World();
  const host = world.start("h1");
  world.advance(1_000);
  host.ports.blocks.get(host.ports.epochs()[0]!)!.flows = 1;
  expect(host.keeper.resume()).toBe(false);
  host.keeper.drain(0);
  expect(host.keeper.resume()).toBe(false);
  world.advance(3_000);
  expect(host.eventTypes().at(-1)).toBe("drained");
  expect(host.keeper.resume()).toBe(false);
  expect(host.ports.resetFlows.length).toBe(1);
});

test("[LK11] given up and wanted back over and over, it ends as it was wanted last", () => {
  const world = new World();
  const host = world.start("h1");
  world.advance(1_000);
  const [epoch] = host.ports.epochs();
  host.ports.blocks.get(epoch!)!.flows = 1;
  for (let round = 0; round < 50; round += 1) {
    host.keeper.drain(DEADLINE_MS);
    world.advance(round * 37);
    expect(host.keeper.resume()).toBe(true);
    world.advance(round * 13);
  }
  expect(host.ports.resetFlows).toEqual([]);
  expect(host.ports.usablePortCount()).toBeGreaterThanOrEqual(256);
  host.keeper.drain(DEADLINE_MS);
  world.advance(DEADLINE_MS + 3_000);
  expect(host.ports.resetFlows).toEqual([{ epoch, flows: 1 }]);
  expect(host.eventTypes().at(-1)).toBe("drained");
});

test("[BI5] a block that drains no longer gives its ports again, and its connections stay", () => {
  const ports = new AddressPorts("127.0.0.1");
  const nowMs = readClock().monotonicMs;
  ports.setTerm({ monotonicEndMs: nowMs + 60_000, wallEndMs: Date.now() + 60_000 });
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const first = ports.take("tcp 127.0.0.1 80");
  ports.drainBlock(1);
  expect(ports.take("tcp 127.0.0.1 80")).toEqual({ ok: false, refusal: "lease-lost" });
  ports.resumeBlock(1);
  const taken = Array.from({ length: 63 }, () => ports.take("tcp 127.0.0.1 80"));
  expect(taken.every(({ ok }) => ok)).toBe(true);
  expect(ports.take("tcp 127.0.0.1 80")).toEqual({ ok: false, refusal: "port-block-exhausted" });
  expect(first.ok && first.value.isLost).toBe(false);
  ports.close();
});
