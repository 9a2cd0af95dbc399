/** A lease keeper whose ports are in another process: it goes by reports, and only as far as they know. */
import { expect, test } from "vitest";
import { LeaseKeeper } from "../../src/agent/leasing/lease-keeper.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import type { LeaseRequest } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { FakePorts } from "./keeper-world.ts";

const FIRST = { base: 4_096, order: 8, epoch: 1 };
const SPARE = { base: 5_120, order: 8, epoch: 2 };
const { leaseDurationMs } = DEFAULT_POOL_SETTINGS;

/** Holds a block and a spare; from now on its ports are apart. */
function apart() {
  const ports = new FakePorts();
  const sent: LeaseRequest[] = [];
  let nowMs = 1_000_000;
  const keeper = new LeaseKeeper({
    instance: "instance-1",
    ports,
    clock: () => ({ monotonicMs: nowMs, wallMs: nowMs }),
    random: () => 0.5,
    send: (request) => sent.push(request),
    wakeIn: () => {},
    onEvent: () => {},
    renewalPhase: 0,
    highestEpoch: 0,
  });
  const pass = (ms: number): void => {
    nowMs += ms;
    keeper.tick();
  };
  const answer = (leases: readonly Lease[], more: Partial<PoolSettings> = {}): void => {
    const { requestId } = sent.at(-1)!;
    const settings = { ...DEFAULT_POOL_SETTINGS, ...more };
    keeper.message({ type: "answer", requestId, leases, leaseDurationMs, granted: null, settings });
  };
  keeper.connected();
  answer([FIRST, SPARE]);
  ports.areApart = true;
  const releases = (): number[] =>
    sent.flatMap((request) => (request.type === "release" ? [request.epoch] : []));
  return { ports, keeper, sent, pass, answer, releases };
}

test("[LK13] a report from before the drain ends nothing, though it has no flow", () => {
  const { ports, keeper, pass, releases } = apart();
  keeper.drain(60_000);
  // This one was on its way: a flow has begun since, before the ports heard of the drain.
  ports.report();
  ports.blocks.get(1)!.flows = 1;
  pass(1_000);
  ports.hear();
  pass(1_000);
  ports.hear();
  expect(ports.blocks.get(1)).toMatchObject({ isDraining: true, flows: 1 });
  expect([ports.resetFlows, releases()]).toEqual([[], [2]]);
});

test("[LK13] [MA3] a block is released by a report that knows of its removal, not before", () => {
  const { ports, keeper, pass, answer, releases } = apart();
  keeper.drain(0);
  pass(1_000);
  expect([ports.epochs(), releases()]).toEqual([[1], []]);
  ports.loud.add(1);
  ports.hear();
  expect([ports.epochs(), releases()]).toEqual([[], [2]]);
  answer([FIRST]);
  expect(releases()).toEqual([2]);
  ports.loud.clear();
  ports.report();
  expect(releases()).toEqual([2, 1]);
});

test("[LK2] [LK13] at the end of the term the ports are told at once that nothing is theirs", () => {
  const { ports, pass, answer } = apart();
  const before = ports.commands.length;
  pass(leaseDurationMs);
  answer([FIRST, SPARE]);
  ports.hear();
  const told = ports.commands.slice(before);
  expect(told[0]).toMatchObject({ term: null, blocks: [] });
  expect(told.at(-1)!.term).not.toBeNull();
  expect(told.at(-1)!.blocks).toMatchObject([{ lease: FIRST }]);
});

test("[LK13] a term is never told with a block that the edge lists no longer", () => {
  const { ports, sent, pass, answer } = apart();
  const other = { base: 8_192, order: 8, epoch: 3 };
  pass(leaseDurationMs / 3);
  expect(sent.at(-1)!.type).toBe("renew");
  const before = ports.commands.length;
  answer([other]);
  ports.hear();
  const told = ports.commands.slice(before).filter(({ blocks }) => blocks.length > 0);
  expect(told.flatMap(({ blocks }) => blocks.map(({ lease }) => lease.epoch))).toEqual([3]);
});

test("[LK6] [LK13] the spare is in use once the ports hear of it, and the next is asked for at once", () => {
  const { ports, pass, sent } = apart();
  ports.busiestCount = 200;
  ports.report();
  expect(sent.at(-1)).toMatchObject({ type: "acquire", order: 9 });
  expect(ports.epochs()).toEqual([1]);
  ports.hear();
  pass(1_000);
  expect(ports.epochs()).toEqual([1, 2]);
});

test("[LK10] [LK13] how busy the ports were with a block that drains decides nothing about the others", () => {
  const { ports, pass, answer, sent } = apart();
  const large = { base: 8_192, order: 10, epoch: 3 };
  const spare = { base: 16_384, order: 8, epoch: 4 };
  ports.areApart = false;
  ports.busiestCount = 100;
  pass(leaseDurationMs / 3);
  answer([FIRST, large, spare]);
  // Most of them from the large block, which is more than it may hold from now on.
  ports.busiestCount = 400;
  ports.blocks.get(3)!.flows = 300;
  pass(leaseDurationMs / 3);
  expect(sent.at(-1)!.type).toBe("renew");
  ports.areApart = true;
  answer([FIRST, large, spare], { maxPortsPerHost: 600, minPortsPerHost: 64 });
  ports.busiestCount = 100;
  ports.hear();
  pass(1_000);
  ports.hear();
  expect([...ports.blocks.values()].map(({ lease, isDraining }) => [lease.epoch, isDraining])).toEqual([
    [1, false],
    [3, true],
  ]);
});
