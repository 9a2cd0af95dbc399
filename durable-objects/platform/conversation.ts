/** What all conversations with hosts and routers have in common: how a message is taken, and refused. */
import type { LeaseReply, PoolReply, RouterReply } from "../../src/core/messages.ts";
import { type Outcome, refuse } from "../../src/core/outcome.ts";
import { CLOSE_FENCED, CLOSE_REFUSED, isOpen, type ObjectSocket, sendTo } from "./object-platform.ts";

type Refusal = Extract<LeaseReply | PoolReply | RouterReply, { type: "refused" }>;

/** The request in a message. Whatever is not text is none. */
export function readRequest<Request, Code>(
  message: string | ArrayBuffer,
  parse: (text: string) => Outcome<Request, Code>,
): Outcome<Request, Code | "message-malformed"> {
  return typeof message === "string" ? parse(message) : refuse("message-malformed");
}

/**
 * Refuses a message. A connection whose opening is refused is closed as well, and so is one whose
 * peer speaks another version.
 */
export function refuseRequest(
  socket: ObjectSocket,
  refusal: Refusal,
  isOpening = refusal.code === "version-unsupported",
): void {
  sendTo(socket, refusal);
  if (isOpening && isOpen(socket)) socket.close(CLOSE_REFUSED, refusal.code);
}

/** Ends a connection in favour of a newer one of the same peer. [DO9] */
export function fence(socket: ObjectSocket): void {
  socket.close(CLOSE_FENCED, "stale-session");
}
