/** Redirects: returned by default, followed on demand, every hop judged again. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nextHop } from "../../src/agent/traffic/redirect.ts";
import { type Origin, type Rig, startOrigin, startRig } from "./gateway-rig.ts";

let rig: Rig;
let first: Origin;
let second: Origin;

beforeAll(async () => {
  rig = await startRig({ allow: ["127.0.0.0/30"] });
  second = await startOrigin((request, response) => {
    response.end(JSON.stringify({ url: request.url, method: request.method, headers: request.headers }));
  }, "127.0.0.2");
  first = await startOrigin((request, response) => {
    const url = new URL(request.url!, "http://x");
    const to = url.searchParams.get("to");
    if (to === null) {
      request.resume();
      response.end(JSON.stringify({ url: request.url, method: request.method, headers: request.headers }));
      return;
    }
    response.writeHead(Number(url.searchParams.get("status") ?? 302), { location: to });
    response.end("moved".repeat(Number(url.searchParams.get("times") ?? 1)));
  });
});
afterAll(async () => {
  first.close();
  second.close();
  await rig.close();
});

const redirecting = (to: string, status = 302): string =>
  `${first.url}/?status=${status}&to=${encodeURIComponent(to)}`;
const follow = (url: string, init: RequestInit = {}): Promise<Response> =>
  rig.fetch(url, {
    ...init,
    headers: { ...(init.headers as Record<string, string>), "egress-redirect": "follow" },
  });

it("[GW6] returns a redirect unless told otherwise", async () => {
  const response = await rig.fetch(redirecting("/there"), { redirect: "manual" });
  expect(response.status).toBe(302);
  expect(response.headers.get("location")).toBe("/there");
  expect(await response.text()).toBe("moved");
});

it("[GW6] follows over origins, says where it ended, and leaves credentials behind", async () => {
  const headers = { authorization: "Basic x", cookie: "a=b", "x-kept": "1" };
  const away = await follow(redirecting(`${second.url}/there?x=1#part`), { headers });
  expect(away.headers.get("egress-location")).toBe(`${second.url}/there?x=1#part`);
  const seen = (await away.json()) as { url: string; headers: Record<string, string> };
  expect(seen.url).toBe("/there?x=1");
  expect(seen.headers).toMatchObject({ host: second.url.slice("http://".length), "x-kept": "1" });
  expect(seen.headers).not.toHaveProperty("authorization");
  expect(seen.headers).not.toHaveProperty("cookie");
  const home = await follow(redirecting("/here"), { headers });
  expect(((await home.json()) as { headers: unknown }).headers).toMatchObject({
    authorization: "Basic x",
    cookie: "a=b",
  });
  const direct = await follow(`${first.url}/`);
  expect(direct.headers.get("egress-location")).toBeNull();
});

it("[GW6] [DE4] a redirect to a prohibited destination is refused", async () => {
  const response = await follow(redirecting("http://10.0.0.1/secret"));
  expect(response.status).toBe(403);
  expect(await response.json()).toMatchObject({ code: "destination-prohibited" });
});

it("[GW6] endless redirects, nonsense, and bodies without end are refused", async () => {
  const loop = `${first.url}/?status=302&to=${encodeURIComponent("?status=302&to=%2Fx")}`;
  expect((await follow(loop)).status).toBe(200);
  const endless = await startOrigin((_request, response) => response.writeHead(307, { location: "/" }).end());
  expect(await (await follow(endless.url)).json()).toMatchObject({ code: "redirect-loop" });
  endless.close();
  expect(await (await follow(redirecting("ftp://a/"))).json()).toMatchObject({ code: "response-malformed" });
  const large = `${first.url}/?times=100000&to=%2F`;
  expect(await (await follow(large)).json()).toMatchObject({ code: "response-malformed" });
});

it("[GW6] a body that was streamed cannot be sent again", async () => {
  const post = { method: "POST", body: "text", headers: { "content-type": "text/plain" } };
  const kept = await follow(redirecting("/x", 307), post);
  expect(kept.status).toBe(502);
  expect(await kept.json()).toMatchObject({ code: "redirect-not-replayable" });
  const changed = (await (await follow(redirecting("/x", 303), post)).json()) as {
    method: string;
    headers: object;
  };
  expect(changed.method).toBe("GET");
  expect(changed.headers).not.toHaveProperty("content-type");
  expect(changed.headers).not.toHaveProperty("content-length");
});

describe("methods", () => {
  it.each([
    [301, "POST", "GET"],
    [302, "POST", "GET"],
    [303, "POST", "GET"],
    [303, "PUT", "GET"],
    [303, "HEAD", "HEAD"],
    [301, "DELETE", "DELETE"],
    [302, "HEAD", "HEAD"],
    [307, "POST", "POST"],
    [308, "PATCH", "PATCH"],
  ])("[GW6] %d turns %s into %s", (status, method, becomes) => {
    const hop = { url: new URL("http://a.test/"), method, headers: [], hasBody: false };
    const next = nextHop(hop, status, "/b");
    expect(next.ok && next.value.method).toBe(becomes);
  });
});
