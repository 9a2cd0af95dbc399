/** The ports of one address: every port, no other port, and only while the term lasts. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { AddressPorts } from "../../src/agent/ports/address-ports.ts";
import type { HeldPort } from "../../src/agent/ports/held-port.ts";
import { PortBinder } from "../../src/agent/ports/port-binder.ts";

const clock = { monotonicMs: 0, wallMs: 1_000_000 };
let ports: AddressPorts;

beforeEach(() => {
  vi.useFakeTimers();
  clock.monotonicMs = 0;
  clock.wallMs = 1_000_000;
  ports = new AddressPorts("127.0.0.10", { clock: () => ({ ...clock }), holdDownMs: 1_500 });
});
afterEach(() => {
  ports.close();
  vi.useRealTimers();
});

function pass(ms: number): void {
  clock.monotonicMs += ms;
  clock.wallMs += ms;
  vi.advanceTimersByTime(ms);
}

function termFor(ms: number): void {
  ports.setTerm({ monotonicEndMs: clock.monotonicMs + ms, wallEndMs: clock.wallMs + ms });
}

function take(destination = "tcp 192.0.2.1 443"): HeldPort {
  const taken = ports.take(destination);
  if (!taken.ok) throw new Error(taken.refusal);
  return taken.value;
}

it("[BI2] every port of every block can be used, and one port serves many destinations", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 10, epoch: 1 });
  ports.addBlock({ base: 1024, order: 6, epoch: 2 });
  const wanted = new Set(Array.from({ length: 1024 }, (_, at) => 4096 + at));
  for (let at = 0; at < 64; at += 1) wanted.add(1024 + at);
  for (const destination of ["a", "b", "c"]) {
    const chosen = new Set(Array.from({ length: 1088 }, () => take(destination).port));
    expect(chosen).toEqual(wanted);
    expect(ports.take(destination)).toEqual({ ok: false, refusal: "port-block-exhausted" });
  }
  expect(ports.room()).toEqual({ portCount: 1088, busiestCount: 1088 });
});

it("[BI2] at 99.9 % occupancy the last free ports are found at once", () => {
  termFor(Infinity);
  for (let epoch = 1; epoch <= 8; epoch += 1) ports.addBlock({ base: 4096 * epoch, order: 12, epoch });
  const held = Array.from({ length: 32_768 }, () => take());
  for (let round = 0; round < 2_000; round += 1) {
    const at = (round * 7919) % held.length;
    held[at]!.release();
    // Held down, so it is not chosen again before its time.
    expect(ports.take("tcp 192.0.2.1 443").ok).toBe(false);
    pass(1_500);
    held[at] = take();
  }
});

it("[BI9] the choice is spread over all ports and not in order", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 8, epoch: 1 });
  ports.addBlock({ base: 8192, order: 6, epoch: 2 });
  const counts = new Map<number, number>();
  let ascending = 0;
  let last = 0;
  for (let round = 0; round < 32_000; round += 1) {
    const { port } = take(`tcp 192.0.2.1 ${round}`);
    counts.set(port, (counts.get(port) ?? 0) + 1);
    if (port === last + 1) ascending += 1;
    last = port;
  }
  expect(counts.size).toBe(320);
  // 100 each on average; a Poisson count strays this far less than once in a million.
  for (const count of counts.values()) {
    expect(count).toBeGreaterThan(45);
    expect(count).toBeLessThan(165);
  }
  expect(ascending).toBeLessThan(200);
});

it("[BI3] a port rests towards its destination after its connection, and towards no other", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  held[5]!.release();
  expect(ports.take("a")).toEqual({ ok: false, refusal: "port-block-exhausted" });
  expect(ports.take("b").ok).toBe(true);
  pass(1_499);
  expect(ports.take("a").ok).toBe(false);
  pass(1);
  expect(take("a").port).toBe(held[5]!.port);
});

it("[BI3] a rest outlives the lease: the block that comes back finds its ports as they were", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  for (const one of held) one.release();
  ports.removeBlock(1);
  ports.addBlock({ base: 4096, order: 6, epoch: 2 });
  expect(ports.take("a")).toEqual({ ok: false, refusal: "port-block-exhausted" });
  pass(1_500);
  expect(ports.take("a").ok).toBe(true);
});

it("[BI14] a used port is chosen again only when no other is free, the longest unused first", () => {
  termFor(Infinity);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const first = Array.from({ length: 32 }, () => take("a"));
  for (const held of first) {
    held.release();
    pass(10);
  }
  pass(1_500);
  // None of them is in the way: the room is all there.
  expect(ports.room()).toEqual({ portCount: 64, busiestCount: 0 });
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 0 });
  expect(ports.busiestDestination()).toBeNull();
  const used = new Set(first.map(({ port }) => port));
  for (let at = 0; at < 32; at += 1) expect(used).not.toContain(take("a").port);
  for (const held of first) expect(take("a").port).toBe(held.port);
  expect(ports.take("a").ok).toBe(false);
  expect(ports.take("b").ok).toBe(true);
});

it("[BI14] a port rests for two minutes, and no more ports than there is memory for", () => {
  ports.close();
  ports = new AddressPorts("127.0.0.10", { clock: () => ({ ...clock }), maxResting: 8 });
  termFor(Infinity);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  for (const one of held) one.release();
  pass(1_500);
  const lastRested = new Set(held.slice(-8).map(({ port }) => port));
  const taken = Array.from({ length: 56 }, () => take("a"));
  expect(taken.some(({ port }) => lastRested.has(port))).toBe(false);
  for (const one of taken) one.release();
  pass(121_500);
  // By chance again, and not in the order in which they were given back.
  const chosen = Array.from({ length: 8 }, () => take("a").port);
  expect(chosen).not.toEqual(taken.slice(-8).map(({ port }) => port));
  expect(chosen).not.toEqual(taken.slice(0, 8).map(({ port }) => port));
});

it("[BI7] a port that the kernel refused stays held for a minute, and counts as used", () => {
  termFor(Infinity);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const refused = Array.from({ length: 64 }, () => take("a"));
  for (const held of refused) {
    held.isRefused = true;
    held.release();
  }
  pass(59_999);
  expect(ports.take("a")).toEqual({ ok: false, refusal: "port-block-exhausted" });
  expect(ports.room()).toEqual({ portCount: 64, busiestCount: 64 });
  pass(1);
  expect(ports.take("a").ok).toBe(true);
});

it("[BI7] while refused ports wait, others come free in their own time", async () => {
  termFor(Infinity);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  held[0]!.isRefused = true;
  held[0]!.release();
  pass(1_600);
  ports.growthOutstanding = true;
  const waiting = ports.takeWithin("a", 2_000);
  held[1]!.release();
  await vi.advanceTimersByTimeAsync(0);
  pass(1_500);
  expect(await waiting).toMatchObject({ ok: true, value: { port: held[1]!.port } });
});

it("[BI4] without a term, or after its end by either clock, there is no port", () => {
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  expect(ports.take("a")).toEqual({ ok: false, refusal: "lease-lost" });
  termFor(10_000);
  expect(ports.take("a").ok).toBe(true);
  clock.wallMs += 10_000;
  expect(ports.take("a")).toEqual({ ok: false, refusal: "lease-lost" });
  expect(ports.room().portCount).toBe(0);
  termFor(10_000);
  clock.monotonicMs += 10_000;
  expect(ports.take("a")).toEqual({ ok: false, refusal: "lease-lost" });
});

it("[BI4] at the end of the term every connection is reset, also when the wall clock alone gets there", () => {
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  termFor(10_000);
  const onReset = vi.fn<() => void>();
  take("a").onReset = onReset;
  pass(9_999);
  expect(onReset).not.toHaveBeenCalled();
  termFor(10_000);
  pass(1_000);
  expect(onReset).not.toHaveBeenCalled();
  clock.wallMs += 9_000;
  vi.advanceTimersByTime(500);
  expect(onReset).toHaveBeenCalledOnce();
});

it("[BI5] a draining block gives no ports and tells its connections; a removed one resets them", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = take("a");
  held.onDrain = vi.fn<() => void>();
  held.onReset = vi.fn<() => void>();
  ports.drainBlock(1);
  expect(held.onDrain).toHaveBeenCalledOnce();
  expect(ports.take("a")).toEqual({ ok: false, refusal: "lease-lost" });
  expect(ports.flowCount(1)).toBe(1);
  ports.removeBlock(1);
  expect(held.onReset).toHaveBeenCalledOnce();
  expect(ports.flowCount(1)).toBe(0);
});

it("[BI6] while growth is outstanding a request waits for the next block", async () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  for (let at = 0; at < 64; at += 1) take("a");
  ports.onPressure = () => (ports.growthOutstanding = true);
  const waiting = ports.takeWithin("a", 2_000);
  ports.addBlock({ base: 8192, order: 6, epoch: 2 });
  const taken = await waiting;
  expect(taken.ok && taken.value.port).toBeGreaterThanOrEqual(8192);
});

it("[BI6] it waits no longer than told, and not at all without growth", async () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  for (let at = 0; at < 64; at += 1) take("a");
  expect(await ports.takeWithin("a", 2_000)).toEqual({ ok: false, refusal: "port-block-exhausted" });
  ports.growthOutstanding = true;
  let outcome: unknown = null;
  const waiting = ports.takeWithin("a", 2_000).then((taken) => (outcome = taken));
  pass(1_999);
  await Promise.resolve();
  expect(outcome).toBeNull();
  pass(1);
  await waiting;
  expect(outcome).toEqual({ ok: false, refusal: "port-block-exhausted" });
  const second = ports.takeWithin("a", 2_000);
  ports.endGrowth();
  expect(await second).toEqual({ ok: false, refusal: "port-block-exhausted" });
});

it("[BI6] pressure is told of from 70 % towards one destination", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const onPressure = vi.fn<() => void>();
  ports.onPressure = onPressure;
  for (let at = 0; at < 44; at += 1) take("a");
  for (let at = 0; at < 44; at += 1) take("b");
  expect(onPressure).not.toHaveBeenCalled();
  take("a");
  expect(onPressure).toHaveBeenCalledOnce();
});

it("[BI5] an address that is removed resets what is on it and is forgotten", () => {
  const binder = new PortBinder({ clock: () => ({ ...clock }) });
  const address = binder.addAddress("127.0.0.11");
  expect(binder.addAddress("127.0.0.11")).toBe(address);
  address.addBlock({ base: 4096, order: 6, epoch: 1 });
  address.setTerm({ monotonicEndMs: 1e9, wallEndMs: 1e12 });
  const taken = address.take("a");
  const onReset = vi.fn<() => void>();
  if (taken.ok) taken.value.onReset = onReset;
  binder.removeAddress("127.0.0.11");
  expect(onReset).toHaveBeenCalled();
  expect(binder.address("127.0.0.11")).toBeUndefined();
});
