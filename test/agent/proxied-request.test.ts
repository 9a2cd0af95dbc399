/** Requests through the gateway, against real origins on loopback. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
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
const origins: Origin[] = [];

beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.close());
afterEach(async () => {
  for (const origin of origins.splice(0)) origin.close();
  await eventually(() => rig.ports.heldCounts().inUse === 0, "every port given back");
  expect(rig.faults).toEqual([]);
});

const origin = async (...parameters: Parameters<typeof startOrigin>): Promise<Origin> => {
  const started = await startOrigin(...parameters);
  origins.push(started);
  return started;
};
const byteOrigin = async (...parameters: Parameters<typeof startByteOrigin>): Promise<Origin> => {
  const started = await startByteOrigin(...parameters);
  origins.push(started);
  return started;
};
/** An origin that answers every request with these bytes and ends. */
const saying = (bytes: string): Promise<Origin> =>
  byteOrigin((socket) => {
    socket.once("data", () => socket.end(bytes, "latin1"));
  });

describe("requests", () => {
  it("[BI8] leaves from the egress address and a leased port, and says so", async () => {
    const { url } = await origin((request, response) => {
      response.end(`${request.socket.remoteAddress} ${request.socket.remotePort}`);
    });
    const response = await rig.fetch(url);
    const port = response.headers.get("egress-port");
    expect(await response.text()).toBe(`127.0.0.10 ${port}`);
    expect(Number(port)).toBeGreaterThanOrEqual(20_480);
    expect(Number(port)).toBeLessThan(20_736);
    expect(response.headers.get("egress-ip")).toBe("127.0.0.10");
    expect(response.headers.get("egress-host")).toBe("h1");
    expect(response.headers.get("proxy-status")).toBe("ipshard;received-status=200");
  });

  it("[GW3] forwards what is the destination's and nothing of ours, of the connection or of the edge", async () => {
    const { url } = await origin((request, response) => {
      response.end(JSON.stringify(request.rawHeaders));
    });
    const fields = [
      "x-one: 1",
      "X-One: 2",
      "authorization: Basic eDp5",
      "connection: close, x-hop",
      "x-hop: gone",
    ];
    const ours = [
      "egress: pool=main",
      "egress-session: x",
      "cf-ray: 1",
      "cdn-loop: a",
      "x-forwarded-for: 1.2.3.4",
    ];
    const head = fetchHead(
      rig,
      "GET",
      `${url}/a?b=c&d`,
      ...fields,
      ...ours,
      "x-real-ip: 1.2.3.4",
      "te: trailers",
    );
    const answer = await exchangeBytes(rig.port, head);
    const raw = JSON.parse(answer.slice(answer.indexOf("["))) as string[];
    expect(raw.map((text) => text.toLowerCase())).toEqual([
      "host",
      url.slice("http://".length),
      "connection",
      "keep-alive",
      "x-one",
      "1",
      "x-one",
      "2",
      "authorization",
      "basic edp5",
    ]);
  });

  it.each(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])(
    "[GW4] passes %s",
    async (method) => {
      const { url } = await origin((request, response) => {
        response.setHeader("x-method", request.method!);
        response.end("body");
      });
      const response = await rig.fetch(url, { method });
      expect(response.headers.get("x-method")).toBe(method);
      expect(await response.text()).toBe(method === "HEAD" ? "" : "body");
    },
  );

  it("[GW4] streams a large body without a length, and one with", async () => {
    const received: string[] = [];
    const { url } = await origin((request, response) => {
      const hash = createHash("sha256");
      request.on("data", (chunk: Buffer) => hash.update(chunk));
      request.on("end", () => {
        const framing = request.headers["content-length"] ?? request.headers["transfer-encoding"];
        received.push(`${framing} ${hash.digest("hex")}`);
        response.end();
      });
    });
    const body = randomBytes(8 * 1024 * 1024);
    const digest = createHash("sha256").update(body).digest("hex");
    await rig.fetch(url, { method: "POST", body });
    await rig.fetch(url, { method: "POST", body: new Blob([body]).stream(), duplex: "half" });
    expect(received).toEqual([`${body.length} ${digest}`, `chunked ${digest}`]);
  });

  it("[GW4] asks for the body only when the destination is there", async () => {
    const { url } = await origin((request, response) => {
      expect(request.headers.expect).toBeUndefined();
      request.pipe(response);
    });
    const outgoing = httpRequest(`${rig.url}/v1/fetch?url=${encodeURIComponent(url)}`, {
      method: "POST",
      headers: { "egress-authorization": `Bearer ${rig.token}`, expect: "100-continue", "content-length": 5 },
    });
    outgoing.flushHeaders();
    await once(outgoing, "continue");
    outgoing.end("hello");
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    expect((await response.toArray()).join("")).toBe("hello");
  });

  it("[GW4] passes an answer that comes before the body has ended", async () => {
    const { url } = await origin((_request, response) => {
      response.writeHead(413).end("too much");
    });
    const outgoing = httpRequest(`${rig.url}/v1/fetch?url=${encodeURIComponent(url)}`, {
      method: "POST",
      headers: { "egress-authorization": `Bearer ${rig.token}`, "content-length": 1_000_000 },
    });
    outgoing.write("the beginning");
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    expect((await response.toArray()).join("")).toBe("too much");
    outgoing.on("error", () => {});
    outgoing.destroy();
  });

  it("[GW13] answers a request whose body is followed by what is none, and then names that", async () => {
    const waiting: ServerResponse[] = [];
    const { url } = await origin((request, response) => {
      request.resume();
      request.once("end", () => waiting.push(response));
    });
    const head = fetchHead(rig, "POST", url, "content-length: 5");
    const answering = exchangeBytes(rig.port, `${head}hello world, this is too long\r\n\r\n`);
    await eventually(() => waiting.length === 1, "the destination has the request");
    waiting[0]!.end("received");
    const answer = await answering;
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/received(\r\n0\r\n\r\n)?HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answer).toContain('"code":"request-malformed"');
  });

  it("[GW10] names a body that is shorter, and the destination never takes it for whole", async () => {
    let isWhole = false;
    let isBroken = false;
    const socket = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
    const { url } = await origin((request) => {
      request.on("end", () => (isWhole = true));
      request.on("error", () => (isBroken = true));
      request.resume();
      socket.end();
    });
    socket.write(`${fetchHead(rig, "POST", url, "content-length: 50")}hello`);
    const answer = (await socket.toArray()).join("");
    expect(answer).toContain("HTTP/1.1 400");
    expect(answer).toContain('"code":"body-length-mismatch"');
    await eventually(() => isBroken, "the origin's request breaks off");
    expect(isWhole).toBe(false);
  });

  it.each([
    ["is broken", "transfer-encoding: chunked", "-1\r\nhello\r\n"],
    ["is cut", "content-length: 50", "hello"],
  ])("[GW10] outlives a body that %s before the destination wants it", async (_name, field, body) => {
    const { url } = await origin((request, response) => {
      request.on("error", () => {});
      response.end("ok");
    });
    const uncaught: unknown[] = [];
    const note = (fault: unknown): void => void uncaught.push(fault);
    process.prependListener("uncaughtException", note);
    // The body is over before the connection to the destination stands.
    for (let count = 0; count < 20; count += 1) {
      const socket = connect(rig.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.end(fetchHead(rig, "POST", url, field) + body);
      socket.resume();
      await once(socket, "close");
    }
    await eventually(() => rig.gateway.runningCount === 0, "every request is over");
    process.off("uncaughtException", note);
    expect(uncaught).toEqual([]);
  });

  it("[GW4] frees the port when the client goes away", async () => {
    const { url, server } = await origin((_request, response) => {
      response.write("beginning");
    });
    const leaving = new AbortController();
    const response = await rig.fetch(url, { signal: leaving.signal });
    expect(rig.ports.heldCounts().inUse).toBe(1);
    const closed = new Promise<void>((resolve) => {
      server.getConnections((_fault, count) => (count === 1 ? resolve() : undefined));
    });
    await closed;
    leaving.abort();
    await expect(response.text()).rejects.toThrow("aborted");
    await eventually(() => rig.ports.heldCounts().inUse === 0, "the port is free");
  });
});

describe("back pressure", { timeout: 60_000 }, () => {
  const MUCH = 64 * 1024 * 1024;
  /** Far less than is offered, and more than all buffers of four sockets and the kernel. */
  const BUFFERED = 40 * 1024 * 1024;

  it("[GW4] a client that does not read stops the origin", async () => {
    let written = 0;
    const { url } = await origin((_request, response) => {
      const chunk = Buffer.alloc(65_536);
      const pump = (): void => {
        while (written < MUCH) {
          written += chunk.length;
          if (!response.write(chunk)) {
            response.once("drain", pump);
            return;
          }
        }
        response.end();
      };
      pump();
    });
    const socket = connect(rig.port, "127.0.0.1");
    socket.pause();
    socket.write(fetchHead(rig, "GET", url, "connection: close"));
    await untilStill(() => written);
    expect(written).toBeLessThan(BUFFERED);
    let received = 0;
    socket.on("data", (chunk: Buffer) => (received += chunk.length));
    socket.resume();
    await once(socket, "close");
    expect(received).toBeGreaterThan(MUCH);
  });

  it("[GW4] an origin that does not read stops the client", async () => {
    const readers: (() => void)[] = [];
    const { url } = await origin((request, response) => {
      let received = 0;
      readers.push(() => {
        request.on("data", (chunk: Buffer) => (received += chunk.length));
        request.on("end", () => response.end(String(received)));
      });
    });
    const socket = connect(rig.port, "127.0.0.1");
    socket.write(fetchHead(rig, "POST", url, `content-length: ${MUCH}`, "connection: close"));
    let sent = 0;
    const pump = (): void => {
      while (sent < MUCH) {
        sent += 65_536;
        if (!socket.write(Buffer.alloc(65_536))) {
          socket.once("drain", pump);
          return;
        }
      }
    };
    pump();
    await untilStill(() => sent * readers.length);
    expect(sent).toBeLessThan(BUFFERED);
    readers[0]!();
    expect((await socket.toArray()).join("")).toMatch(new RegExp(`${MUCH}\r\n0\r\n\r\n$|${MUCH}$`));
  });
});

/** Waits until a number has begun to rise and has then stopped. */
async function untilStill(read: () => number): Promise<void> {
  let last = -1;
  let stillCount = 0;
  await eventually(
    () => {
      const now = read();
      stillCount = now > 0 && now === last ? stillCount + 1 : 0;
      last = now;
      return stillCount > 60;
    },
    "it stops",
    20_000,
  );
}

describe("responses", () => {
  it("[GW3] keeps repeated fields, their order and their spelling", async () => {
    const { url } = await saying(
      "HTTP/1.1 200 Fine Indeed\r\nSet-Cookie: a=1\r\nX-Latin: caf\xe9\r\nSet-Cookie: b=2\r\nEgress-Ip: 9.9.9.9\r\n" +
        "egress-anything: x\r\nKeep-Alive: timeout=9\r\nContent-Length: 2\r\n\r\nok",
    );
    const answer = await exchangeBytes(rig.port, fetchHead(rig, "GET", url, "connection: close"));
    expect(answer).toContain(
      "HTTP/1.1 200 Fine Indeed\r\nSet-Cookie: a=1\r\nX-Latin: caf\xe9\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n",
    );
    expect(answer).not.toContain("9.9.9.9");
    expect(answer).not.toContain("egress-anything");
    expect(answer).not.toContain("timeout=9");
    expect(answer.endsWith("\r\n\r\nok")).toBe(true);
  });

  it("[GW5] an origin cannot pass for a refusal of ours", async () => {
    const forged = 'ipshard;error=destination_unavailable;details="lease-lost"';
    const { url } = await saying(`HTTP/1.1 503 No\r\nProxy-Status: ${forged}\r\nContent-Length: 0\r\n\r\n`);
    const response = await rig.fetch(url);
    expect(response.headers.get("proxy-status")).toBe(`${forged}, ipshard;received-status=503`);
  });

  it.each([
    ["204", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", 204, ""],
    ["304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n", 304, ""],
    ["a body of no length", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", 200, "to the end"],
    [
      "chunks and trailers",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
      200,
      "abc",
    ],
    [
      "early hints",
      "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
      200,
      "x",
    ],
  ])("[GW4] passes %s", async (_name, bytes, status, text) => {
    const { url } = await saying(bytes);
    const response = await rig.fetch(url);
    expect(response.status).toBe(status);
    expect(await response.text()).toBe(text);
  });

  it.each([
    ["of UTF-8", "\u00e6\u0089\u00be", "\u00e6\u0089\u00be"],
    ["of Latin-1", "Tr\u00e8s bien", "Tr\u00e8s bien"],
    ["with controls", "O\x01K", "OK"],
    ["that is missing", "", ""],
  ])("[GW4] a reason phrase %s does no harm", async (_name, phrase, received) => {
    const { url } = await saying(`HTTP/1.1 200 ${phrase}\r\ncontent-length: 2\r\n\r\nok`);
    const answer = await exchangeBytes(rig.port, fetchHead(rig, "GET", url, "connection: close"));
    expect(answer.split("\r\n")[0]).toBe(`HTTP/1.1 200 ${received}`);
    expect(answer.endsWith("ok")).toBe(true);
  });

  it("[GW4] HEAD keeps the length and has no body", async () => {
    const { url } = await origin((_request, response) => {
      response.setHeader("content-length", 123);
      response.end();
    });
    const answer = await exchangeBytes(rig.port, fetchHead(rig, "HEAD", url, "connection: close"));
    expect(answer.toLowerCase()).toContain("content-length: 123");
    expect(answer.endsWith("\r\n\r\n")).toBe(true);
  });

  it("[GW4] leaves compressed bodies as they are", async () => {
    const packed = gzipSync("packed");
    const { url } = await origin((_request, response) => {
      response.setHeader("content-encoding", "gzip");
      response.end(packed);
    });
    const head = fetchHead(rig, "GET", url, "connection: close");
    const answer = await exchangeBytes(rig.port, head);
    expect(answer).toContain(packed.toString("latin1"));
  });

  it("[GW4] passes the first byte before the last is sent", async () => {
    const pending: (() => void)[] = [];
    const { url } = await origin((_request, response) => {
      response.write("first");
      pending.push(() => response.end("last"));
    });
    const response = await rig.fetch(url);
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value).toString()).toBe("first");
    pending[0]!();
    expect(Buffer.from((await reader.read()).value).toString()).toBe("last");
  });

  it("[GW4] a head alone does not wait for the body", async () => {
    const pending: (() => void)[] = [];
    const { url } = await origin((_request, response) => {
      response.flushHeaders();
      pending.push(() => response.end("late"));
    });
    const response = await rig.fetch(url);
    expect(response.status).toBe(200);
    pending[0]!();
    expect(await response.text()).toBe("late");
  });

  it.each([
    ["with a length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
    ["without a length", "HTTP/1.1 200 OK\r\n\r\nhalf"],
  ])(
    "[GW5] a response %s that is reset half-way is an error, never a short success",
    async (_name, bytes) => {
      const resets: (() => void)[] = [];
      const { url } = await byteOrigin((socket) => {
        socket.once("data", () => socket.write(bytes));
        resets.push(() => socket.resetAndDestroy());
      });
      const response = await rig.fetch(url);
      const reader = response.body!.getReader();
      await reader.read();
      resets[0]!();
      await expect(reader.read()).rejects.toThrow("terminated");
    },
  );

  it("[GW5] to an HTTP/1.0 client a broken body is a reset", async () => {
    const { url } = await byteOrigin((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", () =>
          socket.resetAndDestroy(),
        );
      });
    });
    const socket = connect(rig.port, "127.0.0.1");
    socket.write(fetchHead(rig, "GET", url).replace("HTTP/1.1", "HTTP/1.0"));
    socket.resume();
    const [fault] = (await once(socket, "error")) as [NodeJS.ErrnoException];
    expect(fault.code).toBe("ECONNRESET");
  });

  it("[GW5] sends a request again, once, when its kept-alive connection had ended", async () => {
    let requests = 0;
    const { url } = await byteOrigin((socket) => {
      let mine = 0;
      socket.on("data", () => {
        requests += 1;
        mine += 1;
        // The second request on a connection meets its end.
        if (mine === 2) socket.resetAndDestroy();
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
      });
    });
    await (await rig.fetch(url)).text();
    const again = await rig.fetch(url);
    expect(again.status).toBe(200);
    expect(requests).toBe(3);
    // What is not idempotent is not sent twice.
    const posted = await rig.fetch(url, { method: "POST" });
    expect(posted.status).toBe(502);
    expect(requests).toBe(4);
  });
});
