/** TCP connections that a WebSocket carries, through the gateway and the SDK in Node. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { termFrom } from "../../src/core/lease-term.ts";
import { readClock } from "../../src/process/clock.ts";
import { eventually, exchangeBytes } from "./gateway-rig.ts";
import { bytes, startTcpRig, textOf, type TcpRig } from "./raw-tcp-rig.ts";

let world: TcpRig;
beforeEach(async () => {
  world = await startTcpRig();
});
afterEach(async () => {
  const { rig } = world;
  expect(rig.faults).toEqual([]);
  await eventually(() => rig.ports.heldCounts().inUse === 0, "no port is held");
  await eventually(() => rig.gateway.runningCount === 0, "no client is left");
  await world.close();
});

test("[RC1] [RC3] bytes pass both ways, and the socket says where it left from", async () => {
  const socket = world.connect();
  const destination = await world.accepted();
  destination.pipe(destination);
  const { remoteAddress, localAddress, egress } = await socket.opened;
  expect(remoteAddress).toBe(world.to);
  expect(localAddress).toBe(`127.0.0.10:${destination.remotePort}`);
  expect(egress).toEqual({ ip: "127.0.0.10", port: destination.remotePort, host: "h1" });
  const writer = socket.writable.getWriter();
  const reader = socket.readable.getReader();
  for (const text of ["one", "two", "three"]) {
    await writer.write(bytes(text));
    expect(Buffer.from((await reader.read()).value!).toString()).toBe(text);
  }
  await writer.close();
  expect((await reader.read()).done).toBe(true);
  await socket.closed;
});

test("[RC3] the client ends and still reads, and the destination ends and still reads", async () => {
  for (const first of ["client", "destination"] as const) {
    const socket = world.connect({ allowHalfOpen: true });
    const destination = await world.accepted();
    const writer = socket.writable.getWriter();
    let received = "";
    destination.setEncoding("utf8").on("data", (text: string) => {
      received += text;
    });
    if (first === "client") {
      await writer.write(bytes("question"));
      await writer.close();
      await once(destination, "end");
      expect(received).toBe("question");
      destination.end("answer");
      expect(await textOf(socket.readable)).toBe("answer");
    } else {
      destination.end("greeting");
      expect(await textOf(socket.readable)).toBe("greeting");
      await writer.write(bytes("late"));
      await writer.close();
      await once(destination, "end");
      expect(received).toBe("late");
    }
    await socket.closed;
  }
});

test("[RC3] by default the end of reading is the end of writing", async () => {
  const socket = world.connect();
  const destination = await world.accepted();
  destination.resume().end("bye");
  expect(await textOf(socket.readable)).toBe("bye");
  await socket.closed;
  await once(destination, "end");
});

test("[RC5] a reset of the destination fails reading, writing and `closed` by name", async () => {
  const socket = world.connect();
  const destination = await world.accepted();
  const reader = socket.readable.getReader();
  destination.write("some");
  expect(Buffer.from((await reader.read()).value!).toString()).toBe("some");
  destination.resetAndDestroy();
  const why = { code: "connection-terminated", status: 101 };
  await expect(reader.read()).rejects.toMatchObject(why);
  await expect(socket.closed).rejects.toMatchObject(why);
  await expect(socket.writable.getWriter().write(bytes("x"))).rejects.toMatchObject(why);
});

test("[RC5] what a client breaks off is reset at the destination, and what it closes arrives", async () => {
  const broken = world.connect();
  const first = await world.accepted();
  const failed = once(first, "error");
  first.resume();
  await broken.opened;
  await broken.writable.abort(new Error("enough"));
  expect(await failed).toMatchObject([{ code: "ECONNRESET" }]);

  const vanishing = await world.carry();
  const second = await world.accepted();
  const vanished = once(second, "error");
  second.resume();
  vanishing.webSocket.terminate();
  expect(await vanished).toMatchObject([{ code: "ECONNRESET" }]);

  const closing = world.connect();
  const third = await world.accepted();
  let received = "";
  third.setEncoding("utf8").on("data", (text: string) => {
    received += text;
  });
  const writer = closing.writable.getWriter();
  void writer.write(bytes("a".repeat(200_000)));
  void writer.write(bytes("last"));
  await closing.close();
  await once(third, "end");
  expect(received.length).toBe(200_004);
  expect(received.endsWith("last")).toBe(true);
});

test("[RC4] a client that does not read holds the destination up, and gets all of it in the end", async () => {
  const socket = world.connect();
  const destination = await world.accepted();
  const piece = Buffer.alloc(65_536, 7);
  const total = 256 * piece.length;
  for (let count = 0; count < 256; count += 1) destination.write(piece);
  destination.end();
  await socket.opened;
  let before = -1;
  // What is under way stops growing: the kernel's buffers, the window, one piece.
  await eventually(() => {
    const taken = destination.bytesWritten - destination.writableLength;
    const isStill = taken === before;
    before = taken;
    return isStill && taken > 0;
  }, "the destination is held up");
  expect(destination.writableLength).toBeGreaterThan(0);
  let count = 0;
  for await (const { length } of socket.readable as unknown as AsyncIterable<Uint8Array>) count += length;
  expect(count).toBe(total);
});

test("[RC4] a client is sent its window and no more, however small the pieces are", async () => {
  const carrier = await world.carry();
  const destination = await world.accepted();
  destination.write(Buffer.alloc(8 * 1024 * 1024));
  await eventually(() => carrier.byteCount === 262_144, "the window is used");
  // It has no more credit, whatever it says to that.
  carrier.webSocket.ping();
  await once(carrier.webSocket, "pong");
  expect(carrier.byteCount).toBe(262_144);
  carrier.webSocket.send(JSON.stringify({ type: "credit", bytes: 1_000 }));
  await eventually(() => carrier.byteCount === 263_144, "the credit is used");
  carrier.webSocket.ping();
  await once(carrier.webSocket, "pong");
  expect(carrier.byteCount).toBe(263_144);
  carrier.webSocket.terminate();
});

test("[RC4] a client that has credit and does not read holds the destination up as well", async () => {
  const carrier = await world.carry();
  const destination = await world.accepted();
  carrier.webSocket.send(JSON.stringify({ type: "credit", bytes: 2 ** 30 }));
  carrier.webSocket.ping();
  await once(carrier.webSocket, "pong");
  carrier.webSocket.pause();
  const total = 64 * 1024 * 1024;
  for (let left = total; left > 0; left -= 65_536) destination.write(Buffer.alloc(65_536));
  let before = -1;
  let looks = 0;
  await eventually(() => {
    const taken = destination.bytesWritten - destination.writableLength;
    looks = taken === before ? looks + 1 : 0;
    before = taken;
    return looks === 10 && taken > 0;
  }, "the destination is held up");
  expect(destination.writableLength).toBeGreaterThan(0);
  carrier.webSocket.resume();
  await eventually(() => carrier.byteCount === total, "all of it has come");
  carrier.webSocket.terminate();
});

test("[RC4] a client that sends more than its credit is cut off, and what it sent waits within it", async () => {
  const carrier = await world.carry();
  const destination = await world.accepted();
  destination.pause();
  const piece = Buffer.alloc(65_536);
  let sent = 0;
  let credit = 262_144;
  // The destination reads nothing: credit comes as long as its kernel takes bytes, and then no more.
  for (let isStill = false; !isStill;) {
    while (credit >= piece.length) {
      carrier.webSocket.send(piece);
      sent += piece.length;
      credit -= piece.length;
    }
    carrier.webSocket.ping();
    await once(carrier.webSocket, "pong");
    const given = carrier.texts.splice(0) as { readonly bytes: number }[];
    isStill = given.length === 0;
    for (const { bytes: more } of given) credit += more;
  }
  expect(sent).toBeGreaterThan(262_144);
  carrier.webSocket.send(Buffer.alloc(65_536));
  carrier.webSocket.send(Buffer.alloc(65_536));
  carrier.webSocket.send(Buffer.alloc(65_536));
  carrier.webSocket.send(Buffer.alloc(65_536));
  expect(await carrier.closed).toMatchObject({
    code: 4400,
    reason: expect.stringMatching(/^carrier-malformed: /),
  });
});

test.each([
  ["a text that is no JSON", "hello"],
  ["an unknown control", '{"type":"sleep"}'],
  ["a credit below one", '{"type":"credit","bytes":0}'],
  ["more credit than there may be", '{"type":"credit","bytes":2147483648}'],
  ["a control of the other side", '{"type":"secured"}'],
  ["a control with more members", '{"type":"end","why":1}'],
  ["a control that is too long", `{"type":"start-tls","name":"${"a".repeat(2_000)}"}`],
  ["an empty message", Buffer.alloc(0)],
])("[RC4] %s ends the connection by name, and no other", async (_what, message) => {
  const bystander = world.connect();
  const other = await world.accepted();
  const carrier = await world.carry();
  const destination = await world.accepted();
  const reset = once(destination, "error");
  destination.resume();
  carrier.webSocket.send(message);
  expect(await carrier.closed).toMatchObject({
    code: 4400,
    reason: expect.stringMatching(/^carrier-malformed: /),
  });
  expect(await reset).toMatchObject([{ code: "ECONNRESET" }]);
  other.end("unharmed");
  expect(await textOf(bystander.readable)).toBe("unharmed");
});

test("[RC4] bytes after the end, and a message that is too long, end the connection", async () => {
  for (const [messages, code] of [
    [['{"type":"end"}', Buffer.from("x")], 4400],
    [['{"type":"end"}', '{"type":"end"}'], 4400],
    [[Buffer.alloc(65_537)], 1009],
  ] as const) {
    const carrier = await world.carry();
    (await world.accepted()).resume();
    for (const message of messages) carrier.webSocket.send(message);
    expect((await carrier.closed).code).toBe(code);
  }
});

test("[RC1] what is refused before it is dialled is refused as HTTP, by name", async () => {
  const { rig, to } = world;
  const head = (target: string, ...fields: string[]): string =>
    [
      `GET ${target} HTTP/1.1`,
      "host: gateway",
      `egress-authorization: Bearer ${rig.token}`,
      ...fields,
      "",
      "",
    ].join("\r\n");
  const upgrade = [
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
  ];
  const offer = "sec-websocket-protocol: ipshard.tcp.v1";
  const cases: readonly (readonly [string, string])[] = [
    [head(`/v1/connect?to=${to}`, "connection: close"), "426 upgrade-required"],
    [head(`/v1/connect?to=${to}`, ...upgrade), "400 subprotocol-missing"],
    [head(`/v1/connect?to=${to}`, ...upgrade, "sec-websocket-protocol: chat"), "400 subprotocol-missing"],
    [head("/v1/connect", ...upgrade, offer), "400 connect-target-invalid"],
    [head("/v1/connect?to=db.example.com", ...upgrade, offer), "400 connect-target-invalid"],
    [head("/v1/connect?to=db.example.com:0", ...upgrade, offer), "400 url-port-invalid"],
    [head(`/v1/connect?to=${to}&to=${to}`, ...upgrade, offer), "400 input-invalid"],
    [head(`/v1/connect?to=${to}&tsl=on`, ...upgrade, offer), "400 input-invalid"],
    [head(`/v1/connect?to=${to}&tls=maybe`, ...upgrade, offer), "400 input-invalid"],
    [head(`/v1/connect?to=${to}&tls-name=a.test`, ...upgrade, offer), "400 input-invalid"],
    [head(`/v1/connect?to=${to}`, ...upgrade.slice(0, 3), offer), "400 request-malformed"],
    [head(`/v1/connect?to=${to}`, ...upgrade, `${offer}, ipshard.tcp.v1`), "400 request-malformed"],
    [head("/v1/connect?to=10.0.0.1:80", ...upgrade, offer), "403 destination-prohibited"],
    [
      head(`/v1/connect?to=${to}`, ...upgrade, offer).replace(/Bearer \S+/, "Bearer x"),
      "401 token-malformed",
    ],
  ];
  for (const [request, expected] of cases) {
    const answer = await exchangeBytes(rig.port, request);
    const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
    const code = /"code":"([^"]+)"/.exec(answer)?.[1];
    expect(`${status} ${code}`, request).toBe(expected);
    expect(answer).toMatch(/\r\nproxy-status: ipshard/i);
  }
});

test("[RC1] [CL11] what the destination refuses rejects `opened` with its code and status", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  const socket = world.connect({}, `127.0.0.1:${port}`);
  const why = { name: "EgressError", code: "connection-refused", status: 502 };
  await expect(socket.opened).rejects.toMatchObject(why);
  await expect(socket.closed).rejects.toMatchObject(why);
  await expect(socket.readable.getReader().read()).rejects.toMatchObject(why);
  await expect(socket.writable.getWriter().write(bytes("x"))).rejects.toMatchObject(why);
});

test("[RC1] a draining host refuses new connections, and lets those go on that there are", async () => {
  const socket = world.connect();
  const destination = await world.accepted();
  await socket.opened;
  world.rig.admission.isDraining = true;
  await expect(world.connect().opened).rejects.toMatchObject({ code: "draining", status: 503 });
  destination.end("still here");
  expect(await textOf(socket.readable)).toBe("still here");
});

test("[RC5] a connection whose lease is over is closed as going away, by name", async () => {
  const socket = world.connect();
  const destination = await world.accepted();
  const reset = once(destination, "error");
  destination.resume();
  await socket.opened;
  world.rig.ports.removeBlock(1);
  await expect(socket.closed).rejects.toMatchObject({ code: "lease-lost" });
  expect(await reset).toMatchObject([{ code: "ECONNRESET" }]);
  world.rig.ports.setTerm(termFrom(readClock(), 1_000));
});

test("[RC5] a connection on which nothing passes for too long is closed by name", async () => {
  const restless = await startTcpRig({ tcpIdleMs: 200 });
  const socket = restless.connect();
  const destination = await restless.accepted();
  const reset = once(destination, "error");
  destination.pipe(destination);
  const writer = socket.writable.getWriter();
  const reader = socket.readable.getReader();
  // As long as something passes it lasts.
  for (let count = 0; count < 8; count += 1) {
    await writer.write(bytes("x"));
    await reader.read();
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  await expect(socket.closed).rejects.toMatchObject({ code: "connection-idle" });
  expect(await reset).toMatchObject([{ code: "ECONNRESET" }]);
  await eventually(() => restless.rig.ports.heldCounts().inUse === 0, "no port is held");
  await restless.close();
});

test("[RC5] a client that does not answer is gone, and one that does is not", async () => {
  const asking = await startTcpRig({ tcpSilenceMs: 150 });
  const there = asking.connect();
  const first = await asking.accepted();
  await there.opened;
  const silent = await asking.carry();
  const second = await asking.accepted();
  const reset = once(second, "error");
  second.resume();
  expect(await silent.closed).toMatchObject({
    code: 4500,
    reason: expect.stringMatching(/^connection-idle: /),
  });
  expect(silent.texts).toEqual([{ type: "ping" }]);
  expect(await reset).toMatchObject([{ code: "ECONNRESET" }]);
  // The one that answers is asked on and on.
  await new Promise((resolve) => {
    setTimeout(resolve, 600);
  });
  first.end("still here");
  expect(await textOf(there.readable)).toBe("still here");
  await eventually(() => asking.rig.ports.heldCounts().inUse === 0, "no port is held");
  await asking.close();
});

test("[RC5] whoever asks the gateway whether it is there is told", async () => {
  const carrier = await world.carry();
  await world.accepted();
  carrier.webSocket.send('{"type":"ping"}');
  await eventually(() => carrier.texts.length === 1, "there is an answer");
  expect(carrier.texts).toEqual([{ type: "pong" }]);
  carrier.webSocket.terminate();
});

test("[RC5] a client that goes while it is dialled for leaves nothing", async () => {
  const calling = new AbortController();
  const socket = world.connect({ signal: calling.signal }, "silent.test:5432");
  calling.abort(new Error("never mind"));
  await expect(socket.opened).rejects.toThrow("never mind");
  const closing = world.connect({}, "silent.test:5432");
  await closing.close();
  await expect(closing.opened).rejects.toMatchObject({ name: "AbortError" });
});

test("[RC3] what comes before the answer is not lost", async () => {
  const { rig, to } = world;
  const frame = Buffer.from([0x82, 0x85, 0, 0, 0, 0, ...bytes("early")]);
  const head = [
    `GET /v1/connect?to=${to} HTTP/1.1`,
    "host: gateway",
    `egress-authorization: Bearer ${rig.token}`,
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-protocol: ipshard.tcp.v1",
    "",
    frame.toString("latin1"),
  ].join("\r\n");
  const accepted: Promise<Socket> = world.accepted();
  const exchange = exchangeBytes(rig.port, head, (received) => received.includes("pong"));
  const destination = await accepted;
  const [received] = (await once(destination, "data")) as [Buffer];
  expect(received.toString()).toBe("early");
  destination.write("pong");
  expect(await exchange).toMatch(/^HTTP\/1\.1 101 .*\r\negress-ip: 127\.0\.0\.10\r\n/s);
});
