import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { ok } from "../../src/core/outcome.ts";
import type { AccessState } from "../../src/wire/access-state.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { TokenVerifier } from "../../src/wire/tokens.ts";
import { accessCopy } from "../../src/worker/identity/access-copy.ts";
import { edgeKeysOf } from "../../src/worker/identity/edge-keys.ts";
import { GatewayTokenIssuer } from "../../src/worker/identity/gateway-token-issuer.ts";
import {
  ask,
  codeOf,
  edgeKey,
  environment,
  gateways,
  issuerKey,
  newEgress,
  placementOf,
  tokenFor,
} from "./edge.ts";

const URL_QUERY = "?url=http%3A%2F%2Forigin.test%2F";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Math.floor(Date.now() / 1_000) * 1_000);
});
afterEach(() => {
  vi.useRealTimers();
});

function endOf(token: string): number {
  return (JSON.parse(atob(token.split(".")[1]!)) as { exp: number }).exp * 1_000 - Date.now();
}

describe("a gateway token", () => {
  it("[ID7] of the Worker's own ends no later than its client's, and is kept until then", async () => {
    const { pool, pools, h1 } = await newEgress();
    const seen: string[] = [];
    gateways.set(h1, ({ headers }) => {
      seen.push(headers.get("egress-authorization")!);
      return new Response("ok");
    });
    for (const timeMs of [20_000, 3_600_000, 20_000]) {
      const token = await tokenFor({ pools: [pool], expiresAtMs: Date.now() + timeMs });
      const headers = { "egress-authorization": `Bearer ${token}` };
      for (let count = 0; count < 2; count += 1) {
        expect((await ask(`/v1/fetch${URL_QUERY}`, { headers }, pools.env)).status).toBe(200);
      }
    }
    expect(seen.map(endOf)).toEqual([20_000, 20_000, 600_000, 600_000, 20_000, 20_000]);
    expect(new Set(seen).size).toBe(2);
  });

  it.each([
    [20_000, 20_000],
    [20_700, 20_000],
    [600_000, 600_000],
    [3_600_000, 600_000],
  ])("[ID7] asked for with a token that ends in %i ms ends in %i ms", async (timeMs, expectedMs) => {
    const { pool, pools } = await newEgress();
    const token = await tokenFor({ pools: [pool], expiresAtMs: Date.now() + timeMs });
    const headers = { "egress-authorization": `Bearer ${token}` };
    const response = await ask("/v1/gateway-tokens", { method: "POST", headers }, pools.env);
    const made = await response.json<{ token: string; expiresAt: string }>();
    expect(endOf(made.token)).toBe(expectedMs);
    expect(Date.parse(made.expiresAt) - Date.now()).toBe(expectedMs);
  });

  it("[ID7] asked for comes with the gateways of its pool, and is kept by nobody", async () => {
    const { pool, pools, token, h1, h2 } = await newEgress();
    const ips = ["192.0.2.1", "192.0.2.2"].flatMap((ip) => placementOf(pool, [h1, h2], ip).ips);
    const hosts = [{ ...ips[1]!, hosts: ips[1]!.hosts.slice(0, 1) }];
    pools.placement = async () => ok({ pool, ips: [ips[0]!, ...hosts], resting: [] });
    const headers = { "egress-authorization": `Bearer ${token}` };
    const response = await ask("/v1/gateway-tokens", { method: "POST", headers }, pools.env);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toMatchObject({
      pool,
      hosts: [
        { host: h1, gateway: `http://${h1}.gateway`, ips: ["192.0.2.1", "192.0.2.2"] },
        { host: h2, gateway: `http://${h2}.gateway`, ips: ["192.0.2.1"] },
      ],
    });
  });

  it.each([
    ["pool=elsewhere", 403, "pool-denied"],
    ["==", 400, "selection-malformed"],
  ])("[WK7] asked for with %s is refused", async (egress, status, code) => {
    const { pools, token } = await newEgress();
    const headers = { "egress-authorization": `Bearer ${token}`, egress };
    const response = await ask("/v1/gateway-tokens", { method: "POST", headers }, pools.env);
    expect(await codeOf(response)).toEqual({ status, code });
  });

  it("[WK3] is of one client and one pool, though all else be alike", async () => {
    const issuer = new GatewayTokenIssuer(() => edgeKey);
    const expiresAtMs = Date.now() + 3_600_000;
    const verifier = new TokenVerifier({ keys: [publicPart(edgeKey)] });
    const pairs = ["a", "b"].flatMap((subject) => ["eu", "us"].map((pool) => ({ subject, pool })));
    const clientOf = (subject: string): Identity => ({
      role: "client",
      subject,
      pools: ["eu", "us"],
      expiresAtMs,
    });
    for (const { subject, pool } of pairs) await issuer.renew(clientOf(subject), pool, Date.now());
    for (const { subject, pool } of pairs) {
      const token = issuer.recall(clientOf(subject), pool, Date.now());
      expect(await verifier.verify(token!, Date.now())).toMatchObject({
        ok: true,
        value: { role: "gateway", subject, pools: [pool] },
      });
    }
  });

  it("[TK3] says all that the client's token says of tenant, id and restrictions, and is another for each", async () => {
    const issuer = new GatewayTokenIssuer(() => edgeKey);
    const verifier = new TokenVerifier({ keys: [publicPart(edgeKey)] });
    const expiresAtMs = Math.ceil(Date.now() / 1000) * 1000 + 120_000;
    const plain: Identity = { role: "client", subject: "a", pools: ["eu", "us"], expiresAtMs };
    const clients: Identity[] = [
      plain,
      { ...plain, tenant: "shop" },
      { ...plain, tokenId: "t1" },
      { ...plain, tenant: "shop", tokenId: "t1" },
      { ...plain, restrictions: { ips: ["192.0.2.1"] } },
      { ...plain, restrictions: { destinations: ["*.example.com"], requestsPerSecond: 3 } },
    ];
    for (const client of clients) await issuer.renew(client, "eu", Date.now());
    for (const client of clients) {
      const token = issuer.recall(client, "eu", Date.now())!;
      const verified = await verifier.verify(token, Date.now());
      expect(verified).toEqual({ ok: true, value: { ...client, role: "gateway", pools: ["eu"] } });
    }
  });

  it.each([
    ["longer than it", 3_600_000, 540_000],
    ["a second longer", 601_000, 540_000],
    ["no longer", 600_999, 600_000],
    ["shorter", 20_000, 20_000],
  ])(
    "[WK3] [ID7] of a client whose own lasts %s is kept as long as it should",
    async (_what, timeMs, keptMs) => {
      const issuer = new GatewayTokenIssuer(() => edgeKey);
      const nowMs = Date.now();
      const client: Identity = { role: "client", subject: "a", pools: ["eu"], expiresAtMs: nowMs + timeMs };
      const token = await issuer.renew(client, "eu", nowMs);
      expect(issuer.recall(client, "eu", nowMs + keptMs - 1)).toBe(token);
      expect(issuer.recall(client, "eu", nowMs + keptMs)).toBe(undefined);
    },
  );

  it("[WK3] is kept for 4,096, and the oldest is forgotten", async () => {
    const issuer = new GatewayTokenIssuer(() => edgeKey);
    const nowMs = Date.now();
    const client: Identity = { role: "client", subject: "a", pools: ["*"], expiresAtMs: nowMs + 20_000 };
    for (let at = 0; at < 4_096; at += 1) await issuer.renew(client, `pool-${at}`, nowMs);
    expect(issuer.recall(client, "pool-0", nowMs)).toBeTypeOf("string");
    await issuer.renew(client, "one-more", nowMs);
    expect(issuer.recall(client, "pool-0", nowMs)).toBe(undefined);
    expect(issuer.recall(client, "pool-1", nowMs)).toBeTypeOf("string");
  });

  it("[WK2] is signed by the key of now, and not by a replaced one", async () => {
    const { pools, token, h1 } = await newEgress();
    const seen: string[] = [];
    gateways.set(h1, ({ headers }) => {
      seen.push(headers.get("egress-authorization")!.slice("Bearer ".length));
      return new Response("ok");
    });
    const headers = { "egress-authorization": `Bearer ${token}` };
    const newKey = await generateKey("edge");
    const replaced = { ...pools.env, EDGE_KEY: JSON.stringify(newKey) };
    for (const env of [pools.env, replaced]) {
      expect((await ask(`/v1/fetch${URL_QUERY}`, { headers }, env)).status).toBe(200);
    }
    const verifier = new TokenVerifier({ keys: [publicPart(newKey)] });
    const verified = await Promise.all(seen.map((each) => verifier.verify(each, Date.now())));
    expect(verified.map((each) => each.ok)).toEqual([false, true]);
  });

  it("[OC10] is signed by the key of the environment where a newer one can only verify", async () => {
    const newer = publicPart(await generateKey("edge"));
    const known = {
      keysVersion: 7,
      issuers: [],
      edgeKeys: [{ key: newer, signsFromMs: 1 }],
      retiredKids: [],
    };
    const state = { ...known, revocations: [], joinedIds: [] } as unknown as AccessState;
    vi.spyOn(accessCopy, "state", "get").mockReturnValue(state);
    const { signingKey, published } = edgeKeysOf(environment);
    expect(signingKey(Date.now())).toEqual(edgeKey);
    expect(published.keys).toEqual(expect.arrayContaining([newer, publicPart(edgeKey)]));
  });

  it("[WK19] cannot be made without a key, which is a fault of ours", async () => {
    const { pools, token } = await newEgress();
    const { EDGE_KEY: _none, ...keyless } = pools.env;
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const headers = { "egress-authorization": `Bearer ${token}` };
    for (const [method, path] of [
      ["GET", `/v1/fetch${URL_QUERY}`],
      ["POST", "/v1/gateway-tokens"],
    ] as const) {
      const response = await ask(path, { method, headers }, keyless);
      expect(await codeOf(response)).toEqual({ status: 500, code: "internal-fault" });
    }
    expect(logged).toHaveBeenCalledWith(expect.stringContaining("EDGE_KEY is not set"));
    const published = await (await ask("/.well-known/jwks.json", {}, keyless)).json();
    expect(published).toEqual({ keys: [publicPart(issuerKey)] });
  });

  it("[ID7] cannot be had with a token that has ended since it was remembered", async () => {
    const { pool, pools, h1 } = await newEgress();
    gateways.set(h1, () => new Response("ok"));
    const token = await tokenFor({ pools: [pool], expiresAtMs: Date.now() + 2_000 });
    const headers = { "egress-authorization": `Bearer ${token}` };
    expect((await ask(`/v1/fetch${URL_QUERY}`, { headers }, pools.env)).status).toBe(200);
    vi.setSystemTime(Date.now() + 2_000);
    for (const [method, path] of [
      ["GET", `/v1/fetch${URL_QUERY}`],
      ["POST", "/v1/gateway-tokens"],
    ] as const) {
      const response = await ask(path, { method, headers }, environment);
      expect(await codeOf(response)).toEqual({ status: 401, code: "token-expired" });
    }
  });
});
