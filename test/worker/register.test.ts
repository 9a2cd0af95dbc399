/** Tokens that are registered and revoked, keys that come and go, machines that join: through the Worker. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { kidOf, newTokenId } from "../../src/wire/tokens.ts";
import { FRESH_MS, LIFETIME_MS, USABLE_MS } from "../../src/worker/identity/access-copy.ts";
import { administer, ask, codeOf, edgeKey, environment, issuerKey, tokenFor } from "./edge.ts";

const POOL = "registered";
const OTHER = "registered-too";
const REVOKED = { status: 401, code: "token-revoked" };
const PROOF = "p".repeat(43);
type Answer = Record<string, any>;

function bearing(token: string, body?: unknown): RequestInit {
  const headers: Record<string, string> = { "egress-authorization": `Bearer ${token}` };
  if (body === undefined) return { headers };
  return {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(body),
  };
}

async function asked(path: string, init?: RequestInit, env = environment): Promise<Answer> {
  return (await ask(path, init, env)).json<Answer>();
}

async function issued(claims: Partial<Identity> = {}): Promise<{ id: string; token: string }> {
  const id = newTokenId();
  return { id, token: await tokenFor({ pools: [POOL], tokenId: id, ...claims }) };
}

async function administratorOf(...pools: string[]): Promise<string> {
  return tokenFor({ role: "admin", subject: "held", pools });
}

async function post(path: string, body: unknown): Promise<Answer> {
  return (await administer("POST", path, body)).json<Answer>();
}

/** Whether a client's token is taken, by a request that goes no further. */
async function refusalOf(token: string, env = environment): Promise<unknown> {
  const response = await ask("/v1/fetch", bearing(token), env);
  const { code } = await response.json<{ code: string }>();
  return /^(token|control)-/.test(code) ? code : null;
}

beforeAll(async () => {
  for (const pool of [POOL, OTHER])
    expect((await administer("PUT", `/v1/pools/${pool}`, {})).status).toBe(200);
});

describe("a token", () => {
  it("[TK4] is registered by what it says, once, and listed", async () => {
    const restrictions = { ips: ["192.0.2.1"], requestsPerSecond: 5 };
    const { id, token } = await issued({ subject: "listed", tenant: "shop", restrictions });
    const noted = await post("/v1/tokens", { token });
    const shown = { id, role: "client", name: "listed", tenant: "shop", pools: [POOL], restrictions };
    expect(noted).toMatchObject({ ...shown, registeredBy: "tester", isJoined: false, revokedAtMs: null });
    expect(noted).toMatchObject({ kid: kidOf(token), keyRetiredAtMs: null });
    expect(await post("/v1/tokens", { token })).toEqual(noted);
    const { tokens } = await (await administer("GET", "/v1/tokens")).json<Answer>();
    expect(tokens).toContainEqual(noted);
    expect(JSON.stringify(tokens)).not.toContain(token.split(".")[2]);
  });

  it("[TK4] is not registered when it is not to be believed, has no id, or one that is another's", async () => {
    const { id, token } = await issued();
    await post("/v1/tokens", { token });
    const other = await tokenFor({ pools: [POOL], tokenId: id, subject: "another" });
    expect(await post("/v1/tokens", { token: other })).toMatchObject({ code: "token-id-taken" });
    for (const wrong of [
      "nonsense",
      await tokenFor({ pools: [POOL] }),
      await tokenFor({ tokenId: newTokenId() }, await generateKey("issuer")),
      await tokenFor({ role: "gateway", tokenId: newTokenId() }, edgeKey),
    ]) {
      expect(await post("/v1/tokens", { token: wrong })).toMatchObject({ code: "input-invalid" });
    }
  });

  it("[ID6] [TK4] [TK5] of another pool is neither registered, listed nor revoked by who is held to pools", async () => {
    const held = await administratorOf(OTHER);
    const { id, token } = await issued({ subject: "not-theirs" });
    const denied = { code: "pool-denied" };
    expect(await asked("/v1/tokens", bearing(held, { token }))).toMatchObject(denied);
    await post("/v1/tokens", { token });
    const { tokens } = await asked("/v1/tokens", bearing(held));
    expect((tokens as Answer[]).filter((one) => !one["pools"].includes(OTHER))).toEqual([]);
    expect(await asked("/v1/revocations", bearing(held, { id }))).toMatchObject(denied);
    const byName = await asked("/v1/revocations", bearing(held, { name: "not-theirs" }));
    expect(byName).toMatchObject({ code: "token-unknown" });
    expect(await refusalOf(token)).toBeNull();
    // One that the register does not know is revoked as far as the word of the administrator reaches.
    const stranger = await issued();
    const theirs = await issued({ pools: [OTHER] });
    for (const one of [stranger, theirs]) {
      expect(await asked("/v1/revocations", bearing(held, { id: one.id }))).toMatchObject({ ids: [one.id] });
    }
    expect(await refusalOf(stranger.token)).toBeNull();
    expect(await refusalOf(theirs.token)).toBe("token-revoked");
  });

  it("[TK5] is revoked by its id, registered or not, and its gateway tokens with it", async () => {
    for (const isRegistered of [true, false]) {
      const { id, token } = await issued();
      if (isRegistered) await post("/v1/tokens", { token });
      expect(await refusalOf(token)).toBeNull();
      expect(await post("/v1/revocations", { id })).toEqual({ ids: [id], pendingPools: [] });
      expect(await refusalOf(token)).toBe("token-revoked");
      expect(await codeOf(await ask("/v1/gateway-tokens", bearing(token, {})))).toEqual(REVOKED);
      // Once more changes nothing.
      expect(await post("/v1/revocations", { id })).toEqual({ ids: [id], pendingPools: [] });
    }
  });

  it.each([
    ["name", { name: "same-name" }, { subject: "same-name" }],
    ["tenant", { tenant: "same-tenant" }, { tenant: "same-tenant" }],
  ])("[TK5] is revoked with all of its %s", async (_what, wish, claims) => {
    const one = await issued(claims);
    const two = await issued(claims);
    const other = await issued();
    for (const { token } of [one, two, other]) await post("/v1/tokens", { token });
    const { ids } = await post("/v1/revocations", wish);
    expect(ids.toSorted()).toEqual([one.id, two.id].toSorted());
    expect(await Promise.all([one, two, other].map(({ token }) => refusalOf(token)))).toEqual([
      "token-revoked",
      "token-revoked",
      null,
    ]);
  });

  it.each(["host", "router", "admin"] as const)(
    "[TK5] of a %s that was revoked opens nothing",
    async (role) => {
      const { id, token } = await issued({ role, subject: `revoked-${role}` });
      const path = {
        host: `/v1/pools/${POOL}/connect`,
        router: `/v1/pools/${POOL}/steering`,
        admin: "/v1/pools",
      };
      await post("/v1/revocations", { id });
      expect(await codeOf(await ask(path[role], bearing(token)))).toEqual(REVOKED);
    },
  );

  it.each([1_700_000_000, Date.now() + 3_600_000.5])(
    "[TK5] is not said to be revoked where its end, %d, would leave it good",
    async (endsAtMs) => {
      const { id, token } = await issued();
      expect(await post("/v1/revocations", { id, endsAtMs })).toMatchObject({ code: "input-invalid" });
      expect(await refusalOf(token)).toBeNull();
    },
  );

  it("[TK6] that was revoked elsewhere is refused when the copy is too old, which is soon", async () => {
    const { id, token } = await issued();
    vi.useFakeTimers({ toFake: ["Date"] });
    expect(await refusalOf(token)).toBeNull();
    const register = environment.ACCESS_REGISTER.getByName("register");
    await register.revoke({ name: "elsewhere", pools: ["*"] }, { id });
    vi.setSystemTime(Date.now() + FRESH_MS - 100);
    expect(await refusalOf(token)).toBeNull();
    vi.setSystemTime(Date.now() + USABLE_MS - FRESH_MS + 200);
    expect(await refusalOf(token)).toBe("token-revoked");
    expect(USABLE_MS).toBeLessThan(10_000);
  });

  it("[TK4] is judged by the copy while the register is lost, and not without one", async () => {
    const lost = {
      ...environment,
      ACCESS_REGISTER: { getByName: () => ({ access: () => Promise.reject(new Error("gone")) }) } as never,
    };
    const [good, bad] = [await issued(), await issued()];
    await post("/v1/revocations", { id: bad.id });
    // The last word was a change, after which the copy is old: it is still better than none. [LAW8]
    expect(await refusalOf(good.token, lost)).toBeNull();
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + 10_000);
    expect(await refusalOf(good.token)).toBeNull();
    vi.setSystemTime(Date.now() + LIFETIME_MS / 2);
    expect(await refusalOf(good.token, lost)).toBeNull();
    expect(await refusalOf(bad.token, lost)).toBe("token-revoked");
    vi.setSystemTime(Date.now() + LIFETIME_MS / 2 + 1);
    expect(await refusalOf(good.token, lost)).toBe("control-plane-unavailable");
    vi.useRealTimers();
    expect(await refusalOf(good.token)).toBeNull();
  });
});

describe("keys", () => {
  it("[TK7] of a further issuer count beside the first until they are retired", async () => {
    const second = await generateKey("issuer");
    const id = newTokenId();
    const token = await tokenFor({ pools: [POOL], tokenId: id }, second);
    expect(await refusalOf(token)).toBe("token-signature-invalid");
    const added = await post("/v1/keys", { key: publicPart(second) });
    expect(added["keys"]).toContainEqual(expect.objectContaining({ kid: second.kid, isTrusted: true }));
    expect([await refusalOf(token), await refusalOf(await tokenFor())]).toEqual([null, null]);
    const { keys } = await asked("/.well-known/jwks.json");
    expect(keys).toContainEqual(publicPart(second));
    expect(await post("/v1/tokens", { token })).toMatchObject({ kid: second.kid, keyRetiredAtMs: null });
    const retired = await (await administer("DELETE", `/v1/keys/${second.kid}`)).json<Answer>();
    expect(retired["keys"]).toContainEqual(expect.objectContaining({ kid: second.kid, isTrusted: false }));
    expect([await refusalOf(token), await refusalOf(await tokenFor())]).toEqual([
      "token-signature-invalid",
      null,
    ]);
    // [TK4] What it had signed is listed as what it is.
    const { tokens } = await (await administer("GET", "/v1/tokens")).json<Answer>();
    expect(tokens).toContainEqual(expect.objectContaining({ id, keyRetiredAtMs: expect.any(Number) }));
    // It does not come back.
    await post("/v1/keys", { key: publicPart(second) });
    expect(await refusalOf(token)).toBe("token-signature-invalid");
  });

  it("[TK7] are retired by nobody whom that would lock out, and unknown ones not at all", async () => {
    for (const [kid, code] of [
      [issuerKey.kid, "key-in-use"],
      [edgeKey.kid, "key-in-use"],
      ["issuer:unknown", "key-unknown"],
    ]) {
      expect(await codeOf(await administer("DELETE", `/v1/keys/${kid}`))).toMatchObject({ code });
    }
  });

  it("[TK7] are for administrators of every pool, and are public ones of issuers", async () => {
    const held = await administratorOf(POOL);
    const second = await generateKey("issuer");
    for (const [path, body] of [
      ["/v1/keys", { key: publicPart(second) }],
      ["/v1/edge-keys", {}],
      ["/v1/keys", undefined],
    ] as const) {
      expect(await asked(path, bearing(held, body))).toMatchObject({ code: "pool-denied" });
    }
    for (const key of [
      second,
      publicPart(await generateKey("edge")),
      { ...publicPart(second), x: "short" },
    ]) {
      expect(await post("/v1/keys", { key })).toMatchObject({ code: "input-invalid" });
    }
  });

  it("[TK7] of the edge are published before they sign, and the former ones stay good", async () => {
    const before = await asked("/v1/gateway-tokens", bearing((await issued()).token, {}));
    expect(before["token"]).toBeDefined();
    const { keys } = await post("/v1/edge-keys", { signsInMs: 60_000 });
    const made = (keys as Answer[]).find(({ kind, source }) => kind === "edge" && source === "register")!;
    expect(made).toMatchObject({ isTrusted: true, isSigning: false });
    const published = await asked("/.well-known/jwks.json");
    const kids = published["keys"].map(({ kid }: Answer) => kid);
    expect(kids).toEqual(expect.arrayContaining([made["kid"], edgeKey.kid]));
    expect(JSON.stringify(published)).not.toContain('"d"');
    const signer = async (): Promise<string> => {
      const { token } = await asked("/v1/gateway-tokens", bearing((await issued()).token, {}));
      return JSON.parse(atob(token.split(".")[0])).kid;
    };
    expect(await signer()).toBe(edgeKey.kid);
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + 61_000);
    expect(await signer()).toBe(made["kid"]);
    const { keys: later } = await (await administer("DELETE", `/v1/keys/${edgeKey.kid}`)).json<Answer>();
    expect(later).toContainEqual(expect.objectContaining({ kid: edgeKey.kid, isTrusted: false }));
    expect(await signer()).toBe(made["kid"]);
  });

  it("[TK7] of the environment may be a set, of which the first signs", async () => {
    const [first, second] = [await generateKey("edge"), await generateKey("edge")];
    const env = { ...environment, EDGE_KEY: JSON.stringify({ keys: [first, second] }) };
    const { keys } = await asked("/.well-known/jwks.json", undefined, env);
    expect(keys).toEqual(expect.arrayContaining([publicPart(first), publicPart(second)]));
  });
});

describe("a machine that joins", () => {
  async function offer(name: string, more: object = {}): Promise<string> {
    const offered = await post("/v1/joins", { role: "host", name, pools: [POOL], ...more });
    expect(offered).toMatchObject({ join: { name, usedAtMs: null } });
    return offered["token"] as string;
  }
  const connects = (token: string) => ask(`/v1/pools/${POOL}/connect`, bearing(token));

  it("[TK9] gets the token of its name, role and pools, once, and again if it lost the answer", async () => {
    const token = await offer("joining");
    const joined = await asked("/v1/join", bearing(token, { proof: PROOF }));
    expect(joined).toMatchObject({ role: "host", name: "joining", pools: [POOL] });
    // It is a host, and of no other pool.
    expect(await codeOf(await connects(joined["token"]))).toMatchObject({ code: "upgrade-required" });
    const elsewhere = { headers: { authorization: `Bearer ${joined["token"]}`, upgrade: "websocket" } };
    expect(await codeOf(await ask(`/v1/pools/${OTHER}/connect`, elsewhere))).toMatchObject({
      code: "pool-denied",
    });
    const again = await asked("/v1/join", bearing(token, { proof: PROOF }));
    expect(again).toMatchObject({ name: "joining", endsAtMs: joined["endsAtMs"] });
    // A thief comes too late, and is seen.
    const late = await ask("/v1/join", bearing(token, { proof: "t".repeat(43) }));
    expect(await codeOf(late)).toEqual({ status: 401, code: "join-used" });
    const { joins } = await (await administer("GET", "/v1/joins")).json<Answer>();
    expect(joins).toContainEqual(expect.objectContaining({ name: "joining", refusedCount: 1 }));
    expect(JSON.stringify(joins)).not.toContain(PROOF);
  });

  it("[TK9] does so in time, with a token that is good for nothing else", async () => {
    const token = await offer("late", { ttlMs: 60_000 });
    expect(await codeOf(await connects(token))).toEqual({ status: 403, code: "role-denied" });
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + 61_000);
    const late = await ask("/v1/join", bearing(token, { proof: PROOF }));
    expect(await codeOf(late)).toEqual({ status: 401, code: "token-expired" });
  });

  it("[TK9] is offered that by an administrator of its pools only, and never to be a client", async () => {
    const held = await administratorOf(OTHER);
    const body = { role: "host", name: "x", pools: [POOL] };
    expect(await asked("/v1/joins", bearing(held, body))).toMatchObject({ code: "pool-denied" });
    for (const role of ["client", "admin", "gateway", "join"]) {
      expect(await post("/v1/joins", { ...body, role })).toMatchObject({ code: "input-invalid" });
    }
    expect((await asked("/v1/joins", bearing(held)))["joins"]).toEqual([]);
  });

  it("[TK9] [ID1] cannot be made up with the key of the edge alone", async () => {
    const forged = await tokenFor(
      { role: "host", subject: "forged", pools: [POOL], tokenId: newTokenId() },
      edgeKey,
    );
    const unnamed = await tokenFor({ role: "host", subject: "forged", pools: [POOL] }, edgeKey);
    for (const token of [forged, unnamed]) {
      expect(await codeOf(await connects(token))).toMatchObject({ code: "token-signature-invalid" });
    }
  });

  it("[TK10] replaces its token itself, unless that was revoked, by whatever name", async () => {
    const join = await asked("/v1/join", bearing(await offer("renewing"), { proof: PROOF }));
    const renewed = await asked("/v1/renewals", bearing(join["token"], {}));
    expect(renewed).toMatchObject({ role: "host", name: "renewing", pools: [POOL] });
    expect(await codeOf(await connects(renewed["token"]))).toMatchObject({ code: "upgrade-required" });
    const listed = await (await administer("GET", "/v1/tokens")).json<Answer>();
    const first = (listed["tokens"] as Answer[]).find(({ name }) => name === "renewing")!;
    const { ids } = await post("/v1/revocations", { id: first["id"] });
    expect(ids).toHaveLength(2);
    for (const { token } of [join, renewed] as Answer[]) {
      expect(await codeOf(await ask("/v1/renewals", bearing(token, {})))).toEqual(REVOKED);
      expect(await codeOf(await connects(token))).toEqual(REVOKED);
    }
  });

  it("[TK10] is the only one whose token is replaced", async () => {
    const { token } = await issued({ role: "host", subject: "by-hand" });
    const answer = await ask("/v1/renewals", bearing(token, {}));
    expect(await codeOf(answer)).toEqual({ status: 404, code: "token-unknown" });
  });
});
