/**
 * The handshake of a WebSocket with its destination, up to the head of an answer that makes
 * sense; every other answer is a fault with a name. [GW9] [GW18]
 */
import { createHash } from "node:crypto";
import { type IncomingMessage, request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import { requestTargetOf } from "../../egress/destination-url.ts";
import { EgressFault } from "../../egress/faults.ts";
import type { Flow } from "../../../process/flow.ts";
import { MAX_RESPONSE_HEADER_BYTES } from "../origins/outgoing.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";

/** What the other side of a handshake hashes with the key (RFC 6455 section 1.3). */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Answers before the answer; more make a destination that says nothing for ever. */
const MAX_INTERIM_ANSWERS = 16;

/** What a destination has to say to a handshake. */
export type HandshakeAnswer =
  | { readonly kind: "agreed"; readonly response: IncomingMessage; readonly firstBytes: Buffer }
  | Declined;

/** An answer as to any other request. The first part of its body is there, or its end is. */
export interface Declined {
  readonly kind: "declined";
  readonly response: IncomingMessage;
}

/** Sends the request and reads the answer. Its end or fault, before it makes sense, is thrown. */
export function shakeHands(
  transport: Socket,
  { request, client, url, target, headers }: UpgradeRequest,
  timeoutMs: number,
  flow: Flow,
): Promise<HandshakeAnswer> {
  const fields = ["host", url.host, "connection", "Upgrade", "upgrade", "websocket", ...headers];
  return new Promise((resolve, reject) => {
    const outgoing = openRequest(transport, target ?? requestTargetOf(url), fields);
    // For good: a second fault of it, such as that of its socket, has nobody else to hear it.
    outgoing.on("error", reject);
    // Over all that comes before the answer: one that trickles is no better than one that is silent.
    const timer = setTimeout(
      flow.guard(() => fail(new EgressFault("response-timeout"))),
      timeoutMs,
    );
    const fail = (fault: unknown): void => {
      clearTimeout(timer);
      transport.destroy();
      reject(fault);
    };
    const settle = (answer: HandshakeAnswer): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    client.gone.addEventListener("abort", () => fail(new EgressFault("connection-terminated")));
    let interimCount = 0;
    outgoing.on(
      "information",
      flow.guard(() => {
        interimCount += 1;
        if (interimCount > MAX_INTERIM_ANSWERS) fail(malformed("There are too many interim answers."));
      }),
    );
    outgoing.once("close", () => clearTimeout(timer));
    outgoing.once(
      "upgrade",
      flow.guard((response: IncomingMessage, _socket: unknown, firstBytes: Buffer) => {
        if (agrees(response, request)) settle({ kind: "agreed", response, firstBytes });
        else fail(malformed("The handshake agrees to something else."));
      }),
    );
    outgoing.once(
      "response",
      flow.guard((response: IncomingMessage) => {
        response.on("error", fail);
        const { statusCode = 0, httpVersionMajor } = response;
        if (httpVersionMajor !== 1) return fail(malformed("The status line is none."));
        if (statusCode < 200 || statusCode > 599) {
          return fail(malformed(`An answer with status ${statusCode} is none.`));
        }
        if (!isReadable(response))
          return fail(malformed("Of the transfer codings only chunked is supported."));
        // A body that is broken at its beginning is no answer either, however it is cut.
        const begin = flow.guard(() => settle({ kind: "declined", response }));
        response.once("readable", begin);
        // Of one without a body this is all that is told.
        response.once("end", begin);
      }),
    );
    outgoing.end();
  });
}

function openRequest(transport: Socket, path: string, headers: string[]): ReturnType<typeof httpRequest> {
  try {
    const outgoing = httpRequest({
      method: "GET",
      path,
      headers,
      createConnection: () => transport,
      setHost: false,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    });
    // Beyond the default Node drops fields silently; the limit on bytes is enough.
    outgoing.maxHeadersCount = 0;
    return outgoing;
  } catch (fault) {
    // The client sent what cannot be sent on.
    throw new EgressFault("request-malformed", undefined, fault);
  }
}

/**
 * Whether a 101 agrees to this very handshake (RFC 6455 section 4.1). Passed on unseen, another
 * would make the edge take this host for broken.
 */
function agrees({ statusCode, headers }: IncomingMessage, { headers: asked }: IncomingMessage): boolean {
  if (statusCode !== 101 || headers.upgrade?.toLowerCase() !== "websocket") return false;
  const key = asked["sec-websocket-key"];
  if (key === undefined) return true;
  const expected = createHash("sha1").update(`${key}${ACCEPT_SUFFIX}`).digest("base64");
  return headers["sec-websocket-accept"] === expected;
}

function isReadable({ headers }: IncomingMessage): boolean {
  const coding = headers["transfer-encoding"];
  return coding === undefined || coding.toLowerCase() === "chunked";
}

function malformed(detail: string): EgressFault {
  return new EgressFault("response-malformed", detail);
}
