/**
 * An HTTP origin of the laboratory, on all addresses of its machine. Every answer begins with
 * a line of JSON that says who called, and echoes the caller's `nonce`, so that an answer that
 * went to the wrong place cannot pass for the right one.
 *
 *     node web-origin.ts PORT
 *     /seen                      that line alone
 *     /stream?ticks=N&everyMs=M  and then N lines, one every M milliseconds
 *     /download?byteCount=N      and then N octets
 *     /upload                    after the whole body has come, with its length and SHA-256
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://origin");
  const seen = {
    address: (request.socket.remoteAddress ?? "").replace(/^::ffff:/, ""),
    port: request.socket.remotePort,
    nonce: url.searchParams.get("nonce"),
  };
  if (url.pathname === "/seen") response.end(`${JSON.stringify(seen)}\n`);
  else if (url.pathname === "/stream") stream(response, seen, url.searchParams);
  else if (url.pathname === "/download") send(response, seen, url.searchParams);
  else if (url.pathname === "/upload") receive(request, response, seen);
  else response.writeHead(404).end();
});
server.keepAliveTimeout = 60_000;

function stream(response: ServerResponse, seen: object, parameters: URLSearchParams): void {
  let left = Number(parameters.get("ticks"));
  response.write(`${JSON.stringify(seen)}\n`);
  const timer = setInterval(
    () => {
      left -= 1;
      response.write(`${left}\n`);
      if (left > 0) return;
      clearInterval(timer);
      response.end("end\n");
    },
    Number(parameters.get("everyMs")),
  );
  response.on("close", () => clearInterval(timer));
}

function send(response: ServerResponse, seen: object, parameters: URLSearchParams): void {
  response.write(`${JSON.stringify(seen)}\n`);
  response.end(Buffer.alloc(Number(parameters.get("byteCount")), "x"));
}

function receive(request: IncomingMessage, response: ServerResponse, seen: object): void {
  const hash = createHash("sha256");
  let byteCount = 0;
  request.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    byteCount += chunk.length;
  });
  request.on("end", () => {
    response.end(`${JSON.stringify({ ...seen, byteCount, sha256: hash.digest("hex") })}\n`);
  });
}

server.listen(Number(process.argv[2]), "::", () => console.log("listening"));
