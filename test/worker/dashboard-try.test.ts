/** Requests that an administrator tries at the dashboard. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import { decodeJwt } from "jose";
import { ok } from "../../src/core/outcome.ts";
import { PROBLEM_CODES } from "../../src/core/problems.ts";
import { REMEDIES } from "../../src/core/problem-remedies.ts";
import type { Identity } from "../../src/core/identity.ts";
import { newTokenId } from "../../src/wire/tokens.ts";
import type { Environment } from "../../src/worker/runtime/environment.ts";
import { edgePast, EdgePast } from "../../src/worker/egress/edge-past.ts";
import {
  ask,
  codeOf,
  environment,
  freshNames,
  gatewayRefusal,
  gateways,
  placementOf,
  stubPools,
  tokenFor,
} from "./edge.ts";

const IP = "192.0.2.1";
const URL_TRIED = "https://example.com/x?y=1";

beforeEach(() => void vi.spyOn(console, "log").mockImplementation(() => {}));

interface Tried {
  readonly [name: string]: unknown;
  readonly refusal: { readonly code: string; readonly remedy: string } | null;
}

/** A pool of two hosts with its objects, and an administrator who tries something in it. */
function tryingIn(names = freshNames()) {
  const { pool, h1, h2 } = names;
  const placed = stubPools(placementOf(pool, [h1, h2], IP));
  const routers = [
    { router: "r1", live: true, acknowledged: 7, lagging: false },
    { router: "r2", live: true, acknowledged: 3, lagging: true },
    { router: "r3", live: false, acknowledged: null, lagging: true },
  ];
  const ips = [{ ip: IP, advertised: "198.51.100.9" }];
  const blocks = [h1, h2].map((host, at) => ({
    base: 20_480 + at * 256,
    order: 8,
    epoch: 40 + at,
    host,
    steered: true,
    state: "leased",
  }));
  const env = {
    ...placed.env,
    EGRESS_POOL: {
      getByName: () => ({
        placement: async () => placed.placement(),
        describe: async () => ok({ pool, ips, routers, steeringSequence: 7 }),
      }),
    },
    EGRESS_IP: { getByName: () => ({ describe: async () => ok({ pool, blocks }) }) },
  } as unknown as Environment;
  const attempt = async (wish: object, claims: Partial<Identity> = {}): Promise<Response> => {
    const token = await tokenFor({ role: "admin", pools: ["*"], tokenId: newTokenId(), ...claims });
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    return ask("/dashboard/try", { method: "POST", headers, body: JSON.stringify(wish) }, env);
  };
  const tried = async (wish: object = {}, claims: Partial<Identity> = {}): Promise<Tried> => {
    const response = await attempt({ pool, url: URL_TRIED, ...wish }, claims);
    expect(response.status).toBe(200);
    return response.json();
  };
  return { ...names, attempt, tried };
}

/** As a host answers what it sent. */
function answered(host: string, body: string | null = "hello", status = 200): Response {
  return new Response(body, {
    status,
    headers: {
      "egress-ip": "198.51.100.9",
      "egress-port": "20490",
      "egress-host": host,
      "proxy-status": `ipshard;received-status=${status}`,
      "egress-timing": "resolve;dur=1.5, dial;dur=20.25, tls;dur=30, first-byte;dur=40",
      "x-of-origin": "yes",
    },
  });
}

/** Comes when nobody waits for it any more. */
function lateAnswer(): Promise<Response> {
  return new Promise((resolve) => setTimeout(() => resolve(new Response("late")), 35_000));
}

function stuck(): ReadableStream {
  return new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("so far")),
  });
}

describe("a request that is tried", () => {
  it("[DA9] goes the way of a client's, and each step of it is told", async () => {
    const { h1, h2, tried, pool } = tryingIn();
    const seen: Request[] = [];
    for (const host of [h1, h2]) {
      gateways.set(host, (request) => {
        seen.push(request);
        return answered(h1);
      });
    }
    const told = await tried({ selection: 'session="cart-42"', tenant: "shop" }, { subject: "ada" });
    expect(told).toMatchObject({
      status: 200,
      answered: true,
      refusal: null,
      egress: { ip: IP, advertised: "198.51.100.9", port: 20_490, host: h1 },
      block: { firstPort: 20_480, lastPort: 20_735, epoch: 40 },
      routers: [
        { router: "r1", live: true, acknowledged: 7, knows: true },
        { router: "r2", live: true, acknowledged: 3, knows: false },
        { router: "r3", live: false, acknowledged: null, knows: false },
      ],
      timings: { resolveMs: 1.5, dialMs: 20.25, tlsMs: 30, firstByteMs: 40 },
      body: "hello",
      attempts: [],
    });
    expect(told["headers"]).toEqual(expect.arrayContaining([["x-of-origin", "yes"]]));
    expect(JSON.stringify(told["headers"])).not.toContain("egress-");
    const [request] = seen;
    expect(new URL(request!.url).searchParams.get("url")).toBe(URL_TRIED);
    const shown = decodeJwt(request!.headers.get("egress-authorization")!.split(" ")[1]!);
    // In the name of the tenant that is given, and no token of the administrator's goes to a host. [DA10]
    expect(shown).toMatchObject({
      role: "gateway",
      sub: "dashboard",
      tenant: "shop",
      pools: [pool],
      timed: true,
    });
    const { sub, tenant } = shown;
    expect([sub, tenant, told["requestId"]]).toEqual([
      "dashboard",
      "shop",
      request!.headers.get("egress-request-id"),
    ]);
  });

  it("[DA9] is sent in the administrator's own name where no tenant is given, with method and body", async () => {
    const { h1, h2, tried } = tryingIn();
    const seen: [string, string, unknown][] = [];
    for (const host of [h1, h2]) {
      gateways.set(host, async (request) => {
        const { tenant } = decodeJwt(request.headers.get("egress-authorization")!.split(" ")[1]!);
        seen.push([request.method, await request.text(), tenant]);
        return answered(host, null, 204);
      });
    }
    expect(await tried({ method: "POST", body: "some" }, { subject: "ada" })).toMatchObject({
      status: 204,
      body: "",
    });
    expect(seen).toEqual([["POST", "some", "ada"]]);
  });

  it("[DA9] tells which hosts were asked before, and what would mend a refusal", async () => {
    const { h1, h2, tried } = tryingIn();
    for (const host of [h1, h2]) gateways.set(host, () => gatewayRefusal("port-block-exhausted"));
    const told = await tried();
    expect(told).toMatchObject({ status: 503, answered: false, egress: null, block: null });
    expect(told.refusal).toMatchObject({
      code: "port-block-exhausted",
      title: "Every leased port is in use towards this destination.",
      remedy: REMEDIES["port-block-exhausted"],
    });
    const attempts = told["attempts"] as { host: string; code: string }[];
    expect(attempts.map(({ host }) => host).toSorted()).toEqual([h1, h2].toSorted());
    expect(attempts.every(({ code }) => code === "port-block-exhausted")).toBe(true);
  });

  it("[DA9] of an older host has no times, and of a long answer the beginning", async () => {
    const { h1, h2, tried } = tryingIn();
    for (const host of [h1, h2]) {
      gateways.set(host, () => {
        const answer = answered(host, "x".repeat(10_000));
        answer.headers.delete("egress-timing");
        return answer;
      });
    }
    const told = await tried();
    expect(told["timings"]).toMatchObject({
      edgeMs: expect.any(Number),
      hostMs: expect.any(Number),
      resolveMs: null,
      dialMs: null,
      tlsMs: null,
      firstByteMs: null,
    });
    expect(told["body"]).toBe("x".repeat(4_096));
  });

  it.each([
    ["nothing comes", lateAnswer, { answered: false, refusal: { code: "response-timeout" } }],
    [
      "a body does not go on",
      (host: string) => new Response(stuck(), answered(host)),
      { status: 200, body: "so far" },
    ],
  ])("[DA9] is given up after a while when %s", async (_what, gateway, expected) => {
    const { h1, h2, tried } = tryingIn();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    for (const host of [h1, h2]) gateways.set(host, () => gateway(host));
    const telling = tried();
    const passing = setInterval(() => void vi.advanceTimersByTimeAsync(5_000), 5);
    expect(await telling.finally(() => clearInterval(passing))).toMatchObject(expected);
  });

  it.each([
    ["a viewer", {}, { role: "viewer" as const }, "role-denied"],
    ["an administrator of other pools", {}, { pools: ["elsewhere"] }, "pool-denied"],
    ["a selection that is none", { selection: "pool=" }, {}, "selection-malformed"],
    ["a body where there is none", { body: "x" }, {}, "input-invalid"],
    ["another method", { method: "CONNECT" }, {}, "input-invalid"],
    ["a tenant that is none", { tenant: "" }, {}, "input-invalid"],
    ["what it does not know", { headers: {} }, {}, "input-invalid"],
  ])("[DA9] is refused to %s", async (_what, wish, claims, code) => {
    const { attempt, pool } = tryingIn();
    expect((await codeOf(await attempt({ pool, url: URL_TRIED, ...wish }, claims))).code).toBe(code);
  });

  it("[DA10] is timed for the edge alone: no token that a client gets says so", async () => {
    const claims = { role: "client", pools: ["eu"], isTimed: true } as const;
    const token = await tokenFor(claims);
    expect(decodeJwt(token)).toMatchObject({ timed: true });
    const { env } = stubPools(placementOf("eu", ["h"]));
    const headers = { authorization: `Bearer ${token}` };
    const made = await ask("/v1/gateway-tokens", { method: "POST", headers }, env);
    const { token: forGateway } = await made.json<{ token: string }>();
    expect(decodeJwt(forGateway)).not.toHaveProperty("timed");
  });
});

it("[DA9] for every refusal there is a sentence that says what would mend it", () => {
  expect(Object.keys(REMEDIES).toSorted()).toEqual(PROBLEM_CODES.toSorted());
  for (const [code, remedy] of Object.entries(REMEDIES))
    expect(remedy, code).toMatch(/^[A-Z].{15,160}[A-Za-z0-9)]\.$/);
});

describe("what the edge answered of late", () => {
  it("[DA11] is counted by minutes and quarters, and is not told where it is not all", async () => {
    const past = new EdgePast();
    const atMs = 1_800_000_000_000;
    past.note(atMs, null, 200);
    past.note(atMs + 1, "no-host", 503);
    past.note(atMs + 2, null, 101);
    past.note(atMs + 60_000, "no-host", 503);
    const { minutes, quarters } = past.past(atMs + 60_001);
    const first = { atMs, requestCount: 1, flowCount: 1, refusals: { "no-host": 1 }, portCount: 0 };
    expect(minutes).toEqual([first, { ...first, atMs: atMs + 60_000, requestCount: 0, flowCount: 0 }]);
    expect(quarters).toEqual([{ ...first, refusals: { "no-host": 2 } }]);
    const token = await tokenFor({ role: "viewer", pools: ["*"] });
    const headers = { authorization: `Bearer ${token}` };
    const of = async (env: Environment): Promise<unknown> =>
      (await ask("/dashboard/edge-past", { headers }, env)).json();
    expect(await of(environment)).toEqual({ past: null });
    expect(await of({ ...environment, SELF_HOSTED: "1" })).toEqual({ past: edgePast.past(Date.now()) });
  });

  it("[DA11] is of the egress API, at an edge of one isolate", async () => {
    const env = { ...environment, SELF_HOSTED: "1" };
    const before = edgePast.past(Date.now()).minutes.at(-1)?.refusals["token-missing"] ?? 0;
    await ask("/v1/fetch?url=http://x/", {}, env);
    await ask("/v1/fetch?url=http://x/");
    expect(edgePast.past(Date.now()).minutes.at(-1)?.refusals["token-missing"]).toBe(before + 1);
  });
});
