/** Which request an answer of an address belongs to. [LK3] */
import type { LeaseReply, LeaseRequest } from "../../core/messages.ts";

/** A message that could not be read is refused without an id, or with one made up for it. */
export function answers(reply: Exclude<LeaseReply, { type: "changed" }>, request: LeaseRequest): boolean {
  if (reply.requestId === request.requestId) return true;
  return (
    reply.type === "refused" && (reply.code === "message-malformed" || reply.code === "version-unsupported")
  );
}
