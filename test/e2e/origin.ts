/**
 * The Internet's side of the end-to-end tests: a process that serves on several loopback
 * addresses, notes which source address and port every connection came from, and can behave
 * in all the ways origins do. Started by `cluster.ts`; reports its ports over IPC.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { WebSocketServer } from "ws";

/** One connection as the origin saw it; `closedAtMs` is null while it is open. */
export interface SeenConnection {
  readonly local: string;
  readonly address: string;
  readonly port: number;
  readonly openedAtMs: number;
  closedAtMs: number | null;
}

const ADDRESSES = [
  "127.0.0.20",
  "127.0.0.21",
  "127.0.0.22",
  "127.0.0.23",
  // These a test has to allow.
  "127.0.0.24",
  "127.0.0.25",
  "127.0.0.26",
  "127.0.0.27",
];
const seen: SeenConnection[] = [];
const held = new Set<ServerResponse>();
/** What was to come once, and what came again. */
const ids = new Set<string>();
const repeatedIds: string[] = [];

function newServer(): Server {
  const made = createServer({ maxHeaderSize: 128 * 1024 }, (request, response) => {
    const url = new URL(request.url ?? "/", "http://origin");
    const route = routes[url.pathname];
    if (route) route(request, response, url);
    else response.writeHead(404, { "content-type": "text/plain" }).end("no such thing here");
  });
  made.keepAliveTimeout = 60_000;
  made.on("connection", note);
  return made;
}

function note(socket: Socket): void {
  const connection: SeenConnection = {
    local: `${socket.localAddress}:${socket.localPort}`,
    address: socket.remoteAddress ?? "",
    port: socket.remotePort ?? 0,
    openedAtMs: Date.now(),
    closedAtMs: null,
  };
  seen.push(connection);
  socket.on("error", () => {});
  socket.on("close", () => {
    connection.closedAtMs = Date.now();
  });
}

const server = newServer();
/** The same by IPv6. */
const server6 = newServer();

for (const each of [server, server6]) {
  new WebSocketServer({ server: each, path: "/ws" }).on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}

type Route = (request: IncomingMessage, response: ServerResponse, url: URL) => void;

const GZIPPED = gzipSync(Buffer.from("the same bytes, untouched ".repeat(400)));

const routes: Record<string, Route> = {
  "/seen": (request, response) => {
    response.setHeader("content-type", "application/json");
    response.setHeader("egress-ip", "192.0.2.99");
    response.end(
      JSON.stringify({
        address: request.socket.remoteAddress,
        port: request.socket.remotePort,
        method: request.method,
        headers: request.headersDistinct,
      }),
    );
  },
  "/upload": (request, response) => {
    const hash = createHash("sha256");
    let byteCount = 0;
    request.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      byteCount += chunk.length;
    });
    request.on("end", () => {
      const framing = request.headers["content-length"] === undefined ? "chunked" : "length";
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ byteCount, framing, sha256: hash.digest("hex") }));
    });
  },
  "/download": (_request, response, url) => {
    const byteCount = Number(url.searchParams.get("bytes"));
    if (url.searchParams.get("framing") === "length") response.setHeader("content-length", byteCount);
    const chunk = Buffer.alloc(65_536, "ipshard ");
    let left = byteCount;
    const pump = (): void => {
      while (left > 0) {
        const part = left >= chunk.length ? chunk : chunk.subarray(0, left);
        left -= part.length;
        if (!response.write(part)) {
          response.once("drain", pump);
          return;
        }
      }
      response.end();
    };
    pump();
  },
  "/trickle": (_request, response) => {
    let count = 0;
    response.write("first\n");
    const timer = setInterval(() => {
      count += 1;
      response.write(`${count}\n`);
      if (count === 5) {
        clearInterval(timer);
        response.end("last\n");
      }
    }, 200);
    response.on("close", () => clearInterval(timer));
  },
  // Goes on for ever, until it is released.
  "/events": (_request, response, url) => {
    held.add(response);
    response.writeHead(200, { "content-type": url.searchParams.get("type") ?? "text/event-stream" });
    const timer = setInterval(() => response.write("data: tick\n\n"), 200);
    response.on("close", () => {
      clearInterval(timer);
      held.delete(response);
    });
  },
  "/once": (request, response, url) => {
    const id = url.searchParams.get("id") ?? "";
    if (ids.has(id)) repeatedIds.push(id);
    ids.add(id);
    request.resume().on("end", () => response.end(id));
  },
  "/hold": (_request, response) => {
    held.add(response);
    response.on("close", () => held.delete(response));
  },
  "/status": (_request, response, url) => {
    const code = Number(url.searchParams.get("code"));
    response.writeHead(code, { etag: '"v1"', "x-marker": "kept" }).end();
  },
  "/cookies": (_request, response) => {
    response.setHeader("set-cookie", ["a=1; Path=/", "b=2; Path=/"]);
    response.end("two cookies");
  },
  "/trailers": (_request, response) => {
    response.writeHead(200, { trailer: "x-checksum" });
    response.write("body before trailers");
    response.addTrailers({ "x-checksum": "abc" });
    response.end();
  },
  "/gzip": (_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip", "content-length": GZIPPED.length });
    response.end(GZIPPED);
  },
  "/bogus-encoding": (_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end("this was never gzipped");
  },
  "/reset": (_request, response, url) => {
    const chunked = url.searchParams.get("framing") !== "length";
    response.writeHead(200, chunked ? {} : { "content-length": 1_000_000 });
    response.write(Buffer.alloc(100_000, "x"), () => {
      setTimeout(() => response.socket?.resetAndDestroy(), 50);
    });
  },
  // Answers before it has read the body, and then reads no further, or closes.
  "/early": (request, response, url) => {
    const code = Number(url.searchParams.get("code"));
    const text = url.searchParams.get("text") ?? "";
    const closes = url.searchParams.has("closes");
    const headers = { "content-length": text.length, ...(closes ? { connection: "close" } : {}) };
    response.writeHead(code, code === 307 ? { ...headers, location: "/seen" } : headers).end(text, () => {
      if (closes) request.socket.destroy();
    });
  },
  "/redirect": (_request, response, url) => {
    response.writeHead(Number(url.searchParams.get("code") ?? "302"), {
      location: url.searchParams.get("to") ?? "/seen",
    });
    response.end();
  },
};

/** What a test may ask of the origin, over IPC. */
export type OriginQuestion = "seen" | "forget" | "held" | "release" | "repeated";

process.on("message", (question: OriginQuestion) => {
  const answer = ((): unknown => {
    switch (question) {
      case "seen":
        return seen;
      case "forget":
        return seen.splice(0).length;
      case "held":
        return held.size;
      case "repeated":
        return repeatedIds;
      case "release": {
        const count = held.size;
        for (const response of held) response.end("released");
        return count;
      }
    }
  })();
  process.send?.({ question, answer });
});

/** Answers, but not in HTTP. */
const garbage = createTcpServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () => socket.end("this is not HTTP at all\r\n\r\n"));
});

/** Accepts and never says anything. */
const silent = createTcpServer((socket) => {
  socket.on("error", () => {});
});

/** Closes every connection as soon as a request arrives. */
const closing = createTcpServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () => socket.destroy());
});

function portOf(target: { address: () => unknown }): number {
  return (target.address() as { port: number }).port;
}

function listen(
  target: { listen: (options: object, done: () => void) => unknown },
  port: number,
  host: string,
) {
  return new Promise<void>((resolve) => {
    target.listen({ port, host, backlog: 8192 }, resolve);
  });
}

// One server socket for all addresses: a listener on 0.0.0.0 answers on each of 127.0.0.20-23.
await listen(server, 0, "0.0.0.0");
await listen(server6, portOf(server), "::1");
await listen(garbage, 0, "127.0.0.20");
await listen(silent, 0, "127.0.0.20");
await listen(closing, 0, "127.0.0.20");
process.send?.({
  ready: {
    addresses: ADDRESSES,
    port: portOf(server),
    garbagePort: portOf(garbage),
    silentPort: portOf(silent),
    closingPort: portOf(closing),
  },
});
process.on("disconnect", () => process.exit(0));
