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
import { ask, codeOf, gatewayRefusal, gateways, newEgress, placementOf, tokenFor } from "./edge.ts";

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

  it("[WK4] is not asked for again for 2 s after a question that failed", async () => {
    const cache = newCache();
    cache.answers.push(OLD);
    await cache.find(0);
    cache.doubt();
    expect(await cache.find(0)).toEqual(OLD);
    expect(cache.find(1_999)).toEqual(OLD);
    expect(cache.askedCount()).toBe(2);
    expect(cache.find(2_000)).toEqual(OLD);
    expect(cache.askedCount()).toBe(3);
  });

  it("[WK4] of a pool that is gone is not made to last by an earlier question that failed", async () => {
    const { find, pending, works } = await newSlowCache();
    void find(FRESH_MS);
    void find(FRESH_MS + RENEWAL_INTERVAL_MS);
    pending[2]!.resolve(refuse("pool-unknown"));
    await works[1];
    pending[1]!.resolve(LOST);
    await works[0];
    expect(find(FRESH_MS + RENEWAL_INTERVAL_MS + 999)).toEqual(refuse("pool-unknown"));
    expect(pending).toHaveLength(3);
    void find(FRESH_MS + RENEWAL_INTERVAL_MS + 1_000);
    expect(pending).toHaveLength(4);
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

  it("[WK4] ages from the time to which the clock was set back, whatever that is", async () => {
    const cache = newCache();
    cache.answers.push(OLD, NEW);
    await cache.find(3_600_000);
    expect(cache.find(1_000_000)).toEqual(OLD);
    expect(cache.find(1_000_000 + FRESH_MS - 1)).toEqual(OLD);
    expect(cache.askedCount()).toBe(1);
    expect(cache.find(1_000_000 + FRESH_MS)).toEqual(OLD);
    await cache.settled();
    expect(cache.find(1_000_000 + FRESH_MS)).toEqual(NEW);
  });

  it("[WK4] of an unknown pool is unknown for a moment only", async () => {
    const cache = newCache();
    cache.answers.push(refuse("pool-unknown"), NEW);
    expect(await cache.find(0)).toEqual(refuse("pool-unknown"));
    expect(cache.find(999)).toEqual(refuse("pool-unknown"));
    expect(await cache.find(1_000)).toEqual(NEW);
  });
});

describe("copies of many pools", () => {
  const keeper: Background = { waitUntil: () => {} };

  it("[WK4] are doubted one by one", async () => {
    const cache = new PlacementCache();
    for (const pool of ["eu", "eu-2"]) await cache.find(pool, 0, async () => OLD, keeper);
    cache.doubt("eu");
    cache.doubt("unheard-of");
    expect(await cache.find("eu", 1, async () => NEW, keeper)).toEqual(NEW);
    expect(cache.find("eu-2", 1, async () => NEW, keeper)).toEqual(OLD);
  });

  it("[WK4] are kept of 1,024, and the oldest is forgotten", async () => {
    const cache = new PlacementCache();
    for (let at = 0; at < 1_024; at += 1) await cache.find(`pool-${at}`, 0, async () => OLD, keeper);
    expect(cache.find("pool-0", 1, async () => NEW, keeper)).toEqual(OLD);
    // One that is renewed takes no other's place.
    expect(await cache.reconsider("pool-1023", RENEWAL_INTERVAL_MS, async () => NEW)).toEqual(NEW);
    expect(cache.find("pool-0", 1, async () => NEW, keeper)).toEqual(OLD);
    await cache.find("one-more", 1, async () => OLD, keeper);
    expect(cache.find("pool-1", 1, async () => NEW, keeper)).toEqual(OLD);
    expect(await cache.find("pool-0", 1, async () => NEW, keeper)).toEqual(NEW);
  });

  it("[WK4] of an unknown pool end with it, though the control plane be lost by then", async () => {
    const cache = newCache();
    cache.answers.push(refuse("pool-unknown"));
    await cache.find(0);
    expect(await cache.find(1_000)).toEqual(LOST);
  });

  it("[WK24] are reconsidered at the pace that is asked for", async () => {
    const cache = new PlacementCache();
    await cache.find("eu", 0, async () => OLD, keeper);
    expect(cache.reconsider("eu", 1_499, async () => NEW, 1_500)).toEqual(OLD);
    expect(await cache.reconsider("eu", 1_500, async () => NEW, 1_500)).toEqual(NEW);
  });
});

describe("a copy that leaves no host", () => {
  it("[WK4] [WK11] is asked for again before the request is refused, every half second at most", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1, pool, pools } = await newEgress();
    gateways.set(h1, () => new Response("served"));
    pools.placement = async () => ok({ pool, ips: [{ ip: "192.0.2.1", hosts: [] }], resting: [] });
    expect(await codeOf(await send())).toEqual({ status: 503, code: "no-host" });
    pools.placement = async () => ok(placementOf(pool, [h1]));
    vi.setSystemTime(Date.now() + RENEWAL_INTERVAL_MS - 1);
    expect(await codeOf(await send())).toEqual({ status: 503, code: "no-host" });
    vi.setSystemTime(Date.now() + 1);
    expect(await (await send()).text()).toBe("served");
  });

  it("[WK4] [WK11] of an address that has come since is asked for again, too", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { send, h1, pool, pools } = await newEgress();
    gateways.set(h1, () => new Response("served"));
    await send();
    pools.placement = async () => ok(placementOf(pool, [h1], "192.0.2.2"));
    vi.setSystemTime(Date.now() + RENEWAL_INTERVAL_MS);
    expect(await (await send({ headers: { egress: 'ip="192.0.2.2"' } })).text()).toBe("served");
  });

  it("[WK7] of a pool that there is not is told so", async () => {
    const { send, pools } = await newEgress();
    pools.placement = async () => refuse("pool-unknown");
    expect(await codeOf(await send())).toEqual({ status: 404, code: "pool-unknown" });
  });

  it.each([
    ["PUT", "ips/192.0.2.1", "addIp"],
    ["DELETE", "ips/192.0.2.1", "removeIp"],
    ["POST", "ips/192.0.2.1/drain", "drainIp"],
    ["POST", "ips/192.0.2.1/resume", "drainIp"],
    ["POST", "hosts/h1/drain", "drainHost"],
    ["POST", "hosts/h1/resume", "drainHost"],
  ])("[WK4] is doubted after a %s of %s", async (method, path, call) => {
    const { send, h1, pool, pools } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    await send();
    const known = await pools.placement();
    let asked = 0;
    pools.placement = async () => {
      asked += 1;
      return known;
    };
    await send();
    expect(asked).toBe(0);
    const told = { pool, settings: {}, ips: [], hosts: [], steeringSequence: 0, routers: [] };
    const env = {
      ...pools.env,
      EGRESS_POOL: { getByName: () => ({ [call]: async () => ok(told) }) } as never,
    };
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    const headers = { authorization: `Bearer ${token}` };
    expect((await ask(`/v1/pools/${pool}/${path}`, { method, headers }, env)).status).toBe(200);
    await send();
    expect(asked).toBe(1);
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
    // Of the placement, and of what the register says of tokens.
    expect(edgeCounters.controlPlaneCalls).toBe(before + 2);
  });

  it("[WK4] is asked again at once when a host has lost its lease", async () => {
    const { send, h1, h2, pool, pools } = await newEgress();
    gateways.set(h1, () => gatewayRefusal("lease-lost"));
    gateways.set(h2, () => new Response("from the other"));
    expect(await codeOf(await send())).toEqual({ status: 503, code: "lease-lost" });
    pools.placement = async () => ok(placementOf(pool, [h2]));
    expect(await (await send()).text()).toBe("from the other");
  });

  it("[WK45] is waited for when it was asked a moment ago and the only host has let go of the address", async () => {
    const { send, h1, h2, pool, pools } = await newEgress();
    let [isMoved, asked] = [false, 0];
    gateways.set(h1, () => {
      isMoved = true;
      return gatewayRefusal("lease-lost");
    });
    gateways.set(h2, () => new Response("from the other"));
    pools.placement = async () => {
      asked += 1;
      return ok(placementOf(pool, isMoved ? [h2] : [h1]));
    };
    const replies = await Promise.all(Array.from({ length: 10 }, () => send()));
    expect(await Promise.all(replies.map((reply) => reply.text()))).toEqual(Array(10).fill("from the other"));
    // Nobody holds a copy at first, so each of them asks; then one does for all.
    expect(asked).toBeLessThanOrEqual(11);
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
