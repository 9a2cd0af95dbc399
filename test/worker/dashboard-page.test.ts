/** The dashboard's files, and the WebSockets by which it sees pools and addresses. */
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Identity } from "../../src/core/identity.ts";
import { newTokenId } from "../../src/wire/tokens.ts";
import { administer, ask, codeOf, environment, tokenFor } from "./edge.ts";

const ORIGIN = "http://edge.test";
const POOL = "dashboard-live";
const IP = "203.0.113.120";
const FILES: Readonly<Record<string, string>> = {
  "/index.html": "<!doctype html><title>page</title>",
  "/assets/index-a1B2_c3.js": "export {}",
  "/assets/style.css": "body{}",
  "/secret.txt": "not of the page",
};
const asked: string[] = [];
const DASHBOARD = {
  async fetch(url: string) {
    const path = new URL(url).pathname;
    asked.push(path);
    const file = FILES[path];
    return file === undefined ? new Response("none", { status: 404 }) : new Response(file);
  },
} as unknown as Fetcher;
const withPage = { ...environment, DASHBOARD };

beforeEach(() => void vi.spyOn(console, "log").mockImplementation(() => {}));

describe("the page", () => {
  it("[DA1] is had by anybody, with a policy that lets in nothing from elsewhere and nothing that is written in it", async () => {
    for (const path of ["/dashboard", "/dashboard/"]) {
      const { status, headers, body } = await ask(path, {}, withPage);
      expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      expect(headers.get("content-security-policy")).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
      );
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      await body?.cancel();
    }
    const head = await ask("/dashboard", { method: "HEAD" }, withPage);
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  it("[DA1] has files that are kept for good, of the types that it needs", async () => {
    const script = await ask("/dashboard/assets/index-a1B2_c3.js", {}, withPage);
    expect(script.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(script.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(script.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await script.text()).toBe("export {}");
    const style = await ask(
      "/dashboard/assets/style.css",
      { headers: { "accept-encoding": "br, gzip" } },
      withPage,
    );
    expect(style.headers.get("content-encoding")).toBe("gzip");
    expect(style.headers.get("content-type")).toBe("text/css; charset=utf-8");
  });

  it.each([
    "/dashboard/assets/none.js",
    "/dashboard/assets/page.html",
    "/dashboard/assets/nothing",
    "/dashboard/assets/toString",
  ])("[DA1] has no %s", async (path) => {
    expect(await codeOf(await ask(path, {}, withPage))).toEqual({ status: 404, code: "dashboard-missing" });
  });

  it.each([
    "/dashboard/assets/",
    "/dashboard/assets/..%2Fsecret.txt",
    "/dashboard/assets/../secret.txt",
    "/dashboard/assets/%2e%2e/secret.txt",
    "/dashboard/assets/.hidden.js",
    "/dashboard/secret.txt",
    "/dashboard/index.html",
  ])("[DA1] shows nothing at %s", async (path) => {
    asked.length = 0;
    const { status } = await ask(path, {}, withPage);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(asked).toEqual([]);
  });

  it("[DA1] says that it is missing where the edge was deployed without it", async () => {
    const { DASHBOARD: _none, ...without } = withPage;
    expect(await codeOf(await ask("/dashboard", {}, without))).toEqual({
      status: 404,
      code: "dashboard-missing",
    });
  });
});

describe("a live view", () => {
  async function cookieOf(claims: Partial<Identity>): Promise<string> {
    const token = await tokenFor({ role: "viewer", pools: [POOL], tokenId: newTokenId(), ...claims });
    const headers = { "content-type": "application/json", origin: ORIGIN };
    const signedIn = await ask("/dashboard/session", {
      method: "POST",
      headers,
      body: JSON.stringify({ token }),
    });
    return signedIn.headers.get("set-cookie")!.split(";")[0]!;
  }

  const look = (path: string, cookie: string, more: Record<string, string> = {}): Promise<Response> =>
    ask(path, { headers: { upgrade: "websocket", cookie, origin: ORIGIN, ...more } });

  /** The first message after a look. */
  async function firstSight(socket: WebSocket): Promise<unknown> {
    const told = new Promise<unknown>((resolve) => {
      socket.addEventListener("message", ({ data }) => resolve(JSON.parse(String(data))), { once: true });
    });
    socket.accept();
    socket.send(JSON.stringify({ type: "look" }));
    return told;
  }

  beforeAll(async () => {
    await administer("PUT", `/v1/pools/${POOL}`, {});
    await administer("PUT", `/v1/pools/${POOL}/ips/${IP}`, {});
  });

  it("[DA7] shows a pool and an address to a session of theirs", async () => {
    const cookie = await cookieOf({});
    const ofPool = (await look(`/dashboard/live/pools/${POOL}`, cookie)).webSocket!;
    expect(await firstSight(ofPool)).toMatchObject({ type: "pool", pool: { pool: POOL } });
    ofPool.close();
    const ofAddress = (await look(`/dashboard/live/ips/${IP}`, cookie)).webSocket!;
    expect(await firstSight(ofAddress)).toMatchObject({ type: "address", ip: IP });
    ofAddress.close();
  });

  it("[DA6] [DA7] ends when its session is signed out elsewhere", async () => {
    const token = await tokenFor({ role: "viewer", pools: [POOL], tokenId: newTokenId() });
    const headers = { "content-type": "application/json", origin: ORIGIN };
    const init = { method: "POST", headers, body: JSON.stringify({ token }) };
    const signedIn = await ask("/dashboard/session", init);
    const { csrf } = await signedIn.json<{ csrf: string }>();
    const cookie = signedIn.headers.get("set-cookie")!.split(";")[0]!;
    const sockets = [
      (await look(`/dashboard/live/pools/${POOL}`, cookie)).webSocket!,
      (await look(`/dashboard/live/ips/${IP}`, cookie)).webSocket!,
    ];
    const closed = sockets.map((socket) => {
      socket.accept();
      return new Promise<number>((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
    });
    const out = { method: "DELETE", headers: { cookie, origin: ORIGIN, "ipshard-csrf": csrf } };
    expect((await ask("/dashboard/session", out)).status).toBe(200);
    expect(await Promise.all(closed)).toEqual([4002, 4002]);
  });

  it.each([
    ["to nobody", {}, "token-missing"],
    ["to another page", { origin: "http://elsewhere.test" }, "csrf-refused"],
    ["to a page that another site opened", { "sec-fetch-site": "cross-site" }, "csrf-refused"],
  ])("[DA5] [DA7] is refused %s", async (_what, headers, code) => {
    const cookie = code === "token-missing" ? "" : await cookieOf({});
    for (const path of [`/dashboard/live/pools/${POOL}`, `/dashboard/live/ips/${IP}`]) {
      expect((await codeOf(await look(path, cookie, headers))).code).toBe(code);
    }
  });

  it("[DA7] is of the session's pools alone, of what there is, and a WebSocket", async () => {
    const foreign = await cookieOf({ pools: ["elsewhere"] });
    const every = await cookieOf({ pools: ["*"] });
    const codeAt = async (path: string, cookie: string): Promise<unknown> =>
      (await codeOf(await look(path, cookie))).code;
    expect(await codeAt(`/dashboard/live/pools/${POOL}`, foreign)).toBe("pool-denied");
    expect(await codeAt(`/dashboard/live/ips/${IP}`, foreign)).toBe("pool-denied");
    expect(await codeAt("/dashboard/live/pools/no-such-pool", every)).toBe("pool-unknown");
    expect(await codeAt("/dashboard/live/ips/203.0.113.121", every)).toBe("ip-unknown");
    expect(await codeAt("/dashboard/live/ips/nonsense", every)).toBe("input-invalid");
    const plain = await ask(`/dashboard/live/pools/${POOL}`, { headers: { cookie: every } });
    expect((await codeOf(plain)).code).toBe("upgrade-required");
  });
});
