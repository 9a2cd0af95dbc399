/** What a halted process hears when it goes on: everything, in the order in which it came. */
import { describe, expect, test } from "vitest";
import { Chance } from "./chance.ts";
import { Machine, Process } from "./machine.ts";
import { Timeline } from "./timeline.ts";

describe("a process that was halted hears in order", () => {
  function halted() {
    const machine = new Machine("m1", new Timeline(), 1, 0);
    const process = new Process(machine);
    const heard: number[] = [];
    const hear = (what: number): void => process.run(() => heard.push(what));
    return { machine, process, heard, hear };
  }

  test("when its machine was suspended first, and resumed first", () => {
    const { machine, process, heard, hear } = halted();
    machine.suspend();
    hear(1);
    process.pause();
    hear(2);
    machine.resume();
    hear(3);
    expect(heard).toEqual([]);
    process.continue();
    hear(4);
    expect(heard).toEqual([1, 2, 3, 4]);
  });

  test("when it was paused first, and goes on first", () => {
    const { machine, process, heard, hear } = halted();
    process.pause();
    hear(1);
    machine.suspend();
    hear(2);
    process.continue();
    hear(3);
    expect(heard).toEqual([]);
    machine.resume();
    hear(4);
    expect(heard).toEqual([1, 2, 3, 4]);
  });
});

test("timers that are due at one moment keep their order, whenever they were set", () => {
  const chance = new Chance(1);
  for (let round = 0; round < 200; round += 1) {
    const timeline = new Timeline();
    const machine = new Machine("m1", timeline, 1 + chance.between(-5e-4, 5e-4), 0);
    timeline.after(chance.between(0, 100_000), () => {});
    timeline.step();
    const dueMs = machine.monotonicMs() + 20;
    const heard: number[] = [];
    for (let number = 0; number < 5; number += 1) {
      timeline.after(chance.between(0, 1), () => {});
      timeline.step();
      machine.at(dueMs, () => heard.push(number));
    }
    while (timeline.step());
    expect(heard).toEqual([0, 1, 2, 3, 4]);
  }
});

test("the time that a process runs stands while it is halted, in either way or both", () => {
  const timeline = new Timeline();
  const machine = new Machine("m1", timeline, 1, 0);
  const process = new Process(machine);
  const began = process.runningMs();
  const runFor = (ms: number): number => {
    timeline.after(ms, () => {});
    timeline.step();
    return process.runningMs() - began;
  };
  expect(runFor(100)).toBe(100);
  process.pause();
  process.pause();
  expect(runFor(1_000)).toBe(100);
  machine.suspend();
  expect(runFor(1_000)).toBe(100);
  process.continue();
  machine.resume();
  expect(runFor(10)).toBe(110);
  machine.suspend();
  process.pause();
  expect(runFor(1_000)).toBe(110);
  machine.resume();
  expect(runFor(1_000)).toBe(110);
  process.continue();
  expect(runFor(1)).toBe(111);
});
