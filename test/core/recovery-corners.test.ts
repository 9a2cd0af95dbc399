/** What a table that is an old copy makes of hosts that are not what the copy says. Each was once a bug that no test saw. */
import { describe, expect, test } from "vitest";
import { statusOf } from "../../durable-objects/address/address-status.ts";
import { execute } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { changeBy, publicationOf } from "../../src/core/publication.ts";
import type { Holdings, Restoration } from "../../src/core/recovery.ts";
import { COPIED_MS, OVER_MS, RESTORATION, RESTORED_MS, run } from "./restored-table.ts";

const STATIC: PoolSettings = { ...DEFAULT_POOL_SETTINGS, staticPortsPerHost: 256 };
const { leaseDurationMs, quarantineMs } = DEFAULT_POOL_SETTINGS;

function join(table: LeaseTable, nowMs: number, leases?: Holdings["leases"], who = "h1", instance = who) {
  const holdings = leases && { leases, leftMs: 60_000 };
  return run(table, { type: "join", host: who, instance, holdings }, nowMs);
}

/** A copy in which h1 holds a block, and that block. */
function copyOf(settings: PoolSettings = DEFAULT_POOL_SETTINGS, isSteered = false) {
  const table = emptyLeaseTable(settings);
  if (isSteered) run(table, { type: "steer" }, COPIED_MS);
  join(table, COPIED_MS);
  const { session } = table.holders.get("h1")!;
  run(table, { type: "acquire", host: "h1", session, requestId: "1", order: 8 }, COPIED_MS);
  const { base, order, epoch } = [...table.rows.values()][0]!;
  return { table, lease: { base, order, epoch } };
}

function restored(settings?: PoolSettings, more: Partial<Restoration> = {}, isSteered = false) {
  const copy = copyOf(settings, isSteered);
  run(copy.table, { type: "restored", restoration: { ...RESTORATION, ...more } }, RESTORED_MS);
  return copy;
}

const rowsOf = (table: LeaseTable) => [...table.rows.values()];

describe("by a table that is an old copy", () => {
  test("[OC2] [LE6] nothing lasts longer because the clock is behind that of the copy", () => {
    const { table, lease } = copyOf();
    const { session } = table.holders.get("h1")!;
    run(table, { type: "release", host: "h1", session, ...lease }, COPIED_MS);
    const behindMs = COPIED_MS - 7_200_000;
    run(table, { type: "restored", restoration: RESTORATION }, behindMs);
    expect(rowsOf(table)[0]!.freeAtMs).toBeLessThan(behindMs + leaseDurationMs + quarantineMs);
  });

  test("[OC3] another instance with nothing has not replaced the one of the copy, which may be sending", () => {
    const { table, lease } = restored();
    expect(join(table, RESTORED_MS, [], "h1", "another")).toEqual({
      ok: false,
      refusal: "host-already-present",
    });
    expect(rowsOf(table)).toMatchObject([{ ...lease, state: "leased" }]);
  });

  test("[OC3] [HO1] another instance that holds something has replaced it, and of the former nothing is left", () => {
    const { table } = restored();
    const newer = { base: 61_440, order: 6, epoch: 40 };
    expect(join(table, RESTORED_MS, [newer], "h1", "another")).toMatchObject({ value: { leases: [newer] } });
    expect(rowsOf(table).map(({ epoch, state }) => [epoch, state])).toEqual([
      [1, "quarantined"],
      [40, "leased"],
    ]);
  });

  test("[OC3] the lease of another instance is nobody's own by having been named", () => {
    const { table, lease } = restored();
    expect(join(table, RESTORED_MS, [lease], "h1", "another")).toMatchObject({ value: { leases: [] } });
    expect(rowsOf(table)).toMatchObject([{ ...lease, state: "quarantined", instance: "h1" }]);
  });

  test("[OC3] [LAW5] what is named gives way to what is as new or newer, also of a host not heard yet", () => {
    const { table, lease } = restored();
    expect(join(table, RESTORED_MS, [lease], "h2")).toMatchObject({ value: { leases: [] } });
    expect(rowsOf(table)).toMatchObject([{ ...lease, host: "h1", state: "leased" }]);
  });

  test("[OC3] [ST4] a host that holds what waited for routers when it was copied has it", () => {
    const { table, lease } = restored(DEFAULT_POOL_SETTINGS, {}, true);
    expect(join(table, RESTORED_MS, [lease])).toMatchObject({ value: { leases: [lease] } });
  });

  test("[OC3] what had ended by the copy and is held all the same is held since its grant", () => {
    const { table, lease } = copyOf();
    const endedMs = COPIED_MS + leaseDurationMs;
    run(table, { type: "tick" }, endedMs);
    expect(rowsOf(table)[0]!.state).toBe("quarantined");
    run(table, { type: "restored", restoration: RESTORATION }, endedMs + 1);
    join(table, endedMs + 2, [lease]);
    expect(rowsOf(table)).toMatchObject([{ ...lease, state: "leased", grantedAtMs: COPIED_MS }]);
  });

  test("[OC5] a lease that ended unseen is shown to have lasted as long as the copy has seen it", () => {
    const told = restored().table;
    join(told, RESTORED_MS + 1_000, []);
    expect(rowsOf(told)).toMatchObject([{ state: "quarantined", endedAtMs: COPIED_MS, freeAtMs: OVER_MS }]);
    const unheard = restored().table;
    run(unheard, { type: "tick" }, OVER_MS - quarantineMs);
    expect(rowsOf(unheard)).toMatchObject([
      { state: "quarantined", endedAtMs: COPIED_MS, freeAtMs: OVER_MS },
    ]);
  });

  test("[OC6] [OC3] a host that is heard after the wait is asked, is not believed anything new, and what it lacks rests", () => {
    const { table, lease } = restored(STATIC, { areSlotsKnown: true });
    const lateMs = OVER_MS + 1_000;
    run(table, { type: "tick" }, lateMs);
    expect(table.recovery).toBeNull();
    expect(join(table, lateMs)).toEqual({ ok: false, refusal: "holdings-wanted" });
    const madeUp = { base: 61_440, order: 8, epoch: 40 };
    expect(join(table, lateMs, [madeUp])).toMatchObject({ value: { leases: [] } });
    expect(rowsOf(table)).toMatchObject([{ ...lease, freeAtMs: lateMs + quarantineMs }]);
  });

  test("[OC4] [ST3] what is known so far withdraws what is in its way and older", () => {
    const { table, lease } = restored();
    run(table, { type: "steer" }, RESTORED_MS);
    const newer = { ...lease, epoch: 40 };
    join(table, RESTORED_MS, [newer], "h2");
    const ip = "192.0.2.1";
    const stored = { ip, version: 3, entries: [{ ...lease, ip, host: "h1" }] };
    expect(changeBy(stored, publicationOf(table))).toMatchObject({
      value: { withdraw: [{ ip, base: lease.base, epoch: lease.epoch }], put: [{ ...newer, host: "h2" }] },
    });
  });

  test("[SM6] [OC6] a pool keeps its kind, since hosts may hold what nobody has named yet", () => {
    for (const [settings, wanted] of [
      [STATIC, DEFAULT_POOL_SETTINGS],
      [DEFAULT_POOL_SETTINGS, STATIC],
    ] as const) {
      const { table } = restored(settings);
      join(table, RESTORED_MS, []);
      run(table, { type: "configure", settings: wanted }, RESTORED_MS + 1);
      expect(table.settings.staticPortsPerHost).toBe(settings.staticPortsPerHost);
    }
  });

  test("[OC2] an address leaves no pool before the wait is over, empty though it is", () => {
    const table = emptyLeaseTable(DEFAULT_POOL_SETTINGS);
    run(table, { type: "restored", restoration: RESTORATION }, RESTORED_MS);
    run(table, { type: "retire", isRetiring: true }, RESTORED_MS + 1);
    run(table, { type: "applied", publication: publicationOf(table) }, RESTORED_MS + 2);
    expect(statusOf(table, RESTORED_MS + 3)).toMatchObject({ isEmpty: false });
    run(table, { type: "tick" }, OVER_MS);
    run(table, { type: "applied", publication: publicationOf(table) }, OVER_MS);
    expect(statusOf(table, OVER_MS)).toMatchObject({ isEmpty: true });
  });

  test("[OC2] [LE6] when its clock leaps the wait moves along", () => {
    const { table } = restored();
    run(table, { type: "tick" }, RESTORED_MS + 1);
    execute(table, { type: "tick" }, RESTORED_MS + 86_400_000, () => 0.5);
    expect(table.recovery!.untilMs).toBeGreaterThan(RESTORED_MS + 86_400_000);
  });
});
