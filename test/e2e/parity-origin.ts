/** The origin of the comparison with `fetch`: says what it saw, and answers in all the ways there are. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

const TEXT = Buffer.from("the same bytes, whichever way they came ".repeat(50));

const CODINGS = new Map([
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
]);

type Route = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => void;

const routes: Record<string, Route> = {
  "/echo": (request, response) => void echo(request, response),
  "/status": (_request, response, query) => {
    const code = Number(query.get("code"));
    response.writeHead(code, query.get("reason") ?? undefined, { "x-code": String(code) });
    response.end([204, 205, 304].includes(code) ? undefined : `status ${code}`);
  },
  "/redirect": (_request, response, query) => {
    const headers: Record<string, string> = { "x-from": "redirect" };
    const to = query.get("to");
    if (to !== null) headers["location"] = to;
    response.writeHead(Number(query.get("code") ?? "302"), headers).end("moved");
  },
  "/hops": (_request, response, query) => {
    const left = Number(query.get("left"));
    if (left === 0) response.end("arrived");
    else response.writeHead(302, { location: `/hops?left=${left - 1}` }).end();
  },
  "/headers": (_request, response) => {
    response.setHeader("x-many", ["a", "b"]);
    response.setHeader("set-cookie", ["a=1; Path=/; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "b=2"]);
    response.setHeader("x-empty", "");
    response.setHeader("x-latin", "caf\u00e9");
    response.setHeader("www-authenticate", 'Basic realm="x"');
    response.setHeader("strict-transport-security", "max-age=1");
    response.setHeader("etag", '"v1"');
    response.setHeader("vary", "accept");
    response.setHeader("content-type", "application/json; charset=utf-8");
    response.end('{"a":1}');
  },
  "/encoded": (_request, response, query) => {
    const coding = query.get("coding")!;
    const coded = CODINGS.get(coding)?.(TEXT) ?? TEXT;
    response.writeHead(200, { "content-encoding": coding, "content-length": coded.length }).end(coded);
  },
  "/broken-gzip": (_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end("never gzipped");
  },
  "/form": (_request, response) => {
    response.setHeader("content-type", "application/x-www-form-urlencoded");
    response.end("a=1&b=2");
  },
  "/large": (_request, response, query) => {
    const bytes = Buffer.alloc(Number(query.get("bytes")), "x");
    if (query.has("length")) response.setHeader("content-length", bytes.length);
    response.end(bytes);
  },
  "/trailers": (_request, response) => {
    response.writeHead(200, { trailer: "x-sum" }).write("with trailers");
    response.addTrailers({ "x-sum": "1" });
    response.end();
  },
  "/no-framing": (request) => {
    request.socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end");
  },
  "/short": (request) => {
    request.socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this");
    setTimeout(() => request.socket.destroy(), 50);
  },
  "/garbage": (request) => request.socket.end("neither this nor that\r\n\r\n"),
  "/reset": (request) => request.socket.resetAndDestroy(),
  "/silent": () => {},
  "/slow-body": (_request, response) => {
    response.write("first");
  },
};

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const boundary = boundaryOf(body);
  const sha256 = createHash("sha256").update(withoutBoundary(body, boundary)).digest("hex");
  const headers: Record<string, unknown> = { ...request.headersDistinct };
  const type = request.headers["content-type"];
  if (type !== undefined) {
    headers["content-type"] = boundary === null ? type : type.replace(boundary, "as in the body");
  }
  response.setHeader("content-type", "application/json");
  const { method, url } = request;
  const byteCount = body.length;
  response.end(JSON.stringify({ method, url, headers, byteCount, sha256 }));
}

/** The boundary with which a form begins; it is drawn at random. */
function boundaryOf(body: Buffer): string | null {
  return /^--(\S{20,80})\r\n/.exec(body.toString("latin1"))?.[1] ?? null;
}

function withoutBoundary(body: Buffer, boundary: string | null): string {
  const text = body.toString("latin1");
  return boundary === null ? text : text.replaceAll(boundary, "");
}

/** A running origin. */
export interface ParityOrigin {
  readonly url: string;
  close(): void;
}

/** Serves on this address, at a port of its own. */
export async function startParityOrigin(address: string): Promise<ParityOrigin> {
  const server = createServer((request, response) => {
    response.on("error", () => {});
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://origin");
    const route = routes[pathname];
    if (route) route(request, response, searchParams);
    else response.writeHead(404).end("nothing here");
  });
  server.listen(0, address);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
