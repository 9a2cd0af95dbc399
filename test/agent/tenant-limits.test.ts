/** What a tenant may have on one host: exactly so much, by every way in, and nothing of it is ever lost. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline, Readable } from "node:stream";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import {
  DEFAULT_POOL_POLICY,
  NO_LIMITS,
  type TenantLimits,
  UNRESTRICTED,
} from "../../src/core/pool-policy.ts";
import { eventually, fetchHead, type Origin, startByteOrigin, startOrigin } from "./gateway-rig.ts";
import { ByteClient, openTunnel, type ProxyRig, readHead, startProxyRig } from "./proxy-rig.ts";

const MIB = 1024 * 1024;
/** Whose address takes a while to be found. */
const LATE_NAMES = ["connect", "socks", "raw", "fetch", "proxied", "websocket"].map(
  (way) => `${way}.late.test`,
);

let rig: ProxyRig;
let origin: Origin;
let bytes: Origin;
let far: Socket[];
/** Requests that wait at the origin for their answers. */
let waiting: ServerResponse[];

beforeAll(async () => {
  rig = await startProxyRig({
    idleTimeoutMs: 50,
    records: Object.fromEntries(LATE_NAMES.map((name) => [name, ["127.0.0.1"]])),
  });
  origin = await startOrigin((request: IncomingMessage, response) => {
    if (request.url === "/wait") waiting.push(response);
    else if (request.url === "/endless") pipeline(Readable.from(endless()), response, () => {});
    else if (request.url === "/begun") {
      response.write("begun");
      waiting.push(response);
    } else response.end("well");
  });
  origin.server.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    far.push(socket as Socket);
  });
  bytes = await startByteOrigin((socket) => {
    far.push(socket);
  });
});
afterAll(async () => {
  origin.close();
  bytes.close();
  await rig.close();
});
beforeEach(() => {
  waiting = [];
  far = [];
});
afterEach(async () => {
  take(NO_LIMITS);
  for (const response of waiting) response.end("late");
  for (const socket of far) socket.destroy();
  rig.counts.clear();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  await eventually(() => described("test").every(isNothing), "nothing of the tenant left");
  expect(rig.faults).toEqual([]);
});

function* endless(): Iterable<Buffer> {
  for (;;) yield Buffer.alloc(64 * 1024);
}

function take(limits: Partial<TenantLimits>, revoked: string[] = []): void {
  const anyTenant = { ...UNRESTRICTED, limits: { ...NO_LIMITS, ...limits } };
  const all = revoked.map((tokenId) => ({ tokenId, expiresAtMs: Infinity }));
  rig.tenants.take({ ...DEFAULT_POOL_POLICY, version: 1, anyTenant, revoked: all });
}

function described(tenant: string): Record<string, Record<string, number>>[] {
  return rig.tenants.meters.describe().filter((one) => one["tenant"] === tenant) as never;
}

function isNothing({ used }: Record<string, Record<string, number>>): boolean {
  return ["requestsInFlight", "tunnels", "ports", "associations"].every((thing) => used![thing] === 0);
}

/** The refusal that a tenant gets for what it may not have. */
async function expectLimited(answer: Response, code: string): Promise<number> {
  expect(answer.status).toBe(429);
  expect(await answer.json()).toMatchObject({ code, status: 429 });
  expect(answer.headers.get("proxy-status")).toContain(`details="${code}"`);
  const retryAfter = answer.headers.get("retry-after") ?? "";
  expect(retryAfter).toMatch(/^[1-9]\d*$/);
  return Number(retryAfter);
}

describe("requests", () => {
  test("[LI1] [LI2] of many that come at once so many pass as a second brings, and all others are refused by name", async () => {
    take({ requestsPerSecond: 20 });
    const answers = await Promise.all(Array.from({ length: 60 }, () => rig.fetch(origin.url)));
    const refused = answers.filter(({ status }) => status === 429);
    // While they came, a moment has passed.
    expect(answers.length - refused.length).toBeGreaterThanOrEqual(20);
    expect(answers.length - refused.length).toBeLessThan(40);
    for (const answer of refused) expect(await expectLimited(answer, "requests-limited")).toBe(1);
    expect(described("test")[0]).toMatchObject({
      limits: { requestsPerSecond: 20 },
      refusals: { "requests-limited": refused.length },
    });
    await Promise.all(answers.filter(({ status }) => status === 200).map((answer) => answer.text()));
  });

  test("[LI3] a token with a rate of its own is held to it, and its tenant's other tokens are not", async () => {
    const slow = await rig.tokenSaying({
      tenant: "test",
      tokenId: "t1",
      restrictions: { requestsPerSecond: 2 },
    });
    const same = await rig.tokenSaying({
      tenant: "test",
      tokenId: "t1",
      restrictions: { requestsPerSecond: 2 },
    });
    const other = await rig.tokenSaying({ tenant: "test", tokenId: "t2" });
    const ask = (token: string): Promise<Response> =>
      fetch(`${rig.url}/v1/fetch?url=${encodeURIComponent(origin.url)}`, {
        headers: { "egress-authorization": `Bearer ${token}` },
      });
    const statuses: number[] = [];
    for (const token of [slow, same, slow, same]) statuses.push((await ask(token)).status);
    expect(statuses.slice(0, 2)).toEqual([200, 200]);
    expect(statuses.slice(2)).toContain(429);
    for (let at = 0; at < 10; at += 1) expect((await ask(other)).status).toBe(200);
  });

  test("[LI4] no more are under way than may be, and each that ends makes room for one, however it ends", async () => {
    take({ requestsInFlight: 3 });
    const gone = new AbortController();
    const running = [1, 2, 3].map((number) =>
      rig.fetch(`${origin.url}/wait`, { signal: number === 3 ? gone.signal : null }),
    );
    running[2]!.catch(() => {});
    await eventually(() => waiting.length === 3, "three arrive");
    await expectLimited(await rig.fetch(`${origin.url}/wait`), "in-flight-limited");
    gone.abort();
    await eventually(() => described("test")[0]!["used"]!["requestsInFlight"] === 2, "one is gone");
    expect((await rig.fetch(origin.url)).status).toBe(200);
    waiting[0]!.end("now");
    await (await running[0]!).text();
    expect((await rig.fetch(origin.url)).status).toBe(200);
    expect(described("test")[0]!["refusals"]).toMatchObject({ "in-flight-limited": 1 });
  });

  test("[LI9] an answer of which its client takes nothing any more is ended, and its port given back", async () => {
    const idle = await startProxyRig({ times: { requestIdleMs: 300, totalMs: null } });
    const client = new ByteClient(idle.port);
    client.socket.pause();
    client.write(fetchHead(idle, "GET", `${origin.url}/endless`));
    await eventually(() => idle.ports.heldCounts().inUse === 1, "it runs");
    await eventually(() => idle.ports.heldCounts().inUse === 0, "the port is given back");
    expect(idle.gateway.status()["refusals"]).toEqual({ "connection-idle": 1 });
    client.socket.destroy();
    await idle.close();
  });

  test("[LI9] [WK44] an answer that is quiet, and whose client has taken all of it, goes on", async () => {
    const idle = await startProxyRig({ times: { requestIdleMs: 300, totalMs: null } });
    const answer = await idle.fetch(`${origin.url}/begun`);
    const stuck = new ByteClient(idle.port);
    stuck.socket.pause();
    stuck.write(fetchHead(idle, "GET", `${origin.url}/endless`));
    // It has rested as long as one that is ended in between.
    await eventually(() => idle.ports.heldCounts().inUse === 2, "both run");
    await eventually(() => idle.ports.heldCounts().inUse === 1, "the other is ended");
    waiting.shift()!.end(", and ended");
    expect(await answer.text()).toBe("begun, and ended");
    stuck.socket.destroy();
    await idle.close();
  });

  test("[LI9] nothing lasts longer than a flow may, where that is said", async () => {
    const short = await startProxyRig({ times: { requestIdleMs: 300_000, totalMs: 300 } });
    const client = await openTunnel(short, `127.0.0.1:${bytes.port}`);
    await client.until(({ isClosed }) => isClosed, "its end");
    expect(short.counts.get("connection-idle")).toBe(1);
    await short.close();
  });
});

describe("tunnels", () => {
  test("[LI4] CONNECT, SOCKS5, WebSockets and raw TCP count together, and are refused each in their way", async () => {
    take({ tunnels: 2 });
    const place = `127.0.0.1:${bytes.port}`;
    const first = await openTunnel(rig, place);
    const second = await openTunnel(rig, place);
    const refused = new ByteClient(rig.proxyPort);
    refused.write(`CONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\n\r\n`);
    await refused.until(({ hasEnded }) => hasEnded, "the refusal");
    const { status, fields } = readHead(refused.text);
    expect(status).toBe(429);
    expect(fields.get("retry-after")).toBe("5");
    expect(fields.get("proxy-status")).toContain("connection_limit_reached");
    const socks = new ByteClient(rig.proxyPort);
    const port = [bytes.port >> 8, bytes.port & 0xff];
    socks.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, ...port]));
    expect([...(await socks.take(4))]).toEqual([5, 0, 5, 2]);
    expect(rig.counts.get("tunnels-limited")).toBe(2);
    first.socket.destroy();
    await eventually(() => described("local")[0]!["used"]!["tunnels"] === 1, "one is gone");
    const third = await openTunnel(rig, place);
    for (const client of [second, refused, socks, third]) client.socket.destroy();
    await eventually(() => described("local").every(isNothing), "all are gone");
  });

  test.each(["/v1/fetch", "/v1/connect"])(
    "[LI4] %s on the gateway has a place among them too",
    async (path) => {
      take({ tunnels: 0 });
      const to =
        path === "/v1/fetch" ? `url=${encodeURIComponent(origin.url)}` : `host=127.0.0.1&port=${bytes.port}`;
      const query = path === "/v1/connect" ? `to=127.0.0.1:${bytes.port}` : to;
      const socket = new WebSocket(`ws://127.0.0.1:${rig.port}${path}?${query}`, "ipshard.tcp.v1", {
        headers: { "egress-authorization": `Bearer ${rig.token}` },
      });
      const status = await new Promise((resolve) => {
        socket.on("error", () => {});
        socket.on("unexpected-response", (_request, response) => resolve(response.statusCode));
      });
      expect(status).toBe(429);
      socket.terminate();
    },
  );
});

describe("ports", () => {
  test("[LI5] a connection that is kept for the next request counts until it has closed", async () => {
    take({ ports: 1 });
    const other = await startOrigin((_request, response) => response.end("other"));
    expect(await (await rig.fetch(origin.url)).text()).toBe("well");
    // The same connection again.
    expect(await (await rig.fetch(origin.url)).text()).toBe("well");
    const refused = await rig.fetch(other.url);
    if (refused.status === 429) await expectLimited(refused, "ports-limited");
    await eventually(() => described("test")[0]!["used"]!["ports"] === 0, "it has closed");
    expect(await (await rig.fetch(other.url)).text()).toBe("other");
    other.close();
  });

  test("[LI5] at no moment there are more, whatever comes at once", async () => {
    take({ ports: 5 });
    const answers = await Promise.all(
      Array.from({ length: 40 }, () =>
        rig.fetch(`${origin.url}/wait`).then(async (answer) => [answer.status, await answer.text()] as const),
      ).concat([
        (async () => {
          await eventually(() => waiting.length === 5, "five arrive");
          expect(rig.ports.heldCounts().inUse).toBe(5);
          await eventually(() => rig.gateway.runningCount === 5, "the others are refused");
          for (const response of waiting.splice(0)) response.end("now");
          return [0, ""] as const;
        })(),
      ]),
    );
    expect(answers.filter(([status]) => status === 200)).toHaveLength(5);
    expect(answers.filter(([status]) => status === 429)).toHaveLength(35);
  });
});

describe("bytes of a day", () => {
  test("[LI6] when they are used up, what runs is ended and nothing begins before midnight UTC", async () => {
    take({ bytesPerDay: MIB });
    const answer = await rig.fetch(`${origin.url}/endless`);
    await expect(answer.arrayBuffer()).rejects.toThrow("terminated");
    const seconds = await expectLimited(await rig.fetch(origin.url), "bytes-limited");
    const left = 86_400 - ((Date.now() / 1_000) % 86_400);
    expect(Math.abs(seconds - left)).toBeLessThan(5);
    expect(described("test")[0]!["used"]!["bytesPerDay"]).toBeGreaterThanOrEqual(MIB);
  });
});

describe("what may not go on", () => {
  test("[LI8] flows of a token that is revoked are ended when the host knows, whatever they are, and no others", async () => {
    const token = await rig.tokenSaying({ tokenId: "bad" });
    const asked = fetch(`${rig.url}/v1/fetch?url=${encodeURIComponent(`${origin.url}/wait`)}`, {
      headers: { "egress-authorization": `Bearer ${token}` },
    });
    const good = rig.fetch(`${origin.url}/wait`);
    const own = await rig.tokenSaying({ role: "client", tokenId: "bad" });
    const place = `127.0.0.1:${bytes.port}`;
    const tunnel = await openTunnel(rig, place, `proxy-authorization: Bearer ${own}`);
    const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/v1/connect?to=${place}`, "ipshard.tcp.v1", {
      headers: { "egress-authorization": `Bearer ${token}` },
    });
    const opened = new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("unexpected-response", (_request, response) => reject(new Error(`${response.statusCode}`)));
    });
    await opened;
    await eventually(() => waiting.length === 2 && far.length === 2, "all arrive");
    const closed = new Promise((resolve) => {
      socket.once("close", resolve);
    });
    take({}, ["bad"]);
    const refused = await asked;
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ code: "token-revoked" });
    await tunnel.until(({ isClosed }) => isClosed, "the tunnel's end");
    await closed;
    expect(rig.counts.get("token-revoked")).toBe(1);
    await eventually(() => far.every(({ destroyed }) => destroyed), "the destinations are told");
    for (const response of waiting) response.end("late");
    expect(await (await good).text()).toBe("late");
  });

  test("[LI8] what is ended while its destination is looked for never gets there", async () => {
    const [gateway, client] = [
      await rig.tokenSaying({ tokenId: "early" }),
      await rig.tokenSaying({ role: "client", tokenId: "early" }),
    ];
    const asked = {
      connect: `CONNECT connect.late.test:${bytes.port} HTTP/1.1\r\nhost: x\r\nproxy-authorization: Bearer ${client}\r\n\r\n`,
      socks: socksConnect(client, "socks.late.test", bytes.port),
      proxied: `GET http://proxied.late.test:${bytes.port}/ HTTP/1.1\r\nhost: x\r\nproxy-authorization: Bearer ${client}\r\n\r\n`,
      fetch: `GET /v1/fetch?url=http://fetch.late.test:${bytes.port}/ HTTP/1.1\r\nhost: x\r\negress-authorization: Bearer ${gateway}\r\n\r\n`,
      raw: upgradeTo(`/v1/connect?to=raw.late.test:${bytes.port}`, gateway),
      websocket: upgradeTo(`/v1/fetch?url=http://websocket.late.test:${bytes.port}/`, gateway),
    };
    const clients = Object.entries(asked).map(([way, text]) => {
      const own = new ByteClient(
        way === "fetch" || way === "raw" || way === "websocket" ? rig.port : rig.proxyPort,
      );
      own.write(text);
      return own;
    });
    await eventually(() => underWay() === clients.length, "all are admitted");
    take({}, ["early"]);
    for (const own of clients) await own.until(({ text }) => text.length > 0, "each is told");
    for (const own of clients) own.write("for the destination");
    await new Promise((resolve) => {
      setTimeout(resolve, 300);
    });
    const agreements = ["HTTP/1.1 200", "HTTP/1.1 101", "\u0001\u0000\u0005\u0000"];
    expect(clients.filter(({ text }) => agreements.some((said) => text.includes(said)))).toEqual([]);
    expect(far).toEqual([]);
    for (const { socket } of clients) socket.destroy();
  });
});

describe("a crowded host", () => {
  test("[LI7] while connections are short a tenant gets no more than an equal part, and the other its own", async () => {
    const small = await startProxyRig({ maxConnections: 40, leases: [{ base: 24_576, order: 8, epoch: 1 }] });
    const place = `127.0.0.1:${bytes.port}`;
    const one = await small.tokenSaying({ role: "client", subject: "one" });
    const two = await small.tokenSaying({ role: "client", subject: "two" });
    const tunnels: ByteClient[] = [await openTunnel(small, place, `proxy-authorization: Bearer ${two}`)];
    let refused = "";
    while (refused === "" && tunnels.length < 40) {
      const client = new ByteClient(small.proxyPort);
      tunnels.push(client);
      client.write(
        `CONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\nproxy-authorization: Bearer ${one}\r\n\r\n`,
      );
      await client.until(({ text }) => text.includes("\r\n\r\n"), "an answer");
      if (readHead(client.text).status !== 200) refused = client.text;
    }
    expect(refused).toContain("connections-exhausted");
    expect(refused).toContain("equal part");
    tunnels.push(await openTunnel(small, place, `proxy-authorization: Bearer ${two}`));
    for (const { socket } of tunnels) socket.destroy();
    await small.close();
  });
});

function underWay(): number {
  const used = described("test")[0]?.["used"];
  return used === undefined ? 0 : used["requestsInFlight"]! + used["tunnels"]!;
}

function upgradeTo(target: string, token: string): string {
  return [
    `GET ${target} HTTP/1.1`,
    "host: x",
    `egress-authorization: Bearer ${token}`,
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-version: 13",
    "sec-websocket-protocol: ipshard.tcp.v1",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    "\r\n",
  ].join("\r\n");
}

/** Everything up to the request, at once: a token that is too long for a password begins in the user name. */
function socksConnect(token: string, name: string, port: number): Buffer {
  const [user, password] = [Buffer.from(`token=${token.slice(0, 200)}`), Buffer.from(token.slice(200))];
  return Buffer.concat([
    Buffer.from([5, 1, 2, 1, user.length]),
    user,
    Buffer.from([password.length]),
    password,
    Buffer.from([5, 1, 0, 3, name.length]),
    Buffer.from(name),
    Buffer.from([port >> 8, port & 255]),
  ]);
}
