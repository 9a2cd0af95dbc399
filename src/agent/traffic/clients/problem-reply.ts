/** Problems on their way to a client: on a response, or on a bare socket. [GW1] */
import type { ClientRequest, ClientResponse } from "./client-exchange.ts";
import { STATUS_CODES } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { RequestTiming } from "../../egress/request-timing.ts";
import type { Problem, ProblemCode } from "../../../core/problems.ts";
import { EGRESS_HOST, EGRESS_REQUEST_ID, EGRESS_TIMING } from "../../../wire/header-names.ts";
import { readRequestId } from "../../../wire/request-id.ts";
import { problemReply } from "../../../wire/problem-response.ts";
import { discardRest } from "./client-body.ts";

/** How long a client may take to read a last word: a socket closed before would reset it away. */
const LINGER_MS = 2_000;
/** Methods of the routes that tell of the host. */
const READING_METHODS = "GET, HEAD";
const NOTHING = Buffer.alloc(0);
/**
 * What a gateway also says before anybody has shown a valid token: strangers learn nothing of the host
 * by it. Refused tokens (401, 407) are not in this list, and never name it either. [TR6] [PX2]
 */
const SAID_TO_STRANGERS: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  "request-malformed",
  "request-coding-unsupported",
  "headers-too-large",
  "body-length-mismatch",
  "route-unknown",
  "method-unsupported",
  "upgrade-required",
  "tls-required",
  "client-certificate-invalid",
  "internal-fault",
]);

/** Who says no. */
export interface Speaker {
  /** Name of this host; null where nobody is told. */
  readonly host: string | null;
  /** A proxy asks for credentials of its own, and tells a stranger nothing else. [PX2] */
  readonly isProxy: boolean;
}

/** What the request is called; null where nobody knows. [MT9] */
type RequestName = string | null;

/** Answers a request with a problem. */
export function sendProblem(
  request: ClientRequest,
  response: ClientResponse,
  problem: Problem,
  speaker: Speaker,
  requestId: RequestName = readRequestId(request.headers[EGRESS_REQUEST_ID] as string | undefined),
  timing?: RequestTiming,
): void {
  const { status, headers, body } = replyOf(problem, speaker, requestId);
  const isUnread = !request.complete;
  response.writeHead(status, {
    ...headers,
    ...(timing === undefined ? {} : { [EGRESS_TIMING]: timing.field() }),
    // RFC 9110 section 7.8: what stands in `upgrade` is for this connection only.
    ...(status === 426 ? { connection: response.shouldKeepAlive ? "upgrade" : "close, upgrade" } : {}),
    // A client that waits for `100 Continue` may or may not send its body after this.
    ...(isUnread && request.headers.expect !== undefined ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
  if (isUnread) discardRest(request, response);
}

/** Answers on a socket on which there is no response object, and ends it. */
export function endWithProblem(
  socket: Duplex,
  problem: Problem,
  speaker: Speaker,
  requestId: RequestName = null,
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = replyOf(problem, speaker, requestId);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "connection: close",
    "",
    body,
  ];
  endInPeace(socket, Buffer.from(lines.join("\r\n")));
}

/** Answers on a stream of HTTP/2, and ends it. */
export function endStreamWithProblem(
  stream: ServerHttp2Stream,
  problem: Problem,
  speaker: Speaker,
  requestId: RequestName = null,
): void {
  if (stream.destroyed || stream.headersSent) {
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const { status, headers, body } = replyOf(problem, speaker, requestId);
  stream.respond({ ...headers, ":status": status });
  // What the client still sends is of no use (RFC 9113 section 8.1).
  stream.end(body, () => stream.close(constants.NGHTTP2_NO_ERROR));
  stream.resume();
}

/** Ends a socket, with these bytes if there are any, and gives its peer the time to read them. */
export function endInPeace(socket: Duplex, lastBytes: Buffer = NOTHING): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once("close", () => clearTimeout(timer));
  // What else comes is of no use, but unread it would make the kernel send a reset.
  socket.resume();
  socket.end(lastBytes);
}

function replyOf(
  problem: Problem,
  { host, isProxy }: Speaker,
  requestId: RequestName,
): ReturnType<typeof problemReply> {
  const { status, headers, body } = problemReply(problem, isProxy);
  const isForStrangers =
    status === 401 || status === 407 || (!isProxy && SAID_TO_STRANGERS.has(problem.code));
  return {
    status,
    headers: {
      ...headers,
      ...(isForStrangers || host === null ? {} : { [EGRESS_HOST]: host }),
      ...(requestId === null ? {} : { [EGRESS_REQUEST_ID]: requestId }),
      // RFC 9110 sections 15.5.2, 15.5.8, 15.5.6 and 15.5.22: what would do, with every no of this kind.
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...(status === 407 ? { "proxy-authenticate": 'Basic realm="ipshard", charset="UTF-8"' } : {}),
      ...(status === 405 ? { allow: READING_METHODS } : {}),
      ...(status === 426 ? { upgrade: "websocket" } : {}),
      "content-length": String(Buffer.byteLength(body)),
    },
    body,
  };
}
