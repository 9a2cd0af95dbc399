/**
 * The WebSocket of a host or a router, as the objects take it. Who that is was settled by the
 * Worker, which verified the token: it comes in a header of the upgrade request and is kept
 * with the socket, since an object is rebuilt while its sockets stay. [DO5]
 */
import { HEARTBEAT, HEARTBEAT_ANSWER } from "../src/core/messages.ts";
import { grant, type Outcome, refuse } from "../src/core/outcome.ts";
import type { ProblemCode } from "../src/core/problems.ts";
import { problemReply } from "../src/wire/problem-response.ts";

/** Request header in which the Worker names the verified host. */
export const HOST_HEADER = "ipshard-host";
/** Request header in which the Worker names the verified router. */
export const ROUTER_HEADER = "ipshard-router";

/** A newer connection of the same host or router has taken over. */
export const CLOSE_FENCED = 4001;
/** What the connection opened with was refused; the reason is the code of the refusal. */
export const CLOSE_REFUSED = 4002;

/** Codes that tell of a close without being sent in one (RFC 6455 section 7.4.1). */
const UNSENDABLE_CLOSES: ReadonlySet<number> = new Set([1005, 1006, 1015]);

/** Answers heartbeats without waking the object up. [DO15] */
export function answerHeartbeats(ctx: DurableObjectState): void {
  ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(HEARTBEAT, HEARTBEAT_ANSWER));
}

/** The host, or the router, that asks to be connected: whom this header names. */
export function connectingPeer(request: Request, header: string): Outcome<string, ProblemCode> {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return refuse("upgrade-required");
  const name = request.headers.get(header);
  return name ? grant(name) : refuse("role-denied");
}

/** Takes the connection; tags and attachment stay with the socket for good. */
export function acceptSocket(ctx: DurableObjectState, tags: readonly string[], attachment: object): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  ctx.acceptWebSocket(server, [...tags]);
  server.serializeAttachment(attachment);
  return new Response(null, { status: 101, webSocket: client });
}

/** The answer to an upgrade that is refused. */
export function refuseUpgrade(code: ProblemCode): Response {
  const { status, headers, body } = problemReply({ code });
  return new Response(body, { status, headers });
}

/** Whether anything can still be sent. */
export function isOpen(socket: WebSocket): boolean {
  return socket.readyState === WebSocket.OPEN;
}

/** Sends a message, unless the socket has gone: its peer will ask again on the next one. */
export function sendTo(socket: WebSocket, message: object): void {
  if (isOpen(socket)) socket.send(JSON.stringify(message));
}

/** When the peer was last heard: its last heartbeat, or its last message at `heardAtMs`. */
export function lastHeardMs(ctx: DurableObjectState, socket: WebSocket, heardAtMs: number): number {
  return Math.max(heardAtMs, ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0);
}

/** Completes a close that the peer began: a socket that is not closed back stays half open. */
export function answerClose(socket: WebSocket, code: number, reason: string): void {
  socket.close(UNSENDABLE_CLOSES.has(code) ? 1000 : code, reason);
}
