/** TLS on connections that a WebSocket carries, made at the host: from the beginning, or later. */
import { once } from "node:events";
import { createServer, type Server, TLSSocket } from "node:tls";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EgressSocket } from "../../src/sdk/egress.ts";
import { NodeSocket } from "../../src/sdk/node/node-socket.ts";
import { eventually } from "./gateway-rig.ts";
import { bytes, startTcpRig, textOf, type TcpRig } from "./raw-tcp-rig.ts";
import { CERTIFICATE, KEY } from "./tls-origin.ts";

let world: TcpRig;
let server: Server;
let secureTo: string;
beforeEach(async () => {
  world = await startTcpRig({ authorities: [CERTIFICATE], records: { "secure.test": ["127.0.0.1"] } });
  server = createServer({ key: KEY, cert: CERTIFICATE, allowHalfOpen: true });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  secureTo = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  const { rig } = world;
  expect(rig.faults).toEqual([]);
  await eventually(() => rig.ports.heldCounts().inUse === 0, "no port is held");
  await eventually(() => rig.gateway.runningCount === 0, "no client is left");
  server.close();
  await world.close();
});

async function acceptedSecure(): Promise<TLSSocket> {
  const [socket] = (await once(server, "secureConnection")) as [TLSSocket];
  socket.on("error", () => {});
  return socket;
}

/** Makes TLS on a connection of the destination's, at its end. */
function asTlsServer(socket: Socket): TLSSocket {
  const secured = new TLSSocket(socket, { isServer: true, key: KEY, cert: CERTIFICATE });
  secured.on("error", () => {});
  return secured;
}

async function readOne(socket: EgressSocket): Promise<string> {
  const reader = socket.readable.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value);
}

test("[RC6] TLS from the beginning, with half-closing in both directions", async () => {
  const accepting = acceptedSecure();
  const socket = world.connect({ secureTransport: "on", allowHalfOpen: true }, secureTo);
  const destination = await accepting;
  await socket.opened;
  expect(socket.secureTransport).toBe("on");
  const writer = socket.writable.getWriter();
  await writer.write(bytes("x".repeat(300_000)));
  await writer.close();
  let length = 0;
  destination.on("data", (chunk: Buffer) => {
    length += chunk.length;
  });
  await once(destination, "end");
  expect(length).toBe(300_000);
  destination.end("answer");
  expect(await textOf(socket.readable)).toBe("answer");
  await socket.closed;
});

test("[RC6] the certificate is for the host, or for the name that is expected", async () => {
  const name = secureTo.replace("127.0.0.1", "secure.test");
  for (const [to, expectedServerHostname] of [
    [name, undefined],
    [secureTo, "secure.test"],
    [name, "127.0.0.1"],
  ] as const) {
    const accepting = acceptedSecure();
    const how = expectedServerHostname === undefined ? {} : { expectedServerHostname };
    const socket = world.connect({ secureTransport: "on", ...how }, to);
    await socket.opened;
    (await accepting).destroy();
    await socket.close();
  }
  const wrong = world.connect({ secureTransport: "on", expectedServerHostname: "other.test" }, secureTo);
  await expect(wrong.opened).rejects.toMatchObject({ code: "tls-certificate-invalid", status: 502 });
  expect(() => world.connect({ expectedServerHostname: "secure.test" })).toThrow(TypeError);
});

test("[RC6] what speaks no TLS is refused by name", async () => {
  const socket = world.connect({ secureTransport: "on" });
  (await world.accepted()).end("220 hello\r\n");
  await expect(socket.opened).rejects.toMatchObject({ code: "tls-error", status: 502 });
});

test("[RC6] startTls goes on with another socket, after all that was written before", async () => {
  const plain = world.connect({ secureTransport: "starttls" });
  const destination = await world.accepted();
  const writer = plain.writable.getWriter();
  void writer.write(bytes("please"));
  const [asked] = (await once(destination, "data")) as [Buffer];
  expect(asked.toString()).toBe("please");
  destination.write("S");
  expect(await readOne(plain)).toBe("S");
  writer.releaseLock();
  const secure = plain.startTls({ expectedServerHostname: "secure.test" });
  expect([plain.upgraded, secure.upgraded, secure.secureTransport]).toEqual([true, false, "on"]);
  expect(() => plain.startTls()).toThrow(TypeError);
  expect(() => secure.startTls()).toThrow(TypeError);
  const over = asTlsServer(destination);
  // Written before TLS stands.
  const secureWriter = secure.writable.getWriter();
  void secureWriter.write(bytes("secret"));
  const [heard] = (await once(over, "data")) as [Buffer];
  expect(heard.toString()).toBe("secret");
  await secure.opened;
  await plain.closed;
  over.end("bye");
  expect(await textOf(secure.readable)).toBe("bye");
  await secure.closed;
  await expect(plain.writable.getWriter().write(bytes("more"))).rejects.toThrow(TypeError);
});

test("[RC6] a startTls that fails has a name, and leaves nothing", async () => {
  const plain = world.connect({ secureTransport: "starttls" });
  const destination = await world.accepted();
  await plain.opened;
  const secure = plain.startTls({ expectedServerHostname: "other.test" });
  asTlsServer(destination);
  await expect(secure.opened).rejects.toMatchObject({ code: "tls-certificate-invalid" });
  await expect(secure.closed).rejects.toMatchObject({ code: "tls-certificate-invalid" });
  await expect(secure.readable.getReader().read()).rejects.toMatchObject({ code: "tls-certificate-invalid" });
  expect(() => world.connect({}, "127.0.0.1:9").startTls()).toThrow(TypeError);
});

test("[RC6] bytes in the clear that come ahead of TLS are never taken for secure ones", async () => {
  // They have come, and were not read.
  const unread = world.connect({ secureTransport: "starttls" });
  const destination = await world.accepted();
  destination.write("S");
  expect(await readOne(unread)).toBe("S");
  destination.write("INJECTED");
  await eventually(() => destination.bytesWritten === 9, "it is written");
  // A round trip of something else, behind which they are there.
  const other = world.connect();
  (await world.accepted()).end("there");
  expect(await textOf(other.readable)).toBe("there");
  const secure = unread.startTls();
  await expect(secure.opened).rejects.toMatchObject({ code: "tls-error" });
  await expect(secure.readable.getReader().read()).rejects.toMatchObject({ code: "tls-error" });
});

test("[RC6] TLS is begun once, in the clear, and between bytes: else the connection ends", async () => {
  const start = '{"type":"start-tls","name":null}';
  for (const messages of [
    [start, start],
    [start, Buffer.from("x")],
    [start, '{"type":"end"}'],
    ['{"type":"end"}', start],
  ]) {
    const carrier = await world.carry();
    (await world.accepted()).resume();
    for (const message of messages) carrier.webSocket.send(message);
    expect(await carrier.closed).toMatchObject({ code: 4400 });
  }
  const accepting = acceptedSecure();
  const carrier = await world.carry(`to=${secureTo}&tls=on`);
  await accepting;
  carrier.webSocket.send(start);
  expect(await carrier.closed).toMatchObject({ code: 4400 });
});

test("[RC6] TLS that ends without a word does not look like an end", async () => {
  const accepting = new Promise<Socket>((resolve) => {
    server.once("connection", resolve);
  });
  const secured = acceptedSecure();
  const socket = world.connect({ secureTransport: "on" }, secureTo);
  const transport = await accepting;
  (await secured).write("part");
  expect(await readOne(socket)).toBe("part");
  transport.end();
  await expect(socket.closed).rejects.toMatchObject({ code: "connection-terminated" });
});

test("[CL11] drivers that were written for Node begin TLS on the stream that they have", async () => {
  const stream = new NodeSocket(world.connect({ secureTransport: "starttls" }));
  const destination = await world.accepted();
  await once(stream, "connect");
  expect([stream.connecting, stream.readyState, stream.remoteAddress]).toEqual([false, "open", world.to]);
  stream.write("please");
  await once(destination, "data");
  destination.write("S");
  const [answer] = (await once(stream, "data")) as [Buffer];
  expect(answer.toString()).toBe("S");
  stream.startTls({ servername: "secure.test" });
  const over = asTlsServer(destination);
  over.pipe(over);
  stream.write("echo");
  const [echo] = (await once(stream, "data")) as [Buffer];
  expect(echo.toString()).toBe("echo");
  stream.end();
  await once(stream, "close");
});
