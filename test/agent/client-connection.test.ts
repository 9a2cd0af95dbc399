/** One client's connection: answers in their order, half-closed and gone clients, with real sockets. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startByteOrigin,
  startOrigin,
  startRig,
} from "./gateway-rig.ts";

let rig: Rig;
let origin: Origin;
const waiting = new Map<string, ServerResponse>();

beforeAll(async () => {
  rig = await startRig();
  origin = await startOrigin((request, response) => {
    request.resume();
    request.once("end", () => {
      if (request.url === "/now") response.end("now");
      else waiting.set(request.url!, response);
    });
  });
  // The first use of a token takes a moment longer.
  await (await rig.fetch(`${origin.url}/now`)).text();
});
afterAll(async () => {
  origin.close();
  await rig.close();
});
afterEach(async () => {
  for (const response of waiting.values()) response.destroy();
  waiting.clear();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back", 10_000);
  await eventually(() => rig.gateway.runningCount === 0, "nothing running");
  expect(rig.faults).toEqual([]);
});

interface Client {
  readonly socket: Socket;
  received: string;
}

function openClient(): Client {
  const socket = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  const client: Client = { socket, received: "" };
  socket.setEncoding("latin1");
  socket.on("error", () => {});
  socket.on("data", (text: string) => (client.received += text));
  return client;
}

const get = (path: string, ...fields: string[]): string =>
  fetchHead(rig, "GET", `${origin.url}${path}`, ...fields);
const isAtOrigin = (path: string): Promise<void> => eventually(() => waiting.has(path), `${path} is there`);

describe("order", () => {
  it("[GW13] answers pipelined requests in their order, whichever is ready first", async () => {
    const client = openClient();
    client.socket.write(get("/a") + get("/now") + get("/b"));
    await isAtOrigin("/a");
    await isAtOrigin("/b");
    waiting.get("/b")!.end("second");
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    expect(client.received).toBe("");
    waiting.get("/a")!.end("first");
    await eventually(() => client.received.includes("second"), "all answers");
    expect(client.received).toMatch(/first.*now.*second/s);
    client.socket.destroy();
  });

  it.each([
    ["garbage", "THIS IS NOT HTTP\r\n\r\n", "request-malformed"],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", "method-unsupported"],
    ["a head that is too large", `GET / HTTP/1.1\r\nx: ${"x".repeat(40_000)}`, "headers-too-large"],
    [
      "a WebSocket",
      `GET /v1/fetch HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
      "token-missing",
    ],
  ])("[GW13] %s after a request waits for its answer", async (_name, bytes, code) => {
    const client = openClient();
    client.socket.write(get("/a") + bytes);
    await isAtOrigin("/a");
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    expect(client.received).toBe("");
    waiting.get("/a")!.end("first");
    await eventually(() => client.received.includes(`"code":"${code}"`), "the refusal");
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n.*first.*HTTP\/1\.1 4\d\d /s);
    client.socket.destroy();
  });

  it.each([
    ["HTTP/1.0 in chunks", "HTTP/1.0", "transfer-encoding: chunked"],
    ["a coded body", "HTTP/1.1", "transfer-encoding: gzip, chunked"],
  ])("[GW13] nothing behind %s is a request", async (_name, version, field) => {
    const first = fetchHead(rig, "POST", `${origin.url}/a`, field).replace("HTTP/1.1", version);
    const answer = await exchangeBytes(rig.port, `${first}0\r\n\r\n${get("/b")}`);
    expect(answer).toMatch(/^HTTP\/1\.1 (400|501) /);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect([...waiting.keys()]).toEqual([]);
  });

  it.each([
    ["GET", "h2c", ""],
    ["POST", "TLS/1.0", "hello"],
  ])(
    "[GW13] a %s whose upgrade to %s is declined is the last of its connection",
    async (method, upgrade, body) => {
      const client = openClient();
      const fields = [
        `upgrade: ${upgrade}`,
        "connection: upgrade",
        ...(body === "" ? [] : ["content-length: 5"]),
      ];
      const head = fetchHead(rig, method, `${origin.url}/now`, ...fields);
      // In one segment: Node drops what is behind the first, and what comes later would begin anywhere.
      client.socket.write(
        `${head}${body}${fetchHead(rig, "POST", `${origin.url}/lost`, "content-length: 400")}`,
      );
      await eventually(() => client.received.includes("now"), "the answer");
      client.socket.write(get("/smuggled"));
      await eventually(() => client.socket.readableEnded, "the end");
      client.socket.destroy();
      expect(client.received.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 200"]);
      expect(client.received).toMatch(/connection: close/i);
      expect(waiting.size).toBe(0);
    },
  );

  it("[GW13] a WebSocket has no place behind another request", async () => {
    const client = openClient();
    client.socket.write(get("/a") + get("/b", "connection: upgrade", "upgrade: websocket"));
    await isAtOrigin("/a");
    waiting.get("/a")!.end("first");
    await eventually(() => client.received.includes("HTTP/1.1 501 "), "the refusal");
    expect(client.received).toMatch(/first.*"code":"upgrade-unsupported"/s);
    client.socket.destroy();
  });

  it("[GW13] an answer that breaks off behind another ends the connection in its turn", async () => {
    const broken = await startByteOrigin((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"));
    });
    const client = openClient();
    client.socket.write(get("/a") + fetchHead(rig, "GET", broken.url) + get("/now"));
    await isAtOrigin("/a");
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
    waiting.get("/a")!.end("first");
    await once(client.socket, "end");
    expect(client.received).toContain("first");
    expect(client.received).not.toContain("now");
    client.socket.destroy();
    broken.close();
  });

  it("[GW13] a body that breaks behind another request is refused in its turn", async () => {
    const client = openClient();
    const upload = fetchHead(rig, "POST", `${origin.url}/b`, "transfer-encoding: chunked");
    client.socket.write(`${get("/a")}${upload}-1\r\n`);
    await isAtOrigin("/a");
    waiting.get("/a")!.end("first");
    await once(client.socket, "end");
    expect(client.received).toMatch(/first.*HTTP\/1\.1 400 .*"code":"body-length-mismatch"/s);
    client.socket.destroy();
  });

  it.each(["reset", "end"])(
    "[GW4] a client that leaves by %s frees the ports of all its requests",
    async (how) => {
      const client = openClient();
      client.socket.write(get("/a") + get("/b") + get("/c"));
      for (const path of ["/a", "/b", "/c"]) await isAtOrigin(path);
      expect(rig.ports.heldCounts().inUse).toBe(3);
      if (how === "reset") client.socket.resetAndDestroy();
      else client.socket.destroy();
      await eventually(() => rig.ports.heldCounts().inUse === 0, "the ports are free", 2_000);
    },
  );

  it("[GW4] a client that leaves after CONNECT frees the ports of its requests", async () => {
    const client = openClient();
    client.socket.write(`${get("/a")}CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n`);
    await isAtOrigin("/a");
    client.socket.resetAndDestroy();
    await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free", 2_000);
    expect(rig.gateway.runningCount).toBe(0);
  });
});

describe("a client that shuts its sending side", () => {
  it.each(["HTTP/1.1", "HTTP/1.0"])("[GW14] gets its answer by %s", async (version) => {
    const client = openClient();
    client.socket.end(get("/a").replace("HTTP/1.1", version));
    await isAtOrigin("/a");
    waiting.get("/a")!.end("answer");
    await once(client.socket, "end");
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client.received).toContain("answer");
  });

  it("[GW10] is refused when it shuts it within a body, whatever upgrade it spoke of", async () => {
    const client = openClient();
    const fields = ["upgrade: TLS/1.0", "connection: upgrade", "content-length: 10"];
    client.socket.end(`${fetchHead(rig, "POST", `${origin.url}/now`, ...fields)}hello`);
    await once(client.socket, "close");
    expect(client.received).toMatch(/^HTTP\/1\.1 400 [^]*body-length-mismatch/);
  });

  it("[GW14] gets it also later, behind a 100 Continue", async () => {
    const client = openClient();
    client.socket.end(get("/a"));
    await isAtOrigin("/a");
    await eventually(() => client.received !== "", "it is asked whether it is there");
    const response = waiting.get("/a")!;
    response.write("slow ");
    await new Promise((resolve) => {
      setTimeout(resolve, 1_000);
    });
    response.end("answer");
    await once(client.socket, "end");
    expect(client.received).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    expect(client.received).toMatch(/slow .*answer/s);
  });

  it("[GW14] gets the answers to all its requests, and to its upload", async () => {
    const client = openClient();
    const upload = fetchHead(rig, "POST", `${origin.url}/b`, "content-length: 5");
    client.socket.end(`${get("/a")}${upload}hello`);
    await isAtOrigin("/a");
    await isAtOrigin("/b");
    waiting.get("/b")!.end("second");
    waiting.get("/a")!.end("first");
    await once(client.socket, "end");
    expect(client.received).toMatch(/first.*second/s);
  });

  it("[GW14] and in the middle of an answer that goes on", async () => {
    const client = openClient();
    client.socket.write(get("/a"));
    await isAtOrigin("/a");
    const response = waiting.get("/a")!;
    response.write("one ");
    await eventually(() => client.received.includes("one"), "it begins");
    client.socket.end();
    for (let piece = 0; piece < 10; piece += 1) {
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
      response.write(`${piece} `);
    }
    response.end("last");
    await once(client.socket, "end");
    expect(client.received).toContain("last");
  });

  it("[GW14] within a body has sent too little", async () => {
    const client = openClient();
    client.socket.end(`${fetchHead(rig, "POST", `${origin.url}/b`, "content-length: 50")}hello`);
    await once(client.socket, "end");
    expect(client.received).toContain('"code":"body-length-mismatch"');
  });
});

describe("a client that is gone", () => {
  const isFree = (): boolean => rig.ports.heldCounts().inUse === 0;

  it.each([
    ["in good order", (socket: Socket): unknown => socket.destroy()],
    ["by a reset", (socket: Socket): unknown => socket.resetAndDestroy()],
  ])("[GW14] before the answer, %s", async (_name, leave) => {
    const client = openClient();
    client.socket.write(get("/a"));
    await isAtOrigin("/a");
    leave(client.socket);
    await eventually(isFree, "the port is free", 1_500);
    expect(isFree()).toBe(true);
  });

  it("[GW14] within an answer that pauses", async () => {
    const client = openClient();
    client.socket.write(get("/a"));
    await isAtOrigin("/a");
    waiting.get("/a")!.write("event: 1\n\n");
    await eventually(() => client.received.includes("event"), "it begins");
    client.socket.destroy();
    await eventually(isFree, "the port is free", 1_500);
    expect(isFree()).toBe(true);
  });

  it("[GW14] after it had only shut its sending side", async () => {
    const client = openClient();
    client.socket.end(get("/a"));
    await isAtOrigin("/a");
    await eventually(() => client.received !== "", "it is there");
    client.socket.destroy();
    await eventually(isFree, "the port is free", 8_000);
    expect(isFree()).toBe(true);
  }, 15_000);

  it("[GW14] while its token is verified for the first time", async () => {
    const token = await rig.tokenFor("gateway");
    const client = openClient();
    await once(client.socket, "connect");
    client.socket.write(get("/a").replace(rig.token, token), () => client.socket.resetAndDestroy());
    await once(client.socket, "close");
    await eventually(isFree, "the port is free", 1_500);
    expect(isFree()).toBe(true);
  });
});

it("[GW20] uploads that had to wait leave nothing on their client's connection", async () => {
  const slow = await startOrigin((request, response) => {
    setTimeout(() => request.resume().once("end", () => response.end("whole")), 20);
  });
  let accepted: Socket | null = null;
  rig.gateway.server.once("connection", (socket) => (accepted = socket));
  const client = openClient();
  const listeners: number[] = [];
  for (let at = 0; at < 4; at += 1) {
    client.received = "";
    client.socket.write(fetchHead(rig, "POST", slow.url, "content-length: 8000000"));
    client.socket.write(Buffer.alloc(8_000_000));
    await eventually(() => client.received.includes("whole"), "it is answered");
    listeners.push(accepted!.listenerCount("close"));
  }
  expect(new Set(listeners).size).toBe(1);
  client.socket.destroy();
  slow.close();
});

it("[GW23] the kernel asks a silent client and a silent destination whether they are there", async () => {
  const client = openClient();
  client.socket.write(get("/held"));
  await eventually(() => waiting.has("/held"), "the destination has it");
  const port = (number: number): string => `:${number.toString(16).toUpperCase().padStart(4, "0")}`;
  const table = readFileSync("/proc/net/tcp", "utf8").split("\n");
  const timerOf = (local: number, remote: number): string | undefined =>
    table
      .map((line) => line.trim().split(/\s+/))
      .find(([, from = "", to = ""]) => from.endsWith(port(local)) && to.endsWith(port(remote)))?.[5];
  const keepAlive = /^02:/;
  expect(timerOf(rig.port, client.socket.localPort!)).toMatch(keepAlive);
  const { remotePort } = waiting.get("/held")!.socket!;
  expect(timerOf(remotePort!, origin.port)).toMatch(keepAlive);
  client.socket.destroy();
});

it("[GW20] a client that resets within an upload that nobody takes frees the port", async () => {
  const deaf = await startByteOrigin((socket) => socket.pause());
  const client = openClient();
  client.socket.write(fetchHead(rig, "POST", deaf.url, "content-length: 50000000"));
  client.socket.write(Buffer.alloc(20_000_000));
  await eventually(() => rig.ports.heldCounts().inUse === 1, "it is under way");
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  client.socket.resetAndDestroy();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free", 4_000);
  expect(rig.gateway.runningCount).toBe(0);
  deaf.close();
});

describe("a socket that Node hands over", () => {
  it("[GW11] may be reset at any moment", async () => {
    const heads = [
      "CONNECT a:1 HTTP/1.1\r\n\r\n",
      "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
      "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\nsome bytes",
      get("/a", "connection: upgrade", "upgrade: websocket"),
      get("/a", "connection: upgrade", "upgrade: h2c"),
      "GARBAGE\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    const lane = async (at: number): Promise<void> => {
      const head = heads[at % heads.length]!;
      const client = openClient();
      await once(client.socket, "connect");
      client.socket.write(head);
      if (at % 3 === 0) await new Promise(setImmediate);
      client.socket.resetAndDestroy();
      if (!client.socket.closed) await once(client.socket, "close");
    };
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(Array.from({ length: 21 }, (_, at) => lane(at)));
    }
    expect(await exchangeBytes(rig.port, get("/now", "connection: close"))).toContain("now");
  });
});
