/** One data process's part of an address: what it does at a command, whatever came before. */
import { expect, test } from "vitest";
import type { PartCommand, PartReport } from "../../src/agent/division/part-messages.ts";
import { PartPorts } from "../../src/agent/division/part-ports.ts";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";
import { Chance } from "../simulation/chance.ts";

const HERE = "tcp 203.0.113.1 443";
const THERE = "tcp 203.0.113.2 443";

function partOf() {
  let nowMs = 1_000_000;
  const clock = () => ({ monotonicMs: nowMs, wallMs: nowMs });
  const timers = { after: () => () => {} };
  const ports = new AddressPorts("192.0.2.1", { clock, timers, random: new Chance(7).below });
  const reports: PartReport[] = [];
  const part = new PartPorts({ ports, clock, timers, send: (report) => reports.push(report) });
  let number = 0;
  const command = (content: Partial<PartCommand>): PartReport => {
    number += 1;
    part.command({
      number,
      term: { monotonicEndMs: nowMs + 60_000, wallEndMs: nowMs + 60_000 },
      units: [],
      unitLimit: null,
      lent: [],
      requests: [],
      borrowed: [],
      answers: [],
      isGrowing: false,
      isHostUsable: true,
      ...content,
    });
    return reports.at(-1)!;
  };
  const take = (destination = HERE): HeldPort => {
    const taken = ports.take(destination);
    if (!taken.ok) throw new Error(taken.refusal);
    return taken.value;
  };
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { ports, part, command, take, pass };
}

const unit = (grant: number, at = grant) => ({ grant, unit: 64 + at, isDraining: false });

test("[MP1] what it has let go of stays gone, though a command that was on its way still names it", () => {
  const { ports, command } = partOf();
  command({ units: [unit(1), unit(2)] });
  expect(command({ units: [unit(1), unit(2)], unitLimit: 1 }).released).toHaveLength(1);
  const [left] = [...ports.leases()].map(({ lease }) => lease.epoch);
  expect(command({ units: [unit(1), unit(2)] }).released).toEqual([left === 1 ? 2 : 1]);
  expect([...ports.leases()]).toHaveLength(1);
  // Once it is given anew it is its own again.
  expect(
    command({ units: [unit(left!), { ...unit(3), unit: unit(left === 1 ? 2 : 1).unit }] }).released,
  ).toEqual([]);
  expect([...ports.leases()]).toHaveLength(2);
});

test("[MP4] a unit with a flow, or with a port held down, is not let go of", () => {
  const { command, take, pass } = partOf();
  command({ units: [unit(1)] });
  const held = take();
  expect(command({ units: [unit(1)], unitLimit: 0 })).toMatchObject({ released: [], idleCount: 0 });
  held.release();
  expect(command({ units: [unit(1)], unitLimit: 0 }).released).toEqual([]);
  pass(1_600);
  expect(command({ units: [unit(1)], unitLimit: 0 }).released).toEqual([1]);
});

test("[MP5] a port that is lent is not chosen, also where it rests or is held down here after a flow", () => {
  const { ports, command, take, pass } = partOf();
  command({ units: [unit(1)] });
  const down = take();
  const resting = take();
  resting.release();
  pass(1_600);
  ports.capacity();
  down.release();
  const lent = [down.port, resting.port].map((port) => ({ port, destination: HERE }));
  command({ units: [unit(1)], lent });
  const chosen = Array.from({ length: 62 }, () => take().port);
  expect(chosen.filter((port) => lent.some((one) => one.port === port))).toEqual([]);
  for (const step of [1_600, 60_000, 61_000]) {
    pass(step);
    command({ units: [unit(1)], lent });
    expect(ports.take(HERE)).toMatchObject({ ok: false, refusal: "port-block-exhausted" });
  }
  // Returned, both can be chosen again; towards others they could be all the time.
  command({ units: [unit(1)] });
  expect(new Set([take().port, take().port])).toEqual(new Set([down.port, resting.port]));
  expect(take(THERE).port).toBeGreaterThanOrEqual(64 * 65);
});

test("[MP5] what was offered and is not wanted is free at once", () => {
  const { command, take } = partOf();
  command({ units: [unit(1)] });
  const request = { request: 5, destination: HERE, count: 64 };
  const { offers } = command({ units: [unit(1)], requests: [request] });
  expect(offers[0]!.ports).toHaveLength(64);
  const [port] = offers[0]!.ports;
  command({ units: [unit(1)], lent: [{ port: port!, destination: HERE }] });
  const chosen = Array.from({ length: 63 }, () => take().port);
  expect(chosen).not.toContain(port);
});

test("[MP2] [BI4] a new term says nothing of a unit that the same command takes away", () => {
  const { command, take } = partOf();
  command({ units: [unit(1), unit(2)] });
  const held = [take(), take(), take(), take()];
  let resetCount = 0;
  for (const one of held) one.onReset = () => (resetCount += 1);
  command({ units: [] });
  expect(resetCount).toBe(4);
});
