/**
 * Refuses CONNECT in place of the edge. [WK41]
 *
 * workerd gives CONNECT to no `fetch` handler: a Worker without a `connect` handler fails, with a
 * bare 500 and an exception in the log, and for one with it workerd has said 200 already. So the
 * edge is told to pass tunnels on to the network, which for it is nothing but this server.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { problemReply } from "../../wire/problem-response.ts";

const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** Listens on loopback until this process ends; resolves with the address to be told to workerd. */
export async function refuseTunnels(): Promise<string> {
  const reply = problemReply({
    code: "method-unsupported",
    detail:
      "The edge makes no tunnels: send requests for a destination to /v1/fetch. A proxy is with each host whose agent has --proxy.",
  });
  const fields = {
    ...reply.headers,
    allow: METHODS,
    "content-length": String(Buffer.byteLength(reply.body)),
    connection: "close",
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const refusal = `HTTP/1.1 ${reply.status} Method Not Allowed\r\n${lines.join("")}\r\n${reply.body}`;
  // Whatever else comes here is a fault of the edge's: nothing of it may look like an answer.
  const server = createServer((_request, response) => response.destroy());
  server.on("connect", (_request, socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(refusal);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
