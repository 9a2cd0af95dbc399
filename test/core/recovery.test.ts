import { describe, expect, test } from "vitest";
import { emptyLeaseTable, type LeaseTable, nextDeadlineMs } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { changeBy, publicationOf } from "../../src/core/publication.ts";
import type { Holdings } from "../../src/core/recovery.ts";
import { COPIED_MS, OVER_MS, RESTORATION, RESTORED_MS, run } from "./restored-table.ts";

const { leaseDurationMs, quarantineMs } = DEFAULT_POOL_SETTINGS;

function join(table: LeaseTable, host: string, nowMs: number, holdings?: Holdings) {
  return run(table, { type: "join", host, instance: `instance-${host}`, holdings }, nowMs);
}

function acquire(table: LeaseTable, host: string, nowMs: number) {
  const { session } = table.holders.get(host)!;
  return run(table, { type: "acquire", host, session, requestId: `${host}-${nowMs}`, order: 8 }, nowMs);
}

function holds(...leases: Holdings["leases"]): Holdings {
  return { leases, leftMs: 60_000 };
}

/** A copy in which h1 holds a block; what came after the copy is not in it. */
function oldCopy(settings: PoolSettings = DEFAULT_POOL_SETTINGS) {
  const table = emptyLeaseTable(settings);
  join(table, "h1", COPIED_MS);
  acquire(table, "h1", COPIED_MS);
  const { base, order, epoch } = [...table.rows.values()][0]!;
  run(table, { type: "restored", restoration: RESTORATION }, RESTORED_MS);
  return { table, lease: { base, order, epoch } };
}

describe("a table restored from an older copy", () => {
  test("[OC1] [EP1] [LAW5] goes on with epochs, sessions and versions that it cannot have given before", () => {
    const { table } = oldCopy();
    join(table, "h2", RESTORED_MS, holds());
    expect(table.holders.get("h2")!.session).toBeGreaterThan(RESTORED_MS);
    expect(table.steeringVersion).toBeGreaterThanOrEqual(RESTORED_MS);
    join(table, "h2", OVER_MS, holds());
    expect(acquire(table, "h2", OVER_MS)).toMatchObject({ value: { granted: { epoch: RESTORED_MS + 1 } } });
  });

  test("[OC2] grants nothing until lease time and quarantine are over, and asks to be woken then", () => {
    const { table } = oldCopy();
    join(table, "h2", OVER_MS - 1_000, holds());
    expect(acquire(table, "h2", OVER_MS - 1)).toEqual({ ok: false, refusal: "address-recovering" });
    expect(nextDeadlineMs(table)).toBeLessThanOrEqual(OVER_MS);
    expect(acquire(table, "h2", OVER_MS)).toMatchObject({ ok: true });
  });

  test("[OC2] waits longer where the operator says that leases were longer", () => {
    const table = emptyLeaseTable(DEFAULT_POOL_SETTINGS);
    join(table, "h1", COPIED_MS);
    acquire(table, "h1", COPIED_MS);
    const waitMs = 7_200_000;
    run(table, { type: "restored", restoration: { ...RESTORATION, waitMs } }, RESTORED_MS);
    run(table, { type: "tick" }, RESTORED_MS + 1);
    expect(table.recovery).toMatchObject({ untilMs: RESTORED_MS + waitMs });
    expect(table.holders.get("h1")!.expiresAtMs).toBe(RESTORED_MS + waitMs - quarantineMs);
  });

  test("[OC3] tells a host of no block before it has said what it holds", () => {
    const { table, lease } = oldCopy();
    expect(join(table, "h1", RESTORED_MS)).toEqual({ ok: false, refusal: "holdings-wanted" });
    expect(join(table, "h1", RESTORED_MS, holds(lease))).toMatchObject({ value: { leases: [lease] } });
    // From then on the table knows.
    expect(join(table, "h1", RESTORED_MS)).toMatchObject({ value: { leases: [lease] } });
  });

  test("[OC3] [LAW7] takes over what a host holds that it did not know, in the place of what is older", () => {
    const { table, lease } = oldCopy();
    const newer = { base: lease.base, order: 7, epoch: 40 };
    expect(join(table, "h2", RESTORED_MS, holds(newer))).toMatchObject({ value: { leases: [newer] } });
    expect([...table.rows.values()].map(({ host, epoch }) => ({ host, epoch }))).toEqual([
      { host: "h2", epoch: 40 },
    ]);
    // Whoever had it before is not told that it has it still, whatever it says.
    expect(join(table, "h1", RESTORED_MS, holds(lease))).toMatchObject({ value: { leases: [] } });
  });

  test("[OC3] takes from nobody what he has said to hold, and believes no epoch that would use up all others", () => {
    const { table, lease } = oldCopy();
    join(table, "h1", RESTORED_MS, holds(lease));
    const stolen = { ...lease, epoch: 40 };
    const absurd = { base: 61_440, order: 6, epoch: Number.MAX_SAFE_INTEGER - 1 };
    expect(join(table, "h2", RESTORED_MS, holds(stolen, absurd))).toMatchObject({ value: { leases: [] } });
    expect(table.lastEpoch).toBe(RESTORED_MS);
  });

  test("[OC3] [LAW6] lets rest what a host does not hold any more, since another may have it", () => {
    const { table } = oldCopy();
    join(table, "h1", RESTORED_MS, holds());
    const [row] = table.rows.values();
    expect(row).toMatchObject({ state: "quarantined", freeAtMs: OVER_MS });
    expect(acquire(table, "h1", RESTORED_MS + 1)).toEqual({ ok: false, refusal: "address-recovering" });
  });

  test("[OC3] [LAW3] counts no less than its host does, which may have been promised more", () => {
    const { table } = oldCopy();
    const holdings = { leases: [{ base: 61_440, order: 6, epoch: 40 }], leftMs: 3_000_000 };
    join(table, "h2", RESTORED_MS, holdings);
    expect(table.holders.get("h2")!.expiresAtMs).toBe(RESTORED_MS + 3_000_000);
  });

  test("[OC4] publishes only what it knows to be held, and is not taken to withdraw anything", () => {
    const { table, lease } = oldCopy();
    run(table, { type: "steer" }, RESTORED_MS);
    const known = { base: 61_440, order: 6, epoch: 40 };
    join(table, "h2", RESTORED_MS, holds(known));
    const publication = publicationOf(table);
    expect(publication).toMatchObject({ isPartial: true, blocks: [{ ...known, host: "h2" }] });
    const ip = "192.0.2.1";
    const newer = { ip, host: "h3", base: 61_440, order: 7, epoch: 41 };
    const entries = [{ ...lease, ip, host: "h1" }];
    expect(changeBy({ ip, version: 3, entries }, publication)).toMatchObject({
      value: { withdraw: [], put: [{ ...known, host: "h2" }] },
    });
    expect(changeBy({ ip, version: 3, entries: [newer] }, publication)).toMatchObject({
      value: { withdraw: [], put: [] },
    });
    run(table, { type: "tick" }, OVER_MS);
    expect(publicationOf(table).isPartial).toBeUndefined();
  });

  test("[OC6] in a static pool waits until the operator says that all slots are known", () => {
    const { table } = oldCopy({ ...DEFAULT_POOL_SETTINGS, staticPortsPerHost: 256 });
    const lateMs = RESTORED_MS + 86_400_000;
    join(table, "h2", lateMs, { leases: [], leftMs: null });
    expect(acquire(table, "h2", lateMs)).toEqual({ ok: false, refusal: "address-recovering" });
    run(table, { type: "restored", restoration: { ...RESTORATION, areSlotsKnown: true } }, lateMs);
    const overMs = lateMs + leaseDurationMs + quarantineMs;
    join(table, "h2", overMs, { leases: [], leftMs: null });
    expect(acquire(table, "h2", overMs)).toMatchObject({ ok: true });
  });
});
