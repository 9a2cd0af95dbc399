/**
 * Every route, as the routers themselves list them, with every token that must open nothing. A route that
 * forgets to ask who calls is found here without being named.
 */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { OpenAPIHono } from "@hono/zod-openapi";
import { base64url } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { ROUTES } from "../../src/api/routes.ts";
import type { Identity, Role } from "../../src/core/identity.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { newTokenId } from "../../src/wire/tokens.ts";
import { app } from "../../src/worker/app.ts";
import type { EdgeContext } from "../../src/worker/identity/authenticate.ts";
import worker from "../../src/worker/index.ts";
import { administer, edgeKey, environment, issuerKey, tokenFor } from "./edge.ts";

const POOL = "every-route";
const FOREIGN = "every-route-foreign";
const IP = "203.0.113.99";
const HOST = "no-such-host";
const ROLES: readonly Role[] = ["client", "host", "router", "admin", "gateway", "join"];
/** What answers to everybody. */
const PUBLIC: ReadonlySet<string> = new Set([
  "GET /health",
  "GET /.well-known/jwks.json",
  // What operators publish. [PF1]
  "GET /.well-known/egress-ips.json",
  "GET /.well-known/geofeed.csv",
  "GET /.well-known/egress-ips/:file{.+\\.json}",
  "GET /.well-known/geofeed/:file{.+\\.csv}",
]);
/** What is for more than one role, and for how many. */
const FOR_SEVERAL: Readonly<Record<string, number>> = {
  "GET /openapi.json": 4,
  "POST /v1/renewals": 2,
  "GET /v1/pools/:pool/policy": 2,
};
/** Of no pool: what it shows or does is held to the pools of the token by itself. */
const OF_NO_POOL: ReadonlySet<string> = new Set([
  "GET /openapi.json",
  "GET /v1/edge",
  "GET /metrics",
  "GET /v1/pools",
  "GET /v1/tokens",
  "POST /v1/tokens",
  "POST /v1/revocations",
  "GET /v1/joins",
  "POST /v1/join",
  "POST /v1/renewals",
]);

/** What is answered ahead of the router. */
const AHEAD: ReadonlySet<string> = new Set(["GET /v1/fetch", "POST /v1/fetch", "GET /v1/connect"]);
/** What must be said for the pools to matter; nothing is enough elsewhere. */
const BODIES: Readonly<Record<string, object>> = {
  "POST /v1/joins": { role: "host", name: "x", pools: [POOL] },
};

type Served = Pick<OpenAPIHono<EdgeContext>, "routes" | "fetch">;

/** What some ask for in their queries, by path. */
const QUERIES: Readonly<Record<string, string>> = {
  "/v1/fetch": "?url=http%3A%2F%2Fx%2F",
  "/v1/connect": "?to=x:80",
  "/v1/holders": `?ip=${IP}&port=5000`,
  "/v1/leases": `?ip=${IP}&port=5000`,
  "/v1/audit": `?pool=${POOL}`,
  "/v1/events": `?pool=${POOL}`,
};

interface Route {
  readonly method: string;
  /** With its parameters filled in. */
  readonly path: string;
  readonly name: string;
}

/** All routes that the router lists, and those that are answered ahead of it. */
function routesOf({ routes }: Served): Route[] {
  const names = new Set(
    routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`),
  );
  if (routes === app.routes) for (const name of AHEAD) names.add(name);
  return [...names].map((name) => {
    const [method, pattern] = name.split(" ") as [string, string];
    const path = pattern
      .replace(":pool", POOL)
      .replace(":ip", IP)
      .replace(":host", HOST)
      .replace(":kid", encodeURIComponent("issuer:none"))
      .replaceAll(/:\w+/g, "x");
    return { method, path, name };
  });
}

async function answer(
  served: Served,
  { method, path, name }: Route,
  token: string | null,
): Promise<Response> {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    upgrade: "websocket",
    egress: `pool=${POOL}`,
  };
  if (token !== null) headers["egress-authorization"] = `Bearer ${token}`;
  const hasBody = method !== "GET";
  if (hasBody) delete headers["upgrade"];
  const query = QUERIES[path] ?? "";
  if (path === "/v1/connect") headers["sec-websocket-protocol"] = "ipshard.tcp.v1";
  const request = new Request(`http://edge.test${path}${query}`, {
    method,
    headers,
    ...(hasBody ? { body: JSON.stringify(BODIES[name] ?? {}) } : {}),
  });
  const context = createExecutionContext();
  const isAhead = AHEAD.has(name);
  const response = isAhead
    ? await worker.fetch(request as Parameters<typeof worker.fetch>[0], environment, context)
    : await served.fetch(request, environment, context);
  await waitOnExecutionContext(context);
  response.webSocket?.accept();
  response.webSocket?.close();
  return response;
}

async function codeOf(response: Response): Promise<string> {
  if (response.status < 400) return String(response.status);
  return (await response.json<{ code: string }>()).code;
}

const keyOf = (role: Role) => (role === "gateway" || role === "join" ? edgeKey : issuerKey);
const tokenOf = (role: Role, claims: Partial<Identity> = {}): Promise<string> =>
  tokenFor({ role, pools: ["*"], tokenId: newTokenId(), ...claims }, keyOf(role));

/** Tokens of a role that are not good, by what is wrong with them, and what is said to them. */
async function badTokens(role: Role): Promise<[what: string, token: string, codes: readonly string[]][]> {
  const good = await tokenOf(role);
  const [header, payload, signature] = good.split(".") as [string, string, string];
  const kid = keyOf(role).kid!;
  const encode = (value: object): string => base64url.encode(JSON.stringify(value));
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as object;
  const revokedId = newTokenId();
  const revoked = await tokenOf(role, { tokenId: revokedId });
  await administer("POST", "/v1/revocations", { id: revokedId });
  const stranger = { ...(await generateKey("issuer")), kid };
  const invalid = ["token-signature-invalid"];
  return [
    ["no token at all", "", ["token-malformed"]],
    ["nonsense", "nonsense", ["token-malformed"]],
    ["expired", await tokenOf(role, { expiresAtMs: Date.now() - 5_000 }), ["token-expired"]],
    ["signed by another", await tokenFor({ role, pools: ["*"] }, stranger), invalid],
    ["with more pools", `${header}.${encode({ ...claims, pools: ["*", "more"] })}.${signature}`, invalid],
    ["alg none", `${encode({ alg: "none", kid })}.${payload}.`, ["token-malformed", ...invalid]],
    ["revoked", revoked, ["token-revoked"]],
  ];
}

/** What is wrong with how routes ask who calls. */
async function openings(served: Served): Promise<string[]> {
  const found: string[] = [];
  const bad = new Map(await Promise.all(ROLES.map(async (role) => [role, await badTokens(role)] as const)));
  const note = (route: Route, what: string, got: string): void =>
    void found.push(`${route.name}: ${what}: ${got}`);
  for (const route of routesOf(served)) {
    if (PUBLIC.has(route.name)) continue;
    const without = await codeOf(await answer(served, route, null));
    if (without !== "token-missing") note(route, "without a token", without);
    const permitted: Role[] = [];
    for (const role of ROLES) {
      for (const [what, token, codes] of bad.get(role)!) {
        const got = await codeOf(await answer(served, route, token));
        if (!codes.includes(got)) note(route, `${role}, ${what}`, got);
      }
      const got = await codeOf(await answer(served, route, await tokenOf(role, { pools: [FOREIGN] })));
      if (got === "role-denied") continue;
      permitted.push(role);
      const isHeld = ["pool-denied", "host-unknown", "pool-unknown"].includes(got);
      if (!isHeld && !OF_NO_POOL.has(route.name)) note(route, `${role} of another pool`, got);
    }
    if (permitted.length !== (FOR_SEVERAL[route.name] ?? 1)) note(route, "roles", permitted.join());
  }
  return found;
}

beforeAll(async () => {
  for (const pool of [POOL, FOREIGN]) await administer("PUT", `/v1/pools/${pool}`, {});
  await administer("PUT", `/v1/pools/${POOL}/ips/${IP}`, {});
});

describe("every route of the edge", () => {
  it("[WK1] [TK5] is opened by no token that is missing, forged, expired, revoked, of another role or pool", async () => {
    expect(await openings(app)).toEqual([]);
  }, 120_000);

  it("[WK1] [WK16] that the API lists is one of the router's", () => {
    const served = new Set(routesOf(app).map(({ name }) => name));
    for (const { method, path } of Object.values(ROUTES)) {
      expect(served).toContain(`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`);
    }
    expect(served.size).toBeGreaterThan(Object.keys(ROUTES).length);
  });

  it("[WK1] is looked at: one that is planted without a check is found, and one that takes any role", async () => {
    const planted = new OpenAPIHono<EdgeContext>();
    planted.get("/v1/planted", (context) => context.json({ open: true }));
    planted.post("/v1/planted/:pool", async (context) => {
      const isKnown = context.req.header("egress-authorization") !== undefined;
      return isKnown ? context.json({ open: true }) : context.json({ code: "token-missing" }, 401);
    });
    const found = await openings(planted);
    expect(found).toContainEqual("GET /v1/planted: without a token: 200");
    expect(found).toContainEqual("POST /v1/planted/:pool: client, revoked: 200");
    expect(found).toContainEqual("POST /v1/planted/:pool: admin of another pool: 200");
  }, 60_000);
});
