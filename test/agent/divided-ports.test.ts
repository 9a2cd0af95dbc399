/** An address divided among the data processes of a host. */
import { expect, test } from "vitest";
import { allot } from "../../src/agent/division/allotment.ts";
import { usedTogether } from "../../src/agent/division/host-use.ts";
import { Chance } from "../simulation/chance.ts";
import { block, DivisionRig, type RigPart } from "./division-rig.ts";

const HERE = "tcp 203.0.113.1 443";
const THERE = "tcp 203.0.113.2 443";

async function rigWith(partCount: number, order: number): Promise<{ rig: DivisionRig; parts: RigPart[] }> {
  const rig = new DivisionRig(new Chance(1).below);
  const parts = Array.from({ length: partCount }, () => rig.begin());
  rig.keep({ blocks: [block(4_096, order, 7)] });
  await rig.pass(100);
  return { rig, parts };
}

const unitsOf = ({ ports }: RigPart): number[] => [...ports.leases()].map(({ lease }) => lease.base / 64);

test("[MP1] each unit of a block is one process's, and all of them are somebody's", async () => {
  const { rig, parts } = await rigWith(3, 10);
  const units = parts.flatMap(unitsOf);
  expect(units.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, at) => 64 + at));
  expect(parts.map((part) => unitsOf(part).length).toSorted((a, b) => a - b)).toEqual([5, 5, 6]);
  expect(rig.report).toMatchObject({ number: 1, flows: [], busiestCount: 0 });
  expect(rig.division.capacity()).toEqual({ portCount: 1_024, busiestCount: 0 });
});

test("[MP3] what processes report is added up: flows by lease, use towards one destination, of lent ports once", async () => {
  const { rig, parts } = await rigWith(2, 7);
  const [one, other] = parts as [RigPart, RigPart];
  for (let opened = 0; opened < 64; opened += 1) expect(rig.open(one, HERE)).toBe("open");
  for (let opened = 0; opened < 10; opened += 1) rig.open(other, HERE);
  for (let opened = 0; opened < 30; opened += 1) rig.open(other, THERE);
  const waiting = Array.from({ length: 5 }, () => rig.openWithin(one, HERE));
  await rig.pass(500);
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 5 }, () => "open"));
  rig.ask();
  await rig.pass(100);
  expect(rig.report).toMatchObject({ busiestCount: 79, flows: [{ epoch: 7, count: 109 }] });
  expect(rig.division.heldCounts()).toEqual({ inUse: 109, heldDown: 0 });
  expect(rig.division.busiestDestination()).toBe(HERE);
});

test("[MP4] units go to who needs them, and idle ones are taken back for that", async () => {
  const { rig, parts } = await rigWith(4, 10);
  const [busy] = parts as [RigPart];
  const opened: Promise<string>[] = [];
  for (let step = 0; step < 90; step += 1) {
    for (let each = 0; each < 10; each += 1) opened.push(rig.openWithin(busy, HERE));
    await rig.pass(50);
  }
  await rig.pass(5_000);
  expect(new Set(await Promise.all(opened))).toEqual(new Set(["open"]));
  // Most of what it uses are ports of its own by now, and each other one has a unit still.
  expect(unitsOf(busy).length).toBeGreaterThanOrEqual(12);
  for (const part of parts) expect(unitsOf(part).length).toBeGreaterThanOrEqual(1);
});

test("[MP5] nothing is refused while any process of the host has a free port towards that destination", async () => {
  const { rig, parts } = await rigWith(4, 9);
  let openCount = 0;
  let refused: string | null = null;
  for (let at = 0; refused === null; at += 1) {
    const opening = rig.openWithin(parts[at % 2]!, HERE);
    await rig.pass(200);
    const result = await opening;
    if (result === "open") openCount += 1;
    else refused = result;
  }
  expect([refused, openCount]).toEqual(["port-block-exhausted", 512]);
  // Towards another destination all of them are free.
  for (let opened = 0; opened < 512; opened += 1) {
    const opening = rig.openWithin(parts[3]!, THERE);
    await rig.pass(100);
    expect(await opening).toBe("open");
  }
});

test("[MP5] none of as many flows as there are ports is refused, however they come at once", async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const chance = new Chance(seed);
    const rig = new DivisionRig(chance.below, {
      longestWayMs: 1 + chance.below(30),
      mayOvertake: false,
      mayRepeat: false,
    });
    const parts = Array.from({ length: 3 }, () => rig.begin());
    rig.keep({ blocks: [block(4_096, 8, 7)] });
    await rig.pass(200);
    const opening: Promise<string>[] = [];
    while (opening.length < 256) {
      const count = Math.min(256 - opening.length, 1 + chance.below(40));
      for (let begun = 0; begun < count; begun += 1) opening.push(rig.openWithin(chance.pick(parts), HERE));
      await rig.pass(chance.below(10));
    }
    await rig.pass(3_000);
    const refused = (await Promise.all(opening)).filter((result) => result !== "open");
    expect(refused, `seed ${seed}`).toEqual([]);
  }
});

test("[MP5] a process without any unit serves from what others lend, and gives it back", async () => {
  const { rig, parts } = await rigWith(3, 6);
  const without = parts.filter((part) => unitsOf(part).length === 0);
  const [holder] = parts.filter((part) => unitsOf(part).length === 1) as [RigPart];
  expect(without).toHaveLength(2);
  const opening = without.map((part) => rig.openWithin(part, HERE));
  await rig.pass(100);
  expect(await Promise.all(opening)).toEqual(["open", "open"]);
  expect(without.every(({ ports }) => ports.isUsable())).toBe(true);
  for (let opened = 0; opened < 62; opened += 1) expect(rig.open(holder, HERE)).toBe("open");
  expect(rig.open(holder, HERE)).toBe("port-block-exhausted");
  for (const part of without) for (const flow of part.flows) rig.close(part, flow);
  await rig.pass(10_000);
  expect([rig.open(holder, HERE), rig.open(holder, HERE)]).toEqual(["open", "open"]);
});

test("[MP5] a borrowed port outlives its lender, and is nobody else's until it is returned", async () => {
  const { rig, parts } = await rigWith(2, 6);
  const [lender, borrower] = parts.toSorted((a, b) => unitsOf(b).length - unitsOf(a).length) as [
    RigPart,
    RigPart,
  ];
  const opening = rig.openWithin(borrower, HERE);
  await rig.pass(50);
  expect(await opening).toBe("open");
  const [flow] = borrower.flows;
  const third = rig.begin();
  rig.kill(lender);
  await rig.pass(2_000);
  expect(borrower.flows.has(flow!)).toBe(true);
  const all = [borrower, third].flatMap((part) => {
    while (rig.open(part, HERE) === "open");
    return [...part.flows].map(({ held }) => held.port);
  });
  expect(all.length).toBe(64);
  expect(new Set(all).size).toBe(64);
});

test("[MP1] the flows of a borrowed port are reset when its block goes, and the keeper hears of it after that", async () => {
  const { rig, parts } = await rigWith(2, 6);
  const borrower = parts.find((part) => unitsOf(part).length === 0)!;
  const opening = rig.openWithin(borrower, HERE);
  await rig.pass(50);
  await opening;
  borrower.isPaused = true;
  rig.keep({ blocks: [] });
  await rig.pass(1_000);
  expect(rig.report.number).toBe(1);
  rig.resume(borrower);
  await rig.pass(100);
  expect(borrower.flows.size).toBe(0);
  expect(rig.report).toMatchObject({ number: 2, flows: [] });
});

test("[MP1] [MP3] a unit of a process that does not answer is given to nobody, until that process has ended", async () => {
  const { rig, parts } = await rigWith(2, 8);
  const [silent, other] = parts as [RigPart, RigPart];
  const had = unitsOf(silent);
  silent.isPaused = true;
  rig.keep({ blocks: [] });
  await rig.pass(100);
  rig.keep({ blocks: [block(4_096, 8, 8)] });
  await rig.pass(1_000);
  expect(unitsOf(other).filter((unit) => had.includes(unit))).toEqual([]);
  expect(rig.report.number).toBe(1);
  rig.kill(silent);
  await rig.pass(100);
  expect(unitsOf(other)).toHaveLength(4);
  expect(rig.report.number).toBe(3);
});

test("[MP2] a process knows the end of the term by itself, borrowed ports included", async () => {
  const { rig, parts } = await rigWith(2, 6);
  rig.keep({ term: rig.term(10_000) });
  const borrower = parts.find((part) => unitsOf(part).length === 0)!;
  const opening = rig.openWithin(borrower, HERE);
  await rig.pass(50);
  await opening;
  // Nobody says anything any more.
  await rig.pass(10_000);
  expect(borrower.flows.size).toBe(0);
  expect(parts.map((part) => rig.open(part, HERE))).toEqual(["lease-lost", "lease-lost"]);
  expect(rig.division.capacity().portCount).toBe(0);
});

test("[MP3] a block that drains takes no new flows in any process, and its flows are counted to the last", async () => {
  const { rig, parts } = await rigWith(2, 7);
  for (const part of parts) rig.open(part, HERE);
  rig.keep({ blocks: [block(4_096, 7, 7, true), block(8_192, 7, 9)] });
  await rig.pass(100);
  expect(rig.report).toMatchObject({ number: 2, flows: [{ epoch: 7, count: 2 }] });
  for (const part of parts) {
    for (let opened = 0; opened < 20; opened += 1) rig.open(part, HERE);
    for (const flow of part.flows) if (flow.held.port < 8_192) rig.close(part, flow);
  }
  rig.ask();
  await rig.pass(100);
  expect(rig.report.flows).toEqual([{ epoch: 9, count: 40 }]);
});

test("[MP4] shares are as needed, even where they are not, and as even as can be where need is too much", () => {
  expect(allot(16, [1, 1, 1, 1])).toEqual([4, 4, 4, 4]);
  expect(allot(16, [13, 1, 1, 1])).toEqual([13, 1, 1, 1]);
  expect(allot(16, [20, 20, 1, 1])).toEqual([7, 7, 1, 1]);
  expect(allot(1, [1, 1])).toEqual([1, 0]);
  expect(allot(0, [1])).toEqual([0]);
  expect(allot(5, [])).toEqual([]);
});

test("[MP3] use that a long list does not name is taken to be as much as the least that it names", () => {
  const list = Array.from({ length: 16 }, (_, at) => ({ destination: `d${at}`, count: 20 - at }));
  expect(usedTogether([list, [{ destination: "other", count: 9 }]])).toEqual({
    destination: "d0",
    count: 20,
  });
  expect(usedTogether([list, [{ destination: "other", count: 18 }]])).toEqual({
    destination: "other",
    count: 23,
  });
  expect(usedTogether([])).toEqual({ destination: null, count: 0 });
});
