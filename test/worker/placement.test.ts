import { describe, expect, it, vi } from "vitest";
import { ok, refuse } from "../../src/core/outcome.ts";
import type { Background } from "../../src/worker/runtime/environment.ts";
import { edgeCounters } from "../../src/worker/runtime/control-plane.ts";
import {
  type Found,
  FRESH_MS,
  LIFETIME_MS,
  RENEWAL_INTERVAL_MS,
  PlacementCache,
  STALE_MS,
} from "../../src/worker/hosts/placement-cache.ts";
import { codeOf, gatewayRefusal, gateways, newEgress, placementOf } from "./edge.ts";

/** A cache, a pool that answers as told, and what was left for the background. */
function newCache() {
  const cache = new PlacementCache();
  const answers: Found[] = [];
  const background: Promise<unknown>[] = [];
  let asked = 0;
  const load = async (): Promise<Found> => {
    asked += 1;
    return answers.shift() ?? refuse("control-plane-unavailable");
  };
  const keeper: Background = { waitUntil: (work) => void background.push(work) };
  return {
    answers,
    askedCount: () => asked,
    settled: () => Promise.all(background.splice(0)),
    hasWork: () => background.length > 0,
    find: (nowMs: number) => cache.find("eu", nowMs, load, keeper),
    reconsider: (nowMs: number) => cache.reconsider("eu", nowMs, load),
    doubt: () => cache.doubt("eu"),
  };
}

const OLD = ok(placementOf("eu", ["old"]));
const NEW = ok(placementOf("eu", ["new"]));
const LOST = refuse("control-plane-unavailable" as const);

/** With a copy of time 0, and answers that come when they are given. */
async function newSlowCache() {
  const cache = new PlacementCache();
  const pending: PromiseWithResolvers<Found>[] = [];
  const works: Promise<unknown>[] = [];
  const load = async (): Promise<Found> => {
    const answer = Promise.withResolvers<Found>();
    pending.push(answer);
    return answer.promise;
  };
  const background: Background = { waitUntil: (work) => void works.push(work) };
  const find = (nowMs: number) => cache.find("eu", nowMs, load, background);
  const first = find(0);
  pending[0]!.resolve(OLD);
  await first;
  return { find, pending, works };
}

describe("a copy of a placement", () => {
  it("[WK4] is asked for once while it is fresh", async () => {
    const cache = newCache();
    cache.answers.push(OLD);
    expect(await cache.find(0)).toEqual(OLD);
    expect(cache.find(FRESH_MS - 1)).toEqual(OLD);
    expect(cache.askedCount()).toBe(1);
  });

  it("[LAW9] [WK4] comes of a slow answer, be another question on its way by then", async () => {
    const { find, pending, works } = await newSlowCache();
    void find(FRESH_MS);
    void find(FRESH_MS + RENEWAL_INTERVAL_MS);
    expect(pending).toHaveLength(3);
    pending[1]!.resolve(NEW);
    await works[0];
    expect(find(FRESH_MS + RENEWAL_INTERVAL_MS + 1)).toEqual(NEW);
    // What was asked for last counts, whatever becomes of the others.
    pending[2]!.resolve(OLD);
    await works[1];
    expect(find(FRESH_MS + RENEWAL_INTERVAL_MS + 2)).toEqual(OLD);
    expect(find(2 * FRESH_MS + RENEWAL_INTERVAL_MS - 1)).toEqual(OLD);
    expect(pending).toHaveLength(3);
  });

  it("[LAW9] [WK4] is not made older by an earlier question that failed", async () => {
    const { find, pending, works } = await newSlowCache();
    void find(FRESH_MS);
    void find(FRESH_MS + RENEWAL_INTERVAL_MS);
    pending[2]!.resolve(NEW);
    await works[1];
    pending[1]!.resolve(LOST);
    await works[0];
    expect(find(2 * FRESH_MS + RENEWAL_INTERVAL_MS - 1)).toEqual(NEW);
    expect(pending).toHaveLength(3);
  });

  it("[WK4] serves on while one request renews it in the background", async () => {
    const cache = newCache();
    cache.answers.push(OLD, NEW);
    await cache.find(0);
    expect(cache.find(FRESH_MS)).toEqual(OLD);
    expect(cache.find(FRESH_MS)).toEqual(OLD);
    expect(cache.askedCount()).toBe(2);
    await cache.settled();
    expect(cache.find(FRESH_MS + 1)).toEqual(NEW);
    expect(cache.askedCount()).toBe(2);
  });

  it("[WK4] is waited for once it is old", async () => {
    const cache = newCache();
    cache.answers.push(OLD, NEW);
    await cache.find(0);
    expect(await cache.find(STALE_MS)).toEqual(NEW);
    expect(cache.hasWork()).toBe(false);
  });

  it("[WK4] is waited for when it is doubted", async () => {
    const cache = newCache();
    cache.answers.push(OLD, NEW);
    await cache.find(0);
    cache.doubt();
    expect(await cache.find(1)).toEqual(NEW);
  });

  it("[WK4] serves until the end of its lifetime when the control plane is lost", async () => {
    const cache = newCache();
    cache.answers.push(OLD);
    await cache.find(0);
    expect(await cache.find(STALE_MS)).toEqual(OLD);
    cache.doubt();
    expect(await cache.find(LIFETIME_MS - 1)).toEqual(OLD);
    expect(await cache.find(LIFETIME_MS + STALE_MS)).toEqual(LOST);
    expect(await cache.find(LIFETIME_MS + STALE_MS + 1)).toEqual(LOST);
  });

  it("[WK4] is not asked for by every request while the control plane is lost", async () => {
    const cache = newCache();
    cache.answers.push(OLD);
    await cache.find(0);
    await cache.find(STALE_MS);
    for (let step = 1; step <= 100; step += 1) expect(cache.find(STALE_MS + step)).toEqual(OLD);
    expect(cache.askedCount()).toBe(2);
  });

  it("[WK4] is reconsidered with patience", async () => {
    const cache = newCache();
    cache.answers.push(OLD, NEW);
    await cache.find(0);
    expect(cache.reconsider(RENEWAL_INTERVAL_MS - 1)).toEqual(OLD);
    expect(await cache.reconsider(RENEWAL_INTERVAL_MS)).toEqual(NEW);
  });

  it("[WK4] that came later is not replaced by one that was asked for earlier", async () => {
    const cache = new PlacementCache();
    const keeper: Background = { waitUntil: () => {} };
    const { promise, resolve: answerSlowly } = Promise.withResolvers<Found>();
    const slow = cache.find("eu", 0, () => promise, keeper);
    await cache.find("eu", 10, async () => NEW, keeper);
    answerSlowly(OLD);
    await slow;
    expect(cache.find("eu", 20, async () => OLD, keeper)).toEqual(NEW);
  });

  it("[WK4] is renewed as ever after the clock was set back by an hour", async () => {
    const cache = newCache();
    cache.answers.push(OLD, NEW, OLD);
    await cache.find(3_600_000);
    expect(cache.find(0)).toEqual(OLD);
    expect(cache.find(FRESH_MS)).toEqual(OLD);
    await cache.settled();
    expect(cache.find(FRESH_MS)).toEqual(NEW);
    expect(cache.reconsider(0)).toEqual(NEW);
    expect(await cache.reconsider(RENEWAL_INTERVAL_MS)).toEqual(OLD);
  });

  it("[WK4] of an unknown pool is unknown for a moment only", async () => {
    const cache = newCache();
    cache.answers.push(refuse("pool-unknown"), NEW);
    expect(await cache.find(0)).toEqual(refuse("pool-unknown"));
    expect(cache.find(999)).toEqual(refuse("pool-unknown"));
    expect(await cache.find(1_000)).toEqual(NEW);
  });
});

describe("the control plane", () => {
  it("[WK5] is not called by a request in steady state", async () => {
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    expect((await send()).status).toBe(200);
    const before = edgeCounters.controlPlaneCalls;
    for (let count = 0; count < 50; count += 1) expect((await send()).status).toBe(200);
    expect(edgeCounters.controlPlaneCalls).toBe(before);
  });

  it("[WK5] is called once for many requests when the copy has aged", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1 } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    await send();
    const before = edgeCounters.controlPlaneCalls;
    vi.setSystemTime(Date.now() + FRESH_MS + 1);
    await Promise.all(Array.from({ length: 20 }, () => send()));
    expect(edgeCounters.controlPlaneCalls).toBe(before + 1);
  });

  it("[WK4] is asked again at once when a host has lost its lease", async () => {
    const { send, h1, h2, pool, pools } = await newEgress();
    gateways.set(h1, () => gatewayRefusal("lease-lost"));
    gateways.set(h2, () => new Response("from the other"));
    expect(await codeOf(await send())).toEqual({ status: 503, code: "lease-lost" });
    pools.placement = async () => ok(placementOf(pool, [h2]));
    expect(await (await send()).text()).toBe("from the other");
  });

  it("[WK6] that fails refuses a request which has no copy to go by", async () => {
    const { send, pools } = await newEgress();
    let asked = 0;
    pools.placement = async () => {
      asked += 1;
      throw Object.assign(new Error("too busy"), { overloaded: true, retryable: true });
    };
    expect(await codeOf(await send())).toEqual({ status: 503, code: "control-plane-unavailable" });
    expect(asked).toBeLessThanOrEqual(2);
  });

  it("[WK4] that is lost stops no request", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1, pools } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    await send();
    pools.placement = async () => {
      throw new Error("gone");
    };
    for (let minute = 0; minute < 5; minute += 1) {
      vi.setSystemTime(Date.now() + 60_000);
      expect((await send()).status).toBe(200);
    }
  });
});
