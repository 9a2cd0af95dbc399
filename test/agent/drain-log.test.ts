/** How far a drain has come, as the log of an agent says it. */
import type { Logger } from "pino";
import { expect, test } from "vitest";
import { DrainLog } from "../../src/agent/leasing/drain-log.ts";
import type { Timers } from "../../src/process/timers.ts";

/** A drain on a clock of its own, and what the log has of it. */
function drained() {
  const state = { nowMs: 0, flows: 3 };
  const said: string[] = [];
  let due: { atMs: number; what: () => void }[] = [];
  const timers: Timers = {
    after(delayMs, what) {
      const wish = { atMs: state.nowMs + delayMs, what };
      due.push(wish);
      return () => void (due = due.filter((other) => other !== wish));
    },
  };
  const say = (fields: { flows: number }, text: string): void => {
    expect(fields.flows).toBe(text === "drained" ? 0 : state.flows);
    said.push(text);
  };
  const log = { info: say, warn: say } as unknown as Logger;
  const pass = (untilMs: number): void => {
    for (;;) {
      const next = due.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > untilMs) break;
      due = due.filter((other) => other !== next);
      state.nowMs = next.atMs;
      next.what();
    }
    state.nowMs = untilMs;
  };
  const isIdle = (): boolean => due.length === 0;
  return { drain: new DrainLog({ flowCount: () => state.flows, log, timers }), state, said, pass, isIdle };
}

test("[AG9] a drain says how many connections remain, when that changes, and when none does", () => {
  const { drain, state, said, pass, isIdle } = drained();
  drain.begin(Infinity);
  pass(35_000);
  expect(said).toEqual(["draining: 3 connections remain"]);
  state.flows = 1;
  pass(65_000);
  expect(said).toEqual(["draining: 3 connections remain", "draining: 1 connection remains"]);
  state.flows = 0;
  drain.end(true);
  expect(said.at(-1)).toBe("drained");
  expect(isIdle()).toBe(true);
});

test("[AG9] what is cut at the end of its time is said with its number, also where that came later", () => {
  const { drain, said, pass } = drained();
  drain.begin(Infinity);
  drain.begin(30_000);
  // Said again with every word of the pool.
  drain.begin(30_000);
  pass(40_000);
  expect(said).toEqual([
    "draining: 3 connections remain",
    "draining: 3 connections remain, for 30 s at the most",
    "the drain's time is over: 3 connections are cut",
  ]);
});

test("[AG9] a drain that is taken back says no more", () => {
  const { drain, state, said, pass } = drained();
  drain.begin(30_000);
  drain.end(false);
  state.flows = 9;
  pass(60_000);
  expect(said).toEqual(["draining: 3 connections remain, for 30 s at the most"]);
});
