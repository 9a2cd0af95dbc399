import { describe, expect, it } from "vitest";
import type { Role } from "../../src/core/identity.ts";
import { administer, ask, codeOf, edgeKey, issuerKey, tokenFor } from "./edge.ts";
import { forgedTokens } from "./forged-tokens.ts";

const POOL = "routes-pool";
const IP = "203.0.113.240";
const ROLES = ["client", "host", "router", "admin", "gateway", "attribution"] as const satisfies Role[];

/** Every route, and who may use it. */
const ROUTES: readonly (readonly [method: string, path: string, roles: readonly Role[]])[] = [
  ["GET", "/openapi.json", ["client", "host", "router", "admin"]],
  ["GET", "/v1/edge", ["admin"]],
  ["GET", "/v1/pools", ["admin"]],
  ["GET", `/v1/pools/${POOL}`, ["admin"]],
  ["PUT", `/v1/pools/${POOL}`, ["admin"]],
  ["GET", `/v1/pools/${POOL}/ips`, ["admin"]],
  ["PUT", `/v1/pools/${POOL}/ips/${IP}`, ["admin"]],
  ["GET", `/v1/pools/${POOL}/hosts`, ["admin"]],
  ["GET", `/v1/ips/${IP}`, ["admin"]],
  ["GET", `/v1/holders?ip=${IP}&port=2048`, ["admin"]],
  ["GET", "/v1/hosts/no-such-host", ["admin"]],
  ["DELETE", `/v1/pools/${POOL}/ips/${IP}`, ["admin"]],
  ["POST", "/v1/gateway-tokens", ["client"]],
  ["GET", `/v1/pools/${POOL}/connect`, ["host"]],
  ["GET", `/v1/pools/${POOL}/steering`, ["router"]],
  ["GET", `/v1/ips/${IP}/connect`, ["host"]],
  ["GET", "/v1/fetch?url=http%3A%2F%2Fx%2F", ["client"]],
  ["POST", "/v1/fetch?url=http%3A%2F%2Fx%2F", ["client"]],
  ["DELETE", "/v1/fetch", ["client"]],
];
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];

function bearing(token: string, method: string): RequestInit {
  const headers: Record<string, string> = { "egress-authorization": `Bearer ${token}` };
  if (method === "PUT") headers["content-type"] = "application/json";
  return { method, headers, ...(method === "PUT" ? { body: "{}" } : {}) };
}

async function tokenOf(role: Role): Promise<string> {
  return tokenFor({ role, pools: ["*"] }, role === "gateway" || role === "attribution" ? edgeKey : issuerKey);
}

describe("every route and every role", () => {
  it.each(ROUTES)("[WK1] %s %s is for %j", async (method, path, roles) => {
    await administer("PUT", `/v1/pools/${POOL}`, {});
    await administer("PUT", `/v1/pools/${POOL}/ips/${IP}`);
    for (const role of ROLES) {
      const response = await ask(path, bearing(await tokenOf(role), method));
      if (roles.includes(role)) {
        expect([role, response.status === 401 || response.status === 403]).toEqual([role, false]);
      } else {
        expect([role, await codeOf(response)]).toEqual([role, { status: 403, code: "role-denied" }]);
      }
    }
    const response = await ask(path, { method });
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-missing" });
  });

  it("[WK1] [WK16] answers each method with a status of its own, a challenge, or what it allows", async () => {
    const paths = [
      ...new Set(ROUTES.map(([, path]) => path)),
      "/",
      "/v1",
      "/v1/fetch/",
      "/v1//pools",
      "/V1/pools",
    ];
    paths.push(
      "/health",
      "/.well-known/jwks.json",
      "/v1/pools/",
      "/v1/pools/../edge",
      "/%2e%2e/v1/edge",
      "/v1/pools/%00",
    );
    const token = await tokenOf("admin");
    for (const path of paths) {
      for (const method of METHODS) {
        const response = await ask(path, bearing(token, method));
        const what = `${method} ${path}: ${response.status}`;
        expect([what, response.status >= 500]).toEqual([what, false]);
        if (response.status === 401)
          expect([what, response.headers.has("www-authenticate")]).toEqual([what, true]);
        if (response.status === 405) {
          const allowed = response.headers.get("allow")!.split(", ");
          expect([what, allowed.length > 0 && !allowed.includes(method)]).toEqual([what, true]);
        }
        if (response.status >= 400 && method !== "HEAD") {
          expect([what, response.headers.get("proxy-status")]).toEqual([
            what,
            expect.stringMatching(/^ipshard;/),
          ]);
        }
      }
    }
  });
});

describe("forged tokens", async () => {
  const forged = await forgedTokens(issuerKey, edgeKey, await tokenFor());

  it("[ID1] [ID2] [ID3] are many, and each is forged in a way of its own", () => {
    expect(forged.length).toBeGreaterThan(80);
    expect(new Set(forged.map(([what]) => what)).size).toBe(forged.length);
  });

  it.each(ROUTES)("[ID1] [ID2] [ID3] open nothing: %s %s", async (method, path) => {
    for (const [what, token] of forged) {
      for (const field of path.startsWith("/v1/fetch")
        ? ["egress-authorization"]
        : ["egress-authorization", "authorization"]) {
        const init = bearing(token, method);
        const { [`egress-authorization`]: bearer, ...others } = init.headers as Record<string, string>;
        const response = await ask(path, { ...init, headers: { ...others, [field]: bearer! } });
        expect([what, await codeOf(response)]).toEqual([
          what,
          {
            status: 401,
            code: expect.stringMatching(/^token-(malformed|signature-invalid|expired|not-yet-valid)$/),
          },
        ]);
      }
    }
  });

  it("[ID2] and bearers that are none", async () => {
    const token = await tokenFor();
    for (const field of [
      "",
      "Bearer",
      "Bearer ",
      `Bearer ${token} x`,
      `Bearer ${token}, Bearer ${token}`,
      `Basic ${token}`,
      token,
      `Bearer Bearer ${token}`,
      `Bearer\u00a0${token}`,
      `"Bearer ${token}"`,
      `Bearer=${token}`,
    ]) {
      const response = await ask("/v1/fetch?url=x", { headers: { "egress-authorization": field } });
      expect([field, await codeOf(response)]).toEqual([field, { status: 401, code: "token-malformed" }]);
    }
  });
});
