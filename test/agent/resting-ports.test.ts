/** Ports at rest: none is given twice, none of a lease that has gone, and none is forgotten. */
import { beforeEach, expect, it } from "vitest";
import { AddressPorts, type BinderOptions } from "../../src/agent/egress/address-ports.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";

const HOLD_DOWN_MS = 1_500;
const REST_MS = 120_000;

let nowMs: number;
let ports: AddressPorts;

beforeEach(() => {
  nowMs = 0;
  ports = portsWith({});
});

/** One block of 64 ports; time passes when the test says so. */
function portsWith(options: BinderOptions): AddressPorts {
  const made = new AddressPorts("127.0.0.10", {
    clock: () => ({ monotonicMs: nowMs, wallMs: nowMs }),
    timers: { after: () => () => {} },
    holdDownMs: HOLD_DOWN_MS,
    ...options,
  });
  made.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  made.addBlock({ base: 4096, order: 6, epoch: 1 });
  return made;
}

function take(count: number): HeldPort[] {
  return Array.from({ length: count }, () => {
    const taken = ports.take("a");
    if (!taken.ok) throw new Error(taken.refusal);
    return taken.value;
  });
}

/** Gives ports back, and lets their hold-down pass. */
function rest(...held: HeldPort[]): void {
  for (const one of held) one.release();
  nowMs += HOLD_DOWN_MS;
  ports.capacity();
}

const EXHAUSTED = { ok: false, refusal: "port-block-exhausted" };

it("[BI14] a port that was taken up from its rest is held for as long as it is in use", () => {
  rest(...take(64));
  take(64);
  expect(ports.take("a")).toEqual(EXHAUSTED);
  // Where its rest would have ended.
  nowMs += REST_MS;
  expect(ports.take("a")).toEqual(EXHAUSTED);
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 64 });
});

it("[BI14] no port is taken up of a lease that has gone, or drains", () => {
  rest(...take(64));
  ports.drainBlock(1);
  ports.addBlock({ base: 8192, order: 6, epoch: 2 });
  expect(take(64).every(({ port }) => port >= 8192)).toBe(true);
  expect(ports.take("a")).toEqual(EXHAUSTED);
  ports.removeBlock(1);
  expect(ports.take("a")).toEqual(EXHAUSTED);
});

it("[BI14] the longest unused is taken up first, whatever came to rest in between", () => {
  const held = take(64);
  rest(held[0]!);
  rest(held[1]!);
  expect(take(1)[0]!.port).toBe(held[0]!.port);
  rest(held[2]!);
  expect(take(2).map(({ port }) => port)).toEqual([held[1]!.port, held[2]!.port]);
  expect(ports.take("a")).toEqual(EXHAUSTED);
  rest(held[3]!);
  expect(take(1)[0]!.port).toBe(held[3]!.port);
});

it("[BI6] what ends on a block that has gone takes nothing from the use of the others", () => {
  const gone = take(10);
  ports.drainBlock(1);
  ports.addBlock({ base: 8192, order: 6, epoch: 2 });
  take(5);
  ports.removeBlock(1);
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 5 });
  rest(...gone);
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 5 });
  take(59);
  expect(ports.take("a")).toEqual(EXHAUSTED);
});

it("[BI1] however many units are full, a choice draws as many numbers", () => {
  let drawCount = 0;
  // Always the first: of the units it is a full one, until there is a list of the others.
  ports = portsWith({ random: () => ((drawCount += 1), 0) });
  ports.addBlock({ base: 8192, order: 12, epoch: 2 });
  for (let taken = 0; taken < 64; taken += 1) {
    drawCount = 0;
    take(1);
    expect(drawCount).toBe(2);
  }
  for (let taken = 64; taken < 4_160; taken += 1) {
    drawCount = 0;
    take(1);
    expect(drawCount).toBe(6);
  }
  expect(ports.take("a")).toEqual(EXHAUSTED);
});

it("[BI3] a port is free when its hold-down has ended, also if no timer has noticed", () => {
  const held = take(64);
  held[9]!.release();
  nowMs += HOLD_DOWN_MS - 1;
  expect(ports.take("a")).toEqual(EXHAUSTED);
  nowMs += 1;
  expect(take(1)[0]!.port).toBe(held[9]!.port);
});

it("[BI6] whoever waits for a port while there is no term has one when the term comes", async () => {
  ports.setTerm(null);
  ports.growthOutstanding = true;
  const waiting = ports.takeWithin("a", 2_000);
  ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  expect(await waiting).toMatchObject({ ok: true });
});
