/** Redirects: returned by default, followed on demand, every hop judged again. */
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, type Origin, type Rig, startByteOrigin, startOrigin, startRig } from "./gateway-rig.ts";

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

it("[GW6] endless redirects and nonsense are refused", async () => {
  const loop = `${first.url}/?status=302&to=${encodeURIComponent("?status=302&to=%2Fx")}`;
  expect((await follow(loop)).status).toBe(200);
  const endless = await startOrigin((_request, response) => response.writeHead(307, { location: "/" }).end());
  expect(await (await follow(endless.url)).json()).toMatchObject({ code: "redirect-loop" });
  endless.close();
  expect(await (await follow(redirecting("ftp://a/"))).json()).toMatchObject({ code: "response-malformed" });
});

describe("a redirect is followed at its head", () => {
  const MOVED = `HTTP/1.1 302 Found\r\nLocation: /there\r\n`;
  const THERE = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere";
  /** What an origin says at `/`; it counts its connections, and says where they were closed. */
  async function moving(
    say: (socket: Socket) => void,
  ): Promise<{ origin: Origin; connections: () => number }> {
    let connectionCount = 0;
    const origin = await startByteOrigin((socket) => {
      connectionCount += 1;
      socket.on("data", (chunk: Buffer) => {
        if (chunk.includes(" /there ")) socket.write(THERE);
        else say(socket);
      });
    });
    return { origin, connections: () => connectionCount };
  }
  const flood = (socket: Socket): void => {
    if (socket.writable) socket.write(`10000\r\n${"x".repeat(65_536)}\r\n`, () => flood(socket));
  };

  it.each([
    ["an empty body", 1, (socket: Socket): void => void socket.write(`${MOVED}Content-Length: 0\r\n\r\n`)],
    ["a body", 1, (socket: Socket): void => void socket.write(`${MOVED}Content-Length: 5\r\n\r\nmoved`)],
    [
      "a body that goes on",
      2,
      (socket: Socket): void => void socket.write(`${MOVED}Content-Length: 50\r\n\r\n0123456789`),
    ],
    [
      "no body at all",
      2,
      (socket: Socket): void => void socket.write(`${MOVED}Transfer-Encoding: chunked\r\n\r\n`),
    ],
    [
      "an endless body",
      2,
      (socket: Socket): void => {
        socket.write(`${MOVED}Transfer-Encoding: chunked\r\n\r\n`);
        flood(socket);
      },
    ],
    [
      "a large body",
      2,
      (socket: Socket): void =>
        void socket.write(`${MOVED}Content-Length: 500000\r\n\r\n${"x".repeat(500_000)}`),
    ],
    ["a body without a length", 2, (socket: Socket): void => void socket.end(`${MOVED}\r\nmoved`)],
    [
      "a broken body",
      2,
      (socket: Socket): void => void socket.write(`${MOVED}Transfer-Encoding: chunked\r\n\r\nx\r\n`),
    ],
    [
      "a reset within its body",
      2,
      (socket: Socket): void =>
        void socket.write(`${MOVED}Content-Length: 50\r\n\r\nx`, () => socket.resetAndDestroy()),
    ],
  ])("[OR26] with %s", async (_name, connectionCount, say) => {
    const { origin, connections } = await moving(say);
    const response = await follow(`${origin.url}/`);
    expect(response.headers.get("egress-location")).toBe(`${origin.url}/there`);
    expect(await response.text()).toBe("there");
    expect(connections()).toBe(connectionCount);
    // Before the origin ends anything: what is left of the redirect holds no port for long.
    await eventually(() => rig.ports.flowCount(1) <= 1, "its port is free");
    origin.close();
    await eventually(() => rig.ports.flowCount(1) === 0, "no port is held");
  });

  it("[OR26] a body that comes soon leaves the connection to the next request", async () => {
    const { origin, connections } = await moving((socket) => {
      socket.write(`${MOVED}Content-Length: 5\r\n\r\n`);
      setTimeout(() => socket.write("moved"), 20);
    });
    expect(await (await follow(`${origin.url}/`)).text()).toBe("there");
    expect(connections()).toBe(2);
    await new Promise((resolve) => {
      setTimeout(resolve, 60);
    });
    const both = await Promise.all([follow(`${origin.url}/there`), follow(`${origin.url}/there`)]);
    expect(await Promise.all(both.map((response) => response.text()))).toEqual(["there", "there"]);
    expect(connections()).toBe(2);
    origin.close();
  });

  it("[OR26] the rest of an upload is not sent to whom has redirected it", async () => {
    let receivedBytes = 0;
    const { origin } = await moving((socket) => {
      if (receivedBytes === 0) socket.write(MOVED.replace("302", "303") + "Content-Length: 9\r\n\r\n");
      socket.on("data", (chunk: Buffer) => (receivedBytes += chunk.length));
    });
    const response = await follow(`${origin.url}/`, { method: "POST", body: Buffer.alloc(16 * 1024 * 1024) });
    expect(await response.text()).toBe("there");
    expect(receivedBytes).toBeLessThan(16 * 1024 * 1024);
    origin.close();
  });

  it("[OR22] [OR26] each hop has the time-out for itself", async () => {
    const hasty = await startRig({ egressIp: "127.0.0.23", responseTimeoutMs: 300 });
    let requestCount = 0;
    const slow = await startByteOrigin((socket) => {
      socket.on("data", () => {
        requestCount += 1;
        if (requestCount <= 4) {
          setTimeout(() => socket.write(`${MOVED}Content-Length: 0\r\n\r\n`), 150);
        }
      });
    });
    const headers = { "egress-redirect": "follow" };
    expect(await (await hasty.fetch(slow.url, { headers })).json()).toMatchObject({
      code: "response-timeout",
    });
    expect(requestCount).toBe(5);
    slow.close();
    await hasty.close();
  });

  it("[OR26] two locations are none, and the same twice is one", async () => {
    const two = await moving((socket) =>
      socket.write(`${MOVED}Location: /other\r\nContent-Length: 0\r\n\r\n`),
    );
    expect(await (await follow(`${two.origin.url}/`)).json()).toMatchObject({ code: "response-malformed" });
    const same = await moving((socket) =>
      socket.write(`${MOVED}Location: /there\r\nContent-Length: 0\r\n\r\n`),
    );
    expect(await (await follow(`${same.origin.url}/`)).text()).toBe("there");
    two.origin.close();
    same.origin.close();
  });
});

it("[OR26] a request that was sent is not asked of another host, unless it changes nothing", async () => {
  const small = await startRig({ egressIp: "127.0.0.24", leases: [{ base: 20_480, order: 6, epoch: 1 }] });
  let count = 0;
  const target = await startByteOrigin(() => (count += 1));
  const holding = Array.from({ length: 64 }, () => small.fetch(target.url).catch(() => null));
  await eventually(() => count === 64, "all ports are taken towards it");
  const headers = { "egress-redirect": "follow" };
  const to = redirecting(`${target.url}/`, 303);
  const posted = await small.fetch(to, { method: "POST", headers });
  expect(await posted.json()).toMatchObject({ code: "redirect-unfollowed" });
  expect(posted.headers.get("egress-location")).toBe(`${target.url}/`);
  const gotten = await small.fetch(to, { headers });
  expect(await gotten.json()).toMatchObject({ code: "port-block-exhausted" });
  target.close();
  await Promise.all(holding);
  await small.close();
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
