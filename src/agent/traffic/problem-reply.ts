/** Problems on their way to a client of the gateway: on a response, or on a bare socket. [GW1] */
import type { IncomingMessage, ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { Problem } from "../../core/problems.ts";
import { EGRESS_HOST } from "../../wire/header-names.ts";
import { problemReply } from "../../wire/problem-response.ts";
import { discardRest } from "./request-body.ts";

/** Answers a request with a problem. */
export function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  problem: Problem,
  host: string,
): void {
  const { status, headers, body } = problemReply(problem);
  const isUnread = !request.complete;
  response.writeHead(status, {
    ...headers,
    [EGRESS_HOST]: host,
    "content-length": Buffer.byteLength(body),
    // A client that waits for `100 Continue` may or may not send its body after this.
    ...(isUnread && request.headers.expect !== undefined ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
  if (isUnread) discardRest(request, response);
}

/** Answers on a socket on which there is no response object, and ends it. */
export function endWithProblem(socket: Duplex, problem: Problem, host: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = problemReply(problem);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `${EGRESS_HOST}: ${host}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body,
  ];
  socket.end(lines.join("\r\n"), () => {
    socket.destroy();
  });
}
