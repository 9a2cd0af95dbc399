/** Fairness after any history: whoever is told to hold less does so, and everybody has its minimum. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { test } from "vitest";
import { AddressStory } from "./address-story.ts";
import { leasesOf, portsHeldBy } from "../../src/core/lease-table.ts";
import { LEASABLE_PORT_COUNT, portCountOf } from "../../src/core/port-block.ts";

const LEASE = 600_000;
/** Each round gives up half at most, and an address is 2^7 of the smallest minimum here. */
const ROUNDS = 9;

type Step =
  | { readonly type: "join" | "takeAll"; readonly host: number }
  | { readonly type: "acquire"; readonly host: number; readonly order: number }
  | { readonly type: "release"; readonly host: number; readonly at: number }
  | { readonly type: "wait"; readonly durationMs: number };

const host = fc.nat(9);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant("join" as const), host }),
  fc.record({ type: fc.constant("takeAll" as const), host }),
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("acquire" as const),
      host,
      order: fc.integer({ min: 6, max: 12 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("release" as const), host, at: fc.nat(99) }) },
  fc.record({ type: fc.constant("wait" as const), durationMs: fc.nat(LEASE / 2) }),
);

function take(address: AddressStory, next: Step, largestOrder: number): void {
  if (next.type === "wait") return address.wait(next.durationMs);
  const name = `host-${next.host}`;
  if (next.type === "join") address.join(name);
  if (next.type === "acquire") address.acquire(name, Math.min(next.order, largestOrder));
  if (next.type === "takeAll") while (address.acquire(name, largestOrder).ok);
  if (next.type === "release") {
    const held = leasesOf(address.table, name);
    const lease = held[next.at % Math.max(1, held.length)];
    if (lease !== undefined) address.release(name, lease);
  }
}

/** Gives back whole blocks until no more is held than was told. */
function obey(address: AddressStory, name: string, minimum: number): void {
  const told = address.told(name);
  let kept = 0;
  for (const lease of leasesOf(address.table, name).toSorted((a, b) => b.order - a.order)) {
    if (kept + portCountOf(lease.order) <= told) kept += portCountOf(lease.order);
    else address.release(name, lease);
  }
  assert(told >= minimum, `${name} is told to hold ${told}`);
}

test("[AL6] [QU3] every present host comes to its minimum, though all others go on asking for more", () => {
  const minimumOrder = fc.integer({ min: 9, max: 12 });
  const steps = fc.array(step, { minLength: 10, maxLength: 60, size: "max" });
  const play = (order: number, history: readonly Step[]): void => {
    const minPortsPerHost = portCountOf(order);
    const address = new AddressStory({ minPortsPerHost, maxPortsPerHost: LEASABLE_PORT_COUNT });
    // Blocks no larger than the minimum: then whole blocks can always do what is told.
    for (const next of history) take(address, next, order);
    address.join("newcomer");
    const names = [...address.table.holders.keys()];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const name of names) {
        if (!address.renew(name).ok) address.join(name);
        const before = portsHeldBy(address.table, name);
        obey(address, name, minPortsPerHost);
        const after = portsHeldBy(address.table, name);
        assert(after >= Math.min(before, minPortsPerHost), `${name} fell from ${before} to ${after}`);
        while (address.acquire(name, order).ok);
      }
      address.wait(LEASE / 3);
    }
    for (const name of names) {
      while (address.acquire(name, order).ok);
      const held = portsHeldBy(address.table, name);
      assert(held >= minPortsPerHost, `${name} has ${held} of ${minPortsPerHost}`);
    }
  };
  fc.assert(fc.property(minimumOrder, steps, play), { numRuns: 150, interruptAfterTimeLimit: 50_000 });
}, 60_000);
