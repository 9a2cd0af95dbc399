/** Fields behind bodies, from clients to origins and back, in both versions of HTTP on either side. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  createServer,
} from "node:http2";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Http2Response } from "../../src/agent/traffic/proxy/http2-exchange.ts";
import * as wire from "../../src/agent/traffic/http2/http2-frames.ts";
import { eventually, type Origin, startByteOrigin, startOrigin } from "./gateway-rig.ts";
import { type FrameOrigin, type Script, startFrameOrigin } from "./h2-frame-origin.ts";
import { ByteClient, type ProxyRig, startProxyRig } from "./proxy-rig.ts";
import { CERTIFICATE, KEY, startSecureOrigin } from "./tls-origin.ts";

const { END_STREAM } = wire;
const OK = [":status", "200"];

interface Seen {
  readonly head: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

let rig: ProxyRig;
let session: ClientHttp2Session;
let origins: Record<"HTTP/1.1" | "HTTP/2", Origin>;
let seen: Seen[] = [];
const closing: (() => void)[] = [];

/** Answers with the body that came, and with trailers. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  let body = "";
  request.on("data", (chunk: Buffer) => {
    body += chunk.toString("latin1");
  });
  request.on("end", () => {
    // Over HTTP/2 Node says so of what was broken off, too.
    if (request.aborted || !request.complete) return;
    seen.push({ head: request.rawHeaders, body, trailers: request.rawTrailers });
    response.writeHead(200, { trailer: "grpc-status, x-sum", "content-type": "application/grpc" });
    response.write(`got ${body}`);
    response.addTrailers({ "grpc-status": "0", "x-sum": "\x80\xff", "content-length": "1" });
    response.end();
  });
}

beforeAll(async () => {
  const pair = { cert: Buffer.from(CERTIFICATE), key: Buffer.from(KEY) };
  rig = await startProxyRig({ certificate: () => pair, authorities: [CERTIFICATE] });
  session = connectHttp2(`https://127.0.0.1:${rig.proxyPort}`, { ca: CERTIFICATE });
  origins = {
    "HTTP/1.1": await startOrigin(echo),
    "HTTP/2": await startSecureOrigin("h2", echo as never),
  };
});
afterAll(async () => {
  session.destroy();
  for (const origin of Object.values(origins)) origin.close();
  await rig.close();
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
  seen = [];
  expect(rig.faults).toEqual([]);
});

/** What a client got. */
interface Answer {
  readonly status: number;
  readonly head: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  readonly isWhole: boolean;
  /** All of it was a head. */
  readonly isAllHead: boolean;
}

interface Asked {
  readonly method?: string;
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly beforeTrailers?: () => Promise<void>;
  readonly trailers?: readonly string[];
}

type Ask = (url: string, asked?: Asked) => Promise<Answer>;

/** Sends a request in chunks, and reads what comes until it is whole or the connection ends. */
async function askInHttp1(url: string, asked: Asked = {}): Promise<Answer> {
  const { method = "POST", fields = [], body, trailers = [] } = asked;
  const client = new ByteClient(rig.proxyPort);
  closing.push(() => client.socket.destroy());
  const framing = body === undefined ? [] : ["transfer-encoding: chunked"];
  client.write([`${method} ${url} HTTP/1.1`, "host: a", ...lines(fields), ...framing, "", ""].join("\r\n"));
  if (body !== undefined) {
    client.write(`${body.length.toString(16)}\r\n${body}\r\n`);
    await asked.beforeTrailers?.();
    client.write(["0", ...lines(trailers), "", ""].join("\r\n"));
  }
  const isWhole = (text: string): boolean =>
    /\r\ntransfer-encoding: chunked\r\n/i.test(text)
      ? /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(text)
      : text.length - text.indexOf("\r\n\r\n") - 4 >=
        Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Infinity);
  await client.until(({ text, hasEnded, isClosed }) => isWhole(text) || hasEnded || isClosed, "an answer");
  const { text } = client;
  const headEnd = text.indexOf("\r\n\r\n");
  const [line = "", ...head] = text.slice(0, headEnd).split("\r\n");
  const rest = text.slice(headEnd + 4);
  const isChunked = /\r\ntransfer-encoding: chunked\r\n/i.test(text);
  const { content, behind } = isChunked ? readChunks(rest) : { content: rest, behind: [] };
  return {
    status: Number(line.split(" ")[1]),
    head: head.flatMap(split),
    body: content,
    trailers: behind.flatMap(split),
    isWhole: isWhole(text),
    isAllHead: false,
  };
}

function readChunks(text: string): { content: string; behind: string[] } {
  let rest = text;
  let content = "";
  while (rest !== "" && !rest.startsWith("0\r\n")) {
    const end = rest.indexOf("\r\n");
    const size = Number.parseInt(rest, 16);
    content += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 4 + size);
  }
  return { content, behind: rest.split("\r\n").slice(1, -2) };
}

function lines(fields: readonly string[]): string[] {
  return fields.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${fields[at + 1]}`] : []));
}

function split(line: string): [string, string] {
  const at = line.indexOf(": ");
  return [line.slice(0, at), line.slice(at + 2)];
}

async function askInHttp2(url: string, asked: Asked = {}): Promise<Answer> {
  const { method = "POST", fields = [], body, trailers = [] } = asked;
  const { protocol, host, pathname } = new URL(url);
  const stream: ClientHttp2Stream = session.request(
    {
      ":method": method,
      ":scheme": protocol.slice(0, -1),
      ":authority": host,
      ":path": pathname,
      ...Object.fromEntries(pairs(fields)),
    },
    { endStream: body === undefined, waitForTrailers: trailers.length > 0 },
  );
  stream.on("wantTrailers", () => stream.sendTrailers(grouped(trailers)));
  let head: readonly string[] = [];
  let behind: readonly string[] = [];
  let got = "";
  let isAllHead = false;
  let hasEnded = false;
  stream.on("response", (_headers, flags: number, raw: string[]) => {
    head = raw;
    isAllHead = (flags & END_STREAM) !== 0;
  });
  stream.on("trailers", (...[, , raw]: unknown[]) => {
    behind = raw as string[];
  });
  stream.on("data", (chunk: Buffer) => {
    got += chunk.toString("latin1");
  });
  stream.on("end", () => {
    hasEnded = true;
  });
  stream.on("error", () => {});
  if (body !== undefined) stream.write(body);
  await asked.beforeTrailers?.();
  if (body !== undefined) stream.end();
  await once(stream, "close").catch(() => null);
  return {
    status: Number(head[1]),
    head,
    body: got,
    trailers: behind,
    isWhole: hasEnded && stream.rstCode === constants.NGHTTP2_NO_ERROR,
    isAllHead,
  };
}

function pairs(fields: readonly string[]): [string, string][] {
  return fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1]!] as [string, string]] : []));
}

function grouped(fields: readonly string[]): Record<string, string[]> {
  const byName: Record<string, string[]> = {};
  for (const [name, value] of pairs(fields)) (byName[name] ??= []).push(value);
  return byName;
}

const asks: Record<"HTTP/1.1" | "HTTP/2", Ask> = { "HTTP/1.1": askInHttp1, "HTTP/2": askInHttp2 };
const CLIENTS = ["HTTP/1.1", "HTTP/2"] as const;
const BOTH = CLIENTS.flatMap((client) => CLIENTS.map((origin) => [client, origin] as const));

/** The value of a field, null without it. */
function fieldOf(head: readonly string[], name: string): string | null {
  const at = head.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name);
  return at === -1 ? null : head[at + 1]!;
}

async function startBytes(answer: string): Promise<string> {
  const origin = await startByteOrigin((socket) => {
    let received = "";
    socket.on("data", (bytes: Buffer) => {
      received += bytes.toString("latin1");
      if (!received.includes("\r\n\r\n")) return;
      received = "";
      socket.write(answer, "latin1");
    });
  });
  closing.push(origin.close);
  return `${origin.url}/x`;
}

async function startFrames(script: Script): Promise<FrameOrigin> {
  const origin = await startFrameOrigin(script);
  closing.push(origin.close);
  return origin;
}

describe.each(BOTH)("a client of %s and an origin of %s", (client, origin) => {
  test("[PX13] trailers go behind the bodies, both ways, and in no head", async () => {
    const answer = await asks[client](`${origins[origin].url}/x`, {
      fields: ["te", "trailers", "trailer", "x-digest"],
      body: "question",
      trailers: ["x-digest", "abc", "x-more", "1", "x-more", "2", "content-type", "text/plain"],
    });
    expect(answer).toMatchObject({ status: 200, body: "got question", isWhole: true });
    expect(answer.trailers).toEqual(["grpc-status", "0", "x-sum", "\x80\xff"]);
    expect(fieldOf(answer.head, "trailer")).toBe("grpc-status, x-sum");
    expect(fieldOf(answer.head, "grpc-status")).toBeNull();
    const [{ head, body, trailers }] = seen as [Seen];
    expect(body).toBe("question");
    expect(trailers).toEqual(["x-digest", "abc", "x-more", "1", "x-more", "2"]);
    expect([fieldOf(head, "te"), fieldOf(head, "trailer")]).toEqual(["trailers", "x-digest"]);
    expect(fieldOf(head, "x-digest")).toBeNull();
    if (origin === "HTTP/1.1") expect(fieldOf(head, "connection")).toBe("keep-alive, te");
  });

  test("[PX13] without trailers, and without the wish for any, all is as before", async () => {
    const answer = await asks[client](`${origins[origin].url}/x`, { body: "b".repeat(200_000) });
    expect(answer.body.length).toBe(200_004);
    const [{ head, body, trailers }] = seen as [Seen];
    expect([body.length, trailers, fieldOf(head, "te"), fieldOf(head, "trailer")]).toEqual([
      200_000,
      [],
      null,
      null,
    ]);
    if (origin === "HTTP/1.1") expect(fieldOf(head, "connection")).toBe("keep-alive");
  });

  test("[PX13] a body of nothing has trailers too", async () => {
    const asked = { method: "PUT", body: "", trailers: ["x-digest", "abc"] };
    // Of HTTP/2 Node sends no DATA then.
    const answer = await (client === "HTTP/1.1" ? emptyInHttp1 : askInHttp2)(
      `${origins[origin].url}/x`,
      asked,
    );
    expect(answer.body).toBe("got ");
    expect(seen[0]!.trailers).toEqual(["x-digest", "abc"]);
  });

  test("[PX14] a request whose trailers have no end is not sent whole", async () => {
    const answer = await asks[client](`${origins[origin].url}/x`, {
      body: "question",
      trailers: ["x-long", "y".repeat(40_000)],
    });
    expect(answer.isWhole && answer.status === 200).toBe(false);
    expect(seen).toEqual([]);
    expect((await asks[client](`${origins[origin].url}/after`, { body: "b" })).body).toBe("got b");
  });
});

async function emptyInHttp1(url: string): Promise<Answer> {
  const client = new ByteClient(rig.proxyPort);
  closing.push(() => client.socket.destroy());
  client.write(
    `PUT ${url} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-digest: abc\r\n\r\n`,
  );
  await client.until(({ text }) => text.endsWith("\xff\r\n\r\n"), "an answer");
  const body = /\r\n4\r\n(got )\r\n0\r\n/.exec(client.text)?.[1] ?? "";
  return { status: 200, head: [], body, trailers: [], isWhole: true, isAllHead: false };
}

describe("answers over HTTP/1.1", () => {
  const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\n";

  test.each(CLIENTS)("[PX14] what is not for trailers does not reach a client of %s", async (client) => {
    const barred =
      "Set-Cookie: a=1\r\nEgress-Ip: 1.2.3.4\r\nProxy-Status: x\r\nX-Hop: 1\r\nContent-Length: 9\r\n";
    const url = await startBytes(
      `${CHUNKED}Trailer: Set-Cookie, ETag\r\n\r\n1\r\nx\r\n0\r\n${barred}ETag: "a"\r\nETag: "b"\r\nX-F: a\r\n b\r\n\r\n`,
    );
    const answer = await asks[client](url);
    expect(answer).toMatchObject({ body: "x", isWhole: true });
    expect(answer.trailers.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text))).toEqual([
      "etag",
      '"a"',
      "etag",
      '"b"',
      "x-f",
      "a b",
    ]);
    expect(fieldOf(answer.head, "trailer")).toBe("ETag");
    expect(fieldOf(answer.head, "egress-ip")).toBe("127.0.0.10");
  });

  test.each(CLIENTS)("[PX14] what is too long, or none, breaks off for a client of %s", async (client) => {
    for (const bad of [
      `x: ${"y".repeat(33_000)}\r\n`,
      "a:\r\n".repeat(10_000),
      " folded: 1\r\n",
      "x y: 1\r\n",
      "x: 1\n",
    ]) {
      const url = await startBytes(`${CHUNKED}\r\n1\r\nx\r\n0\r\n${bad}\r\n`);
      const answer = await asks[client](url);
      expect(answer).toMatchObject({ status: 200, isWhole: false, trailers: [] });
    }
    const url = await startBytes(`${CHUNKED}\r\n1\r\nx\r\n0\r\n${"a:\r\n".repeat(8_000)}\r\n`);
    const answer = await asks[client](url);
    // A client of HTTP/2 has a bound of its own, and the stream is the only one to end with it.
    if (client === "HTTP/1.1") expect(answer).toMatchObject({ isWhole: true });
    expect((await asks[client](`${origins["HTTP/1.1"].url}/after`, { body: "b" })).body).toBe("got b");
  });

  test("[PX13] to HTTP/1.0 go none, nor is one announced or asked for", async () => {
    const client = new ByteClient(rig.proxyPort);
    closing.push(() => client.socket.destroy());
    const { url } = origins["HTTP/1.1"];
    client.write(`POST ${url}/x HTTP/1.0\r\nte: trailers, chunked\r\ncontent-length: 1\r\n\r\nx`);
    await client.until(({ hasEnded }) => hasEnded, "the end");
    expect(client.text).toMatch(/got x/);
    expect(client.text).not.toMatch(/grpc-status/);
    expect(fieldOf(seen[0]!.head, "te")).toBeNull();
  });

  test("[PX13] behind a length there are none, and the next answer is in step", async () => {
    const origin = await startFrames(async (peer) => {
      peer.send(peer.settings());
      for (;;) {
        const { stream } = await peer.request();
        peer.send(peer.headers(stream, [...OK, "content-length", "3", "trailer", "x-t"]));
        peer.send(peer.data(stream, "abc"), peer.headers(stream, ["x-t", "1"], END_STREAM));
      }
    });
    const client = new ByteClient(rig.proxyPort);
    closing.push(() => client.socket.destroy());
    client.write(`GET ${origin.url}/1 HTTP/1.1\r\nhost: a\r\n\r\n`);
    await client.until(({ text }) => text.endsWith("\r\n\r\nabc"), "the first");
    client.write(`GET ${origins["HTTP/1.1"].url}/2 HTTP/1.1\r\nhost: a\r\n\r\n`);
    await client.until(({ text }) => text.includes("grpc-status: 0\r\n"), "the second");
    expect(client.text).not.toMatch(/x-t/);
    expect(await askInHttp2(`${origin.url}/3`)).toMatchObject({ body: "abc", trailers: ["x-t", "1"] });
  });

  test("[PX13] an answer to HEAD announces none", async () => {
    const url = await startBytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n");
    const client = new ByteClient(rig.proxyPort);
    closing.push(() => client.socket.destroy());
    client.write(`HEAD ${url} HTTP/1.1\r\nhost: a\r\n\r\n`);
    await client.until(({ text }) => text.endsWith("\r\n\r\n"), "a head");
    expect(client.text).toMatch(/^HTTP\/1\.1 200 /);
    expect(client.text).not.toMatch(/trailer/i);
    expect(await askInHttp2(url, { method: "HEAD" })).toMatchObject({ status: 200, isWhole: true });
  });
});

describe("over HTTP/2", () => {
  test("[PX13] a call of gRPC passes as it is, and so does its answer that is all head", async () => {
    const message = "\0\0\0\0\x02\x08\x01";
    const origin = await startFrames(async (peer) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      await peer.until(() => peer.bodyBytes(stream) === message.length);
      const type = ["content-type", "application/grpc"];
      peer.send(peer.headers(stream, [...OK, ...type]), peer.data(stream, message));
      peer.send(peer.headers(stream, ["grpc-status", "0", "grpc-message", ""], END_STREAM));
      const failing = await peer.request();
      peer.send(peer.headers(failing.stream, [...OK, ...type, "grpc-status", "5"], END_STREAM));
    });
    const asked = { fields: ["te", "trailers", "content-type", "application/grpc"], body: message };
    const answer = await askInHttp2(`${origin.url}/pkg.Service/Method`, asked);
    expect(answer).toMatchObject({ status: 200, body: message, isWhole: true, isAllHead: false });
    expect(answer.trailers).toEqual(["grpc-status", "0", "grpc-message", ""]);
    expect(fieldOf(answer.head, "content-type")).toBe("application/grpc");
    expect(fieldOf(origin.peers[0]!.requests[0]!.fields, "te")).toBe("trailers");
    const failed = await askInHttp2(`${origin.url}/pkg.Service/Other`, asked);
    expect(failed).toMatchObject({ body: "", trailers: [], isWhole: true, isAllHead: true });
    expect(fieldOf(failed.head, "grpc-status")).toBe("5");
  });

  test.each<[string, Script]>([
    ["a reset", (peer) => peer.send(peer.reset(1, wire.NO_ERROR))],
    ["a status", (peer) => peer.send(peer.headers(1, [":status", "200"], END_STREAM))],
    ["a connection field", (peer) => peer.send(peer.headers(1, ["connection", "x"], END_STREAM))],
    ["trailers without an end", (peer) => peer.send(peer.headers(1, ["grpc-status", "0"]))],
    ["too long trailers", (peer) => peer.send(peer.longHeaders(1, ["x", "y".repeat(33_000)], END_STREAM))],
  ])("[PX14] %s in their place never looks whole", async (_what, end) => {
    const script: Script = async (peer, at) => {
      peer.send(peer.settings());
      const { stream } = await peer.request();
      peer.send(peer.headers(stream, OK), peer.data(stream, "half"));
      await end(peer, at);
    };
    for (const client of CLIENTS) {
      const answer = await asks[client](`${(await startFrames(script)).url}/x`);
      expect(answer).toMatchObject({ status: 200, isWhole: false, trailers: [] });
    }
  });

  test("[PX14] trailers of which the origin takes fewer are refused, and nobody else is concerned", async () => {
    const origin = await startFrames(async (peer) => {
      peer.send(peer.settings([wire.SETTINGS_MAX_HEADER_LIST_SIZE, 2_000]));
      for (;;) {
        const { stream, fields } = await peer.request();
        if (fields[7] === "/short") peer.send(peer.headers(stream, OK, END_STREAM));
      }
    });
    for (const client of CLIENTS) {
      expect((await asks[client](`${origin.url}/short`)).status).toBe(200);
      const refused = await asks[client](`${origin.url}/long`, {
        body: "b",
        trailers: ["x-long", "y".repeat(3_000)],
      });
      expect([refused.status, JSON.parse(refused.body).code]).toEqual([431, "headers-too-large"]);
      expect((await asks[client](`${origin.url}/short`)).status).toBe(200);
    }
    expect(origin.peers).toHaveLength(1);
  });

  test.each(CLIENTS)("[PX14] nor does a request of %s that is cut there", async (client) => {
    const origin = await startFrames(async (peer) => {
      peer.send(peer.settings());
      await peer.until(() => false);
    });
    const arrived = (): boolean => origin.peers[0]?.bodyBytes(1) === 4;
    const asked = {
      body: "half",
      beforeTrailers: () => eventually(arrived, "the body is there"),
      trailers: ["x-long", "y".repeat(40_000)],
    };
    expect((await asks[client](`${origin.url}/x`, asked)).status).not.toBe(200);
    const [peer] = origin.peers;
    await peer!.frame(wire.RST_STREAM, 1);
    const ends = peer!.frames.filter(({ stream, flags }) => stream === 1 && (flags & END_STREAM) !== 0);
    expect(ends).toEqual([]);
  });

  test("[PX13] trailers wait for the body, however slowly that is taken", async () => {
    const bytes = 1_000_000;
    const origin = await startFrames(async (peer) => {
      peer.send(peer.settings([wire.SETTINGS_INITIAL_WINDOW_SIZE, 1_000]));
      const { stream } = await peer.request();
      await peer.until(() => peer.bodyBytes(stream) === 1_000);
      peer.send(peer.window(stream, bytes), peer.window(0, bytes));
      await peer.request();
      peer.send(peer.headers(stream, OK), peer.data(stream, `${peer.bodyBytes(stream)}`));
      peer.send(peer.headers(stream, ["x-t", "1"], END_STREAM));
    });
    const asked = { body: "u".repeat(bytes), trailers: ["x-digest", "abc"] };
    const answer = await askInHttp2(`${origin.url}/x`, asked);
    expect(answer).toMatchObject({ body: String(bytes), trailers: ["x-t", "1"] });
    const [, behind] = origin.peers[0]!.requests;
    expect(behind).toMatchObject({ fields: ["x-digest", "abc"], isEnd: true });
  });
});

test("[PX14] trailers that cannot be written break a stream off, and nothing else", async () => {
  const server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    const response = new Http2Response(stream);
    response.writeHead(200, []);
    response.write(Buffer.from("x"));
    response.addTrailers([["upgrade", "x"]]);
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  closing.push(() => {
    client.destroy();
    server.close();
  });
  for (let round = 0; round < 2; round += 1) {
    const stream = client.request({ ":path": "/" }).resume();
    stream.on("error", () => {});
    await once(stream, "close").catch(() => null);
    expect(stream.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  }
});

test("[PX13] a gateway passes none on: what stands before it cannot", async () => {
  const response = await rig.fetch(`${origins["HTTP/1.1"].url}/x`, {
    method: "POST",
    body: "b",
    headers: { te: "trailers" },
  });
  expect(await response.text()).toBe("got b");
  expect(response.headers.get("trailer")).toBeNull();
  expect(fieldOf(seen[0]!.head, "te")).toBeNull();
});
