/** Strangers at a gateway and at proxies, with real sockets: however many there are, clients with a token are served. */
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { strangerLimits } from "../../src/agent/traffic/clients/visitors.ts";
import type { PemPair } from "../../src/agent/traffic/tls/listener-certificate.ts";
import { Authority } from "./certificates.ts";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startOrigin,
  startRig,
} from "./gateway-rig.ts";
import { basic, ByteClient, type ProxyRig, startProxyRig } from "./proxy-rig.ts";
import { flood } from "./stranger-flood.ts";

const SILENT = 5_000;
const LIMITS = { inAll: 512, ofAddress: 128 };

let authority: Authority;
let ca: string;
let pair: PemPair;
let origin: Origin;
/** What waits until it is answered by `release`. */
let waiting: (() => void)[];

beforeAll(async () => {
  authority = await Authority.make();
  ca = await authority.text();
  const { cert, keyText } = await authority.sign("listener", "serverAuth");
  pair = { cert: Buffer.from(cert), key: Buffer.from(keyText) };
  waiting = [];
  origin = await startOrigin((request, response) => {
    if (request.url !== "/wait") response.end("hello");
    else waiting.push(() => response.end("at last"));
  });
});
afterAll(async () => {
  origin.close();
  await authority.close();
});

async function gateway(isSecure: boolean): Promise<Rig> {
  const tls = { certificate: () => pair, needsClientCertificate: false };
  const rig = await startRig({ strangers: LIMITS, ...(isSecure ? { tls } : {}) });
  onTestFinished(() => rig.close());
  return rig;
}

/** A proxy that knows nobody by where he comes from, unless that is said. */
async function proxy(more: Parameters<typeof startProxyRig>[0] = {}): Promise<ProxyRig & { client: string }> {
  const options = { sources: [], takesPlain: true, strangers: LIMITS, certificate: () => pair, ...more };
  const rig = await startProxyRig(options);
  onTestFinished(() => rig.close());
  return { ...rig, client: await rig.tokenFor("client") };
}

/** Asks a gateway on a connection of its own. */
async function askGateway(rig: Rig, token = rig.token): Promise<number> {
  const url = new URL(`/v1/fetch?url=${encodeURIComponent(`${origin.url}/`)}`, rig.url);
  const headers = { "egress-authorization": `Bearer ${token}` };
  const call =
    url.protocol === "https:"
      ? httpsRequest(url, { ca, headers, agent: false })
      : httpRequest(url, { headers, agent: false });
  call.end();
  const [answer] = (await once(call, "response")) as [{ statusCode: number; resume: () => void }];
  answer.resume();
  return answer.statusCode;
}

const getOf = (token: string): string =>
  `GET ${origin.url}/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\nproxy-authorization: Bearer ${token}\r\n\r\n`;

async function askProxy(rig: ProxyRig & { client: string }): Promise<number> {
  return Number((await exchangeBytes(rig.proxyPort, getOf(rig.client))).split(" ")[1]);
}

async function secureTo(rig: ProxyRig, protocols = ["http/1.1"]): Promise<TLSSocket> {
  const socket = connectTls({ port: rig.proxyPort, host: "127.0.0.1", ca, ALPNProtocols: protocols });
  await once(socket, "secureConnect");
  return socket;
}

async function askSecureProxy(rig: ProxyRig & { client: string }): Promise<number> {
  const socket = await secureTo(rig);
  socket.write(getOf(rig.client));
  const [first] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return Number(first.toString("latin1").split(" ")[1]);
}

async function sessionTo(rig: ProxyRig): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://127.0.0.1:${rig.proxyPort}`, { ca });
  session.on("error", () => {});
  await once(session, "connect");
  onTestFinished(() => session.destroy());
  return session;
}

/** The status of an answer; the stream may go on. */
async function askSession(session: ClientHttp2Session, token: string, path = "/"): Promise<number> {
  const fields = {
    ":scheme": "http",
    ":authority": new URL(origin.url).host,
    ":path": path,
    "proxy-authorization": `Bearer ${token}`,
  };
  const stream = session.request(fields);
  stream.resume();
  const [answer] = (await once(stream, "response")) as [{ ":status": number }];
  return answer[":status"];
}

async function askHttp2(rig: ProxyRig & { client: string }): Promise<number> {
  const session = await sessionTo(rig);
  const status = await askSession(session, rig.client);
  session.destroy();
  return status;
}

/** 200 for a tunnel that stands. */
async function askSocks(rig: ProxyRig & { client: string }): Promise<number> {
  const client = new ByteClient(rig.proxyPort);
  client.write(Buffer.from([5, 1, 2]));
  await client.take(2);
  const token = Buffer.from(rig.client);
  client.write(Buffer.concat([Buffer.from([1, 0]), lengthOf(token), token]));
  await client.take(2);
  client.write(Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, origin.port >> 8, origin.port & 0xff]));
  const reply = await client.take(10);
  client.socket.destroy();
  return reply[1] === 0 ? 200 : reply[1]!;
}

/** As PySocks writes it. [SX4] */
function lengthOf(token: Buffer): Buffer {
  return Buffer.from(String.fromCodePoint(token.length), "utf8");
}

/** Has good clients ask, one after the other, for as long as something takes. */
async function meanwhile(ask: () => Promise<number>, work: Promise<unknown>): Promise<readonly number[]> {
  const statuses: number[] = [];
  const progress = { isOver: false };
  const over = work.finally(() => (progress.isOver = true));
  while (!progress.isOver || statuses.length < 5) statuses.push(await ask());
  await over;
  return statuses;
}

const HELLO_BEGUN = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
const silentCases = [
  ["a gateway", "nothing", () => gateway(false), askGateway, {}],
  ["a gateway", "half a head", () => gateway(false), askGateway, { bytes: "GET /v1/fetch HTTP/1.1\r\nx: " }],
  ["a gateway with TLS", "nothing", () => gateway(true), askGateway, {}],
  ["a gateway with TLS", "half a hello", () => gateway(true), askGateway, { bytes: HELLO_BEGUN }],
  ["a proxy", "nothing", proxy, askProxy, {}],
  ["a proxy", "half a head", proxy, askProxy, { bytes: "CONNECT a:1 HTTP/1.1\r\nx: " }],
  ["a proxy", "half a hello", proxy, askSecureProxy, { bytes: HELLO_BEGUN }],
  ["a proxy by HTTP/2", "half a hello", proxy, askHttp2, { bytes: HELLO_BEGUN }],
  ["a proxy by SOCKS5", "a greeting", proxy, askSocks, { bytes: Buffer.from([5, 1, 2]) }],
] as const;

describe("5,000 clients that are silent keep nobody out", () => {
  test.each(silentCases)("[CN1] [CN3] of %s: they say %s", async (_where, _what, start, ask, more) => {
    const rig = await (start as () => Promise<any>)();
    const port: number = rig.proxyPort ?? rig.port;
    const flooding = flood({ port, count: SILENT, ...more });
    const statuses = await meanwhile(() => (ask as (of: unknown) => Promise<number>)(rig), flooding);
    const silent = await flooding;
    onTestFinished(silent.close);
    expect(new Set(statuses)).toEqual(new Set([200]));
    await eventually(() => silent.openCount() <= LIMITS.inAll, "the others are reset");
    const { open, reset } = rig.visitors.describe();
    expect([open <= LIMITS.inAll, open + reset]).toEqual([true, SILENT]);
    expect(rig.faults).toEqual([]);
  });

  const within = { h2: ["h2"], "HTTP/1.1": ["http/1.1"] };
  test.each(["h2", "HTTP/1.1"] as const)("[CN3] 600 that say nothing within TLS, by %s", async (protocol) => {
    const rig = await proxy();
    const options = { port: rig.proxyPort, count: 600, tls: { ca, protocols: within[protocol] } };
    const flooding = flood({ ...options, addressCount: 2 });
    const statuses = await meanwhile(() => askSecureProxy(rig), flooding);
    const silent = await flooding;
    onTestFinished(silent.close);
    expect(new Set(statuses)).toEqual(new Set([200]));
    await eventually(() => silent.openCount() <= 2 * LIMITS.ofAddress, "the others have ended");
    expect(rig.counts.get("strangers-exhausted")).toBe(600 - 2 * LIMITS.ofAddress);
    expect(rig.counts.has("request-malformed")).toBe(false);
  });
});

test("[CN2] silent clients from where a good one comes, too, keep it out no more than others", async () => {
  const rig = await gateway(false);
  const flooding = flood({ port: rig.port, count: 2_000, addressCount: 1 });
  const ask = async (): Promise<number> => {
    const client = new ByteClient(rig.port, "127.0.0.1", "127.0.2.1");
    client.write(fetchHead(rig, "GET", `${origin.url}/`, "connection: close"));
    await client.until(({ hasEnded }) => hasEnded, "an answer");
    client.socket.destroy();
    return Number(client.text.split(" ")[1]);
  };
  const statuses = await meanwhile(ask, flooding);
  onTestFinished((await flooding).close);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(rig.visitors.describe()["open"]).toBeLessThanOrEqual(LIMITS.ofAddress);
});

test("[CN2] 500 connections that an edge opens at once, with a token that is new here, are all served", async () => {
  const rig = await startRig({
    strangers: strangerLimits(19_808),
    leases: [{ base: 20_480, order: 11, epoch: 1 }],
  });
  onTestFinished(() => rig.close());
  const statuses = await Promise.all(Array.from({ length: 500 }, () => askGateway(rig)));
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(rig.visitors.describe()).toMatchObject({ open: 0, reset: 0 });
});

describe("a connection that was known", () => {
  test("[CN4] at a gateway: a bad token makes it a stranger's, a good one a client's again", async () => {
    const rig = await gateway(false);
    const open = (): unknown => rig.visitors.describe()["open"];
    const client = new ByteClient(rig.port);
    onTestFinished(() => void client.socket.destroy());
    const ask = async (head: string, status: number): Promise<void> => {
      client.received = Buffer.alloc(0);
      client.write(head);
      await client.until(({ text }) => text.startsWith(`HTTP/1.1 ${status} `), `${status}`);
      await client.until(({ text }) => /hello|"code"|"status"|"host"/.test(text), "all of it");
    };
    const good = fetchHead(rig, "GET", `${origin.url}/`);
    const bad = good.replace(rig.token, "nonsense");
    await ask("GET /health HTTP/1.1\r\nhost: a\r\n\r\n", 200);
    expect(open()).toBe(1);
    await ask(good, 200);
    expect(open()).toBe(0);
    await ask("GET /health HTTP/1.1\r\nhost: a\r\n\r\n", 200);
    expect(open()).toBe(0);
    await ask(bad, 401);
    expect(open()).toBe(1);
    await ask(good, 200);
    expect(open()).toBe(0);
    await ask(good.replace(rig.token, await rig.tokenFor("host")), 403);
    expect(open()).toBe(1);
    await ask(good.replace("/v1/fetch", "/v1/status").replace(rig.token, await rig.tokenFor("admin")), 200);
    expect(open()).toBe(0);
  });

  test("[CN4] within TLS: silent clients end one that has become a stranger's, and no other", async () => {
    const rig = await gateway(true);
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
    const other = new Agent({ keepAlive: true, maxSockets: 1, ca });
    onTestFinished(() => [agent, other].forEach((each) => each.destroy()));
    const ask = async (by: Agent, token: string): Promise<[number, boolean]> => {
      const url = new URL(`/v1/fetch?url=${encodeURIComponent(`${origin.url}/`)}`, rig.url);
      const call = httpsRequest(url, { agent: by, headers: { "egress-authorization": `Bearer ${token}` } });
      call.end();
      const [answer] = await once(call, "response");
      answer.resume();
      await once(answer, "end");
      return [answer.statusCode, call.reusedSocket];
    };
    await ask(agent, rig.token);
    await ask(other, rig.token);
    expect(await ask(agent, "nonsense")).toEqual([401, true]);
    const silent = await flood({ port: rig.port, count: LIMITS.inAll + 1 });
    onTestFinished(silent.close);
    await eventually(() => Object.keys(agent.freeSockets).length === 0, "it is ended");
    expect(await ask(agent, rig.token)).toEqual([200, false]);
    expect(await ask(other, rig.token)).toEqual([200, true]);
  });

  test("[CN4] by HTTP/2: not while another of its streams goes on", async () => {
    const rig = await proxy();
    const open = (): unknown => rig.visitors.describe()["open"];
    const session = await sessionTo(rig);
    expect(open()).toBe(1);
    expect(await askSession(session, "nonsense")).toBe(407);
    expect(open()).toBe(1);
    const held = askSession(session, rig.client, "/wait");
    await eventually(() => waiting.length === 1, "it waits");
    expect(open()).toBe(0);
    expect(await askSession(session, "nonsense")).toBe(407);
    expect(open()).toBe(0);
    waiting.splice(0).forEach((answer) => answer());
    expect(await held).toBe(200);
    await eventually(() => rig.gateway.runningCount === 0, "it is over");
    expect(await askSession(session, "nonsense")).toBe(407);
    expect(open()).toBe(1);
  });

  test("[CN4] by a proxy's HTTP/1.1: not while what came before is being answered", async () => {
    const rig = await proxy();
    const client = new ByteClient(rig.proxyPort);
    onTestFinished(() => void client.socket.destroy());
    const head = (path: string, token: string): string =>
      `GET ${origin.url}${path} HTTP/1.1\r\nhost: a\r\n${basic("", token)}\r\n\r\n`;
    client.write(head("/wait", rig.client) + head("/", "nonsense"));
    await eventually(() => waiting.length === 1, "it waits");
    await eventually(() => rig.counts.get("token-malformed") === 1, "the other was refused");
    expect(rig.visitors.describe()["open"]).toBe(0);
    waiting.splice(0).forEach((answer) => answer());
    await client.until(({ text }) => text.includes("at last") && text.includes(" 407 "), "both");
  });
});

describe("who is known by where he comes from", () => {
  test("[CN1] is never a stranger, whatever token he shows", async () => {
    const rig = await proxy({ sources: [{ range: "127.0.0.0/8", name: "local" }] });
    const silent = await flood({ port: rig.proxyPort, count: LIMITS.inAll + 100 });
    onTestFinished(silent.close);
    expect(rig.visitors.describe()).toMatchObject({ open: 0, reset: 0 });
    const refused = await exchangeBytes(rig.proxyPort, getOf("nonsense"));
    expect(refused).toMatch(/^HTTP\/1.1 407 /);
    expect(silent.openCount()).toBe(silent.count);
  });

  test("[CN1] is one until he has shown the certificate that is asked for", async () => {
    const trusting = { ...pair, ca: Buffer.from(ca) };
    const sources = [{ range: "127.0.0.0/8", name: "local" }];
    const rig = await proxy({ sources, certificate: () => trusting, needsClientCertificate: true });
    const open = (): unknown => rig.visitors.describe()["open"];
    const without = await secureTo(rig);
    onTestFinished(() => void without.destroy());
    expect(open()).toBe(1);
    const { cert, keyText: key } = await authority.sign("a client", "clientAuth");
    const socket = connectTls({ port: rig.proxyPort, host: "127.0.0.1", ca, cert, key });
    onTestFinished(() => void socket.destroy());
    await once(socket, "secureConnect");
    socket.write(`GET ${origin.url}/ HTTP/1.1\r\nhost: a\r\n\r\n`);
    await once(socket, "data");
    expect(open()).toBe(1);
  });
});
