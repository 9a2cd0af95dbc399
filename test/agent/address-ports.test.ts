/** The ports of one address: every port, no other port, and only while the term lasts. */
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { AddressPorts } from "../../src/agent/egress/address-ports.ts";
import { readClock } from "../../src/process/clock.ts";
import type { HeldPort } from "../../src/agent/egress/held-port.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";

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

/** Lets those who wait go on. */
async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
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
  expect(ports.capacity()).toEqual({ portCount: 1088, busiestCount: 1088 });
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
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 0 });
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
  // These rest no longer, so they are as good as any.
  expect(taken.map(({ port }) => port)).not.toEqual(held.slice(0, 56).map(({ port }) => port));
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
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 64 });
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
  expect(ports.capacity().portCount).toBe(0);
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

it("[BI6] pressure is told of from the count on that is set, towards one destination", () => {
  termFor(60_000);
  ports.pressureCount = 45;
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

it("[BI3] unless told otherwise a port is held down for a second and a half", () => {
  ports.close();
  ports = new AddressPorts("127.0.0.10", { clock: () => ({ ...clock }) });
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  held[0]!.release();
  expect(ports.heldCounts()).toEqual({ inUse: 63, heldDown: 1 });
  pass(1_499);
  expect(ports.take("a").ok).toBe(false);
  pass(1);
  expect(ports.heldCounts()).toEqual({ inUse: 63, heldDown: 0 });
  expect(ports.take("a").ok).toBe(true);
});

it("[BI3] each port is held down for its own time, whatever was given back before and after", async () => {
  termFor(Infinity);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  const timerCount = vi.getTimerCount();
  ports.growthOutstanding = true;
  const freed: number[] = [];
  const waiting = [0, 1, 2].map(() =>
    ports.takeWithin("a", 60_000).then((taken) => freed.push(taken.ok ? taken.value.port : -1)),
  );
  held[0]!.release();
  pass(500);
  held[1]!.release();
  await settled();
  pass(1_000);
  await settled();
  expect(freed).toEqual([held[0]!.port]);
  pass(100);
  held[2]!.release();
  expect(ports.heldCounts().heldDown).toBe(2);
  pass(400);
  await settled();
  expect(freed).toEqual([held[0]!.port, held[1]!.port]);
  expect(ports.heldCounts().heldDown).toBe(1);
  pass(1_100);
  await Promise.all(waiting);
  expect(freed).toEqual([0, 1, 2].map((at) => held[at]!.port));
  expect(ports.heldCounts()).toEqual({ inUse: 64, heldDown: 0 });
  // Nothing is left to be looked at.
  expect(vi.getTimerCount()).toBe(timerCount);
});

it("[BI4] both clocks are those of the machine: another process reads the same", () => {
  vi.useRealTimers();
  const readHere = (): number => readClock().monotonicMs;
  const inAnother = ["-p", "Number(process.hrtime.bigint()) / 1e6"];
  const readings = [readHere(), Number(execFileSync(process.execPath, inAnother)), readHere()];
  expect(readings.toSorted((a, b) => a - b)).toEqual(readings);
  vi.useFakeTimers();
  const { monotonicMs, wallMs } = readClock();
  expect(wallMs).toBe(Date.now());
  ports.close();
  ports = new AddressPorts("127.0.0.10");
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  ports.setTerm({ monotonicEndMs: monotonicMs + 5_000, wallEndMs: wallMs + 5_000 });
  expect(ports.isUsable()).toBe(true);
  vi.advanceTimersByTime(5_000);
  expect(ports.isUsable()).toBe(false);
});

it("[BI4] an address is usable while it has a term and a block, and has room only then", () => {
  expect(ports.isUsable()).toBe(false);
  termFor(10_000);
  expect(ports.isUsable()).toBe(false);
  expect(ports.capacity()).toEqual({ portCount: 0, busiestCount: 0 });
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  expect(ports.isUsable()).toBe(true);
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 0 });
  ports.drainBlock(1);
  expect(ports.isUsable()).toBe(false);
  expect(ports.capacity().portCount).toBe(0);
  ports.resumeBlock(1);
  pass(10_000);
  expect(ports.isUsable()).toBe(false);
  expect(ports.capacity().portCount).toBe(0);
});

it("[BI4] a term that is taken away, or is over when it comes, resets every connection at once", () => {
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  ports.addBlock({ base: 8192, order: 6, epoch: 2 });
  for (const end of [(): void => ports.setTerm(null), (): void => termFor(0)]) {
    termFor(10_000);
    const held = Array.from({ length: 128 }, () => take(String(end)));
    for (const one of held) one.onReset = vi.fn<() => void>(() => one.release());
    end();
    for (const { onReset, isLost } of held) {
      expect(isLost).toBe(true);
      expect(onReset).toBeNull();
    }
    expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 128 });
    pass(1_500);
  }
});

it("[BI4] a term that was replaced resets nothing at its end", () => {
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  termFor(400);
  const held = take("a");
  termFor(10_000);
  pass(9_999);
  expect(held.isLost).toBe(false);
  pass(1);
  expect(held.isLost).toBe(true);
});

it("[BI5] a lease that is told of twice is there once, and goes on draining", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = take("a");
  held.onDrain = vi.fn<() => void>();
  ports.drainBlock(1);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  ports.drainBlock(1);
  expect(held.onDrain).toHaveBeenCalledOnce();
  expect(ports.flowCount(1)).toBe(1);
  expect([...ports.leases()]).toMatchObject([
    { lease: { base: 4096, order: 6, epoch: 1 }, isDraining: true },
  ]);
  expect(ports.take("a").ok).toBe(false);
});

it("[BI5] a drain that is taken back gives the ports again, to those who wait too", async () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const before = take("a");
  ports.drainBlock(1);
  ports.growthOutstanding = true;
  const waiting = ports.takeWithin("a", 2_000);
  ports.resumeBlock(1);
  expect(await waiting).toMatchObject({ ok: true });
  const others = new Set(Array.from({ length: 62 }, () => take("a").port));
  expect(others).not.toContain(before.port);
  expect(ports.take("a")).toEqual({ ok: false, refusal: "port-block-exhausted" });
});

it("[BI5] what is said of a block that is not there changes nothing", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = take("a");
  ports.drainBlock(2);
  ports.resumeBlock(2);
  ports.removeBlock(2);
  ports.resumeBlock(1);
  expect(held.isLost).toBe(false);
  expect(ports.flowCount(2)).toBe(0);
  expect(ports.capacity()).toEqual({ portCount: 64, busiestCount: 1 });
});

it("[BI5] ports that were leased anew stay usable when the old lease goes", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const old = take("a");
  ports.addBlock({ base: 4096, order: 6, epoch: 2 });
  ports.removeBlock(1);
  expect(old.isLost).toBe(true);
  expect(old.block.isDraining).toBe(true);
  expect([...ports.leases()].map(({ lease }) => lease.epoch)).toEqual([2]);
  expect(ports.capacity().portCount).toBe(64);
  expect(take("a").block.lease.epoch).toBe(2);
});

it("[BI3] a removed block's connections are held until they have ended", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = [take("a"), take("b")];
  ports.removeBlock(1);
  // They have been reset, yet none has given its port back.
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 2 });
  for (const one of held) one.release();
  pass(1_500);
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 0 });
});

it("[BI6] the busiest destination is the one towards which most ports are held", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  expect(ports.busiestDestination()).toBeNull();
  const toA = take("a");
  expect(ports.busiestDestination()).toBe("a");
  const toB = [take("b"), take("b"), take("b")];
  take("c");
  expect(ports.busiestDestination()).toBe("b");
  expect(ports.capacity().busiestCount).toBe(3);
  for (const held of toB) held.release();
  // Held down, they are in use still.
  expect(ports.busiestDestination()).toBe("b");
  pass(1_500);
  expect(ports.capacity().busiestCount).toBe(1);
  expect(ports.busiestDestination()).toBe("a");
  toA.release();
  pass(1_500);
  expect(ports.busiestDestination()).toBe("c");
});

it("[BI6] exactly the count is pressure, each further port again, and none that is given back", () => {
  termFor(60_000);
  ports.pressureCount = 448;
  ports.addBlock({ base: 4096, order: 9, epoch: 1 });
  ports.addBlock({ base: 8192, order: 7, epoch: 2 });
  const onPressure = vi.fn<() => void>();
  ports.onPressure = onPressure;
  const held = Array.from({ length: 447 }, () => take("a"));
  expect(onPressure).not.toHaveBeenCalled();
  take("a");
  expect(onPressure).toHaveBeenCalledTimes(1);
  take("a");
  expect(onPressure).toHaveBeenCalledTimes(2);
  held[0]!.release();
  pass(1_500);
  expect(ports.capacity()).toEqual({ portCount: 640, busiestCount: 448 });
  expect(onPressure).toHaveBeenCalledTimes(2);
});

it("[BI6] a choice that fails is pressure, also where nothing was ever held", () => {
  termFor(60_000);
  const onPressure = vi.fn<() => void>();
  ports.onPressure = onPressure;
  expect(ports.take("a")).toEqual({ ok: false, refusal: "lease-lost" });
  expect(onPressure).toHaveBeenCalledOnce();
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 0 });
  ports.setTerm(null);
  expect(ports.take("a").ok).toBe(false);
  expect(onPressure).toHaveBeenCalledOnce();
});

it("[BI6] whoever waits for a port and goes away gets none, and none is lost to him", async () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  for (let at = 0; at < 64; at += 1) take("a");
  ports.growthOutstanding = true;
  const leaving = new AbortController();
  const timerCount = vi.getTimerCount();
  const waiting = ports.takeWithin("a", 2_000, leaving.signal);
  expect(vi.getTimerCount()).toBe(timerCount + 1);
  leaving.abort();
  expect(await waiting).toEqual({ ok: false, refusal: "port-block-exhausted" });
  expect(vi.getTimerCount()).toBe(timerCount);
  expect((await ports.takeWithin("a", 2_000, leaving.signal)).ok).toBe(false);
  expect((await ports.takeWithin("a", 0)).ok).toBe(false);
  ports.addBlock({ base: 8192, order: 6, epoch: 2 });
  expect(ports.capacity()).toEqual({ portCount: 128, busiestCount: 64 });
});

it("[BI6] a port that comes free goes to whoever waits for one", async () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = Array.from({ length: 64 }, () => take("a"));
  ports.growthOutstanding = true;
  const waiting = [ports.takeWithin("a", 10_000), ports.takeWithin("a", 10_000)];
  held[7]!.release();
  pass(1_500);
  expect(await waiting[0]).toMatchObject({ ok: true, value: { port: held[7]!.port } });
  held[8]!.release();
  pass(1_500);
  expect(await waiting[1]).toMatchObject({ ok: true, value: { port: held[8]!.port } });
});

it("[BI4] closed, it resets every connection, and no timer of it is left", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  take("a").release();
  const held = take("a");
  expect(vi.getTimerCount()).toBe(2);
  ports.close();
  expect(held.isLost).toBe(true);
  expect([...ports.leases()]).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

it("[BI8] a port is given back once, and then nothing can be done to its connection", () => {
  termFor(60_000);
  ports.addBlock({ base: 4096, order: 6, epoch: 1 });
  const held = take("a");
  const onReset = vi.fn<() => void>();
  const onDrain = vi.fn<() => void>();
  Object.assign(held, { onReset, onDrain });
  held.release();
  held.release();
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 1 });
  ports.drainBlock(1);
  ports.removeBlock(1);
  held.reset();
  expect(onReset).not.toHaveBeenCalled();
  expect(onDrain).not.toHaveBeenCalled();
  pass(1_500);
  expect(ports.heldCounts()).toEqual({ inUse: 0, heldDown: 0 });
});

it("[BI5] a binder has its addresses in the order they came, each once", () => {
  const binder = new PortBinder({ clock: () => ({ ...clock }), holdDownMs: 10 });
  for (const ip of ["127.0.0.12", "127.0.0.11", "127.0.0.12"]) binder.addAddress(ip);
  expect([...binder.addresses()].map(({ ip }) => ip)).toEqual(["127.0.0.12", "127.0.0.11"]);
  binder.removeAddress("127.0.0.12");
  binder.removeAddress("127.0.0.13");
  expect([...binder.addresses()].map(({ ip }) => ip)).toEqual(["127.0.0.11"]);
  // What the binder was told of time and chance holds for each.
  const address = binder.address("127.0.0.11")!;
  address.addBlock({ base: 4096, order: 6, epoch: 1 });
  address.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  const taken = address.take("a");
  if (taken.ok) taken.value.release();
  expect(address.heldCounts().heldDown).toBe(1);
  pass(10);
  expect(address.heldCounts().heldDown).toBe(0);
  binder.removeAddress("127.0.0.11");
});
