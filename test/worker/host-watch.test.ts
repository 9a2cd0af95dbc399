/** How often a host is looked after, and when its pool is asked. */
import { beforeEach, expect, it, vi } from "vitest";
import { ok, refuse } from "../../src/core/outcome.ts";
import { hostDoubts, placements } from "../../src/worker/hosts/edge-state.ts";
import { HostWatch, STREAM_PACE_MS } from "../../src/worker/hosts/host-watch.ts";
import type { Found } from "../../src/worker/hosts/placement-cache.ts";
import { absentHosts, freshNames, gateways, healthQuestions, placementOf } from "./edge.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
});

/** A watch over a host, with the times at which its pool was asked and it was found to be gone. */
function newWatch(answer: (host: string, pool: string) => Found, paceMs?: number) {
  const { pool, h1 } = freshNames();
  const beganAtMs = Date.now();
  gateways.set(h1, () => new Response("ok"));
  const askedAtMs: number[] = [];
  const goneAtMs: number[] = [];
  const load = async (): Promise<Found> => {
    askedAtMs.push(Date.now() - beganAtMs);
    // As every question does.
    hostDoubts.tell(pool, Date.now());
    return answer(h1, pool);
  };
  const host = placementOf(pool, [h1]).ips[0]!.hosts[0]!;
  const onGone = (): void => void goneAtMs.push(Date.now() - beganAtMs);
  const watch = new HostWatch({ host, pool, load }, onGone, paceMs);
  const looks = (): number => healthQuestions.get(h1) ?? 0;
  return { h1, host, pool, load, watch, askedAtMs, goneAtMs, looks };
}

const HEARD = (host: string, pool: string): Found => ok(placementOf(pool, [host]));
const UNHEARD = (_host: string, pool: string): Found => ok(placementOf(pool, ["other"]));

it.each([
  [undefined, 1_000],
  [STREAM_PACE_MS, 5_000],
])(
  "[WK24] [WK44] a gateway that answers is asked again in turn (%o: %i ms), and its pool never",
  async (paceMs, everyMs) => {
    const { watch, looks, askedAtMs } = newWatch(UNHEARD, paceMs);
    for (const count of [1, 2, 3]) {
      await vi.advanceTimersByTimeAsync(everyMs - 1);
      expect(looks()).toBe(count - 1);
      await vi.advanceTimersByTimeAsync(1);
      expect(looks()).toBe(count);
    }
    watch.stop();
    await vi.advanceTimersByTimeAsync(2 * everyMs);
    expect(looks()).toBe(3);
    expect(vi.getTimerCount()).toBe(0);
    expect(askedAtMs).toEqual([]);
  },
);

it("[WK24] of a gateway that does not answer the pool is asked once in 1.5 s, while it hears the host", async () => {
  const { h1, watch, askedAtMs, goneAtMs, looks } = newWatch(HEARD);
  absentHosts.add(h1);
  await vi.advanceTimersByTimeAsync(4_999);
  expect(askedAtMs).toEqual([1_000, 2_500, 4_000]);
  expect(looks()).toBe(4);
  absentHosts.delete(h1);
  await vi.advanceTimersByTimeAsync(1);
  expect(looks()).toBe(5);
  await vi.advanceTimersByTimeAsync(999);
  expect(looks()).toBe(5);
  watch.stop();
  expect(goneAtMs).toEqual([]);
});

it("[WK23] a host that neither answers nor is heard is gone, and no longer looked after", async () => {
  const { h1, goneAtMs, looks } = newWatch(UNHEARD);
  absentHosts.add(h1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(goneAtMs).toEqual([1_000]);
  expect(looks()).toBe(1);
});

it("[WK23] of a gateway that says nothing a host is gone after four seconds, and never if it is only slow", async () => {
  let answerAfterMs = 2_500;
  vi.stubGlobal("fetch", (_url: unknown, { signal }: { signal: AbortSignal }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    setTimeout(() => resolve(Response.json({ status: "ok" })), answerAfterMs);
    signal.addEventListener("abort", () => reject(signal.reason));
    return promise;
  });
  const busy = newWatch(UNHEARD);
  await vi.advanceTimersByTimeAsync(20_000);
  busy.watch.stop();
  expect(busy.goneAtMs).toEqual([]);
  expect(busy.askedAtMs.length).toBeGreaterThan(2);
  answerAfterMs = 60_000;
  const mute = newWatch(UNHEARD);
  await vi.advanceTimersByTimeAsync(8_000);
  expect(mute.goneAtMs).toHaveLength(1);
  expect(mute.goneAtMs[0]).toBeGreaterThanOrEqual(5_000);
});

it("[WK23] [LAW8] a host whose pool cannot be asked is not gone", async () => {
  const { h1, watch, goneAtMs } = newWatch(() => refuse("control-plane-unavailable"));
  absentHosts.add(h1);
  await vi.advanceTimersByTimeAsync(10_000);
  watch.stop();
  expect(goneAtMs).toEqual([]);
});

it.each([
  ["its gateway was asked, which answers", true, false],
  ["its gateway was asked, which does not answer", false, false],
  ["its pool was asked", false, true],
])("[WK23] one whose wait ended while %s is not given up", async (_what, isThere, isPoolAsked) => {
  const pause = Promise.withResolvers<void>();
  const { pool, h1 } = freshNames();
  const load = vi.fn<() => Promise<Found>>(async () => {
    await pause.promise;
    return UNHEARD(h1, pool);
  });
  vi.stubGlobal("fetch", async () => {
    if (!isPoolAsked) await pause.promise;
    return Response.json(isThere ? { status: "ok" } : null);
  });
  const onGone = vi.fn<() => void>();
  const host = placementOf(pool, [h1]).ips[0]!.hosts[0]!;
  const watch = new HostWatch({ host, pool, load }, onGone);
  await vi.advanceTimersByTimeAsync(1_000);
  watch.stop();
  pause.resolve();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(onGone).not.toHaveBeenCalled();
  expect(load).toHaveBeenCalledTimes(isPoolAsked ? 1 : 0);
  // What an answer says is read in its own time.
  await scheduler.wait(20);
  expect(vi.getTimerCount()).toBe(0);
});

it("[WK23] [WK19] a fault of the watch is logged, and gives nobody up", async () => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const fault = new Error("no placement");
  const { h1, goneAtMs } = newWatch(() => {
    throw fault;
  });
  absentHosts.add(h1);
  await vi.advanceTimersByTimeAsync(1_000);
  const line = JSON.parse(logged.mock.lastCall?.[0] as string) as unknown;
  expect(line).toMatchObject({
    msg: "a host could not be looked after",
    host: h1,
    err: { stack: fault.stack },
  });
  expect(goneAtMs).toEqual([]);
});

it("[WK24] [WK46] the pool is told of a host that has just come into doubt within half a second", async () => {
  const { h1, pool, load, watch, askedAtMs } = newWatch(HEARD);
  absentHosts.add(h1);
  await placements.find(pool, Date.now(), load, { waitUntil: () => {} });
  await vi.advanceTimersByTimeAsync(600);
  await placements.reconsider(pool, Date.now(), load);
  await vi.advanceTimersByTimeAsync(4_400);
  watch.stop();
  // Looked after at 1,000, when the pool had been asked 0.4 s before by one that did not know.
  expect(askedAtMs).toEqual([0, 600, 1_500, 3_000, 4_500]);
});
