/** Origins that answer before a request has ended, and connections that serve more than one. */
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { discardRest } from "../../src/agent/traffic/clients/client-body.ts";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startByteOrigin,
  startRig,
} from "./gateway-rig.ts";

let rig: Rig;
const origins: Origin[] = [];

beforeAll(async () => {
  rig = await startRig({ egressIp: "127.0.0.22", leases: [{ base: 20_480, order: 8, epoch: 1 }] });
});
afterAll(() => rig.close());
afterEach(async () => {
  for (const origin of origins.splice(0)) origin.close();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  expect(rig.faults).toEqual([]);
});

async function byteOrigin(onConnection: (socket: Socket) => void): Promise<string> {
  const origin = await startByteOrigin(onConnection);
  origins.push(origin);
  return origin.url;
}

describe("an answer that comes early in an upload", { timeout: 60_000 }, () => {
  const TOO_LARGE = "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much";
  const MOVED = "HTTP/1.1 307 Moved\r\nLocation: /there\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  const ends: [string, (socket: Socket, answer: string) => void][] = [
    ["stays", (socket, answer) => socket.write(answer)],
    ["reads on", (socket, answer) => socket.resume().write(answer)],
    ["closes", (socket, answer) => socket.end(answer, () => socket.destroy())],
    ["resets", (socket, answer) => socket.write(answer, () => socket.resetAndDestroy())],
  ];

  it.each(ends)("[OR23] reaches the client always, from an origin that then %s", async (_name, answerOn) => {
    for (const [answer, status, text] of [
      [TOO_LARGE, 413, "too much"],
      [MOVED, 307, ""],
    ] as const) {
      const url = await byteOrigin((socket) => {
        socket.once("data", () => {
          socket.pause();
          answerOn(socket, answer);
        });
      });
      const answers = await Promise.all(
        Array.from({ length: 16 }, async (_, at) => {
          const body = Buffer.alloc(2 * 1024 * 1024);
          const streamed = { body: new Blob([body]).stream(), duplex: "half" } as RequestInit;
          const response = await rig.fetch(url, {
            method: "POST",
            redirect: "manual",
            ...(at % 2 === 0 ? { body } : streamed),
          });
          return { status: response.status, text: await response.text() };
        }),
      );
      expect(answers).toEqual(Array.from({ length: 16 }, () => ({ status, text })));
    }
  });

  it("[OR23] is read although writes fail meanwhile", async () => {
    const url = await byteOrigin((socket) => {
      socket.once("data", () => socket.write(TOO_LARGE, () => socket.resetAndDestroy()));
    });
    for (let round = 0; round < 32; round += 1) {
      const client = connect(rig.port, "127.0.0.1");
      client.write(fetchHead(rig, "POST", url, "transfer-encoding: chunked", "connection: close"));
      // Piece by piece, so that some piece is written just when the reset is there.
      const pump = setInterval(() => client.write("1000\r\n" + "x".repeat(4_096) + "\r\n"), 0);
      client.on("error", () => {});
      let received = "";
      for await (const piece of client) {
        received += String(piece);
        if (received.endsWith("too much")) break;
      }
      clearInterval(pump);
      client.destroy();
      expect(received).toMatch(/^HTTP\/1\.1 413 Too Large\r\n/);
    }
  });

  it("[OR23] without a length is no whole answer once the connection was reset", async () => {
    const url = await byteOrigin((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 413 Too Large\r\n\r\ntoo much", () => socket.resetAndDestroy());
      });
    });
    for (let round = 0; round < 16; round += 1) {
      const response = await rig.fetch(url, { method: "POST", body: Buffer.alloc(2 * 1024 * 1024) });
      expect(response.status).toBe(413);
      await expect(response.text()).rejects.toThrow("terminated");
    }
  });
});

it("[OR23] the rest of an upload is read as long as its answer is on its way, and then for a while", () => {
  vi.useFakeTimers();
  try {
    const request = Object.assign(new EventEmitter(), {
      complete: false,
      destroyed: false,
      resume: vi.fn<() => void>(),
      destroy: vi.fn<() => void>(),
    });
    const response = Object.assign(new EventEmitter(), { writableFinished: false });
    discardRest(request as unknown as IncomingMessage, response as unknown as ServerResponse);
    expect(request.resume).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(3_600_000);
    expect(request.destroy).not.toHaveBeenCalled();
    response.emit("finish");
    vi.advanceTimersByTime(9_999);
    expect(request.destroy).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(request.destroy).toHaveBeenCalledOnce();
  } finally {
    vi.useRealTimers();
  }
});

describe("a connection that serves more than one request", () => {
  /** The origin answers what `answers` says, and counts its connections. */
  async function counted(
    answer: (socket: Socket, requestAt: number) => void,
  ): Promise<{ url: string; connections: () => number }> {
    let connectionCount = 0;
    let requestCount = 0;
    const url = await byteOrigin((socket) => {
      connectionCount += 1;
      socket.setNoDelay();
      socket.on("data", () => {
        requestCount += 1;
        answer(socket, requestCount);
      });
    });
    return { url, connections: () => connectionCount };
  }
  const say = (text: string, more = ""): string =>
    `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n${more}\r\n${text}`;
  const SMUGGLED = say("smuggled");

  it("[OR24] is one that ended its response for certain", async () => {
    const { url, connections } = await counted((socket, at) => socket.write(say(`answer ${at}`)));
    for (let at = 1; at <= 5; at += 1) expect(await (await rig.fetch(url)).text()).toBe(`answer ${at}`);
    expect(connections()).toBe(1);
  });

  it.each([
    ["bytes with it", (socket: Socket, answer: string): void => void socket.write(answer + SMUGGLED)],
    ["a line with it", (socket: Socket, answer: string): void => void socket.write(`${answer}\r\n`)],
    [
      "bytes a moment later",
      (socket: Socket, answer: string): void => {
        socket.write(answer);
        setImmediate(() => setImmediate(() => socket.write(SMUGGLED)));
      },
    ],
    [
      "bytes while it is idle",
      (socket: Socket, answer: string): void => {
        socket.write(answer);
        setTimeout(() => socket.write(SMUGGLED), 20);
      },
    ],
    ["an end", (socket: Socket, answer: string): void => void socket.end(answer)],
    [
      "the word close",
      (socket: Socket, answer: string): void =>
        void socket.write(answer.replace("\r\n", "\r\nConnection: close\r\n")),
    ],
  ])("[OR24] is none that sent %s after its response", async (_name, answerOn) => {
    const { url, connections } = await counted((socket, at) => answerOn(socket, say(`answer ${at}`)));
    for (let at = 1; at <= 10; at += 1) {
      expect(await (await rig.fetch(url)).text()).toBe(`answer ${at}`);
      await new Promise((resolve) => {
        setTimeout(resolve, 40);
      });
    }
    expect(connections()).toBe(10);
  });

  it.each([
    ["HEAD", "HEAD", say("body of HEAD")],
    ["304", "GET", `HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\n${SMUGGLED}`],
    ["204", "GET", `HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\n${SMUGGLED}`],
    ["204 in chunks", "GET", `HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED}`],
  ])("[OR24] never makes the body of %s another's answer", async (_name, method, wrong) => {
    const { url } = await counted((socket, at) => {
      if (at % 2 === 0) {
        socket.write(say("right"));
        return;
      }
      const headEnd = wrong.indexOf("\r\n\r\n") + 4;
      socket.write(wrong.slice(0, headEnd));
      setImmediate(() => setImmediate(() => socket.write(wrong.slice(headEnd))));
    });
    for (let round = 0; round < 10; round += 1) {
      await (await rig.fetch(url, { method })).text();
      expect(await (await rig.fetch(url)).text()).toBe("right");
    }
  });

  it("[OR24] is none whose request was not sent whole", async () => {
    const { url, connections } = await counted((socket, at) => socket.write(say(`answer ${at}`)));
    const head = fetchHead(rig, "POST", url, "content-length: 100", "connection: close");
    expect(await exchangeBytes(rig.port, `${head}begun`, (text) => text.includes("answer 1"))).toContain(
      "200",
    );
    expect(await (await rig.fetch(url)).text()).toBe("answer 2");
    expect(connections()).toBe(2);
  });
});
