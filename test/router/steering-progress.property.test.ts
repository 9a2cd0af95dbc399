/** Whatever the pool says, however slow or unsure the kernel is: it ends where the pool is. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { blocksOverlap } from "../../src/core/port-block.ts";
import type { SteeringChange, SteeringTable } from "../../src/core/steering.ts";
import {
  containerId,
  type Contents,
  contentsOf,
  differenceBetween,
  differenceOf,
  type Difference,
} from "../../src/router/rules/steering-transactions.ts";
import { type SteeringAction, SteeringState } from "../../src/router/feed/steering-progress.ts";
import { change, CONFIG, entry, IPV4, IPV6, nextHopOf, table } from "./steering-fixture.ts";

const ADDRESSES = [IPV4, IPV6, "192.0.2.2"];

/** The kernel on paper: what a difference does to elements, and whether it could do it. */
class PaperKernel {
  contents: Contents = new Map();

  carryOut({ removed, added }: Difference): void {
    for (const [id, elements] of removed) {
      for (const key of elements.keys()) expect(this.contents.get(id)?.delete(key)).toBe(true);
    }
    for (const [id, elements] of added) {
      const present = this.contents.get(id) ?? new Map();
      this.contents.set(id, present);
      for (const [key, data] of elements) {
        expect(present.has(key)).toBe(false);
        present.set(key, data);
      }
    }
  }
}

/** What the pool holds: its own table, changed in step with the messages about it. */
class PaperPool {
  #sequence = 1;
  #epoch = 0;
  table: SteeringTable = table(1, []);

  say(ip: string, unit: number, order: number, host: string): SteeringChange {
    this.#sequence += 1;
    this.#epoch += 1;
    const base = (unit * 64) & ~((1 << order) - 1);
    const wanted = entry(host, base, order, this.#epoch, ip);
    const gone = this.table.entries.filter((held) => held.ip === ip && blocksOverlap(held, wanted));
    const left = this.table.entries.filter((held) => !gone.includes(held));
    const hasAddress = this.table.ips.includes(ip);
    // Odd epochs put, even ones only withdraw.
    const put = this.#epoch % 2 === 1 && base >= 1024 ? [wanted] : [];
    const ips = hasAddress ? this.table.ips : [...this.table.ips, ip];
    this.table = { ...this.table, sequence: this.#sequence, ips, entries: [...left, ...put] };
    return change(this.#sequence, {
      withdraw: gone.map(({ base: at, epoch }) => ({ ip, base: at, epoch })),
      put,
      addIps: hasAddress ? [] : [ip],
    });
  }

  move(host: string, place: number): SteeringChange {
    this.#sequence += 1;
    const nextHop = nextHopOf(host, place);
    const nextHops = [...this.table.nextHops.filter((other) => other.host !== host), nextHop];
    this.table = { ...this.table, sequence: this.#sequence, nextHops };
    return change(this.#sequence, { nextHops: [nextHop] });
  }
}

const block = fc.record({
  type: fc.constant("block" as const),
  ip: fc.constantFrom(...ADDRESSES),
  unit: fc.integer({ min: 16, max: 60 }),
  order: fc.integer({ min: 6, max: 12 }),
  host: fc.constantFrom("h1", "h2", "unknown"),
});
const moving = fc.record({
  type: fc.constant("move" as const),
  host: fc.constantFrom("h1", "h2"),
  place: fc.integer({ min: 1, max: 9 }),
});
const step = fc.oneof(
  { weight: 6, arbitrary: block },
  { weight: 1, arbitrary: moving },
  { weight: 4, arbitrary: fc.constant({ type: "kernel-follows" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "kernel-fails" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "message-lost" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "retry" as const }) },
);

class World {
  readonly pool = new PaperPool();
  readonly kernel = new PaperKernel();
  readonly state = new SteeringState();
  #step: SteeringAction | null = null;
  #hasFailed = false;

  constructor() {
    this.take(this.state.replaced(this.pool.table));
  }

  take(actions: readonly SteeringAction[]): void {
    for (const action of actions) {
      if (action.type === "ask-table") this.take(this.state.replaced(this.pool.table));
      else if (action.type === "acknowledge") this.#acknowledged(action.sequence);
      else if (action.type === "outdated") throw new Error("nothing here is from the past");
      else {
        expect(this.#step).toBeNull();
        this.#step = action;
      }
    }
  }

  kernelApplies(): void {
    const action = this.#step;
    this.#step = null;
    if (action?.type === "repair") {
      const { contents } = contentsOf(CONFIG, action.table);
      this.kernel.carryOut(differenceBetween(this.kernel.contents, contents));
    } else if (action?.type === "apply") this.kernel.carryOut(differenceOf(CONFIG, action.delta));
    else return;
    this.take(this.state.applied());
  }

  kernelFails(): void {
    if (this.#step === null) return;
    this.#step = null;
    this.#hasFailed = true;
    this.state.failed();
  }

  retry(): void {
    if (!this.#hasFailed) return;
    this.#hasFailed = false;
    this.take(this.state.retry());
  }

  expectAtPool(): void {
    this.retry();
    while (this.#step !== null) this.kernelApplies();
    expect(this.state.appliedSequence).toBe(this.pool.table.sequence);
    expect(flat(this.kernel.contents)).toEqual(flat(contentsOf(CONFIG, this.pool.table).contents));
  }

  /** The acknowledged number is that of a table which the kernel has, or has had. [ST2] */
  #acknowledged(sequence: number): void {
    expect(sequence).toBeLessThanOrEqual(this.pool.table.sequence);
    if (sequence !== this.pool.table.sequence) return;
    expect(flat(this.kernel.contents)).toEqual(flat(contentsOf(CONFIG, this.pool.table).contents));
  }
}

function flat(contents: Contents): string[] {
  return [...contents]
    .flatMap(([id, elements]) => Array.from(elements, ([key, data]) => `${id} ${key} ${data}`))
    .toSorted();
}

test("[ST1] [ST2] the kernel ends where the pool is, whatever happened on the way", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new World();
      for (const what of steps) {
        switch (what.type) {
          case "block":
            world.take(world.state.changed(world.pool.say(what.ip, what.unit, what.order, what.host)));
            break;
          case "move":
            world.take(world.state.changed(world.pool.move(what.host, what.place)));
            break;
          case "message-lost":
            world.pool.say(IPV4, 16, 8, "h1");
            break;
          case "kernel-follows":
            world.kernelApplies();
            break;
          case "kernel-fails":
            world.kernelFails();
            break;
          case "retry":
            world.retry();
            break;
        }
      }
      // A change after the last loss, so that a gap shows.
      world.take(world.state.changed(world.pool.move("h1", 10)));
      world.expectAtPool();
    }),
    { numRuns: 300 },
  );
});

test("[RT1] a block has the same ports in the kernel's elements, whatever its size", () => {
  fc.assert(
    fc.property(block, ({ ip, unit, order }) => {
      const base = (unit * 64) & ~((1 << order) - 1) || 1 << order;
      const { contents } = contentsOf(CONFIG, table(1, [entry("h1", base, order, 1, ip)]));
      const ports = new Set<number>();
      for (const [id, elements] of contents) {
        const size = /^netdev via_lan0_ip\d_(\d+)$/.exec(id)?.[1];
        if (size === undefined) continue;
        for (const key of elements.keys()) {
          const first = Number(key.split(" ")[1]);
          for (let port = first; port < first + 2 ** Number(size); port += 1) ports.add(port);
        }
        expect(elements.size).toBeLessThanOrEqual(4);
      }
      expect([ports.size, Math.min(...ports), Math.max(...ports)]).toEqual([
        2 ** order,
        base,
        base + 2 ** order - 1,
      ]);
    }),
  );
});

test("[RT1] the sets of addresses exist under the names that the rules ask", () => {
  const { contents } = contentsOf(CONFIG, table(1, []));
  expect([...contents.keys()].toSorted()).toContain(containerId("netdev", "quotes_ip6"));
});
