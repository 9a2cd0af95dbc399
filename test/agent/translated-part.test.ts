/** The kernel's part of an address: what is told to the kernel when, and what is reported of it. */
import { expect, test } from "vitest";
import { command, given, TranslatedRig } from "./translated-part-rig.ts";

const TERM_MS = 600_000;

/** Has these units, and the kernel has followed. */
async function holding(units: readonly number[]): Promise<TranslatedRig> {
  const rig = new TranslatedRig();
  await rig.follow(command({ number: 1, term: rig.term(TERM_MS), units: given(units) }));
  await rig.list();
  return rig;
}

test("[SN6] a unit is emptied first, tracked second and chosen third, and only then the command is in force", async () => {
  const rig = new TranslatedRig();
  rig.leaveOver(20);
  await rig.command(command({ number: 7, term: rig.term(TERM_MS), units: given([20, 21]) }));
  expect(rig.report?.number).toBe(0);
  await rig.end("done");
  expect([rig.carriedOut, rig.entries]).toEqual([["endEntries"], []]);
  await rig.end("done");
  expect([...rig.tracked]).toEqual([20, 21]);
  expect(rig.report?.number).toBe(0);
  await rig.end("done");
  expect(rig.carriedOut).toEqual(["endEntries", "track", "choose"]);
  expect(rig.chosen).toEqual([20, 21]);
  expect(rig.report?.number).toBe(7);
});

test("[SN6] a unit that is taken away is not chosen first, then its flows end, then it is not tracked, then that is said", async () => {
  const rig = await holding([20, 21]);
  const stays = rig.open(20);
  rig.open(21);
  rig.carriedOut.length = 0;
  await rig.command(command({ number: 2, term: rig.term(TERM_MS), units: given([20]) }));
  await rig.end("done");
  expect([rig.chosen, rig.has(21)]).toEqual([[20], true]);
  await rig.end("done");
  expect([rig.entries, [...rig.tracked]]).toEqual([[stays], [20, 21]]);
  expect(rig.report?.number).toBe(1);
  await rig.end("done");
  expect(rig.carriedOut).toEqual(["choose", "endEntries", "track"]);
  expect([...rig.tracked]).toEqual([20]);
  expect(rig.report?.number).toBe(2);
});

test("[SN6] a command that comes while the kernel is told has its units tracked before they are chosen", async () => {
  const rig = new TranslatedRig();
  await rig.command(command({ number: 1, term: rig.term(TERM_MS), units: given([20]) }));
  await rig.command(command({ number: 2, term: rig.term(TERM_MS), units: given([20, 21]) }));
  await rig.finish();
  expect(rig.chosen).toEqual([20, 21]);
  expect(rig.report?.number).toBe(2);
});

test.each(["refused", "unheard"] as const)(
  "[SN6] a call that is %s is made again a second later, and nothing is said to be in force before",
  async (outcome) => {
    for (const failing of ["endEntries", "track", "choose"]) {
      const rig = new TranslatedRig();
      await rig.command(command({ number: 1, term: rig.term(TERM_MS), units: given([20]) }));
      while (rig.calls[0]?.name !== failing) await rig.end("done");
      await rig.end(outcome);
      expect([rig.report?.number, rig.faultCount, rig.calls]).toEqual([0, 1, []]);
      await rig.pass(1_000);
      await rig.finish();
      expect([rig.report?.number, [...rig.tracked], rig.chosen]).toEqual([1, [20], [20]]);
    }
  },
);

test("[SN6] units that it can do without are let go of when nothing is on them", async () => {
  const rig = await holding([20, 21, 22]);
  rig.open(20);
  await rig.list();
  await rig.command(
    command({ number: 2, term: rig.term(TERM_MS), units: given([20, 21, 22]), unitLimit: 1 }),
  );
  await rig.finish();
  expect(rig.chosen).toEqual([20]);
  // A flow may have begun since the table was read.
  expect(rig.report?.released).toEqual([]);
  expect(rig.report?.flows).toEqual([
    [120, 1],
    [121, 1],
    [122, 1],
  ]);
  await rig.list();
  expect(rig.report?.released.toSorted((a, b) => a - b)).toEqual([121, 122]);
  expect([...rig.tracked]).toEqual([20]);
});

test("[SN6] a unit on which a flow has begun meanwhile is kept", async () => {
  const rig = await holding([20, 21]);
  await rig.command(command({ number: 2, term: rig.term(TERM_MS), units: given([20, 21]), unitLimit: 1 }));
  const late = rig.read();
  const leaving = [20, 21].find((unit) => !rig.choice.units.some((chosen) => chosen.unit === unit)) ?? 20;
  const flow = rig.open(leaving);
  await rig.finish();
  await late();
  await rig.finish();
  expect(rig.report?.released).toEqual([]);
  await rig.list();
  expect(rig.entries).toEqual([flow]);
  expect(rig.has(leaving)).toBe(true);
});

test("[SN6] a unit is kept whose flow is listed while the kernel is told something else", async () => {
  const rig = await holding([20, 21]);
  rig.open(20);
  await rig.list();
  const units = given([20, 21]);
  await rig.command(command({ number: 2, term: rig.term(TERM_MS), units, unitLimit: 1 }));
  const flow = rig.open(21);
  await rig.finish();
  await rig.command(command({ number: 3, term: rig.term(TERM_MS + 1), units, unitLimit: 1 }));
  await rig.read()();
  await rig.finish();
  expect([rig.report?.released, rig.entries.includes(flow)]).toEqual([[], true]);
});

test("[SN6] a unit that is to be emptied takes no new flow and keeps those that there are", async () => {
  const rig = await holding([20, 21]);
  const flow = rig.open(21);
  await rig.list();
  const units = [...given([20]), ...given([21], true)];
  await rig.follow(command({ number: 2, term: rig.term(TERM_MS), units }));
  await rig.list();
  expect([rig.chosen, rig.entries, rig.report?.flows]).toEqual([[20], [flow], [[121, 1]]]);
});

test("[SN6] what was let go of is not its own any more, whatever the command still says", async () => {
  const rig = await holding([20, 21]);
  await rig.follow(command({ number: 2, term: rig.term(TERM_MS), units: given([20, 21]), unitLimit: 1 }));
  await rig.list();
  const [grant] = rig.report?.released ?? [];
  await rig.follow(command({ number: 3, term: rig.term(TERM_MS), units: given([20, 21]) }));
  expect(rig.report?.released).toEqual([grant]);
  expect(rig.chosen).not.toContain(grant! - 100);
  await rig.follow(command({ number: 4, term: rig.term(TERM_MS), units: given([41 - (grant! - 100)]) }));
  expect(rig.report?.released).toEqual([]);
});

test("[SN6] at the end of the term all flows end, by the clock alone", async () => {
  const rig = await holding([20]);
  rig.open(20);
  await rig.pass(TERM_MS - 1);
  await rig.finish();
  expect(rig.entries).toHaveLength(1);
  await rig.pass(501);
  await rig.finish();
  expect([rig.entries, rig.choice.units]).toEqual([[], []]);
  // The next term begins empty, with the same units.
  await rig.follow(command({ number: 2, term: rig.term(TERM_MS), units: given([20]) }));
  expect([rig.chosen, rig.report?.number]).toEqual([[20], 2]);
});

test("[SN5] a unit comes as often as it has free ports towards the busiest destination, and not at all without", async () => {
  const rig = await holding([20, 21, 22]);
  for (let port = 0; port < 64; port += 1) rig.open(20);
  for (let port = 0; port < 24; port += 1) rig.open(21);
  await rig.list();
  expect(rig.choice.units).toEqual([
    { unit: 21, weight: 40 },
    { unit: 22, weight: 64 },
  ]);
});

test("[SN8] a destination is full when two listings in a row say so and no port will come", async () => {
  const rig = await holding([20]);
  for (let port = 0; port < 64; port += 1) rig.open(20);
  await rig.list();
  expect(rig.choice.full).toEqual([]);
  await rig.list();
  expect(rig.choice.full).toEqual(["tcp 203.0.113.1 443"]);
  await rig.follow(command({ number: 2, term: rig.term(TERM_MS), units: given([20]), isGrowing: true }));
  await rig.list();
  expect(rig.choice.full).toEqual([]);
});

test("[SN11] inherited units keep their flows until it is known what the host has, and then with them", async () => {
  const rig = new TranslatedRig([20, 21]);
  const [first, second] = [rig.open(20), rig.open(21)];
  await rig.follow(command({ number: 1 }));
  // The term is known before the guard has the blocks.
  await rig.follow(command({ number: 2, term: rig.term(TERM_MS), isGrowing: true }));
  expect([rig.carriedOut, rig.entries, rig.report?.number]).toEqual([[], [first, second], 2]);
  await rig.command(command({ number: 3, term: rig.term(TERM_MS), units: given([20, 21]) }));
  const unlisted = [
    [120, 1],
    [121, 1],
  ];
  // Nobody has listed them yet, so none of them counts as idle.
  expect(rig.report?.flows).toEqual(unlisted);
  await rig.finish();
  expect([rig.entries, rig.chosen]).toEqual([
    [first, second],
    [20, 21],
  ]);
  expect(rig.report?.flows).toEqual(unlisted);
});

test("[SN11] inherited units that the host has no longer are ended before a command is in force", async () => {
  const rig = new TranslatedRig([20, 21]);
  const flow = rig.open(20);
  rig.open(21);
  await rig.command(command({ number: 1, term: rig.term(TERM_MS), units: given([20]) }));
  while (rig.has(21)) await rig.end("done");
  expect(rig.report?.number).toBe(0);
  await rig.finish();
  expect([rig.entries, [...rig.tracked], rig.report?.number]).toEqual([[flow], [20], 1]);
});

test("[SN3] it lends nothing, and says so at once", async () => {
  const rig = await holding([20]);
  const requests = [{ request: 9, destination: "tcp 203.0.113.1 443", count: 2 }];
  await rig.command(command({ number: 2, term: rig.term(TERM_MS), units: given([20]), requests }));
  expect(rig.report?.offers).toEqual([{ request: 9, ports: [] }]);
});

test("[SN3] a command that is in force already is only reported on", async () => {
  const rig = await holding([20]);
  const [reportCount, callCount] = [rig.reports.length, rig.carriedOut.length];
  await rig.command(rig.newest!);
  expect([rig.reports.length, rig.carriedOut.length]).toEqual([reportCount + 1, callCount]);
});

test("[SN10] told again, the kernel gets its choice once more, and after the end nothing", async () => {
  const rig = await holding([20]);
  rig.carriedOut.length = 0;
  rig.part.tellAgain();
  await rig.finish();
  expect(rig.carriedOut).toEqual(["choose"]);
  rig.part.close();
  await rig.follow(command({ number: 2, term: rig.term(TERM_MS), units: given([21]) }));
  expect([rig.carriedOut, rig.chosen]).toEqual([["choose"], [20]]);
});
