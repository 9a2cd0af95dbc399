/** A keeper's commands, applied to the ports of an address. */
import { expect, test } from "vitest";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { PortApplier } from "../../src/agent/egress/port-applier.ts";
import type { PortCommand, PortReport } from "../../src/agent/egress/port-messages.ts";

const TERM = { monotonicEndMs: Infinity, wallEndMs: Infinity };
const DESTINATION = "tcp 192.0.2.1 443";
const FIRST = { base: 4_096, order: 6, epoch: 1 };
const SECOND = { base: 8_192, order: 6, epoch: 2 };

function rig() {
  const ports = new AddressPorts("127.0.0.10", { holdDownMs: 0 });
  const applier = new PortApplier(ports);
  const reports: PortReport[] = [];
  applier.onReport = (report) => reports.push(report);
  let number = 0;
  const want = (
    leases: readonly (typeof FIRST)[],
    {
      draining = [] as readonly number[],
      ...rest
    }: Partial<PortCommand> & { draining?: readonly number[] } = {},
  ): PortCommand => {
    number += 1;
    const blocks = leases.map((lease) => ({ lease, isDraining: draining.includes(lease.epoch) }));
    const command = { number, term: TERM, blocks, isGrowing: false, pressureCount: 45, ...rest };
    applier.command(command);
    return command;
  };
  const take = () => {
    const taken = ports.take(DESTINATION);
    if (!taken.ok) throw new Error(taken.refusal);
    return taken.value;
  };
  return { ports, applier, reports, want, take, last: () => reports.at(-1)! };
}

test("[LK13] the blocks of the newest command are all there are, each as it says", () => {
  const { ports, want, last } = rig();
  want([FIRST]);
  want([FIRST, SECOND], { draining: [1] });
  expect([...ports.leases()].map(({ lease, isDraining }) => [lease.epoch, isDraining])).toEqual([
    [1, true],
    [2, false],
  ]);
  expect(ports.capacity().portCount).toBe(64);
  want([SECOND, FIRST]);
  expect(ports.capacity().portCount).toBe(128);
  expect(last()).toEqual({
    number: 3,
    busiestCount: 0,
    flows: [
      { epoch: 1, count: 0 },
      { epoch: 2, count: 0 },
    ],
    lingering: [],
  });
});

test("[LK13] flows of a block that is gone are reset before the term is longer", () => {
  const { ports, want, take, last } = rig();
  want([FIRST]);
  const held = take();
  expect(last().flows).toEqual([{ epoch: 1, count: 0 }]);
  let wasUsable: boolean | null = null;
  held.onReset = () => {
    wasUsable = ports.isUsable();
    held.release();
  };
  want([], { term: null });
  expect([held.isLost, wasUsable, last().flows]).toEqual([true, false, []]);
  want([SECOND]);
  expect(take().port).toBeGreaterThanOrEqual(SECOND.base);
});

test("[LK13] a command that is in force is reported on and changes nothing, an older one likewise", () => {
  const { ports, applier, reports, want, take } = rig();
  const first = want([FIRST]);
  const second = want([FIRST, SECOND]);
  take();
  const count = reports.length;
  applier.command(second);
  applier.command(first);
  expect(reports.slice(count).map(({ number, busiestCount }) => [number, busiestCount])).toEqual([
    [2, 1],
    [2, 1],
  ]);
  expect([...ports.leases()]).toHaveLength(2);
});

test("[LK8] flows wait while a command says that more ports may come, and are told when none will", async () => {
  const { ports, want } = rig();
  want([FIRST], { isGrowing: true });
  for (let port = 0; port < 64; port += 1) ports.take(DESTINATION);
  const waiting = ports.takeWithin(DESTINATION, 60_000);
  want([FIRST]);
  expect(await waiting).toEqual({ ok: false, refusal: "port-block-exhausted" });
  want([FIRST], { isGrowing: true });
  const again = ports.takeWithin(DESTINATION, 60_000);
  want([FIRST, SECOND], { isGrowing: true });
  expect((await again).ok).toBe(true);
  ports.close();
});

test("[LK6] high use is reported once for all choices of a moment, and only while more ports may come", async () => {
  const { ports, reports, want } = rig();
  want([FIRST]);
  for (let port = 0; port < 50; port += 1) ports.take(DESTINATION);
  await Promise.resolve();
  expect(reports).toHaveLength(1);
  want([FIRST], { isGrowing: true });
  for (let port = 0; port < 10; port += 1) ports.take(DESTINATION);
  expect(reports).toHaveLength(2);
  await Promise.resolve();
  expect(reports.slice(2)).toMatchObject([{ number: 2, busiestCount: 60 }]);
  ports.close();
});
