/** Which waits are noticed to be long. */
import { afterEach, expect, it, vi } from "vitest";
import type { Background } from "../../src/worker/runtime/environment.ts";
import { LONG, LongWaits, UNNOTICED_MS, type Wait } from "../../src/worker/hosts/long-waits.ts";

const works: Promise<unknown>[] = [];
const background: Background = { waitUntil: (work) => void works.push(work) };

afterEach(() => {
  works.length = 0;
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Those that are told within two of the longest times. */
async function longOf(...waits: Wait[]): Promise<boolean[]> {
  const over = scheduler.wait(2 * UNNOTICED_MS).then(() => null);
  const told = await Promise.all(waits.map(({ isLong }) => Promise.race([isLong, over])));
  return told.map((each) => each === LONG);
}

it("[WK24] one that lasts is told so, one that ended is not", async () => {
  const waits = new LongWaits();
  const [short, long] = [waits.begin(background), waits.begin(background)];
  short.end();
  expect(await longOf(short, long)).toEqual([false, true]);
});

it("[WK24] the end of one, or its end told twice, makes no other one long", async () => {
  const waits = new LongWaits();
  const [first, second] = [waits.begin(background), waits.begin(background)];
  first.end();
  first.end();
  expect(await Promise.race([second.isLong, scheduler.wait(UNNOTICED_MS / 2)])).not.toBe(LONG);
  expect(await longOf(second)).toEqual([true]);
  // The one that was told so is forgotten: its end stops no later timer.
  const third = waits.begin(background);
  second.end();
  expect(await Promise.race([third.isLong, scheduler.wait(UNNOTICED_MS / 2)])).not.toBe(LONG);
  third.end();
});

it("[WK24] one timer counts for all, and ends with the last of them", async () => {
  const waits = new LongWaits();
  vi.spyOn(scheduler, "wait").mockReturnValueOnce(new Promise(() => {}));
  const all = Array.from({ length: 100 }, () => waits.begin(background));
  expect(works).toHaveLength(1);
  for (const { end } of all) end();
  await works[0];
  expect(await longOf(waits.begin(background))).toEqual([true]);
});

it("[WK24] one that begins as the last ends is not taken for long", async () => {
  const waits = new LongWaits();
  waits.begin(background).end();
  const next = waits.begin(background);
  await works[0];
  expect(await Promise.race([next.isLong, scheduler.wait(UNNOTICED_MS / 2)])).not.toBe(LONG);
  next.end();
});

it("[WK24] whoever waited while the timer was destroyed is counted with the next", async () => {
  const waits = new LongWaits();
  vi.spyOn(scheduler, "wait").mockReturnValueOnce(new Promise(() => {}));
  const first = waits.begin(background);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + UNNOTICED_MS });
  const second = waits.begin(background);
  expect(await longOf(first, second)).toEqual([true, true]);
});

it("[WK24] a clock that is set back by an hour leaves nobody uncounted", async () => {
  const waits = new LongWaits();
  vi.spyOn(scheduler, "wait").mockReturnValueOnce(new Promise(() => {}));
  const first = waits.begin(background);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3_600_000 });
  const second = waits.begin(background);
  expect(await longOf(first, second)).toEqual([true, true]);
});
