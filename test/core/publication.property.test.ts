/** Publications and acknowledgements that are lost, repeated and late: in the end all agree. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  acknowledge,
  beginning,
  hasApplied,
  laggardsOf,
  type Progress,
} from "../../src/core/acknowledgement.ts";
import { execute } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { blocksOverlap } from "../../src/core/port-block.ts";
import {
  type AddressChange,
  changeBy,
  isUnpublished,
  type Publication,
  publicationOf,
  type PublishedAddress,
  toChanges,
} from "../../src/core/publication.ts";
import type { SteeringChange, SteeringEntry } from "../../src/core/steering.ts";
import { seededRandom } from "./address-story.ts";

const START_MS = 1_800_000_000_000;
const HOSTS = ["h1", "h2"];

/** An address that publishes, and what its pool has taken of it. */
class PublishingAddress {
  readonly table: LeaseTable = emptyLeaseTable({
    ...DEFAULT_POOL_SETTINGS,
    leaseDurationMs: 10_000,
    quarantineMs: 4_000,
  });
  /** All that was ever said, to be said again. */
  readonly said: Publication[] = [];
  taken: PublishedAddress = { ip: "192.0.2.1", version: null, entries: [] };
  readonly #random: () => number;
  #nowMs = START_MS;
  #count = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#execute({ type: "steer" });
    for (const host of HOSTS) this.#execute({ type: "join", host, instance: `${host}-instance` });
  }

  wait(ms: number): void {
    this.#nowMs += ms;
    this.#execute({ type: "tick" });
  }

  act(host: string, order: number | null): void {
    const session = this.table.holders.get(host)?.session;
    if (session === undefined) return this.#execute({ type: "join", host, instance: `${host}-instance` });
    const lease = [...this.table.rows.values()].find((row) => row.host === host && row.state === "leased");
    if (order === null && lease) {
      return this.#execute({ type: "release", host, session, base: lease.base, epoch: lease.epoch });
    }
    this.#count += 1;
    const requestId = `r${this.#count}`;
    this.#execute({ type: "acquire", host, session, requestId, order: order ?? 8 });
  }

  /** Says what there is now, or something that it said long ago; the pool judges. */
  publish(again: number | null): void {
    const publication = again === null ? publicationOf(this.table) : this.said[again % this.said.length];
    if (publication === undefined) return;
    this.said.push(publication);
    const change = changeBy(this.taken, publication);
    if (!change.ok) return;
    this.taken = applied(this.taken, publication, change.value);
    this.#execute({ type: "applied", publication });
  }

  #execute(command: Parameters<typeof execute>[1]): void {
    execute(this.table, command, this.#nowMs, this.#random);
  }
}

function applied(taken: PublishedAddress, { version }: Publication, change: AddressChange): PublishedAddress {
  const gone = new Set(change.withdraw.map(({ epoch }) => epoch));
  const kept = taken.entries.filter(({ epoch }) => !gone.has(epoch));
  expect(kept).toHaveLength(taken.entries.length - change.withdraw.length);
  return { ...taken, version, entries: [...kept, ...change.put] };
}

function expectNoOverlap(entries: readonly SteeringEntry[]): void {
  for (const [at, one] of entries.entries()) {
    for (const other of entries.slice(at + 1)) expect(blocksOverlap(one, other)).toBe(false);
  }
}

const host = fc.constantFrom(...HOSTS);
const happening = fc.oneof(
  { weight: 4, arbitrary: fc.record({ host, order: fc.option(fc.integer({ min: 6, max: 12 })) }) },
  { weight: 2, arbitrary: fc.record({ waitMs: fc.nat({ max: 1_900 }) }) },
  { weight: 3, arbitrary: fc.record({ again: fc.option(fc.nat(), { freq: 2 }) }) },
);

describe("what a pool has of an address", () => {
  test("[ST3] [ST5] is what was leased at some moment, never an older one, and in the end what is leased", () => {
    let entryCount = 0;
    const happenings = fc.array(happening, { minLength: 10, maxLength: 80, size: "max" });
    fc.assert(
      fc.property(happenings, fc.nat(), (history, seed) => {
        const address = new PublishingAddress(seed);
        for (const what of history) {
          const before = address.taken;
          if ("waitMs" in what) address.wait(what.waitMs);
          else if ("again" in what) address.publish(what.again);
          else address.act(what.host, what.order);
          const { version, entries } = address.taken;
          expect(version ?? 0).toBeGreaterThanOrEqual(before.version ?? 0);
          expectNoOverlap(entries);
          entryCount += entries.length;
          for (const entry of entries) {
            const replaced = before.entries.filter((old) => blocksOverlap(old, entry));
            for (const { epoch } of replaced) expect(entry.epoch).toBeGreaterThanOrEqual(epoch);
          }
        }
        address.publish(null);
        expect(isUnpublished(address.table)).toBe(false);
        const leased = publicationOf(address.table).blocks.map(({ epoch }) => epoch);
        expect(address.taken.entries.map(({ epoch }) => epoch).toSorted(ascending)).toEqual(leased);
        for (const row of address.table.rows.values()) expect(row.steered).toBe(true);
      }),
    );
    expect(entryCount).toBeGreaterThan(100);
  });
});

function ascending(a: number, b: number): number {
  return a - b;
}

const epoch = fc.integer({ min: 1, max: 1_000 });
const ip = fc.constantFrom("192.0.2.1", "192.0.2.2");
const addressChange: fc.Arbitrary<AddressChange> = fc.record({
  withdraw: fc.array(fc.record({ ip, base: fc.constant(2048), epoch }), { maxLength: 9 }),
  put: fc.array(
    fc.record({ ip, base: fc.constant(2048), order: fc.constant(6), host: fc.constant("h1"), epoch }),
    { maxLength: 9 },
  ),
  addIps: fc.array(ip, { maxLength: 2 }),
});
const reach = fc.record({ host: fc.constant("h1"), ipv4: fc.ipV4(), ipv6: fc.constant(null) });

describe("numbered changes", () => {
  test("[ST1] [ST8] hold all items in their order, no more than allowed, and no number is left out", () => {
    fc.assert(
      fc.property(
        fc.array(addressChange, { maxLength: 4 }),
        fc.array(reach, { maxLength: 4 }),
        fc.integer({ min: 1, max: 12 }),
        (addresses, nextHops, limit) => {
          let last = 7;
          const changes = toChanges(addresses, nextHops, limit, () => (last += 1));
          expect(changes.map(({ sequence }) => sequence)).toEqual(changes.map((_change, at) => 8 + at));
          const sizes = changes.map(sizeOf);
          // All are full but the last, and such as would withdraw what they have put.
          for (const [at, { withdraw }] of changes.slice(1).entries()) {
            const isPutTo = changes[at]!.put.some((entry) => entry.ip === withdraw[0]?.ip);
            expect(sizes[at] === limit || isPutTo).toBe(true);
          }
          for (const size of sizes) expect(size > 0 && size <= limit).toBe(true);
          expect(changes.flatMap((change) => change.nextHops)).toEqual(nextHops);
          expect(changes.flatMap(({ withdraw }) => withdraw)).toEqual(addresses.flatMap((a) => a.withdraw));
          expect(changes.flatMap(({ put }) => put)).toEqual(addresses.flatMap((a) => a.put));
          expect(changes.flatMap(({ addIps }) => addIps)).toEqual(addresses.flatMap((a) => a.addIps));
          expect(changes.flatMap(({ removeIps }) => removeIps)).toEqual([]);
        },
      ),
    );
  });
});

function sizeOf(change: SteeringChange): number {
  const { withdraw, put, addIps, removeIps, nextHops } = change;
  return withdraw.length + put.length + addIps.length + removeIps.length + nextHops.length;
}

describe("the routers of a pool", () => {
  const routers = ["r1", "r2", "r3"];
  const event = fc.oneof(
    { weight: 3, arbitrary: fc.record({ router: fc.constantFrom(...routers), sequence: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ router: fc.constantFrom(...routers), isBack: fc.constant(true) }) },
    { weight: 1, arbitrary: fc.record({ change: fc.constant(true) }) },
  );

  test("[ST2] [ST7] a change is waited for until each live router has said so, and nothing is taken back", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), fc.subarray(routers), (events, live) => {
        let newest = 0;
        const progress = new Map<string, Progress>(routers.map((router) => [router, beginning(0)]));
        for (const what of events) {
          if ("change" in what) newest += 1;
          else if ("isBack" in what) progress.set(what.router, beginning(newest));
          else {
            const before = progress.get(what.router)!;
            const after = acknowledge(before, what.sequence, newest);
            expect(after.ok).toBe(what.sequence <= newest);
            if (!after.ok) continue;
            progress.set(what.router, after.value);
            for (let sequence = 0; sequence <= newest; sequence += 1) {
              if (hasApplied(before, sequence)) expect(hasApplied(after.value, sequence)).toBe(true);
            }
            if (what.sequence >= before.tableSequence) {
              expect(hasApplied(after.value, what.sequence)).toBe(true);
            }
          }
          const statuses = routers.map((router) => {
            const { tableSequence, acknowledged } = progress.get(router)!;
            return { router, tableSequence, acknowledged, isLive: live.includes(router) };
          });
          const behind = live.filter((router) => !hasApplied(progress.get(router)!, newest));
          expect(laggardsOf(statuses, newest)).toEqual(behind.toSorted());
        }
      }),
    );
  });
});
