/** Happy Eyeballs by a clock of its own: who begins when, who wins, and what becomes of the others. */
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { raceAddresses } from "../../src/agent/egress/happy-eyeballs.ts";
import { EgressFault, problemOf } from "../../src/agent/egress/faults.ts";
import { monotonicMs } from "../../src/process/clock.ts";

interface Begun {
  readonly address: string;
  readonly atMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly connect: () => void;
  readonly fail: (fault: unknown) => void;
}

let begun: Begun[];
let discarded: string[];
let startMs: number;

beforeEach(() => {
  vi.useFakeTimers();
  begun = [];
  discarded = [];
  startMs = monotonicMs();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Attempts that hang until they are told, or until their time is up. */
function race(addressCount: number, timeoutMs = 10_000, signal?: AbortSignal): Promise<string> {
  const addresses = Array.from({ length: addressCount }, (_, at) => `address ${at}`);
  const won = raceAddresses<string>(
    addresses,
    (address, attemptMs, lost) =>
      new Promise((resolve, reject) => {
        setTimeout(() => reject(new EgressFault("connection-timeout")), attemptMs);
        begun.push({
          address,
          atMs: monotonicMs() - startMs,
          timeoutMs: attemptMs,
          signal: lost,
          connect: () => resolve(address),
          fail: reject,
        });
      }),
    { endMs: startMs + timeoutMs, discard: (late) => discarded.push(late), signal },
  );
  won.catch(() => {});
  return won;
}

const beginnings = (): number[] => begun.map(({ atMs }) => Math.round(atMs));
const codeOf = (won: Promise<string>): Promise<string> =>
  won.then(
    () => "connected",
    (fault: unknown) => problemOf(fault).code,
  );

it("[BI11] the next address is tried 250 ms after the last, and the first that connects wins", async () => {
  const won = race(3);
  await vi.advanceTimersByTimeAsync(600);
  expect(beginnings()).toEqual([0, 250, 500]);
  begun[1]!.connect();
  expect(await won).toBe("address 1");
  expect(begun.map(({ signal }) => signal.aborted)).toEqual([true, true, true]);
  // It connected at the same moment, and has lost nevertheless.
  begun[2]!.connect();
  await vi.advanceTimersByTimeAsync(0);
  expect(discarded).toEqual(["address 2"]);
});

it("[BI11] the next address is tried at once when one fails", async () => {
  const won = race(4);
  for (let at = 0; at < 3; at += 1) {
    begun[at]!.fail(new EgressFault("connection-refused"));
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(beginnings()).toEqual([0, 0, 0, 0]);
  begun[3]!.connect();
  expect(await won).toBe("address 3");
});

it("[BI12] at most four attempts run at a time, and the next begins when one has ended", async () => {
  const won = race(16);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(beginnings()).toEqual([0, 250, 500, 750]);
  begun[2]!.fail(new EgressFault("connection-refused"));
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toHaveLength(5);
  begun[4]!.connect();
  expect(await won).toBe("address 4");
});

it.each([300, 2_000, 10_000])(
  "[BI12] with %d ms in all, addresses that hang take no turn of the others",
  async (timeoutMs) => {
    const count = timeoutMs < 1_000 ? 3 : 16;
    const won = codeOf(race(count, timeoutMs));
    await vi.advanceTimersByTimeAsync(timeoutMs - 1);
    expect(begun.map(({ address }) => address)).toEqual(
      Array.from({ length: count }, (_, at) => `address ${at}`),
    );
    await vi.advanceTimersByTimeAsync(1);
    expect(await won).toBe("connection-timeout");
    expect(vi.getTimerCount()).toBe(0);
  },
);

it("[BI12] as long as no other waits, an attempt has all of the time", async () => {
  const won = race(4);
  await vi.advanceTimersByTimeAsync(9_900);
  begun[0]!.connect();
  expect(await won).toBe("address 0");
});

it("[BI11] given up while it runs, or before: nothing is left", async () => {
  const leaving = new AbortController();
  const won = codeOf(race(3, 10_000, leaving.signal));
  await vi.advanceTimersByTimeAsync(300);
  leaving.abort();
  expect(await won).toBe("connection-terminated");
  expect(begun.map(({ signal }) => signal.aborted)).toEqual([true, true]);
  begun[0]!.connect();
  await vi.advanceTimersByTimeAsync(0);
  expect(discarded).toEqual(["address 0"]);
  expect(await codeOf(race(3, 10_000, leaving.signal))).toBe("connection-terminated");
  expect(begun).toHaveLength(2);
});

it("[BI11] when all fail the last fault is told, unless another host may do better", async () => {
  const won = codeOf(race(2));
  begun[0]!.fail(new EgressFault("connection-timeout"));
  await vi.advanceTimersByTimeAsync(0);
  begun[1]!.fail(new EgressFault("connection-refused"));
  expect(await won).toBe("connection-refused");
  begun = [];
  const full = codeOf(race(2));
  begun[0]!.fail(new EgressFault("port-block-exhausted"));
  await vi.advanceTimersByTimeAsync(0);
  begun[1]!.fail(new EgressFault("connection-refused"));
  expect(await full).toBe("port-block-exhausted");
});

it.each([
  [2, 10_000, 10_000, 250],
  [4, 10_000, 10_000, 250],
  [5, 10_000, 5_000, 250],
  [8, 10_000, 5_000, 250],
  [16, 10_000, 2_500, 250],
  [16, 2_000, 500, 125],
  [16, 800, 200, 100],
  [2, 300, 300, 150],
])(
  "[BI12] of %d addresses in %d ms each has %d ms, one every %d ms",
  async (count, inAllMs, eachMs, everyMs) => {
    const won = codeOf(race(count, inAllMs));
    await vi.advanceTimersByTimeAsync(everyMs - 1);
    expect(begun.map(({ timeoutMs }) => timeoutMs)).toEqual([eachMs]);
    await vi.advanceTimersByTimeAsync(1);
    expect(beginnings()).toEqual([0, everyMs]);
    // What is left may be less than a share.
    expect(begun[1]!.timeoutMs).toBe(Math.min(eachMs, inAllMs - everyMs));
    await vi.advanceTimersByTimeAsync(inAllMs);
    expect(await won).toBe("connection-timeout");
  },
);

it("[BI12] nothing is begun when the time is up", async () => {
  const won = codeOf(race(16, 800));
  await vi.advanceTimersByTimeAsync(799);
  const before = begun.length;
  expect(before).toBeLessThan(16);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(begun).toHaveLength(before);
  expect(await won).toBe("connection-timeout");
  expect(await codeOf(race(3, 0))).toBe("connection-timeout");
  expect(begun).toHaveLength(before);
});

it("[BI11] a failure begins the next attempt, and the one after has its whole delay", async () => {
  const won = race(4);
  await vi.advanceTimersByTimeAsync(200);
  begun[0]!.fail(new EgressFault("connection-refused"));
  await vi.advanceTimersByTimeAsync(249);
  expect(beginnings()).toEqual([0, 200]);
  await vi.advanceTimersByTimeAsync(1);
  expect(beginnings()).toEqual([0, 200, 450]);
  begun[2]!.connect();
  expect(await won).toBe("address 2");
});

it("[BI11] when it is over nothing begins, and nobody listens to the signal any more", async () => {
  const leaving = new AbortController();
  const won = race(3, 10_000, leaving.signal);
  expect(getEventListeners(leaving.signal, "abort")).toHaveLength(1);
  begun[0]!.connect();
  expect(await won).toBe("address 0");
  expect(getEventListeners(leaving.signal, "abort")).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(begun).toHaveLength(1);
  const failed = codeOf(race(1, 10_000, leaving.signal));
  begun[1]!.fail(new EgressFault("connection-refused"));
  expect(await failed).toBe("connection-refused");
  expect(getEventListeners(leaving.signal, "abort")).toHaveLength(0);
});

it("[BI11] an attempt that fails after the race is over begins nothing", async () => {
  const won = race(4);
  await vi.advanceTimersByTimeAsync(250);
  begun[1]!.connect();
  expect(await won).toBe("address 1");
  begun[0]!.fail(new EgressFault("connection-refused"));
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toHaveLength(2);
  expect(discarded).toEqual([]);
});

it("[BI11] a fault of our own is told before whatever came later", async () => {
  const own = codeOf(race(2));
  begun[0]!.fail(new Error("nobody foresaw it"));
  await vi.advanceTimersByTimeAsync(0);
  begun[1]!.fail(new EgressFault("connection-refused"));
  expect(await own).toBe("internal-fault");
});
