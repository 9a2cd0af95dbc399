/** The leases of a host on one address, and what its ports are told of them. */
import { expect, test } from "vitest";
import { LeaseHoldings } from "../../src/agent/leasing/lease-holdings.ts";
import type { PortReport } from "../../src/agent/egress/port-messages.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { unitOf } from "../../src/core/port-block.ts";
import { FakePorts } from "./keeper-world.ts";

function lease(epoch: number, order = 8): Lease {
  return { base: 4096 + epoch * 256, order, epoch };
}

/** Holdings that have taken up leases of these epochs: of several the last is the spare. */
function holding(...epochs: number[]) {
  const ports = new FakePorts();
  const holdings = new LeaseHoldings();
  let number = 0;
  let report: PortReport | null = null;
  ports.onReport = (latest) => (report = latest);
  const tell = (): void => {
    number += 1;
    ports.command({ number, term: null, blocks: holdings.blocks(), isGrowing: false, pressureCount: 0 });
    holdings.noteTold(number);
  };
  const list = (listed: readonly Lease[]) => {
    const changed = holdings.reconcile(listed, () => true);
    tell();
    return changed;
  };
  const retire = (): void => {
    tell();
    holdings.retire(report, false);
    tell();
  };
  const taken = list(epochs.map((epoch) => lease(epoch)));
  return {
    ports,
    holdings,
    list,
    taken,
    tell,
    retire,
    view: () => holdings.view({ busiestCount: 0, growthPerSecond: 0, room: null }),
    last: () => report,
  };
}

function epochsOf(leases: readonly Lease[]): number[] {
  return leases.map(({ epoch }) => epoch);
}

test("[LK6] of what is taken up together the newest is held back, and a single block is used", () => {
  const { ports, view } = holding(1, 2, 3);
  expect([ports.epochs(), view().spare?.epoch]).toEqual([[1, 2], 3]);
  expect(holding(1).ports.epochs()).toEqual([1]);
});

test("[LK6] a block that is found beside a spare is used, for one spare is enough", () => {
  const { ports, list, view } = holding(1, 2);
  expect(epochsOf(list([1, 2, 3].map((epoch) => lease(epoch))).adopted)).toEqual([3]);
  expect([ports.epochs(), view().spare?.epoch]).toEqual([[1, 3], 2]);
});

test("[LK4] which of two that overlap is older goes by the epoch, in whatever order they are listed", () => {
  const [older, newer] = [
    { base: 4096, order: 8, epoch: 7 },
    { base: 4096, order: 6, epoch: 9 },
  ];
  for (const listed of [
    [older, newer],
    [newer, older],
  ]) {
    const { ports, list } = holding();
    list([...listed, { base: 8192, order: 8, epoch: 8 }, { base: 9216, order: 8, epoch: 12 }]);
    expect(ports.epochs()).toEqual([8, 9]);
  }
});

test("[LK6] [LK7] to put the spare to use wakes no block that drains or has left", () => {
  const { ports, holdings, retire, tell, view, last } = holding(1, 2, 3, 4);
  ports.blocks.get(1)!.flows = 1;
  holdings.drain(1);
  holdings.drain(2);
  retire();
  holdings.activateSpare();
  tell();
  expect(epochsOf(view().active)).toEqual([3, 4]);
  expect(ports.epochs()).toEqual([1, 3, 4]);
  expect(ports.blocks.get(1)!.isDraining).toBe(true);
  expect(holdings.leaving(last())?.epoch).toBe(2);
});

test("[LK11] a drain that is taken back leaves the spare of others and what has left as they are", () => {
  const { ports, holdings, list, tell, view, last } = holding(1, 2);
  ports.blocks.get(1)!.flows = 1;
  holdings.drainAll();
  // A block that came while everything drained, held back.
  list([1, 2, 3, 4].map((epoch) => lease(epoch)));
  holdings.resumeAll();
  tell();
  expect(epochsOf(view().active)).toEqual([1, 3]);
  expect([view().spare?.epoch, holdings.leaving(last())?.epoch]).toEqual([4, 2]);
  expect(ports.blocks.get(1)!.isDraining).toBe(false);
});

test("[LK7] to drain what is not held, or has left, is nothing", () => {
  const { ports, holdings, retire } = holding(1);
  holdings.drain(1);
  retire();
  expect([ports.epochs(), holdings.isOnlyLeaving()]).toEqual([[], true]);
  for (const epoch of [1, 77]) holdings.drain(epoch);
  expect([holdings.has(1), holdings.has(77), holdings.isOnlyLeaving()]).toEqual([true, false, true]);
});

test("[LK3] [LK9] what was on its way back is not called lost when the edge lists it no longer", () => {
  const { holdings, list, retire } = holding(1, 2, 3);
  holdings.drain(1);
  retire();
  expect(epochsOf(list([lease(3)]).lost)).toEqual([2]);
  expect([holdings.has(1), holdings.isEmpty]).toEqual([false, false]);
});

test("[LK6] [LK7] a report moves what can take its next step now, and nothing else", () => {
  const { ports, holdings, tell, last, list } = holding(1);
  const isMoved = (mayRelease = true): boolean => {
    ports.report();
    return holdings.isMovedBy(last()!, mayRelease);
  };
  expect(isMoved()).toBe(false);
  ports.blocks.get(1)!.flows = 1;
  holdings.drain(1);
  // The ports do not know of the drain yet, and then of a flow.
  expect(isMoved()).toBe(false);
  tell();
  expect(isMoved()).toBe(false);
  ports.blocks.get(1)!.flows = 0;
  expect(isMoved(false)).toBe(true);
  ports.loud.add(1);
  holdings.retire(last(), false);
  expect(isMoved()).toBe(false);
  tell();
  expect(isMoved()).toBe(false);
  ports.loud.clear();
  expect([isMoved(), isMoved(false)]).toEqual([true, false]);
  list([2, 3].map((epoch) => lease(epoch)));
  expect(holdings.hasSpare).toBe(true);
  expect(isMoved(false)).toBe(true);
});

test("[MA3] a lease of ports that are still open under an older epoch is not released before they are shut", () => {
  const { holdings, list, tell, last } = holding(1);
  const again = { ...lease(1), epoch: 7 };
  const withOpen = (): PortReport => ({ ...last()!, lingering: [1] });
  // The edge has given the same block anew, and it is to be given back at once.
  list([again]);
  holdings.drainAll();
  tell();
  holdings.retire(withOpen(), true);
  tell();
  expect(holdings.leaving(withOpen())).toBeNull();
  expect(holdings.leaving(last())).toEqual(again);
});

test("[SN11] a block in which the kernel has flows from before is not the one that is held back", () => {
  const taken = (unitsInUse: readonly number[]) => {
    const holdings = new LeaseHoldings(unitsInUse);
    holdings.reconcile([lease(1), lease(2), lease(3)], () => true);
    return holdings.view({ busiestCount: 0, growthPerSecond: 0, room: null }).spare?.epoch;
  };
  const unitIn = (epoch: number): number => unitOf(lease(epoch).base) + 1;
  expect(taken([])).toBe(3);
  expect(taken([unitIn(3)])).toBe(2);
  expect(taken([unitIn(2), unitIn(3)])).toBe(1);
  // With flows in all of them none can be spared.
  expect(taken([unitIn(1), unitIn(2), unitIn(3)])).toBeUndefined();
});
