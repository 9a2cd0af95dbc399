/**
 * Every route, as the routers themselves list them, with every token that must open nothing. A route that
 * forgets to ask who calls is found here without being named.
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import { base64url } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { ROUTES } from "../../src/api/routes.ts";
import type { Identity, Role } from "../../src/core/identity.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { newTokenId } from "../../src/wire/tokens.ts";
import { app } from "../../src/worker/app.ts";
import type { EdgeContext } from "../../src/worker/identity/authenticate.ts";
import {
  answer as answerShown,
  FOREIGN,
  IP,
  POOL,
  PUBLIC,
  type Route,
  routesOf,
  type Served,
} from "./all-routes.ts";
import { administer, edgeKey, issuerKey, tokenFor } from "./edge.ts";

const ROLES: readonly Role[] = ["client", "host", "router", "admin", "viewer", "gateway", "join"];
/** What is for other roles than one alone, or than administrators, with viewers where it only reads. */
const FOR_OTHERS: Readonly<Record<string, string>> = {
  "GET /openapi.json": "client,host,router,admin,viewer",
  "POST /v1/renewals": "host,router",
  "GET /v1/pools/:pool/policy": "host,admin,viewer",
  // Keys are in it.
  "GET /v1/edge/copy": "admin",
  "GET /v1/edge/copy/database": "admin",
  // Of one's own session.
  "POST /v1/sign-in-codes": "admin,viewer",
  "DELETE /dashboard/session": "admin,viewer",
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
  "POST /v1/sign-in-codes",
  "GET /dashboard/session",
  "DELETE /dashboard/session",
  "GET /dashboard/edge-past",
]);

function answer(served: Served, route: Route, token: string | null): Promise<Response> {
  return answerShown(served, route, token === null ? {} : { "egress-authorization": `Bearer ${token}` });
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
    const [first = "none"] = permitted;
    const usual = first === "admin" && route.method === "GET" ? "admin,viewer" : first;
    if (permitted.join() !== (FOR_OTHERS[route.name] ?? usual)) note(route, "roles", permitted.join());
  }
  return found;
}

beforeAll(async () => {
  for (const pool of [POOL, FOREIGN]) await administer("PUT", `/v1/pools/${pool}`, {});
  await administer("PUT", `/v1/pools/${POOL}/ips/${IP}`, {});
});

describe("every route of the edge", () => {
  it("[WK1] [TK5] [DA2] is opened by no token that is missing, forged, expired, revoked, of another role or pool", async () => {
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
