/** WebSockets through the gateway, plain and over TLS, with real ends. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { eventually, exchangeBytes, fetchHead, type Rig, startByteOrigin, startRig } from "./gateway-rig.ts";
import { CERTIFICATE, startSecureOrigin } from "./tls-origin.ts";

let rig: Rig;
let origin: Server;
let originUrl: string;
const seen: (number | undefined)[] = [];
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: true,
  handleProtocols: () => "chat",
});

function onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
  seen.push(request.socket.remotePort);
  sockets.handleUpgrade(request, socket, head, (opened) => {
    opened.send(`hello from ${request.url}`);
    opened.on("message", (data: Buffer, isBinary) => {
      if (!isBinary && data.toString() === "die") socket.resetAndDestroy();
      else opened.send(data, { binary: isBinary });
    });
  });
}

beforeAll(async () => {
  rig = await startRig({
    authorities: [CERTIFICATE],
    allow: ["127.0.0.1/32"],
    records: { "secure.test": ["127.0.0.1"] },
  });
  origin = createServer((_request, response) => {
    response.writeHead(426, { "x-said": "no" }).end("only websockets");
  });
  origin.on("upgrade", onUpgrade);
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
});
afterAll(async () => {
  origin.closeAllConnections();
  origin.close();
  await rig.close();
});
afterEach(async () => {
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  await eventually(() => rig.gateway.runningCount === 0, "nothing running");
  expect(rig.faults).toEqual([]);
});

function open(destination: string, headers: Record<string, string> = {}): WebSocket {
  const url = `${rig.url.replace("http", "ws")}/v1/fetch?url=${encodeURIComponent(destination)}`;
  return new WebSocket(url, ["chat"], {
    headers: { "egress-authorization": `Bearer ${rig.token}`, ...headers },
  });
}

it.each([
  ["to another protocol", "Upgrade: mud"],
  ["to another key", "Upgrade: websocket\r\nSec-WebSocket-Accept: b3RoZXI="],
])("[GW9] an agreement %s is none", async (_name, fields) => {
  const wrong = await startByteOrigin((socket) => {
    socket.once("data", () => socket.write(`HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\n${fields}\r\n\r\n`));
  });
  const socket = open(wrong.url);
  socket.on("error", () => {});
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  expect(response.statusCode).toBe(502);
  expect(response.headers["proxy-status"]).toContain('details="response-malformed"');
  wrong.close();
});

it("[GW9] echoes text and large binary messages, from a leased port that it names", async () => {
  const socket = open(`${originUrl}/room?x=1`);
  const [response] = (await once(socket, "upgrade")) as [{ headers: Record<string, string> }];
  const [greeting] = (await once(socket, "message")) as [Buffer];
  expect(greeting.toString()).toBe("hello from /room?x=1");
  expect(socket.protocol).toBe("chat");
  expect(socket.extensions).toContain("permessage-deflate");
  expect(response.headers["egress-ip"]).toBe("127.0.0.10");
  expect(Number(response.headers["egress-port"])).toBe(seen.at(-1));
  expect(rig.ports.heldCounts().inUse).toBe(1);
  const large = Buffer.alloc(3_000_000, 7);
  socket.send(large);
  const [echo] = (await once(socket, "message")) as [Buffer];
  expect(large.equals(echo)).toBe(true);
  socket.close();
  await once(socket, "close");
});

it("[GW9] speaks TLS to the destination", async () => {
  const secure = await startSecureOrigin("h1", () => {});
  secure.server.on("upgrade", onUpgrade);
  const socket = open(`${secure.url}/tls`);
  const [greeting] = (await once(socket, "message")) as [Buffer];
  expect(greeting.toString()).toBe("hello from /tls");
  socket.close();
  await once(socket, "close");
  secure.close();
});

it("[OR10] a dot at the end of a name is not in the TLS of a WebSocket, and stays in its request", async () => {
  const secure = await startSecureOrigin("h1", () => {});
  const named: unknown[] = [];
  secure.server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    named.push((request.socket as TLSSocket).servername, request.headers.host);
    onUpgrade(request, socket, head);
  });
  const socket = open(`https://secure.test.:${secure.port}/`);
  await once(socket, "message");
  expect(named).toEqual(["secure.test", `secure.test.:${secure.port}`]);
  socket.close();
  await once(socket, "close");
  secure.close();
});

it("[GW9] ends with whichever end ends, and frees the port", async () => {
  const byClient = open(originUrl);
  await once(byClient, "message");
  byClient.terminate();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free");
  const byOrigin = open(originUrl);
  await once(byOrigin, "message");
  byOrigin.send("die");
  const [code] = (await once(byOrigin, "close")) as [number];
  expect(code).toBe(1006);
});

it("[BI5] a block that is taken away resets its WebSockets", async () => {
  rig.ports.addBlock({ base: 40_960, order: 6, epoch: 7 });
  rig.ports.drainBlock(1);
  const socket = open(originUrl);
  await once(socket, "message");
  rig.ports.removeBlock(7);
  const [code] = (await once(socket, "close")) as [number];
  expect(code).toBe(1001);
  rig.ports.removeBlock(1);
  rig.ports.addBlock({ base: 20_480, order: 8, epoch: 8 });
});

it("[GW9] passes the destination's refusal of the handshake on", async () => {
  const declining = createServer();
  declining.on("upgrade", (_request, socket) => {
    socket.end("HTTP/1.1 403 Forbidden\r\nx-said: no\r\ncontent-length: 4\r\n\r\nnope");
  });
  declining.listen(0, "127.0.0.1");
  await once(declining, "listening");
  const destination = `http://127.0.0.1:${(declining.address() as AddressInfo).port}`;
  const fields = [
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-key: x",
    "sec-websocket-version: 13",
  ];
  const answer = await exchangeBytes(rig.port, fetchHead(rig, "GET", destination, ...fields));
  expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
  expect(answer).toContain("x-said: no");
  expect(answer).toContain("egress-ip: 127.0.0.10");
  expect(answer.endsWith("nope")).toBe(true);
  declining.close();
});

it("[GW9] a refusal of the handshake is as long as it is, and ends whatever the client does", async () => {
  const length = 8 * 1024 * 1024;
  const declining = await startByteOrigin((socket) => {
    socket.once("data", () => {
      socket.write(`HTTP/1.1 403 Forbidden\r\ncontent-length: ${length}\r\n\r\n`);
      socket.write(Buffer.alloc(length, "n"));
    });
  });
  const client = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
  client.write(fetchHead(rig, "GET", declining.url, "connection: Upgrade", "upgrade: websocket"));
  let received = 0;
  let isEnded = false;
  client.on("data", (bytes) => (received += bytes.length));
  client.once("end", () => (isEnded = true));
  await eventually(() => isEnded, "it is whole");
  expect(received).toBeGreaterThan(length);
  await eventually(() => rig.gateway.runningCount === 0, "a client that stays is not waited for");
  client.destroy();
  declining.close();
});

it.each([
  ["http://10.0.0.1/", 403, "destination-prohibited"],
  ["ws://127.0.0.1/", 400, "url-scheme-unsupported"],
  ["http://127.0.0.1:1/", 502, "connection-refused"],
])("[GW9] refuses %s by its name on the socket", async (destination, status, code) => {
  const socket = open(destination);
  const [, response] = (await once(socket, "unexpected-response")) as [
    unknown,
    NodeJS.ReadableStream & { statusCode: number },
  ];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  expect(response.statusCode).toBe(status);
  expect((JSON.parse(body) as { code: string }).code).toBe(code);
});

it("[GW9] refuses a garbled handshake, and upgrades without a token", async () => {
  const garbled = await startByteOrigin((socket) => {
    socket.once("data", () => socket.end("nonsense\r\n\r\n"));
  });
  const fields = ["connection: Upgrade", "upgrade: websocket"];
  const first = await exchangeBytes(rig.port, fetchHead(rig, "GET", garbled.url, ...fields));
  expect(first).toContain('"code":"response-malformed"');
  const bare = `GET /v1/fetch?url=x HTTP/1.1\r\nhost: a\r\n${fields.join("\r\n")}\r\n\r\n`;
  expect(await exchangeBytes(rig.port, bare)).toContain('"code":"token-missing"');
  garbled.close();
});
