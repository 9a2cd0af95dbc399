import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { execute } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { blocksOverlap } from "../../src/core/port-block.ts";
import {
  changeBy,
  isUnpublished,
  type Publication,
  publicationOf,
  type PublishedAddress,
  type PublishedBlock,
  toChanges,
} from "../../src/core/publication.ts";
import type { SteeringChange } from "../../src/core/steering.ts";

const IP = "192.0.2.1";
const START_MS = 1_800_000_000_000;
const random = (): number => 0.5;

/** A table of a steered pool with one joined host. */
function steeredTable(): LeaseTable {
  const table = emptyLeaseTable(DEFAULT_POOL_SETTINGS);
  execute(table, { type: "steer" }, START_MS, random);
  execute(table, { type: "join", host: "h1", instance: "first-instance" }, START_MS, random);
  return table;
}

function acquire(table: LeaseTable, requestId: string, nowMs = START_MS) {
  const session = table.holders.get("h1")!.session;
  return execute(table, { type: "acquire", host: "h1", session, requestId, order: 8 }, nowMs, random).outcome;
}

function renew(table: LeaseTable) {
  const session = table.holders.get("h1")!.session;
  return execute(table, { type: "renew", host: "h1", session }, START_MS, random).outcome;
}

describe("a table in a steered pool", () => {
  test("[ST4] keeps a grant from its host until the routers have applied it", () => {
    const table = steeredTable();
    acquire(table, "a");
    expect(renew(table)).toMatchObject({ value: { leases: [] } });
    const publication = publicationOf(table);
    expect(publication.blocks).toMatchObject([{ host: "h1", order: 8, epoch: 1 }]);
    execute(table, { type: "applied", publication }, START_MS, random);
    expect(renew(table)).toMatchObject({ value: { leases: [{ epoch: 1 }] } });
    expect(isUnpublished(table)).toBe(false);
  });

  test("[ST4] what was granted after a publication does not follow with it", () => {
    const table = steeredTable();
    acquire(table, "a");
    const publication = publicationOf(table);
    execute(table, { type: "join", host: "h2", instance: "other-instance" }, START_MS, random);
    const { session } = table.holders.get("h2")!;
    const request = { type: "acquire", host: "h2", session, requestId: "b", order: 8 } as const;
    execute(table, request, START_MS, random);
    execute(table, { type: "applied", publication }, START_MS, random);
    expect([...table.rows.values()].map(({ steered }) => steered)).toEqual([true, false]);
    expect(isUnpublished(table)).toBe(true);
  });

  test("[ST6] one grant of a host waits at a time, and the same request gets the same block", () => {
    const table = steeredTable();
    const first = acquire(table, "a");
    expect(acquire(table, "b")).toEqual({ ok: false, refusal: "steering-pending" });
    expect(acquire(table, "a")).toEqual(first);
    execute(table, { type: "applied", publication: publicationOf(table) }, START_MS, random);
    expect(acquire(table, "b")).toMatchObject({ ok: true, value: { granted: { epoch: 2 } } });
  });

  test("[ST5] has something to publish after every grant and every end, and only then", () => {
    const table = steeredTable();
    const publish = () => {
      const publication = publicationOf(table);
      execute(table, { type: "applied", publication }, START_MS, random);
      return publication.version;
    };
    const begun = publish();
    renew(table);
    expect(isUnpublished(table)).toBe(false);
    acquire(table, "a");
    expect(isUnpublished(table)).toBe(true);
    const granted = publish();
    expect(granted).toBeGreaterThan(begun);
    execute(table, { type: "tick" }, START_MS + 30_000, random);
    expect(isUnpublished(table)).toBe(false);
    // The clock is believed in steps, so time passes in steps.
    for (let ms = 30_000; ms <= 660_000; ms += 30_000) {
      execute(table, { type: "tick" }, START_MS + ms, random);
    }
    expect(publicationOf(table)).toMatchObject({ lastEpoch: 1, blocks: [] });
    expect(publish()).toBeGreaterThan(granted);
  });

  test("[ST11] without routers there is nothing to publish and nothing to wait for", () => {
    const table = emptyLeaseTable(DEFAULT_POOL_SETTINGS);
    execute(table, { type: "join", host: "h1", instance: "first-instance" }, START_MS, random);
    expect(acquire(table, "a")).toMatchObject({ value: { leases: [{ epoch: 1 }] } });
    expect(isUnpublished(table)).toBe(false);
    // Routers that come later must be told of it, but it is in use and waits for none.
    execute(table, { type: "steer" }, START_MS, random);
    expect(isUnpublished(table)).toBe(true);
    expect(renew(table)).toMatchObject({ value: { leases: [{ epoch: 1 }] } });
  });
});

function published(version: number, ...blocks: PublishedBlock[]): Publication {
  return { version, lastEpoch: Math.max(0, ...blocks.map(({ epoch }) => epoch)), blocks };
}

function stored(version: number | null, ...blocks: PublishedBlock[]): PublishedAddress {
  return {
    ip: IP,
    version,
    entries: blocks.map(({ base, order, host, epoch }) => ({ ip: IP, base, order, host, epoch })),
  };
}

const OLD = { base: 2048, order: 8, host: "h1", instance: "instance-1", epoch: 4 };
const NEW = { base: 2048, order: 7, host: "h2", instance: "instance-2", epoch: 5 };

describe("what a publication changes", () => {
  test("[ST5] is the difference to what is stored", () => {
    const kept = { base: 4096, order: 8, host: "h1", instance: "instance-1", epoch: 3 };
    // Whose the key is stays between the address and its pool.
    const { instance: _secret, ...entry } = NEW;
    expect(changeBy(stored(1, kept, OLD), published(2, kept, NEW))).toEqual({
      ok: true,
      value: { withdraw: [{ ip: IP, base: 2048, epoch: 4 }], put: [{ ip: IP, ...entry }], addIps: [] },
    });
    expect(changeBy(stored(2, kept), published(2, kept))).toEqual({
      ok: true,
      value: { withdraw: [], put: [], addIps: [] },
    });
  });

  test("[ST5] begins with the address itself", () => {
    expect(changeBy(stored(null), published(1, NEW))).toMatchObject({ value: { addIps: [IP] } });
  });

  test("[ST5] is nothing when a newer one was taken", () => {
    const outdated = { ok: false, refusal: "publication-outdated" };
    expect(changeBy(stored(7, NEW), published(6, OLD))).toEqual(outdated);
    // Not even where it would only take away, or put where nothing is.
    expect(changeBy(stored(7, NEW), published(6))).toEqual(outdated);
    expect(changeBy(stored(7), published(6, NEW))).toEqual(outdated);
    expect(changeBy(stored(7), published(7, NEW))).toMatchObject({ ok: true });
  });

  test("[ST3] never replaces an entry by one of a lower epoch", () => {
    const outdated = { ok: false, refusal: "publication-outdated" };
    expect(changeBy(stored(1, NEW), published(2, OLD))).toEqual(outdated);
  });

  const block = fc
    .record({ unit: fc.integer({ min: 16, max: 40 }), epoch: fc.integer({ min: 1, max: 30 }) })
    .map(({ unit, epoch }) => ({
      base: unit * 64,
      order: 6,
      host: `h${epoch % 3}`,
      instance: "instance",
      epoch,
    }));
  const blocks = fc.uniqueArray(block, { comparator: (a, b) => a.base === b.base || a.epoch === b.epoch });

  test("[ST5] leads from what is stored to what was published", () => {
    fc.assert(
      fc.property(blocks, blocks, (before, after) => {
        const old = stored(1, ...before);
        const change = changeBy(old, published(2, ...after));
        if (!change.ok) {
          const isReplaced = (one: PublishedBlock) =>
            before.some((other) => blocksOverlap(one, other) && one.epoch < other.epoch);
          expect(after.some(isReplaced)).toBe(true);
          return;
        }
        const gone = new Set(change.value.withdraw.map(({ epoch }) => epoch));
        const left = [...old.entries.filter(({ epoch }) => !gone.has(epoch)), ...change.value.put];
        const sorted = (entries: readonly { readonly epoch: number }[]) =>
          entries.map(({ epoch }) => epoch).toSorted((a, b) => a - b);
        expect(sorted(left)).toEqual(sorted(after));
      }),
    );
  });
});

describe("changes", () => {
  test("[ST8] hold so many items each, in order, and none is lost", () => {
    const withdraw = Array.from({ length: 7 }, (_, at) => ({ ip: IP, base: 2048 + at * 64, epoch: at + 1 }));
    const put = withdraw.map(({ base, epoch }) => ({
      ip: IP,
      base,
      order: 6,
      host: "h1",
      epoch: epoch + 10,
    }));
    const nextHops = [{ host: "h1", ipv4: "192.0.2.9", ipv6: null }];
    let sequence = 40;
    const changes = toChanges([{ withdraw, put, addIps: [IP] }], nextHops, 5, () => (sequence += 1));
    const sizeOf = (change: SteeringChange): number =>
      change.withdraw.length + change.put.length + change.addIps.length + change.nextHops.length;
    expect(changes.map(sizeOf)).toEqual([5, 5, 5, 1]);
    expect(changes.map((change) => change.sequence)).toEqual([41, 42, 43, 44]);
    expect(changes.flatMap((change) => change.withdraw)).toEqual(withdraw);
    expect(changes.flatMap((change) => change.put)).toEqual(put);
    // Nothing is put before what stands in its place was withdrawn.
    const withdrawnBy = changes.findLastIndex((change) => change.withdraw.length > 0);
    expect(changes.slice(0, withdrawnBy).every((change) => change.put.length === 0)).toBe(true);
  });

  test("[ST1] withdraw nothing that they put, however soon an address publishes again", () => {
    const entry = { ip: IP, base: 2048, order: 6, host: "h1", epoch: 3 };
    const elsewhere = { ...entry, ip: "192.0.2.99" };
    const before = { ...elsewhere, epoch: 2 };
    const next = { ...entry, base: 4096, epoch: 4 };
    const none = { withdraw: [], put: [], addIps: [] };
    let sequence = 0;
    const changes = toChanges(
      [
        { ...none, put: [entry] },
        { ...none, withdraw: [before], put: [elsewhere] },
        { ...none, withdraw: [entry], put: [next] },
      ],
      [],
      10,
      () => (sequence += 1),
    );
    expect(changes).toMatchObject([
      { sequence: 1, withdraw: [before], put: [entry, elsewhere] },
      { sequence: 2, withdraw: [entry], put: [next] },
    ]);
  });

  test("[ST1] take no number when nothing has changed", () => {
    const unexpected = (): number => {
      throw new Error("a number was taken");
    };
    expect(toChanges([{ withdraw: [], put: [], addIps: [] }], [], 5, unexpected)).toEqual([]);
  });
});
