/** Which request an answer of an address belongs to. [LK3] */
import type { ClockReading } from "../../core/lease-term.ts";
import type { LeaseReply, LeaseRequest } from "../../core/messages.ts";

/** A request that waits for its answer. */
export interface Outstanding {
  readonly request: LeaseRequest;
  /** Before it was sent for the first time: no answer to any repetition counts from later. */
  readonly sentAt: ClockReading;
  repeatAtMs: number;
}

/** A message that could not be read is refused without an id, or with one made up for it. */
export function answers(reply: Exclude<LeaseReply, { type: "changed" }>, request: LeaseRequest): boolean {
  if (reply.requestId === request.requestId) return true;
  return (
    reply.type === "refused" && (reply.code === "message-malformed" || reply.code === "version-unsupported")
  );
}
