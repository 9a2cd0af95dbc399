/** WebSockets through the edge: real ones, and origins that answer a handshake with nonsense. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type Origin, startByteOrigin } from "../agent/gateway-rig.ts";
import { Cluster } from "./cluster.ts";

const HOSTS = ["h1", "h2"];
const AGREED = "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

let cluster: Cluster;
let headers: Record<string, string>;
let pids: number[];
let closers: Origin[] = [];

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: HOSTS });
  headers = await cluster.clientHeaders();
  pids = HOSTS.map((host) => cluster.pidOf(host));
});
afterAll(async () => {
  await cluster?.stop();
});
afterEach(async () => {
  for (const origin of closers) origin.close();
  closers = [];
  // Whatever an origin said, no host was blamed and none has ended.
  const servedBy = new Set<string>();
  for (let count = 0; count < 20; count += 1) {
    const reply = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
    expect(reply.status).toBe(200);
    servedBy.add(String(reply.headers.get("egress-host")));
    await reply.body?.cancel();
  }
  expect(servedBy).toEqual(new Set(HOSTS));
  expect(HOSTS.map((host) => cluster.pidOf(host))).toEqual(pids);
  for (const { running } of cluster.hosts.values()) expect(running?.child.exitCode).toBe(null);
});

/** Asks for a WebSocket; a failure is status and code of what was answered instead. */
async function open(destination: string): Promise<WebSocket | string> {
  const socket = new WebSocket(cluster.through(destination).replace("http", "ws"), { headers });
  const failed = new Promise<string>((resolve) => {
    socket.once("unexpected-response", (_request, response: IncomingMessage) => {
      const code = /details="([a-z-]+)"/.exec(String(response.headers["proxy-status"]))?.[1];
      response.resume();
      resolve(`${response.statusCode} ${code}`);
      socket.terminate();
    });
    socket.once("error", (fault) => resolve(fault.message));
  });
  return Promise.race([once(socket, "open").then(() => socket), failed]);
}

/** Each piece is a segment of its own, unless the kernel has not yet sent the last. */
async function say(socket: Socket, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return;
    await new Promise((resolve) => {
      socket.write(piece, "latin1", resolve);
    });
  }
}

/** An origin that answers every handshake with these bytes, in one piece or byte for byte. */
async function answering(bytes: string, isCut: boolean): Promise<{ url: string; handshakes: () => number }> {
  let count = 0;
  const origin = await startByteOrigin((socket) => {
    socket.setNoDelay(true);
    socket.once("data", () => {
      count += 1;
      void say(socket, isCut ? bytes.split("") : [bytes]);
    });
  }, "127.0.0.20");
  closers.push(origin);
  return { url: `${origin.url}/chat`, handshakes: () => count };
}

test.each([
  ["status 099", "HTTP/1.1 099 X\r\n\r\n"],
  ["status 000", "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"],
  ["status 600", "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n"],
  ["status 999", "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"],
  ["status 1000", "HTTP/1.1 1000 X\r\n\r\n"],
  ["a bare 101", "HTTP/1.1 101 Yes\r\n\r\n"],
  ["101 without an upgrade", "HTTP/1.1 101 Yes\r\nConnection: close\r\n\r\n"],
  ["101 to another protocol", "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: mud\r\n\r\n"],
  ["101 without an accept", `${AGREED}\r\n`],
  ["101 with another accept", `${AGREED}Sec-WebSocket-Accept: b3RoZXI=\r\n\r\n`],
  ["102 and no more", "HTTP/1.1 102 Wait\r\n\r\n".repeat(20)],
  ["a broken chunk", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnope\r\n"],
  ["another coding", "HTTP/1.1 403 No\r\nTransfer-Encoding: gzip\r\n\r\nnope"],
  ["two lengths", "HTTP/1.1 403 No\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nnope"],
  ["no HTTP", "this is not HTTP at all\r\n\r\n"],
  ["no version that there is", "HTTP/9.9 101 Yes\r\n\r\n"],
  ["a field without a name", `${AGREED}: x\r\n\r\n`],
  ["a control byte in a field", `${AGREED}X-A: a\u0001b\r\n\r\n`],
])("[GW18] [WK8] %s is no answer to a handshake, said once and by name", async (_what, bytes) => {
  for (const isCut of [false, true]) {
    const origin = await answering(bytes, isCut);
    expect(await open(origin.url)).toBe("502 response-malformed");
    expect(origin.handshakes()).toBe(1);
  }
});

test("[GW18] [WK8] an origin that closes or resets instead is named, and blames no host", async () => {
  for (const ends of ["end", "resetAndDestroy"] as const) {
    const origin = await startByteOrigin((socket) => socket.once("data", () => socket[ends]()), "127.0.0.20");
    closers.push(origin);
    expect(await open(origin.url)).toBe("502 connection-terminated");
  }
});

test("[GW9] [WK18] WebSockets echo through the edge, from both hosts, while others fail", async () => {
  const bad = await answering("HTTP/1.1 099 X\r\n\r\n", false);
  const opened = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      if (index % 2 === 1) return expect(await open(bad.url)).toBe("502 response-malformed");
      const socket = await open(cluster.originUrl("/ws"));
      if (typeof socket === "string") throw new Error(socket);
      const payload = Buffer.alloc(100_000, index);
      socket.send(payload);
      const [echo, isBinary] = (await once(socket, "message")) as [Buffer, boolean];
      expect(isBinary && echo.equals(payload)).toBe(true);
      socket.send(`text ${index}`);
      const [text] = (await once(socket, "message")) as [Buffer];
      expect(text.toString()).toBe(`text ${index}`);
      socket.close(4321, "done");
      const [code, reason] = (await once(socket, "close")) as [number, Buffer];
      expect([code, reason.toString()]).toEqual([4321, "done"]);
    }),
  );
  expect(opened).toHaveLength(20);
});
