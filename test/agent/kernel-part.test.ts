/** An address divided among data processes and the kernel's part, which can neither lend nor borrow a port. */
import { expect, test } from "vitest";
import { DividedPorts } from "../../src/agent/division/divided-ports.ts";
import type { PartCommand } from "../../src/agent/division/part-messages.ts";
import type { CommandedBlock, PortReport } from "../../src/agent/egress/port-messages.ts";
import { block } from "./division-rig.ts";

const KERNEL = 0;
const TERM = { monotonicEndMs: 1_000_000, wallEndMs: 1_000_000 };

/** A division whose parts follow at once; `busy` says how many ports a part uses towards one destination. */
class Rig {
  readonly commands = new Map<number, PartCommand>();
  readonly busy = new Map<number, number>();
  report: PortReport | undefined;
  readonly #division = new DividedPorts({
    clock: () => ({ monotonicMs: 0, wallMs: 0 }),
    send: (part, command) => this.commands.set(part, command),
  });
  readonly #keeper = this.#division.control();
  #number = 0;
  #sequence = 0;

  constructor(processCount: number, claimed: readonly number[] = []) {
    this.#keeper.onReport = (report) => {
      this.report = report;
    };
    this.#division.addPart(KERNEL, claimed);
    for (let part = 1; part <= processCount; part += 1) this.#division.addPart(part);
  }

  keep(blocks: readonly CommandedBlock[]): void {
    this.#number += 1;
    this.#keeper.command({ number: this.#number, term: TERM, blocks, isGrowing: false, pressureCount: 0 });
    // Whoever has too much lets go of it, and it is given to whoever lacks it.
    for (let round = 0; round < 6; round += 1) for (const part of this.commands.keys()) this.#answer(part);
  }

  unitsOf(part: number): number[] {
    const units = this.commands.get(part)?.units ?? [];
    return units.map(({ unit }) => unit).toSorted((a, b) => a - b);
  }

  #answer(part: number): void {
    const { number, units, unitLimit } = this.commands.get(part)!;
    const count = this.busy.get(part) ?? 0;
    const idle = units.slice(Math.ceil(count / 64));
    const released = unitLimit === null ? [] : idle.slice(0, Math.max(0, units.length - unitLimit));
    this.#sequence += 1;
    this.#division.report(part, {
      sequence: this.#sequence,
      number,
      busiest: count === 0 ? [] : [{ destination: "tcp 203.0.113.1 443", count }],
      flows: [],
      busyLoans: [],
      released: released.map(({ grant }) => grant),
      returned: [],
      idleCount: idle.length,
      asks: [],
      offers: [],
      inUse: count,
      heldDown: 0,
    });
  }
}

test("[SN3] the only unit of a host is its data processes', and the keeper hears that another is wanted", () => {
  const rig = new Rig(2);
  rig.keep([block(4_096, 6, 1)]);
  expect([rig.unitsOf(KERNEL), [...rig.unitsOf(1), ...rig.unitsOf(2)]]).toEqual([[], [64]]);
  expect(rig.report?.busiestCount).toBe(64);
});

test("[SN3] with two units the kernel has one, however many data processes there are", () => {
  for (const processCount of [1, 2, 5]) {
    const rig = new Rig(processCount);
    rig.keep([block(4_096, 7, 1)]);
    expect(rig.unitsOf(KERNEL), `${processCount} processes`).toHaveLength(1);
    // Enough for both, and not so little that one would be given back.
    expect(rig.report?.busiestCount).toBe(48);
  }
});

test("[SN3] the kernel is given as many units again as it uses, and the keeper hears when there are too few", () => {
  const rig = new Rig(2);
  rig.busy.set(KERNEL, 100);
  rig.keep([block(4_096, 9, 1)]);
  expect(rig.unitsOf(KERNEL).length).toBeGreaterThanOrEqual(4);
  expect(rig.report?.busiestCount).toBe(100);
  rig.busy.set(KERNEL, 250);
  rig.keep([block(4_096, 9, 1)]);
  expect(rig.report?.busiestCount).toBe(512);
});

test("[SN11] units that the kernel had before this agent are its own as soon as the host has them, to be emptied or not", () => {
  const rig = new Rig(2, [65, 66, 80]);
  rig.keep([]);
  expect(rig.unitsOf(KERNEL)).toEqual([]);
  rig.keep([block(4_096, 7, 1), block(4_224, 6, 2, true)]);
  expect(rig.unitsOf(KERNEL)).toEqual([65, 66]);
  expect(rig.commands.get(KERNEL)?.units.map(({ unit, isDraining }) => [unit, isDraining])).toEqual([
    [65, false],
    [66, true],
  ]);
  expect([...rig.unitsOf(1), ...rig.unitsOf(2)]).toEqual([64]);
});

test("[SN3] a kernel without a unit gets one of a process, which takes no new flows on it until its last has ended", () => {
  const rig = new Rig(3);
  const [first, second] = [block(4_096, 7, 1), block(4_224, 7, 2)];
  rig.keep([first, second]);
  for (const part of [1, 2, 3]) rig.busy.set(part, 10);
  const [own] = rig.unitsOf(KERNEL);
  const [goes, stays] = own! < 66 ? [first, second] : [second, first];
  rig.keep([{ ...goes, isDraining: true }, stays]);
  const yields = (): number[] =>
    [1, 2, 3].filter((part) => {
      const left = rig.commands
        .get(part)!
        .units.filter(({ unit }) => Math.floor(unit / 2) * 128 === stays.lease.base);
      return left.some(({ isDraining }) => isDraining);
    });
  expect(yields()).toHaveLength(1);
  expect(rig.unitsOf(KERNEL)).toEqual([own]);

  rig.busy.set(yields()[0]!, 0);
  rig.keep([{ ...goes, isDraining: true }, stays]);
  expect(rig.unitsOf(KERNEL)).toHaveLength(2);
  expect(yields()).toEqual([]);
});
