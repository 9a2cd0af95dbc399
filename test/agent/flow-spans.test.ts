/** Spans of flows that last: how many bytes they carried, from which port, and why they ended. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { RequestSpans } from "../../src/agent/request-spans.ts";
import type { FinishedSpan } from "../../src/metrics/otlp.ts";
import { createEgress } from "../../src/sdk/egress.ts";
import { openWebSocket } from "../../src/sdk/node/open-websocket.ts";
import { CARRIER_CLOSE, CARRIER_PROTOCOL } from "../../src/wire/tcp-carrier.ts";
import { eventually, type Origin, startByteOrigin } from "./gateway-rig.ts";
import { ByteClient, openTunnel, type ProxyRig, readHead, startProxyRig } from "./proxy-rig.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const RECORDED = `traceparent: 00-${TRACE}-${PARENT}-01`;
const UNRECORDED = `traceparent: 00-${TRACE}-${PARENT}-00`;

let rig: ProxyRig;
let origin: Origin;
let webSockets: Server;
let atOrigin: Socket[] = [];
let upgrades: IncomingMessage[] = [];
let spans: FinishedSpan[] = [];

beforeAll(async () => {
  rig = await startProxyRig({ allow: ["127.0.0.1/32"] });
  rig.outgoing.spans = new RequestSpans((finished) => spans.push(finished));
  origin = await startByteOrigin((socket) => {
    socket.allowHalfOpen = true;
    atOrigin.push(socket);
  });
  const server = new WebSocketServer({ noServer: true });
  webSockets = createServer((_request, response) => response.writeHead(426).end());
  webSockets.on("upgrade", (request, socket: Socket, head) => {
    upgrades.push(request);
    server.handleUpgrade(request, socket, head, (opened) => {
      opened.on("message", (data: Buffer) =>
        data.toString() === "die" ? socket.resetAndDestroy() : opened.send(data),
      );
    });
  });
  webSockets.listen(0, "127.0.0.1");
  await once(webSockets, "listening");
});
afterAll(async () => {
  origin.close();
  webSockets.close();
  await rig.close();
});
afterEach(async () => {
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  expect(rig.faults).toEqual([]);
  spans = [];
  atOrigin = [];
  upgrades = [];
});

/** The one span that there is by then. */
async function span(): Promise<FinishedSpan> {
  await eventually(() => spans.length > 0, "a span");
  expect(spans).toHaveLength(1);
  return spans[0]!;
}

async function tunnel(...fields: string[]): Promise<{ client: ByteClient; far: Socket; port: number }> {
  const client = new ByteClient(rig.proxyPort);
  const place = `127.0.0.1:${origin.port}`;
  client.write([`CONNECT ${place} HTTP/1.1`, `host: ${place}`, ...fields, "", ""].join("\r\n"));
  await client.until(({ text }) => text.includes("\r\n\r\n"), "an answer");
  const port = Number(readHead(client.text).fields.get("egress-port"));
  await eventually(() => atOrigin.length === 1, "the connection arrives");
  return { client, far: atOrigin[0]!, port };
}

function webSocket(path: string, protocol: string | undefined, field: string): WebSocket {
  const headers = { "egress-authorization": `Bearer ${rig.token}`, traceparent: field.split(": ")[1]! };
  const url = `${rig.url.replace("http", "ws")}/v1/${path}`;
  const opened = new WebSocket(url, protocol, { headers, perMessageDeflate: false });
  return opened.on("error", () => {});
}

function destination(): string {
  const { port } = webSockets.address() as AddressInfo;
  return `fetch?url=${encodeURIComponent(`http://127.0.0.1:${port}/chat`)}`;
}

test("[MT14] a tunnel is one span, with its port and its bytes, once it has ended", async () => {
  const { client, far, port } = await tunnel(RECORDED);
  far.on("data", () => {});
  client.socket.write("question");
  await eventually(() => far.bytesRead === 8, "the question");
  expect(spans).toEqual([]);
  client.socket.end();
  await once(far, "end");
  far.end("an answer");
  const { traceId, parentSpanId, name, facts, code } = await span();
  expect({ traceId, parentSpanId, name, code }).toEqual({
    traceId: TRACE,
    parentSpanId: PARENT,
    name: "egress CONNECT",
    code: null,
  });
  expect(facts).toMatchObject({
    "http.request.method": "CONNECT",
    "http.response.status_code": 200,
    "ipshard.ip": "127.0.0.10",
    "ipshard.port": port,
    "ipshard.sent_bytes": 8,
    "ipshard.received_bytes": 9,
  });
  expect(JSON.stringify(facts)).not.toContain("127.0.0.1:");
});

test("[MT14] a tunnel that breaks off says so, whichever end did", async () => {
  const first = await tunnel(RECORDED);
  first.far.resetAndDestroy();
  expect((await span()).code).toBe("connection-terminated");
  spans = [];
  atOrigin = [];
  const second = await tunnel(RECORDED);
  second.client.socket.resetAndDestroy();
  expect((await span()).code).toBe("connection-terminated");
});

test("[MT14] a tunnel whose lease is lost says that", async () => {
  await tunnel(RECORDED);
  rig.ports.removeBlock(1);
  expect((await span()).code).toBe("lease-lost");
  rig.ports.addBlock({ base: 20_480, order: 11, epoch: 2 });
});

test("[MT14] a tunnel that never stood is a span with its refusal", async () => {
  const client = new ByteClient(rig.proxyPort);
  client.write(`CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n${RECORDED}\r\n\r\n`);
  const { code, facts } = await span();
  expect(code).toBe("connection-refused");
  expect(facts).not.toHaveProperty("ipshard.sent_bytes");
  client.socket.destroy();
});

test("[MT14] without a recorded trace there is no span of a tunnel", async () => {
  for (const fields of [[UNRECORDED], []]) {
    const client = await openTunnel(rig, `127.0.0.1:${origin.port}`, ...fields);
    client.socket.resetAndDestroy();
  }
  // Its span comes after theirs would have.
  await eventually(() => atOrigin.length === 2 && atOrigin.every(({ destroyed }) => destroyed), "both over");
  atOrigin = [];
  const { client } = await tunnel(RECORDED);
  client.socket.resetAndDestroy();
  expect((await span()).name).toBe("egress CONNECT");
});

test("[MT14] a WebSocket is one span, and the parent of what its destination does", async () => {
  const opened = webSocket(destination(), undefined, RECORDED);
  await once(opened, "open");
  opened.send("hello");
  await once(opened, "message");
  opened.close();
  const { spanId, name, code, facts } = await span();
  expect(upgrades[0]!.headers["traceparent"]).toBe(`00-${TRACE}-${spanId}-01`);
  expect({ name, code }).toEqual({ name: "egress websocket", code: null });
  expect(facts).toMatchObject({ "http.request.method": "GET", "http.response.status_code": 101 });
  expect(Number(facts["ipshard.sent_bytes"])).toBeGreaterThan(5);
  expect(Number(facts["ipshard.received_bytes"])).toBeGreaterThan(5);
});

test("[MT14] a WebSocket that its destination resets says that it broke off", async () => {
  const opened = webSocket(destination(), undefined, RECORDED);
  await once(opened, "open");
  opened.send("die");
  expect((await span()).code).toBe("connection-terminated");
});

test("[MT14] the SDK's connect says to which trace it belongs", async () => {
  const egress = createEgress({ endpoint: rig.url, token: rig.token, openWebSocket });
  const traceparent = RECORDED.split(": ")[1]!;
  const socket = egress.connect(`127.0.0.1:${origin.port}`, { traceparent });
  await socket.opened;
  await socket.close();
  const { name, parentSpanId } = await span();
  expect([name, parentSpanId]).toEqual(["egress tcp", PARENT]);
});

test("[MT14] TCP in a WebSocket is one span, by which end or failure it went", async () => {
  const to = `connect?to=127.0.0.1:${origin.port}`;
  for (const [end, code] of [
    [(opened: WebSocket) => opened.close(CARRIER_CLOSE.done), null],
    [(opened: WebSocket) => opened.terminate(), "connection-terminated"],
    [() => void atOrigin[0]!.resetAndDestroy(), "connection-terminated"],
    [(opened: WebSocket) => opened.send("no control"), "carrier-malformed"],
  ] as const) {
    spans = [];
    atOrigin = [];
    const opened = webSocket(to, CARRIER_PROTOCOL, RECORDED);
    await once(opened, "open");
    await eventually(() => atOrigin.length === 1, "the connection arrives");
    opened.send(Buffer.from("four"), { binary: true });
    await once(atOrigin[0]!, "data");
    end(opened);
    const ended = await span();
    expect([ended.name, ended.code, ended.facts["ipshard.sent_bytes"]]).toEqual(["egress tcp", code, 4]);
    opened.terminate();
  }
});
