/**
 * Signing in to the dashboard, and what a session opens: every route is asked, as the router lists them, with
 * every session that must open nothing.
 */
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { EncryptJWT } from "jose";
import type { Identity } from "../../src/core/identity.ts";
import { newTokenId } from "../../src/wire/tokens.ts";
import { app } from "../../src/worker/app.ts";
import { openSession, sealSession } from "../../src/worker/identity/session-seal.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { answer, FOREIGN, IP, POOL, PUBLIC, type Route, routesOf } from "./all-routes.ts";
import { administer, ask, codeOf, edgeKey, environment, tokenFor } from "./edge.ts";

const ORIGIN = "http://edge.test";
const COOKIE = "ipshard-session";
const HOUR_MS = 3_600_000;

interface SignedIn {
  readonly status: number;
  readonly cookie: string;
  readonly setCookie: string;
  readonly session: { subject: string; role: string; pools: string[]; endsAt: string; csrf: string };
}

async function signIn(given: object, headers: Record<string, string> = {}): Promise<Response> {
  return ask("/dashboard/session", {
    method: "POST",
    headers: { "content-type": "application/json", origin: ORIGIN, ...headers },
    body: JSON.stringify(given),
  });
}

async function signedIn(claims: Partial<Identity> = {}): Promise<SignedIn> {
  const token = await tokenFor({ role: "admin", pools: ["*"], tokenId: newTokenId(), ...claims });
  return read(await signIn({ token }));
}

async function read(response: Response): Promise<SignedIn> {
  const setCookie = response.headers.get("set-cookie") ?? "";
  const session = await response.json<SignedIn["session"]>();
  return { status: response.status, setCookie, cookie: setCookie.split(";")[0]!, session };
}

function shown({ cookie, session }: SignedIn): Record<string, string> {
  return { cookie, origin: ORIGIN, "ipshard-csrf": session.csrf };
}

async function said(response: Response): Promise<string> {
  if (response.status < 400) return String(response.status);
  return (await response.json<{ code: string }>()).code;
}

// What is told of who signs in.
beforeEach(() => void vi.spyOn(console, "log").mockImplementation(() => {}));

beforeAll(async () => {
  for (const pool of [POOL, FOREIGN]) await administer("PUT", `/v1/pools/${pool}`, {});
  await administer("PUT", `/v1/pools/${POOL}/ips/${IP}`, {});
});

describe("signing in", () => {
  it("[DA3] gives a cookie that no script reads, no other site sends, and that ends within the hour", async () => {
    const { status, setCookie, session } = await signedIn({ subject: "ada" });
    expect(status).toBe(200);
    expect(setCookie).toMatch(
      /^ipshard-session=[\w.-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=3(599|600)$/,
    );
    expect(session).toMatchObject({ subject: "ada", role: "admin", pools: ["*"], csrf: expect.any(String) });
    expect(Date.parse(session.endsAt) - Date.now()).toBeLessThanOrEqual(HOUR_MS);
  });

  it("[DA3] to a page that was had by https gives a cookie of this host alone, for https alone", async () => {
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    const { setCookie, cookie } = await read(await signIn({ token }, { origin: "https://edge.test" }));
    expect(setCookie).toMatch(/^__Host-ipshard-session=[^;]+; Path=\/; HttpOnly; SameSite=Strict; Secure; /);
    expect((await ask("/dashboard/session", { headers: { cookie } })).status).toBe(200);
    // Of another name it is another cookie: whoever can set that for the domain has none of this kind.
    const renamed = cookie.replace("__Host-", "");
    const refused = await ask("/dashboard/session", { headers: { cookie: renamed } });
    expect(await codeOf(refused)).toEqual({ status: 401, code: "session-ended" });
  });

  it("[DA3] ends no later than its token, and shows nothing of it", async () => {
    const expiresAtMs = Date.now() + 60_000;
    const token = await tokenFor({ role: "viewer", pools: ["eu"], expiresAtMs });
    const response = await signIn({ token });
    const text = await response.clone().text();
    const { session, cookie } = await read(response);
    expect(Date.parse(session.endsAt)).toBe(Math.floor(expiresAtMs / 1_000) * 1_000);
    for (const part of token.split(".")) expect(text + cookie).not.toContain(part);
  });

  it.each([
    ["a client's token", { role: "client" as const }, "role-denied"],
    ["a host's token", { role: "host" as const }, "role-denied"],
    ["one that has ended", { role: "admin" as const, expiresAtMs: Date.now() - 5_000 }, "token-expired"],
  ])("[DA3] is refused to %s", async (_what, claims, code) => {
    const response = await signIn({ token: await tokenFor(claims) });
    expect(response.headers.has("set-cookie")).toBe(false);
    expect((await codeOf(response)).code).toBe(code);
  });

  it.each([
    ["of another origin", { origin: "https://elsewhere.test" }],
    ["of another port of this host", { origin: "http://edge.test:81" }],
    ["of nowhere", { origin: "null" }],
    ["that another site caused", { "sec-fetch-site": "cross-site" }],
    ["of a neighbour", { "sec-fetch-site": "same-site" }],
  ])("[DA5] is refused to a page %s", async (_what, headers) => {
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    expect(await codeOf(await signIn({ token }, headers))).toEqual({ status: 403, code: "csrf-refused" });
  });

  it("[DA3] takes no form, no other words, and no token that fits into no cookie", async () => {
    const form = await signIn({ token: "x" }, { "content-type": "text/plain" });
    expect((await codeOf(form)).code).toBe("input-invalid");
    expect((await codeOf(await signIn({ token: "x", code: "y" }))).code).toBe("input-invalid");
    expect((await codeOf(await signIn({ token: "x".repeat(40_000) }))).code).toBe("input-invalid");
    const pools = Array.from({ length: 200 }, (_, at) => `a-pool-with-a-long-name-${at}`);
    const large = await signIn({ token: await tokenFor({ role: "admin", pools }) });
    expect((await codeOf(large)).code).toBe("input-invalid");
  });
});

describe("a session", () => {
  it("[DA3] shows its administrator what the token would", async () => {
    const { cookie, session } = await signedIn({ subject: "ada" });
    const who = await ask("/dashboard/session", { headers: { cookie } });
    expect(await who.json()).toEqual(session);
    const pool = await ask(`/v1/pools/${POOL}`, { headers: { cookie } });
    expect(await pool.json()).toMatchObject({ pool: POOL });
    // Whoever sits at that browser next finds nothing of it.
    expect(pool.headers.get("cache-control")).toBe("no-store");
    // A token that is shown counts alone.
    const headers = { cookie, authorization: "Bearer nonsense" };
    expect((await codeOf(await ask(`/v1/pools/${POOL}`, { headers }))).code).toBe("token-malformed");
  });

  it("[DA3] goes on when the edge signs by another key, and ends when its own is retired", async () => {
    const { cookie } = await signedIn();
    const newer = await generateKey("edge");
    const both = { ...environment, EDGE_KEY: JSON.stringify({ keys: [newer, edgeKey] }) };
    const alone = { ...environment, EDGE_KEY: JSON.stringify(newer) };
    expect((await ask("/dashboard/session", { headers: { cookie } }, both)).status).toBe(200);
    const refused = await ask("/dashboard/session", { headers: { cookie } }, alone);
    expect((await codeOf(refused)).code).toBe("session-ended");
  });

  it("[DA3] that somebody else has sealed with the edge's key opens nothing without an issuer's signature", async () => {
    const forged = await tokenFor({ role: "admin", pools: ["*"] }, { ...edgeKey, kid: edgeKey.kid! });
    const session = { id: newTokenId(), token: forged, csrf: "c", endsAtMs: Date.now() + HOUR_MS };
    const sealed = await sealSession(session, COOKIE, edgeKey);
    const refused = await ask("/v1/pools", { headers: { cookie: `${COOKIE}=${sealed}` } });
    expect((await codeOf(refused)).code).toBe("token-signature-invalid");
  });

  it("[DA3] is not opened by bytes that are none, however they are wrong", async () => {
    const key = await generateKey("edge");
    const good = { id: "i", token: "t", csrf: "c", endsAtMs: Date.now() + HOUR_MS };
    const sealed = (await sealSession(good, COOKIE, key))!;
    expect(await openSession(sealed, COOKIE, [key], Date.now())).toMatchObject({ id: "i", token: "t" });
    const flipped = `${sealed.slice(0, -2)}${sealed.at(-2) === "A" ? "B" : "A"}${sealed.at(-1)}`;
    const open = await new EncryptJWT({ token: "t", csrf: "c" })
      .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: key.kid! })
      .setAudience(COOKIE)
      .setJti("i")
      .setExpirationTime("1h")
      .encrypt(new Uint8Array(32));
    for (const bad of ["", "x", "a.b.c.d.e", flipped, open, sealed.slice(1), "x".repeat(5_000)]) {
      expect(await openSession(bad, COOKIE, [key], Date.now())).toBeNull();
    }
    expect(await openSession(sealed, COOKIE, [await generateKey("edge")], Date.now())).toBeNull();
    expect(await openSession(sealed, COOKIE, [key], good.endsAtMs + 1_000)).toBeNull();
  });

  it("[DA5] changes something only with what the page alone knows, and from the edge's own page", async () => {
    const { cookie, session } = await signedIn();
    const put = async (headers: Record<string, string>): Promise<string> =>
      said(
        await ask(`/v1/pools/${POOL}/ips/${IP}`, {
          method: "PUT",
          headers: { "content-type": "application/json", cookie, ...headers },
          body: "{}",
        }),
      );
    expect(await put({ origin: ORIGIN, "ipshard-csrf": session.csrf })).toBe("200");
    expect(await put({ origin: ORIGIN })).toBe("csrf-refused");
    expect(await put({ origin: ORIGIN, "ipshard-csrf": `${session.csrf}x` })).toBe("csrf-refused");
    expect(await put({ "ipshard-csrf": session.csrf })).toBe("csrf-refused");
    expect(await put({ origin: "http://other.test", "ipshard-csrf": session.csrf })).toBe("csrf-refused");
  });

  it("[DA6] that is signed out is over everywhere, also for a copy of its cookie", async () => {
    const mine = await signedIn();
    const other = await signedIn();
    const out = await ask("/dashboard/session", { method: "DELETE", headers: shown(mine) });
    expect(out.status).toBe(200);
    expect(out.headers.get("set-cookie")).toMatch(/^ipshard-session=; .*Max-Age=0$/);
    const { cookie } = mine;
    expect((await codeOf(await ask("/v1/pools", { headers: { cookie } }))).code).toBe("session-ended");
    expect((await ask("/v1/pools", { headers: { cookie: other.cookie } })).status).toBe(200);
  });

  it("[DA6] ends with its token", async () => {
    const tokenId = newTokenId();
    const { cookie } = await signedIn({ tokenId });
    await administer("POST", "/v1/revocations", { id: tokenId });
    expect((await codeOf(await ask("/v1/pools", { headers: { cookie } }))).code).toBe("token-revoked");
  });
});

describe("a sign-in code", () => {
  async function codeFor(claims: Partial<Identity> = {}): Promise<{ code: string; endsAt: string }> {
    const token = await tokenFor({ role: "admin", pools: ["*"], tokenId: newTokenId(), ...claims });
    const headers = { authorization: `Bearer ${token}` };
    const made = await ask("/v1/sign-in-codes", { method: "POST", headers });
    expect(made.status).toBe(200);
    return made.json();
  }

  it("[DA4] signs in whom it was made for, once", async () => {
    const { code, endsAt } = await codeFor({ subject: "grace", role: "viewer", pools: ["eu"] });
    expect(Date.parse(endsAt) - Date.now()).toBeLessThanOrEqual(300_000);
    const { session } = await read(await signIn({ code }));
    expect(session).toMatchObject({ subject: "grace", role: "viewer", pools: ["eu"] });
    expect(await codeOf(await signIn({ code }))).toEqual({ status: 401, code: "sign-in-code-invalid" });
    expect((await codeOf(await signIn({ code: "guessed" }))).code).toBe("sign-in-code-invalid");
  });

  it("[DA4] is good for minutes, and for no longer than its token", async () => {
    const { code } = await codeFor();
    const { endsAt } = await codeFor({ expiresAtMs: Date.now() + 60_000 });
    expect(Date.parse(endsAt) - Date.now()).toBeLessThanOrEqual(60_000);
    vi.setSystemTime(Date.now() + 300_001);
    expect((await codeOf(await signIn({ code }))).code).toBe("sign-in-code-invalid");
  });

  it("[DA4] is made for no session, which would outlive itself by it", async () => {
    const headers = shown(await signedIn());
    const made = await ask("/v1/sign-in-codes", { method: "POST", headers });
    expect((await codeOf(made)).code).toBe("token-missing");
  });

  it("[DA4] and the token under it are in no log", async () => {
    const lines = vi.spyOn(console, "log").mockImplementation(() => {});
    const token = await tokenFor({ role: "admin", pools: ["*"] });
    const headers = { authorization: `Bearer ${token}` };
    const made = await ask("/v1/sign-in-codes", { method: "POST", headers });
    const { code } = await made.json<{ code: string }>();
    const { cookie, session } = await read(await signIn({ code }));
    await ask("/dashboard/session", { method: "DELETE", headers: shown({ cookie, session } as SignedIn) });
    const written = JSON.stringify(lines.mock.calls);
    expect(lines).toHaveBeenCalledTimes(3);
    for (const secret of [code, cookie.split("=")[1]!, session.csrf, ...token.split(".")])
      expect(written).not.toContain(secret);
  });
});

describe("every route of the edge", () => {
  const isFor = (code: string): boolean => !["token-missing", "role-denied"].includes(code);

  it("[DA5] [DA6] is opened by no cookie that is none, forged, over or signed out, and by none of another page", async () => {
    const good = await signedIn();
    const signedOut = await signedIn();
    await ask("/dashboard/session", { method: "DELETE", headers: shown(signedOut) });
    const stranger = { ...(await generateKey("edge")), kid: edgeKey.kid! };
    const part = { id: newTokenId(), csrf: "c", token: await tokenFor({ role: "admin", pools: ["*"] }) };
    const sealed = async (key: typeof edgeKey, endsAtMs: number): Promise<Record<string, string>> => ({
      ...shown(good),
      "ipshard-csrf": "c",
      cookie: `${COOKIE}=${await sealSession({ ...part, endsAtMs }, COOKIE, key)}`,
    });
    const bad: [string, Record<string, string>, string][] = [
      ["forged", await sealed(stranger, Date.now() + HOUR_MS), "session-ended"],
      ["over", await sealed(edgeKey, Date.now() - 1_000), "session-ended"],
      ["signed out", shown(signedOut), "session-ended"],
      ["of another page", { ...shown(good), origin: "https://elsewhere.test" }, "csrf-refused"],
      ["caused by another site", { ...shown(good), "sec-fetch-site": "cross-site" }, "csrf-refused"],
    ];
    const found: string[] = [];
    let openCount = 0;
    for (const route of routesOf(app).filter(({ name }) => !PUBLIC.has(name))) {
      if (route.name === "DELETE /dashboard/session") continue;
      const opened = await said(await answer(app, route, shown(good)));
      if (isFor(opened)) openCount += 1;
      for (const [what, headers, wanted] of bad) {
        const got = await said(await answer(app, route, headers));
        // Routes for other roles do not even look at it.
        if (got !== (isFor(opened) ? wanted : "token-missing")) found.push(`${route.name}: ${what}: ${got}`);
      }
    }
    expect(found).toEqual([]);
    expect(openCount).toBeGreaterThan(25);
    for (const [what, headers, wanted] of bad) {
      const refused = await codeOf(await ask("/dashboard/session", { method: "DELETE", headers }));
      expect(refused.code, what).toBe(wanted);
    }
  }, 60_000);

  it("[DA2] [DA5] that changes something is closed to a viewer, and what a viewer reads is of its pools", async () => {
    const viewer = await signedIn({ role: "viewer", subject: "vera" });
    const foreign = await signedIn({ role: "viewer", pools: [FOREIGN] });
    const found: string[] = [];
    const isOwn = ({ name }: Route): boolean => name === "DELETE /dashboard/session";
    for (const route of routesOf(app).filter((one) => !PUBLIC.has(one.name) && !isOwn(one))) {
      const got = await said(await answer(app, route, shown(viewer)));
      if (got === "token-missing") continue;
      const isReading = route.method === "GET" && !route.path.startsWith("/v1/edge/copy");
      if ((got === "role-denied") === isReading) found.push(`${route.name}: ${got}`);
      const isOfPool = isReading && route.path.includes(POOL);
      if (isOfPool && (await said(await answer(app, route, shown(foreign)))) !== "pool-denied")
        found.push(`${route.name}: foreign`);
    }
    expect(found).toEqual([]);
  }, 60_000);

  it("[DA3] is opened by the edge's own cookie, whatever others of its name are set beside it", async () => {
    const { cookie, session } = await signedIn();
    const other = await signedIn({ role: "viewer", subject: "tossed" });
    for (const tossed of [`${COOKIE}=junk`, other.cookie, `${COOKIE}=`]) {
      const answered = await ask("/dashboard/session", { headers: { cookie: `${tossed}; a=b; ${cookie}` } });
      expect(await answered.json()).toMatchObject({ subject: session.subject, csrf: session.csrf });
    }
    // What was had by plain http changes nothing at a page that was had by https.
    const origin = ORIGIN.replace("http:", "https:");
    const headers = { cookie, origin, "ipshard-csrf": session.csrf };
    const refused = await ask("/dashboard/session", { method: "DELETE", headers });
    expect((await codeOf(refused)).code).toBe("csrf-refused");
  });

  it("[DA3] of the egress API takes no session", async () => {
    const headers = shown(await signedIn());
    const fetched = await ask("/v1/fetch?url=http://x/", { headers });
    expect((await codeOf(fetched)).code).toBe("token-missing");
  });

  it("[DA3] [OC10] that gives a copy of the edge takes no session, for any page may have a browser read", async () => {
    const headers = shown(await signedIn());
    for (const path of ["/v1/edge/copy?heldAtMs=1", "/v1/edge/copy/database?path=x"])
      expect((await codeOf(await ask(path, { headers }))).code).toBe("token-missing");
  });
});
