/** The binder against a naive model: whatever happens, it chooses what the model calls free. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { portCountOf } from "../../src/core/port-block.ts";

const HOLD_DOWN_MS = 100;
const REST_MS = 120_000;
/** Disjoint blocks, so that commands can name them by number. */
const LEASES: readonly Lease[] = [
  { base: 2048, order: 6, epoch: 1 },
  { base: 2112, order: 6, epoch: 2 },
  { base: 2176, order: 7, epoch: 3 },
  { base: 65_472, order: 6, epoch: 4 },
];
const DESTINATIONS = ["a", "b", "c"];

type Command =
  | { readonly type: "take"; readonly destination: string; readonly count: number }
  | { readonly type: "release"; readonly nth: number; readonly count: number }
  | { readonly type: "pass"; readonly ms: number }
  | { readonly type: "add" | "drain" | "remove"; readonly lease: number };

const anyDestination = fc.constantFrom(...DESTINATIONS);
const count = fc.integer({ min: 1, max: 80 });
const lease = fc.nat(LEASES.length - 1);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant("take" as const), destination: anyDestination, count }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("release" as const), nth: fc.nat(1000), count }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.nat(150) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("pass" as const),
      ms: fc.integer({ min: 50_000, max: 70_000 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constantFrom("add" as const, "drain" as const, "remove" as const),
      lease,
    }),
  },
);

/** The model: sets, and nothing clever. */
class Model {
  nowMs = 0;
  readonly usable = new Map<number, Lease>();
  readonly draining = new Map<number, Lease>();
  readonly live = new Map<HeldPort, { destination: string; epoch: number }>();
  heldDown: { destination: string; port: number; endsAtMs: number }[] = [];
  /** Longest unused first. */
  resting: { destination: string; port: number; endsAtMs: number }[] = [];

  portsOf(leases: Iterable<Lease>): number[] {
    return [...leases].flatMap(({ base, order }) =>
      Array.from({ length: portCountOf(order) }, (_, at) => base + at),
    );
  }

  /** What was held down long enough rests, and what has rested long enough is as good as new. */
  settle(): void {
    const lapsed = this.heldDown.filter(({ endsAtMs }) => endsAtMs <= this.nowMs);
    this.heldDown = this.heldDown.filter(({ endsAtMs }) => endsAtMs > this.nowMs);
    for (const one of lapsed) one.endsAtMs = this.nowMs + REST_MS;
    this.resting.push(...lapsed);
    this.resting = this.resting.filter(({ endsAtMs }) => endsAtMs > this.nowMs);
  }

  held(destination: string): Set<number> {
    this.settle();
    const live = [...this.live]
      .filter(([, flow]) => flow.destination === destination)
      .map(([{ port }]) => port);
    const down = this.heldDown.filter((entry) => entry.destination === destination).map(({ port }) => port);
    return new Set([...live, ...down]);
  }

  free(destination: string): Set<number> {
    const held = this.held(destination);
    return new Set(this.portsOf(this.usable.values()).filter((port) => !held.has(port)));
  }

  /** The ports of which one is to be chosen: free and not at rest, else the one that rests longest. */
  best(destination: string): Set<number> {
    const free = this.free(destination);
    const resting = this.resting.filter((one) => one.destination === destination && free.has(one.port));
    const fresh = new Set([...free].filter((port) => !resting.some((one) => one.port === port)));
    return fresh.size > 0 || resting.length === 0 ? fresh : new Set([resting[0]!.port]);
  }

  /** Ports of usable blocks that are held towards a destination. */
  used(name: string): number {
    const ports = new Set(this.portsOf(this.usable.values()));
    return [...this.held(name)].filter((port) => ports.has(port)).length;
  }

  capacity(): { portCount: number; busiestCount: number } {
    const ports = new Set(this.portsOf(this.usable.values()));
    const used = DESTINATIONS.map((name) => this.used(name));
    return { portCount: ports.size, busiestCount: Math.max(...used) };
  }
}

function run(commands: readonly Command[]): void {
  const model = new Model();
  const ports = new AddressPorts("127.0.0.10", {
    clock: () => ({ monotonicMs: model.nowMs, wallMs: model.nowMs }),
    holdDownMs: HOLD_DOWN_MS,
  });
  ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  for (const step of commands) {
    carryOut(ports, model, step);
    expect(ports.capacity()).toEqual(model.capacity());
    const busiest = ports.busiestDestination();
    expect(busiest === null ? 0 : model.used(busiest)).toBe(model.capacity().busiestCount);
    for (const { epoch } of LEASES) {
      expect(ports.flowCount(epoch)).toBe(
        [...model.live.values()].filter((flow) => flow.epoch === epoch).length,
      );
    }
  }
  for (const held of model.live.keys()) held.release();
  model.nowMs += HOLD_DOWN_MS;
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 0 });
  expect(ports.busiestDestination()).toBeNull();
  ports.close();
}

function carryOut(ports: AddressPorts, model: Model, step: Command): void {
  switch (step.type) {
    case "take":
      for (let at = 0; at < step.count; at += 1) take(ports, model, step.destination);
      return;
    case "release": {
      const all = [...model.live.keys()];
      for (const held of all.slice(step.nth % (all.length + 1)).slice(0, step.count)) release(model, held);
      return;
    }
    case "pass":
      model.nowMs += step.ms;
      return;
    case "add":
    case "drain":
    case "remove":
      changeBlock(ports, model, step.type, LEASES[step.lease]!);
      return;
  }
}

function take(ports: AddressPorts, model: Model, name: string): void {
  const best = model.best(name);
  const taken = ports.take(name);
  if (best.size === 0) {
    const refusal = model.usable.size === 0 ? "lease-lost" : "port-block-exhausted";
    expect(taken).toEqual({ ok: false, refusal });
    return;
  }
  if (!taken.ok) throw new Error(`refused although ${model.free(name).size} ports are free`);
  const held = taken.value;
  expect(best).toContain(held.port);
  model.resting = model.resting.filter((one) => one.destination !== name || one.port !== held.port);
  model.live.set(held, { destination: name, epoch: held.block.lease.epoch });
  held.onReset = () => release(model, held);
}

function release(model: Model, held: HeldPort): void {
  const flow = model.live.get(held)!;
  model.live.delete(held);
  model.heldDown.push({
    destination: flow.destination,
    port: held.port,
    endsAtMs: model.nowMs + HOLD_DOWN_MS,
  });
  held.release();
  held.release();
}

function changeBlock(
  ports: AddressPorts,
  model: Model,
  change: "add" | "drain" | "remove",
  block: Lease,
): void {
  const { epoch } = block;
  if (change === "add") {
    ports.addBlock(block);
    if (!model.draining.has(epoch)) model.usable.set(epoch, block);
  } else if (change === "drain") {
    ports.drainBlock(epoch);
    if (model.usable.delete(epoch)) model.draining.set(epoch, block);
  } else {
    ports.removeBlock(epoch);
    model.usable.delete(epoch);
    model.draining.delete(epoch);
    // What was on it has been reset.
    expect([...model.live.values()].some((flow) => flow.epoch === epoch)).toBe(false);
  }
}

describe("port binder", () => {
  it("[BI1] [BI2] [BI3] [BI14] chooses exactly what a naive model calls free, whatever comes and goes", () => {
    fc.assert(fc.property(fc.array(command, { maxLength: 60 }), run), { numRuns: 300 });
  });
});
