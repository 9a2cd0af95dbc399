import { describe, expect, it } from "vitest";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { ask, codeOf, edgeKey, environment, issuerKey, tokenFor } from "./edge.ts";

const PATH = "/v1/fetch?url=http%3A%2F%2Forigin.test%2F";

function bearing(token: string): RequestInit {
  return { headers: { "egress-authorization": `Bearer ${token}` } };
}

describe("what answers without a token", () => {
  it("[WK1] health and public keys", async () => {
    expect(await (await ask("/health")).json()).toEqual({ status: "ok" });
    const answer = await ask("/.well-known/jwks.json");
    expect(answer.headers.get("cache-control")).toBe("public, max-age=60");
    const published = await answer.json();
    expect(published).toEqual({ keys: [publicPart(issuerKey), publicPart(edgeKey)] });
    expect(JSON.stringify(published)).not.toContain(edgeKey.d);
  });

  it.each([
    PATH,
    "/openapi.json",
    "/v1/pools",
    "/v1/pools/eu",
    "/v1/ips/192.0.2.1",
    "/v1/edge",
    "/v1/pools/eu/connect",
    "/no/such/path",
    "/v1/fetch/x",
  ])("[WK1] nothing at %s", async (path) => {
    const response = await ask(path);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-missing" });
  });
});

describe("tokens", () => {
  it.each([
    ["not a JWT", async () => "nonsense", "token-malformed"],
    [
      "signed by a stranger",
      async () => tokenFor({}, await generateKey("issuer")),
      "token-signature-invalid",
    ],
    [
      "signed by a stranger in the issuer's name",
      async () => tokenFor({}, { ...(await generateKey("issuer")), kid: issuerKey.kid! }),
      "token-signature-invalid",
    ],
    ["a client token signed by the edge", async () => tokenFor({}, edgeKey), "token-signature-invalid"],
    ["expired", async () => tokenFor({ expiresAtMs: Date.now() - 5_000 }), "token-expired"],
  ])("[WK1] %s", async (_name, make, code) => {
    expect(await codeOf(await ask(PATH, bearing(await make())))).toEqual({ status: 401, code });
  });

  it("[WK1] another scheme than bearer is malformed", async () => {
    const response = await ask(PATH, { headers: { "egress-authorization": "Basic abc" } });
    expect(await codeOf(response)).toEqual({ status: 401, code: "token-malformed" });
  });

  it.each([
    ["a host at the egress API", "host", PATH],
    ["an administrator at the egress API", "admin", PATH],
    ["a client at administration", "client", "/v1/pools"],
    ["a client at a host's connection", "client", "/v1/pools/eu/connect"],
  ] as const)("[WK1] %s", async (_name, role, path) => {
    const response = await ask(path, bearing(await tokenFor({ role })));
    expect(await codeOf(response)).toEqual({ status: 403, code: "role-denied" });
  });

  it("[WK1] a gateway token is for gateways only", async () => {
    const response = await ask(PATH, bearing(await tokenFor({ role: "gateway" }, edgeKey)));
    expect(await codeOf(response)).toEqual({ status: 403, code: "role-denied" });
  });

  it.each(["us", "eu-private", "private-eu", "e", "u"])(
    "[WK1] [ID5] a pool that the token for eu does not name: %s",
    async (pool) => {
      const headers = { ...(bearing(await tokenFor()).headers as object), egress: `pool=${pool}` };
      expect(await codeOf(await ask(PATH, { headers }))).toEqual({ status: 403, code: "pool-denied" });
    },
  );

  it("[ID2] at administration ours counts before the standard one", async () => {
    const good = `Bearer ${await tokenFor({ role: "admin", pools: [] })}`;
    const other = `Bearer ${await tokenFor({ role: "client" })}`;
    const asked = (own: string, standard: string) =>
      ask("/v1/edge", { headers: { "egress-authorization": own, authorization: standard } });
    expect((await asked(good, other)).status).toBe(200);
    expect(await codeOf(await asked(other, good))).toEqual({ status: 403, code: "role-denied" });
  });

  it("[WK39] that are malformed are told no more than that", async () => {
    for (const path of [PATH, "/v1/pools"]) {
      const problem = await (await ask(path, bearing("nonsense"))).json<{ code: string; detail?: string }>();
      expect([path, problem.code, problem.detail]).toEqual([path, "token-malformed", undefined]);
    }
  });

  it("[WK2] a token that was verified by a replaced key is refused", async () => {
    const token = await tokenFor({ role: "admin", pools: [] });
    expect((await ask("/v1/edge", bearing(token))).status).toBe(200);
    const replaced = { ...environment, ISSUER_KEYS: JSON.stringify({ keys: [] }) };
    expect(await codeOf(await ask("/v1/edge", bearing(token), replaced))).toEqual({
      status: 401,
      code: "token-signature-invalid",
    });
  });
});
