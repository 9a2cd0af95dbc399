/** Handshakes of WebSockets that go wrong, at either end and at every moment; and how WebSockets end. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { FrameBoundary, goingAwayFrame } from "../../src/agent/traffic/websocket/websocket-frames.ts";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startByteOrigin,
  startRig,
} from "./gateway-rig.ts";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = createHash("sha1").update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
const AGREED = `HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`;
const FIELDS = [
  "connection: Upgrade",
  "upgrade: websocket",
  `sec-websocket-key: ${KEY}`,
  "sec-websocket-version: 13",
];

let rig: Rig;
const origins: Origin[] = [];

beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.close());
afterEach(async () => {
  for (const origin of origins.splice(0)) origin.close();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  await eventually(() => rig.gateway.runningCount === 0, "nothing running");
  expect(rig.faults).toEqual([]);
});

async function byteOrigin(onConnection: (socket: Socket) => void): Promise<string> {
  const origin = await startByteOrigin(onConnection);
  origins.push(origin);
  return origin.url;
}

/** An origin that answers the handshake with bytes, at once or in two segments, and perhaps ends. */
function answering(bytes: string, ends: boolean, cut = bytes.length): Promise<string> {
  return byteOrigin((socket) => {
    socket.setNoDelay(true);
    socket.once("data", () => {
      socket.write(bytes.slice(0, cut), "latin1");
      setTimeout(
        () => {
          if (ends) socket.end(bytes.slice(cut), "latin1");
          else socket.write(bytes.slice(cut), "latin1");
        },
        cut < bytes.length ? 3 : 0,
      );
    });
  });
}

const handshake = (url: string, ...more: string[]): string => fetchHead(rig, "GET", url, ...FIELDS, ...more);
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]);
const codeOf = (answer: string): string | undefined => /"code":"([a-z-]+)"/.exec(answer)?.[1];

const BAD_ANSWERS: readonly (readonly [name: string, bytes: string])[] = [
  ["status 0", "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"],
  ["status 99", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n"],
  ["status 600", "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n"],
  ["status 1000", "HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n"],
  ["a bare 101", "HTTP/1.1 101 Yes\r\n\r\n"],
  ["a 101 to nothing", "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\n\r\n"],
  ["a 101 with a length", "HTTP/1.1 101 Yes\r\nContent-Length: 5\r\n\r\nhello"],
  ["a 101 to another protocol", `${AGREED.replace("websocket", "mud")}\r\n`],
  ["a 101 to another key", `${AGREED.replace(ACCEPT, "b3RoZXI=")}\r\n`],
  ["a 101 without a key", AGREED.replace(/Sec-.*\r\n/, "\r\n")],
  ["no HTTP", "220 mail.test ESMTP\r\n"],
  ["a broken chunk", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n"],
  ["a coded body", "HTTP/1.1 403 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"],
  ["two lengths", "HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nno"],
  ["a control in a field", `${AGREED}x: \x01\r\n\r\n`],
  ["a flood of interim answers", `${"HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n".repeat(40)}${AGREED}\r\n`],
];

describe("an answer that is none", () => {
  it.each(BAD_ANSWERS)("[GW18] %s", async (_name, bytes) => {
    const url = await answering(bytes, false);
    const answer = await exchangeBytes(rig.port, handshake(url));
    expect({ status: statusOf(answer), code: codeOf(answer) }).toEqual({
      status: 502,
      code: "response-malformed",
    });
  });

  it("[GW18] is the same however it is cut", { timeout: 120_000 }, async () => {
    const wrong: string[] = [];
    for (const [name, bytes] of BAD_ANSWERS) {
      const cuts = Array.from({ length: Math.min(bytes.length, 200) - 1 }, (_, at) => at + 1);
      const lane = async (): Promise<void> => {
        for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop()) {
          const answer = await exchangeBytes(rig.port, handshake(await answering(bytes, false, cut)));
          if (codeOf(answer) !== "response-malformed")
            wrong.push(`${name} cut at ${cut}: ${answer.slice(0, 60)}`);
        }
      };
      await Promise.all(Array.from({ length: 16 }, lane));
    }
    expect(wrong).toEqual([]);
  });

  it("[GW18] a body that breaks off later never looks whole", async () => {
    const url = await answering("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz", false);
    const answer = await exchangeBytes(rig.port, handshake(url));
    // What has been said cannot be taken back.
    expect([403, 502]).toContain(statusOf(answer));
    expect(answer).not.toMatch(/0\r\n\r\n$/);
  });
});

describe("an answer that makes sense", () => {
  it("[GW9] passes bytes from 0x80 up both ways, and drops a phrase that cannot be written", async () => {
    const value = Array.from({ length: 128 }, (_, at) => String.fromCharCode(at + 128)).join("");
    let asked = "";
    const url = await byteOrigin((socket) => {
      socket.setEncoding("latin1");
      socket.once("data", (text: string) => {
        asked = text;
        socket.write(`${AGREED.replace("Yes", "Y\x01s")}x-bytes: ${value}\r\n\r\n`, "latin1");
      });
    });
    const answer = await exchangeBytes(rig.port, handshake(url, `x-bytes: ${value}`), (got) =>
      got.includes("\r\n\r\n"),
    );
    expect(asked).toContain(`x-bytes: ${value}\r\n`);
    expect(answer).toContain(`x-bytes: ${value}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 101 \r\n/);
  });

  it("[GW9] a refusal passes with its bytes, and without the length that a 204 has not", async () => {
    const url = await answering("HTTP/1.1 403 N\xf6\r\nx-b: no\r\ncontent-length: 4\r\n\r\nnope", true);
    expect(await exchangeBytes(rig.port, handshake(url))).toMatch(
      /^HTTP\/1\.1 403 N\xf6\r\n.*x-b: no.*nope$/s,
    );
    const none = await answering("HTTP/1.1 204 None\r\ncontent-length: 0\r\n\r\n", true);
    const answer = await exchangeBytes(rig.port, handshake(none));
    expect(answer).toMatch(/^HTTP\/1\.1 204 None\r\n/);
    expect(answer.toLowerCase()).not.toContain("content-length");
  });

  it("[GW9] interim answers before it do not harm it", async () => {
    const url = await answering(
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\n\r\n${AGREED}\r\nframes`,
      false,
    );
    const answer = await exchangeBytes(rig.port, handshake(url), (got) => got.includes("frames"));
    expect(answer).toMatch(/^HTTP\/1\.1 101 Yes\r\n.*\r\n\r\nframes$/s);
  });

  it("[GW16] what the client sent before it goes to the destination after it", async () => {
    let received = "";
    const url = await byteOrigin((socket) => {
      socket.setEncoding("latin1");
      socket.on("data", (text: string) => {
        received += text;
        if (text.startsWith("GET")) setTimeout(() => socket.write(`${AGREED}\r\n`), 50);
      });
    });
    const client = connect(rig.port, "127.0.0.1");
    client.write(`${handshake(url)}early `);
    setTimeout(() => client.write("frames"), 20);
    await eventually(() => received.endsWith("early frames"), "they are there");
    expect(received).toMatch(/\r\n\r\nearly frames$/);
    client.destroy();
  });

  it("[GW16] but not any amount of it", async () => {
    const url = await byteOrigin((socket) => socket.resume());
    const answer = await exchangeBytes(rig.port, handshake(url) + "x".repeat(200_000));
    expect(codeOf(answer)).toBe("request-malformed");
  });
});

describe("a client that leaves", () => {
  it.each([
    ["in good order", (socket: Socket): unknown => socket.end()],
    ["in good order, with bytes sent", (socket: Socket): unknown => socket.end("early")],
    ["altogether", (socket: Socket): unknown => socket.destroy()],
    ["by a reset", (socket: Socket): unknown => socket.resetAndDestroy()],
  ])("[GW16] during the handshake, %s, frees the port at once", async (_name, leave) => {
    let isThere = false;
    const url = await byteOrigin((socket) => socket.once("data", () => (isThere = true)));
    const client = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
    client.on("error", () => {});
    client.write(handshake(url));
    await eventually(() => isThere, "the handshake is at the destination");
    expect(rig.ports.heldCounts().inUse).toBe(1);
    leave(client);
    await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free", 1_000);
    client.destroy();
  });

  it("[GW11] by a reset after every byte, while the destination answers", { timeout: 60_000 }, async () => {
    const url = await byteOrigin((socket) => socket.once("data", () => socket.write(`${AGREED}\r\nframes`)));
    const bytes = `${handshake(url)}early`;
    const cuts = Array.from({ length: bytes.length }, (_, at) => at + 1);
    const lane = async (): Promise<void> => {
      for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop()) {
        const client = connect(rig.port, "127.0.0.1").on("error", () => {});
        await once(client, "connect");
        client.write(bytes.slice(0, cut));
        if (cut % 4 > 0) {
          await new Promise((resolve) => {
            setTimeout(resolve, cut % 4);
          });
        }
        client.resetAndDestroy();
      }
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
    expect((await fetch(`${rig.url}/health`)).status).toBe(200);
  });
});

it("[GW20] a client that resets while the destination takes nothing frees the port", async () => {
  const url = await byteOrigin((socket) => {
    socket.once("data", () => {
      socket.write(`${AGREED}\r\n`);
      socket.pause();
    });
  });
  const client = connect(rig.port, "127.0.0.1").on("error", () => {});
  client.write(handshake(url));
  await once(client, "data");
  client.write(Buffer.alloc(20_000_000));
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  expect(rig.ports.heldCounts().inUse).toBe(1);
  client.resetAndDestroy();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free", 4_000);
});

describe("a port that is taken away", () => {
  const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  const closes: number[] = [];
  beforeAll(() => {
    sockets.on("connection", (socket) => {
      socket.on("error", () => {});
      socket.on("close", (code) => closes.push(code));
      socket.on("message", (data) => socket.send(data));
      socket.send("hello");
    });
  });
  afterAll(() => sockets.close());

  it("[GW17] is told to both sides by a close frame with 1001", async () => {
    rig.ports.addBlock({ base: 40_960, order: 6, epoch: 7 });
    rig.ports.drainBlock(1);
    const { port } = sockets.address() as { port: number };
    const url = `${rig.url.replace("http", "ws")}/v1/fetch?url=${encodeURIComponent(`http://127.0.0.1:${port}/`)}`;
    const socket = new WebSocket(url, { headers: { "egress-authorization": `Bearer ${rig.token}` } });
    await once(socket, "message");
    socket.send(Buffer.alloc(100_000));
    await once(socket, "message");
    const closing = once(socket, "close") as Promise<[number]>;
    rig.ports.removeBlock(7);
    expect((await closing)[0]).toBe(1001);
    await eventually(() => closes.length > 0, "the destination knows");
    expect(closes).toEqual([1001]);
    rig.ports.removeBlock(1);
    rig.ports.addBlock({ base: 20_480, order: 8, epoch: 8 });
  });

  it("[GW17] within a frame nothing can be said", async () => {
    rig.ports.addBlock({ base: 40_960, order: 6, epoch: 9 });
    rig.ports.drainBlock(8);
    const half = "\x82\x7e\x01\x00half";
    const url = await answering(`${AGREED}\r\n${half}`, false);
    let received = "";
    const socket = connect(rig.port, "127.0.0.1");
    socket.setEncoding("latin1").on("data", (text: string) => (received += text));
    socket.write(handshake(url));
    await eventually(() => received.endsWith(half), "half a frame is there");
    rig.ports.removeBlock(9);
    await once(socket, "close");
    expect(received.endsWith(half)).toBe(true);
    rig.ports.removeBlock(8);
    rig.ports.addBlock({ base: 20_480, order: 8, epoch: 10 });
  });
});

it("[GW17] knows where frames end, however they are cut", () => {
  const mask = [1, 2, 3, 4];
  const frames = [
    [0x81, 0],
    [0x81, 3, 1, 2, 3],
    [0x81, 0x80, ...mask],
    [0x81, 0x82, ...mask, 5, 6],
    [0x82, 126, 0, 200, ...Array<number>(200).fill(1)],
    [0x82, 0xfe, 0, 130, ...mask, ...Array<number>(130).fill(1)],
    [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, ...Array<number>(65_536).fill(1)],
    [...goingAwayFrame("server")],
    [...goingAwayFrame("client")],
  ];
  const bytes = Buffer.from(frames.flat());
  const ends = new Set<number>();
  let end = 0;
  for (const frame of frames) ends.add((end += frame.length));
  const wrong: string[] = [];
  for (const step of [1, 2, 3, 7, 1000, bytes.length]) {
    const boundary = new FrameBoundary();
    for (let at = 0; at < bytes.length; at += step) {
      boundary.pass(bytes.subarray(at, at + step));
      if (boundary.isBetweenFrames !== ends.has(Math.min(at + step, bytes.length)))
        wrong.push(`${at} by ${step}`);
    }
  }
  expect(wrong).toEqual([]);
});
