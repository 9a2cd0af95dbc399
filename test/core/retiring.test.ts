import { describe, expect, test } from "vitest";
import { execute, type LeaseCommand } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable } from "../../src/core/lease-table.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { removalOf, toChanges } from "../../src/core/publication.ts";

const START_MS = 1_800_000_000_000;
const IP = "192.0.2.1";

function run(table: LeaseTable, command: LeaseCommand) {
  return execute(table, command, START_MS, () => 0.5);
}

/** A table in which h1 holds one block, and the command that got it. */
function heldTable() {
  const table = emptyLeaseTable(DEFAULT_POOL_SETTINGS);
  run(table, { type: "join", host: "h1", instance: "first-instance" });
  const acquire = { type: "acquire", host: "h1", session: 1, requestId: "a", order: 8 } as const;
  run(table, acquire);
  return { table, acquire, lease: [...table.rows.values()][0]! };
}

describe("a table that retires", () => {
  test("[RE1] refuses whatever would take a port more, free or the host's own", () => {
    const { table, acquire, lease } = heldTable();
    run(table, { type: "retire", isRetiring: true });
    const refused = { ok: false, refusal: "ip-retiring" };
    expect(run(table, { ...acquire, requestId: "b" }).outcome).toEqual(refused);
    run(table, { type: "release", host: "h1", session: 1, base: lease.base, epoch: lease.epoch });
    expect(run(table, { ...acquire, requestId: "c" }).outcome).toEqual(refused);
  });

  test("[RE2] [ST5] is published again when that is taken back, where there are routers", () => {
    const { table } = heldTable();
    const versions = (): number[] =>
      [true, true, false, false].map((isRetiring) => {
        run(table, { type: "retire", isRetiring });
        return table.steeringVersion;
      });
    expect(versions()).toEqual([0, 0, 0, 0]);
    run(table, { type: "steer" });
    expect(versions()).toEqual([1, 1, 2, 2]);
  });

  test("[RE1] answers a repeated request with the block it got, and renews it", () => {
    const { table, acquire, lease } = heldTable();
    run(table, { type: "retire", isRetiring: true });
    const { base, order, epoch } = lease;
    const leases = [{ base, order, epoch }];
    expect(run(table, acquire).outcome).toMatchObject({ value: { granted: leases[0], leases } });
    expect(run(table, { type: "renew", host: "h1", session: 1 }).outcome).toMatchObject({
      value: { leases },
    });
    const join = { type: "join", host: "h1", instance: "first-instance" } as const;
    expect(run(table, join).outcome).toMatchObject({ value: { leases, session: 2 } });
  });

  test("[RE2] grants again when it is taken back, and an event is made of changes only", () => {
    const { table, acquire } = heldTable();
    expect(run(table, { type: "retire", isRetiring: false }).events).toEqual([]);
    expect(run(table, { type: "retire", isRetiring: true }).events).toHaveLength(1);
    expect(run(table, { type: "retire", isRetiring: true }).events).toEqual([]);
    run(table, { type: "retire", isRetiring: false });
    expect(run(table, { ...acquire, requestId: "b" }).outcome).toMatchObject({ ok: true });
  });
});

describe("an address that routers are to forget", () => {
  test("[RE4] goes with its entries, which go first", () => {
    const entries = [1, 2, 3].map((epoch) => ({ ip: IP, base: epoch * 2048, order: 6, host: "h1", epoch }));
    const removal = removalOf({ ip: IP, version: 7, entries })!;
    let sequence = 0;
    const changes = toChanges([removal], [], 2, () => (sequence += 1));
    expect(changes.map(({ withdraw }) => withdraw.map(({ epoch }) => epoch))).toEqual([[1, 2], [3]]);
    expect(changes.map(({ removeIps }) => removeIps)).toEqual([[], [IP]]);
  });

  test("[RE4] of which they never heard makes no change", () => {
    expect(removalOf({ ip: IP, version: null, entries: [] })).toBeNull();
  });
});
