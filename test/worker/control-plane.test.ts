/** What becomes of requests when objects fail, and what is told of faults. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { ok, refuse } from "../../src/core/outcome.ts";
import { askControlPlane, edgeCounters } from "../../src/worker/runtime/control-plane.ts";
import { faultProblem, problem } from "../../src/worker/runtime/problem.ts";
import { ask, codeOf, environment, freshNames, tokenFor } from "./edge.ts";

const UNAVAILABLE = { status: 503, code: "control-plane-unavailable" };

/** The latest line that was said to a console. */
function saidBy({
  mock,
}: {
  readonly mock: { readonly lastCall?: readonly unknown[] | undefined };
}): unknown {
  return JSON.parse(mock.lastCall?.[0] as string);
}

afterEach(() => {
  vi.useRealTimers();
});

/** Objects whose every method does this. */
function objectsThat(act: () => unknown): never {
  return { getByName: () => new Proxy({}, { get: () => act }) } as never;
}

const failing = objectsThat(() => Promise.reject(new Error("gone")));
const broken = { ...environment, POOL_CATALOGUE: failing, EGRESS_POOL: failing, EGRESS_IP: failing };

describe("an object that fails", () => {
  it.each([
    ["admin", "GET", "/v1/pools"],
    ["admin", "PUT", "/v1/pools/eu"],
    ["admin", "GET", "/v1/pools/eu"],
    ["admin", "GET", "/v1/pools/eu/ips"],
    ["admin", "PUT", "/v1/pools/eu/ips/192.0.2.1"],
    ["admin", "DELETE", "/v1/pools/eu/ips/192.0.2.1"],
    ["admin", "GET", "/v1/pools/eu/hosts"],
    ["admin", "GET", "/v1/ips/192.0.2.1"],
    ["admin", "GET", "/v1/hosts/h1"],
    ["client", "POST", "/v1/gateway-tokens"],
    ["host", "GET", "/v1/pools/eu/connect"],
    ["host", "GET", "/v1/ips/192.0.2.1/connect"],
    ["router", "GET", "/v1/pools/eu/steering"],
  ] as const)("[WK6] is named to a %s: %s %s", async (role, method, path) => {
    const { pool } = freshNames();
    const token = await tokenFor({ role, pools: role === "client" ? [pool] : ["*"] });
    const headers = {
      authorization: `Bearer ${token}`,
      ...(method === "PUT" ? { "content-type": "application/json" } : {}),
      ...(path.endsWith("connect") || path.endsWith("steering") ? { upgrade: "websocket" } : {}),
    };
    const body = method === "PUT" ? "{}" : null;
    expect(await codeOf(await ask(path, { method, headers, body }, broken))).toEqual(UNAVAILABLE);
  });

  it.each([
    ["GET", "/v1/hosts/h1"],
    ["PUT", "/v1/pools/eu"],
  ])("[WK6] is named when the catalogue is there and the pool is not: %s %s", async (method, path) => {
    const env = { ...broken, POOL_CATALOGUE: objectsThat(async () => ["eu"]) };
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const body = method === "PUT" ? "{}" : null;
    expect(await codeOf(await ask(path, { method, headers, body }, env))).toEqual(UNAVAILABLE);
  });

  it("[WK16] a pool that is listed and not made yet hides no host", async () => {
    const host = { host: "h1", gateway: "http://h1.gateway", live: true, rooms: [], leaving: [] };
    const hosts: Record<string, unknown> = { made: ok([host]), listed: refuse("pool-unknown") };
    const env = {
      ...environment,
      POOL_CATALOGUE: objectsThat(async () => ["listed", "made"]),
      EGRESS_POOL: { getByName: (pool: string) => ({ hosts: async () => hosts[pool] }) } as never,
    };
    const headers = { authorization: `Bearer ${await tokenFor({ role: "admin", pools: ["*"] })}` };
    expect(await (await ask("/v1/hosts/h1", { headers }, env)).json()).toEqual({
      host: "h1",
      pools: [{ pool: "made", ...host }],
    });
  });

  it("[WK6] is logged with its reason", async () => {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    expect(await askControlPlane(() => Promise.reject(new Error("too busy")))).toEqual(
      refuse("control-plane-unavailable"),
    );
    expect(saidBy(warned)).toMatchObject({ code: "control-plane-unavailable", err: { message: "too busy" } });
  });

  it("[WK6] by silence is given up after 5 s, and asked once", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    const before = edgeCounters.controlPlaneCalls;
    const call = vi.fn<() => Promise<never>>(() => new Promise(() => {}));
    const settled = vi.fn<(outcome: unknown) => void>();
    const asked = askControlPlane(call).then(settled);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(settled).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await asked;
    expect(settled).toHaveBeenCalledWith(refuse("control-plane-unavailable"));
    expect(saidBy(warned)).toMatchObject({ err: { message: "no answer in time" } });
    expect(call).toHaveBeenCalledOnce();
    expect(edgeCounters.controlPlaneCalls).toBe(before + 1);
  });

  it("[WK6] not leaves no timer", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    expect(await askControlPlane(async () => 1)).toEqual(ok(1));
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a refusal of the edge", () => {
  it("[WK25] says how many bytes it has", async () => {
    const response = problem({ code: "input-invalid", detail: "größer" });
    const { byteLength } = await response.clone().arrayBuffer();
    expect(response.headers.get("content-length")).toBe(String(byteLength));
    expect(response.headers.has("www-authenticate")).toBe(false);
    expect(await response.json()).toMatchObject({ detail: "größer" });
  });

  it("[WK19] of a fault is logged in full", () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const fault = new Error("within");
    expect(faultProblem(fault).status).toBe(500);
    expect(saidBy(logged)).toMatchObject({ level: 50, msg: "internal fault", err: { stack: fault.stack } });
    faultProblem("no error at all");
    expect(saidBy(logged)).toMatchObject({ err: { type: "string", message: "no error at all" } });
    faultProblem(Object.assign(new Error("bare"), { stack: undefined }));
    expect(saidBy(logged)).toMatchObject({ err: { message: "bare" } });
  });
});

describe("what is counted", () => {
  it("[WK5] is shown to administrators", async () => {
    const headers = { authorization: `Bearer ${await tokenFor({ role: "admin", pools: [] })}` };
    const shown = { ...edgeCounters, handedOverOf: {}, isWhole: false };
    expect(await (await ask("/v1/edge", { headers })).json()).toEqual(shown);
  });
});
