/** What origins answer over HTTP/1.1, through the gateway on real sockets. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startByteOrigin,
  startRig,
} from "./gateway-rig.ts";
import { type ResponseCase, RESPONSES, type RightValue } from "./responses.ts";

let rig: Rig;
const origins: Origin[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: 48 });

beforeAll(async () => {
  rig = await startRig({ egressIp: "127.0.0.20", leases: [{ base: 20_480, order: 11, epoch: 1 }] });
});
afterAll(async () => {
  agent.destroy();
  await rig.close();
});
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

/** What a client of Node gets for a request through the gateway. */
async function ask(url: string, method = "GET", body = ""): Promise<RightValue> {
  const outgoing = httpRequest(`${rig.url}/v1/fetch?url=${encodeURIComponent(url)}`, {
    method,
    agent,
    headers: { "egress-authorization": `Bearer ${rig.token}`, "content-length": body.length },
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const status = response.statusCode!;
  let text = "";
  response.setEncoding("latin1");
  try {
    for await (const piece of response) text += piece as string;
  } catch {
    return { status, body: text, isBroken: true };
  }
  if (response.headers["content-type"] !== "application/problem+json") return { status, body: text };
  return { status, code: (JSON.parse(text) as { code: string }).code };
}

/** Lets what has been written arrive by itself: the loop of this process polls in between. */
function untilRead(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}

/** An origin whose paths name a response and where it is cut. */
function cuttingOrigin(): Promise<string> {
  return byteOrigin((socket) => {
    socket.setNoDelay();
    let head = "";
    socket.on("data", (chunk: Buffer) => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      const [, at, cut] = head.split(" ")[1]!.split("/");
      head = "";
      void answer(socket, RESPONSES[Number(at)]!.bytes, Number(cut));
    });
  });
}

async function answer(socket: Socket, bytes: string, cut: number): Promise<void> {
  if (cut > 0) {
    socket.write(bytes.slice(0, cut), "latin1");
    await untilRead();
  }
  socket.end(bytes.slice(cut), "latin1");
}

describe("every response of the suite", { timeout: 120_000 }, () => {
  it("[OR20] is the same to a client, whole and cut at each byte", async () => {
    const origin = await cuttingOrigin();
    const asked: [ResponseCase, number, number][] = RESPONSES.flatMap((one, at) =>
      Array.from({ length: Math.max(1, one.bytes.length) }, (_, cut): [ResponseCase, number, number] => [
        one,
        at,
        cut,
      ]),
    );
    const wrong: string[] = [];
    const lane = async (): Promise<void> => {
      for (let next = asked.pop(); next !== undefined; next = asked.pop()) {
        const [one, at, cut] = next;
        const value = await ask(`${origin}/${at}/${cut}`, one.method);
        if (JSON.stringify(value) !== JSON.stringify(one.right)) {
          wrong.push(`${one.name}, cut at ${cut}: ${JSON.stringify(value)}`);
        }
      }
    };
    await Promise.all(Array.from({ length: 48 }, lane));
    expect(wrong).toEqual([]);
  });
});

/** An origin that answers every request with these segments, one read at a time, and then ends or not. */
const saying = (segments: readonly string[], ends = true): Promise<string> =>
  byteOrigin((socket) => {
    socket.setNoDelay();
    socket.on("data", () => {
      void (async () => {
        for (const segment of segments) {
          socket.write(segment, "latin1");
          await untilRead();
        }
        if (ends) socket.end();
      })();
    });
  });

const get = (url: string, ...fields: string[]): Promise<string> =>
  exchangeBytes(rig.port, fetchHead(rig, "GET", url, "connection: close", ...fields));

describe("bytes from 0x80 up", () => {
  const HEAD = "HTTP/1.1 200 Tr\xe8s\r\nX-Bytes: \x80\xa0\xe9\xff\r\n";
  it.each([
    ["with the body", [`${HEAD}Content-Length: 2\r\n\r\nok`]],
    ["before the body", [`${HEAD}Content-Length: 2\r\n\r\n`, "ok"]],
    ["before chunks", [`${HEAD}Transfer-Encoding: chunked\r\n\r\n`, "2\r\nok\r\n0\r\n\r\n"]],
    ["before no body", [`${HEAD}Content-Length: 0\r\n\r\n`]],
    ["before a large body", [`${HEAD}Content-Length: 9000\r\n\r\n${"x".repeat(9_000)}`]],
    ["before a body that breaks off", [`${HEAD}Content-Length: 2\r\n\r\n`]],
    ["of a 304", [`${HEAD.replace("200", "304")}\r\n`]],
  ])("[OR21] pass in a head %s", async (_name, segments) => {
    const received = await get(await saying(segments));
    expect(received).toMatch(/^HTTP\/1\.1 (200|304) Tr\xe8s\r\n/);
    expect(received).toContain("\r\nX-Bytes: \x80\xa0\xe9\xff\r\n");
  });

  it("[OR21] [OR25] pass in an interim response", async () => {
    const early =
      "HTTP/1.1 103 Early Hints\r\nLink: </\xe9>\r\nConnection: x\r\nX: y\r\negress-ip: 1\r\n\r\n";
    const received = await get(await saying([early, `${HEAD}Content-Length: 2\r\n\r\nok`]));
    expect(received).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/\xe9>\r\n\r\nHTTP\/1\.1 200 Tr\xe8s\r\n/,
    );
  });
});

describe("interim responses", () => {
  const FINAL = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  it("[OR25] are passed on in their order, but 100 and those to HTTP/1.0", async () => {
    const url = await saying([
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
      "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 3\r\n\r\n",
      "HTTP/1.1 199 Own\r\nX-Own: 1\r\n\r\n",
      FINAL,
    ]);
    const lines = (await get(url)).split("\r\n").filter((line) => /^(HTTP|Link|X-Own|Content)/.test(line));
    expect(lines).toEqual([
      "HTTP/1.1 102 Processing",
      "HTTP/1.1 103 Early Hints",
      "Link: </a>; rel=preload",
      "HTTP/1.1 199 unknown",
      "X-Own: 1",
      "HTTP/1.1 200 OK",
      "Content-Length: 2",
    ]);
    const old = await exchangeBytes(rig.port, fetchHead(rig, "GET", url).replace("HTTP/1.1", "HTTP/1.0"));
    expect(old).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(await ask(url)).toEqual({ status: 200, body: "ok" });
  });

  it("[OR22] without end do not put off the time-out, and are bounded in bytes", async () => {
    const hasty = await startRig({ egressIp: "127.0.0.21", responseTimeoutMs: 400 });
    try {
      const slow = await byteOrigin((socket) => {
        const timer = setInterval(() => socket.write("HTTP/1.1 103 Early\r\n\r\n"), 20);
        socket.once("close", () => clearInterval(timer));
      });
      expect(await (await hasty.fetch(slow)).json()).toMatchObject({ code: "response-timeout" });
      const flood = await byteOrigin((socket) => {
        socket.once("data", () => socket.write("HTTP/1.1 102 P\r\nX: y\r\n\r\n".repeat(20_000)));
      });
      expect(await (await hasty.fetch(flood)).json()).toMatchObject({ code: "response-headers-too-large" });
      await eventually(() => hasty.ports.heldCounts().inUse === 0, "no port is held");
    } finally {
      await hasty.close();
    }
  });

  it("[OR22] an origin that does not read an upload answers in time or not at all", async () => {
    const hasty = await startRig({ egressIp: "127.0.0.21", responseTimeoutMs: 400 });
    try {
      const deaf = await byteOrigin((socket) => socket.pause());
      const response = await hasty.fetch(deaf, { method: "POST", body: Buffer.alloc(16 * 1024 * 1024) });
      expect(await response.json()).toMatchObject({ code: "response-timeout" });
    } finally {
      await hasty.close();
    }
  });

  it("[OR22] a client that is slow to send its body is no time-out", async () => {
    const patient = await startRig({ egressIp: "127.0.0.21", responseTimeoutMs: 100 });
    try {
      const url = await byteOrigin((socket) => {
        socket.on("data", (chunk: Buffer) => {
          if (chunk.includes("last")) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
      });
      const client = connect(patient.port, "127.0.0.1");
      client.write(fetchHead(patient, "POST", url, "content-length: 9", "connection: close"));
      client.write("first");
      setTimeout(() => client.write("last"), 400);
      expect((await client.toArray()).join("")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    } finally {
      await patient.close();
    }
  });
});

describe("a body that ends with the connection", () => {
  it("[OR20] is whole after a FIN, and never after a reset, though it came with the last bytes", async () => {
    const endings: [(socket: Socket) => void, boolean][] = [
      [(socket): void => void socket.end(), false],
      [(socket): void => void socket.resetAndDestroy(), true],
      [(socket): void => void socket.end(() => setTimeout(() => socket.resetAndDestroy(), 5)), false],
    ];
    for (const [end, isBroken] of endings) {
      const url = await byteOrigin((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\n\r\nhalf");
          end(socket);
        });
      });
      const right = { status: 200, body: "half", ...(isBroken ? { isBroken } : {}) };
      for (let round = 0; round < 16; round += 1) expect(await ask(url)).toEqual(right);
    }
  });
});

describe("204", () => {
  it("[OR21] passes without a length", async () => {
    const url = await saying(["HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX: y\r\n\r\n"]);
    const received = await get(url);
    expect(received).toMatch(/^HTTP\/1\.1 204 No Content\r\nX: y\r\n/);
    expect(received.toLowerCase()).not.toContain("content-length");
  });
});
