/** What is counted of a table is what a walk over all of its rows gives, after each event of any history. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { describe, test } from "vitest";
import { ORDER } from "./arbitraries.ts";
import { seededRandom } from "./address-story.ts";
import * as walked from "./walked-table.ts";
import { chooseFree, freePortCount, portTotal } from "../../src/core/buddy-allocator.ts";
import { execute, type LeaseCommand } from "../../src/core/lease-commands.ts";
import {
  applyEvent,
  emptyLeaseTable,
  fillLeaseTable,
  leasesOf,
  type LeaseEvent,
  type LeaseTable,
  nextDeadlineMs,
  portsHeldBy,
  portsLeased,
} from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { MAX_ORDER, MIN_ORDER } from "../../src/core/port-block.ts";
import { publicationOf } from "../../src/core/publication.ts";
import { roomFor, usageByHost } from "../../src/core/share.ts";
import { letTimePass } from "../../src/core/time-passing.ts";

const MINUTE = 60_000;
const SETTINGS: PoolSettings = { ...DEFAULT_POOL_SETTINGS, maxPortsPerHost: 64_512 };

const HOSTS = ["anna", "bert", "cleo"] as const;
const host = fc.constantFrom(...HOSTS);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant("join" as const), host, disk: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("renew" as const), host }) },
  { weight: 12, arbitrary: fc.record({ type: fc.constant("acquire" as const), host, order: ORDER }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("release" as const), host, at: fc.nat(99) }) },
  // Some wait longer than a lease and its quarantine; some find that the clock was set back.
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("wait" as const),
      ms: fc.integer({ min: -MINUTE, max: MINUTE }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("wait" as const), ms: fc.nat(30 * MINUTE) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("configure" as const),
      quarantineMs: fc.nat(5 * MINUTE),
      staticPortsPerHost: fc.constantFrom(null, 1024),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("remove" as const), host }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("steer" as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("applied" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** An address, and beside it a table to which the same happens event by event. */
class Twofold {
  readonly table: LeaseTable;
  readonly #mirror: LeaseTable;
  readonly #random = seededRandom(1);
  #nowMs = 1_000_000;
  #requestCount = 0;

  constructor(staticPortsPerHost: number | null) {
    this.table = emptyLeaseTable({ ...SETTINGS, staticPortsPerHost });
    this.#mirror = emptyLeaseTable({ ...SETTINGS, staticPortsPerHost });
  }

  take(taken: Step): void {
    if (taken.type === "wait") this.#nowMs += taken.ms;
    this.#checkTime();
    const { events } = execute(this.table, this.#commandOf(taken), this.#nowMs, this.#random);
    for (const event of events) {
      applyEvent(this.#mirror, event);
      this.#check(this.#mirror);
    }
    assert.deepEqual(this.table, this.#mirror);
  }

  #commandOf(taken: Step): LeaseCommand {
    const { table } = this;
    const session = "host" in taken ? (table.holders.get(taken.host)?.session ?? 0) : 0;
    switch (taken.type) {
      case "wait":
        return { type: "tick" };
      case "join":
        return { type: "join", host: taken.host, instance: `${taken.host}-disk-${taken.disk}` };
      case "configure": {
        const { quarantineMs, staticPortsPerHost } = taken;
        return { type: "configure", settings: { ...SETTINGS, quarantineMs, staticPortsPerHost } };
      }
      case "remove":
        return {
          type: "remove",
          host: taken.host,
          epochs: leasesOf(table, taken.host).map(({ epoch }) => epoch),
        };
      case "steer":
        return { type: "steer" };
      case "applied":
        return { type: "applied", publication: publicationOf(table) };
      case "renew":
        return { type: "renew", host: taken.host, session };
      case "acquire": {
        const requestId = `request-${(this.#requestCount += 1)}`;
        return { type: "acquire", host: taken.host, session, requestId, order: taken.order };
      }
      case "release": {
        const leases = leasesOf(table, taken.host);
        const { base, epoch } = leases[taken.at % Math.max(1, leases.length)] ?? { base: 1024, epoch: 0 };
        return { type: "release", host: taken.host, session, base, epoch };
      }
    }
  }

  /** Time does the same to both, in the same order. */
  #checkTime(): void {
    const [table, other] = [structuredClone(this.table), structuredClone(this.table)];
    const recordTo = (to: LeaseTable, events: LeaseEvent[]) => (event: LeaseEvent) => {
      applyEvent(to, event);
      if (event.type !== "clock-read") events.push(event);
    };
    const [events, expected]: [LeaseEvent[], LeaseEvent[]] = [[], []];
    letTimePass(table, this.#nowMs, (event) => {
      // It looks at the clock first, which no walk decides.
      if (event.type === "clock-read") applyEvent(other, event);
      recordTo(table, events)(event);
    });
    walked.letTimePass(other, this.#nowMs, recordTo(other, expected));
    assert.deepEqual(events, expected);
  }

  #check(table: LeaseTable): void {
    const again = emptyLeaseTable(SETTINGS);
    again.unitHistory.set(table.unitHistory);
    fillLeaseTable(again, { holders: table.holders.values(), rows: table.rows.values() });
    assert.deepEqual(table.index, again.index);
    assert.equal(portsLeased(table), walked.portsLeased(table));
    assert.equal(nextDeadlineMs(table), walked.nextDeadlineMs(table));
    assert.deepEqual([...usageByHost(table).keys()].toSorted(), [...table.holders.keys()].toSorted());
    for (const holder of table.holders.values()) {
      const { held, resting } = usageByHost(table).get(holder.host)!;
      assert.deepEqual({ held, resting }, walked.usageOf(table, holder));
      assert.equal(portsHeldBy(table, holder.host), held);
      assert.deepEqual(leasesOf(table, holder.host), walked.leasesOf(table, holder.host));
      const room = walked.roomFor(table, holder.host, this.#nowMs);
      assert.deepEqual(roomFor(table, holder.host, this.#nowMs), room);
    }
    const free = walked.freeBlocks(table);
    assert.equal(freePortCount(table.index.occupancy), portTotal(free));
    for (let order = MIN_ORDER; order <= MAX_ORDER; order += 1) {
      const seed = this.#requestCount + order;
      assert.deepEqual(
        chooseFree(table.index.occupancy, order, seededRandom(seed)),
        walked.chooseBlock(free, order, table, seededRandom(seed)),
      );
    }
  }
}

describe("what is counted of a table", () => {
  test(
    "[AL10] [LE4] is what a walk over its rows gives, after each event of any history",
    { timeout: 60_000 },
    () => {
      const steps = fc.array(step, { minLength: 20, maxLength: 80, size: "max" });
      fc.assert(
        fc.property(fc.constantFrom(null, null, 1024), steps, (staticPortsPerHost, history) => {
          const address = new Twofold(staticPortsPerHost);
          for (const name of HOSTS) {
            address.take({ type: "join", host: name, disk: 0 });
          }
          for (const taken of history) address.take(taken);
        }),
        { numRuns: 100, interruptAfterTimeLimit: 50_000 },
      );
    },
  );
});
