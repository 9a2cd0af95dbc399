/** Redirects: returned by default, followed on demand, every hop judged again. */
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Hop, locationOf, nextHop, unfollowed } from "../../src/agent/traffic/redirect.ts";
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

it("[OR26] credentials stay where they are from, also on the way from https to http and back", () => {
  const headers = ["authorization", "x", "cookie", "y", "accept", "z", "content-md5", "m"];
  const hop = { url: new URL("https://a.test/"), method: "GET", headers, hasBody: false };
  const kept = (from: typeof hop, location: string): readonly string[] => {
    const next = nextHop(from, 302, location);
    return next.ok ? next.value.headers : [];
  };
  expect(kept(hop, "/b")).toEqual(headers);
  expect(kept(hop, "https://a.test:443/b")).toEqual(headers);
  for (const location of [
    "http://a.test/",
    "http://a.test:443/",
    "https://a.test:444/",
    "https://b.test/",
    "https://sub.a.test/",
    "https://xa.test/",
    "https://a.test.b.test/",
    "https://a.test./",
    "https://a.tes/",
    "https://test/",
    "//b.test/",
    "//a.test:444/",
    "/\\b.test/",
    "\\\\b.test/",
    "https:\\\\b.test\\a.test",
  ]) {
    expect(kept(hop, location), location).toEqual(["accept", "z", "content-md5", "m"]);
  }
  for (const location of ["//a.test/b", "https://A.TEST/b", "https:b", "?c", "#d", ""]) {
    expect(kept(hop, location), location).toEqual(headers);
  }
  const away = nextHop(hop, 302, "http://a.test/");
  expect(away.ok && kept({ ...away.value, headers: [...away.value.headers] }, "https://a.test/")).toEqual([
    "accept",
    "z",
    "content-md5",
    "m",
  ]);
  for (const location of [
    "http://user:pass@a.test/",
    "javascript:x",
    "http://",
    "http://a.test:0/",
    "http://a b/",
  ]) {
    expect(nextHop(hop, 302, location)).toMatchObject({ ok: false, refusal: { code: "response-malformed" } });
  }
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

describe("what a hop takes along", () => {
  const OF_A_BODY = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
  ];
  const headers = [...OF_A_BODY, "accept", "x-kept"].flatMap((name) => [name, "v"]);
  const hop = (method: string, hasBody: boolean): Hop => ({
    url: new URL("http://a.test/"),
    method,
    headers,
    hasBody,
  });
  const taken = (status: number, from: Hop): Hop => {
    const next = nextHop(from, status, "/b");
    if (!next.ok) throw new Error(next.refusal.code);
    return next.value;
  };

  it("[GW6] with the body goes whatever is said of it, and nothing else", () => {
    const next = taken(302, hop("POST", true));
    expect(next.headers).toEqual(["accept", "v", "x-kept", "v"]);
    expect(next.hasBody).toBe(false);
    // So the next redirect has nothing to send again.
    expect(taken(307, next).method).toBe("GET");
  });

  it.each([
    [303, "GET"],
    [303, "HEAD"],
    [302, "GET"],
    [301, "PUT"],
    [307, "POST"],
  ])("[GW6] after a %d a %s stays what it is, with all of its fields", (status, method) => {
    expect(taken(status, hop(method, false))).toMatchObject({ method, headers, hasBody: false });
  });

  it.each([
    [301, "PUT"],
    [302, "DELETE"],
    [303, "GET"],
    [307, "POST"],
    [308, "POST"],
  ])(
    "[GW6] after a %d the body of a %s would be sent again, so the client is told where to",
    (status, method) => {
      expect(nextHop(hop(method, true), status, "/b")).toEqual({
        ok: false,
        refusal: { code: "redirect-not-replayable", location: "http://a.test/b" },
      });
    },
  );

  it("[GW6] the refusal of a redirect that leads nowhere says why it does", () => {
    expect(nextHop(hop("GET", false), 302, "ftp://a.test/")).toEqual({
      ok: false,
      refusal: {
        code: "response-malformed",
        detail: "The redirect is no destination: url-scheme-unsupported",
      },
    });
  });
});

describe("what is a redirect", () => {
  it.each([301, 302, 303, 307, 308])("[GW6] a %d with a location", (status) => {
    expect(locationOf(status, ["Date", "now", "LOCATION", "/b", "x-location", "/c"])).toBe("/b");
  });

  it.each([200, 201, 300, 304, 305, 306, 309])("[GW6] a %d is none, whatever its location", (status) => {
    expect(locationOf(status, ["location", "/b"])).toBeNull();
    // Nor does it matter what that is.
    expect(locationOf(status, ["location", "/b", "location", "/c"])).toBeNull();
  });

  it("[GW6] without a location there is none, and an empty one is one", () => {
    expect(locationOf(302, ["x-location", "/b", "content-location", "/c"])).toBeNull();
    expect(locationOf(302, [])).toBeNull();
    expect(locationOf(302, ["location", ""])).toBe("");
  });

  it("[OR26] the bytes of a location are UTF-8", () => {
    expect(locationOf(302, ["location", Buffer.from("/ü/日").toString("latin1")])).toBe("/ü/日");
  });

  it("[OR26] of two locations none is followed, not even if one is empty", () => {
    expect(() => locationOf(302, ["location", "", "location", "/b"])).toThrow("There are two locations.");
  });
});

describe("a later hop that another host could make", () => {
  const url = new URL("https://b.test/there");
  const lost = { code: "lease-lost", detail: "192.0.2.1 towards b.test" } as const;

  it.each(["GET", "HEAD", "OPTIONS", "TRACE"])("[OR26] a %s may be asked of it, from the start", (method) => {
    expect(unfollowed(lost, method, url)).toEqual({ ...lost, location: url.href });
  });

  it.each(["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get"])(
    "[OR26] a %s was sent once, so it is not",
    (method) => {
      expect(unfollowed(lost, method, url)).toEqual({
        code: "redirect-unfollowed",
        detail: "lease-lost: 192.0.2.1 towards b.test",
        location: url.href,
      });
      expect(unfollowed({ code: "lease-lost" }, method, url).detail).toBe(
        "lease-lost: the next hop cannot be made from here",
      );
    },
  );

  it("[OR26] what no other host would do better is told as it is", () => {
    const refused = { code: "connection-refused", detail: "ECONNREFUSED" } as const;
    expect(unfollowed(refused, "GET", url)).toBe(refused);
    expect(unfollowed(refused, "POST", url)).toBe(refused);
  });
});
