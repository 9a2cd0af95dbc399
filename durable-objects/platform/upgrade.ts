/**
 * The WebSocket of a host or a router, as it comes in from the Worker. Who that is was settled
 * there, where the token was verified: it comes in a header of the upgrade request and is kept
 * with the socket, since an object is rebuilt while its sockets stay. [DO5]
 */
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { ProblemCode } from "../../src/core/problems.ts";
import { problemReply } from "../../src/wire/problem-response.ts";
import type { Acceptance } from "./object-platform.ts";
import type { Opener } from "./token-sockets.ts";

/** Codes that tell of a close without being sent in one (RFC 6455 section 7.4.1). */
const UNSENDABLE_CLOSES: ReadonlySet<number> = new Set([1005, 1006, 1015]);

/** The host, or the router, that asks to be connected: whom this header names. */
export function connectingPeer(request: Request, header: string): Outcome<string, ProblemCode> {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return refuse("upgrade-required");
  const name = request.headers.get(header);
  return name ? ok(name) : refuse("role-denied");
}

/** The token that opens the connection, and its key, as these headers name them. [TK6] [TK7] */
export function connectingOpener(
  { headers }: Request,
  names: { readonly token: string; readonly kid: string; readonly session?: string },
): Opener {
  const session = names.session === undefined ? null : headers.get(names.session);
  return { token: headers.get(names.token), kid: headers.get(names.kid), session };
}

/** Takes the connection, or answers the upgrade with the refusal. */
export function answerUpgrade(
  ctx: DurableObjectState,
  acceptance: Outcome<Acceptance, ProblemCode>,
): Response {
  if (!acceptance.ok) {
    const { status, headers, body } = problemReply({ code: acceptance.refusal });
    return new Response(body, { status, headers });
  }
  const { tags, attachment } = acceptance.value;
  const { 0: client, 1: server } = new WebSocketPair();
  ctx.acceptWebSocket(server, [...tags]);
  server.serializeAttachment(attachment);
  return new Response(null, { status: 101, webSocket: client });
}

/** Completes a close that the peer began: a socket that is not closed back stays half open. */
export function answerClose(socket: WebSocket, code: number, reason: string): void {
  socket.close(UNSENDABLE_CLOSES.has(code) ? 1000 : code, reason);
}
