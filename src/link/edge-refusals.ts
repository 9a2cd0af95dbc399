/** What a refusal by the edge means to whoever runs this host, and what to do about it. */
import { z } from "zod";

const ADVICE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "token-missing": "The edge got no token; something on the way drops the authorization header.",
    "token-malformed": "The edge cannot read the token; put a new one into the token file.",
    "token-signature-invalid":
      "The edge does not know the key that signed the token; make one with the key of this edge.",
    "token-expired": "The token has expired; put a new one into the token file, it is read again.",
    "token-not-yet-valid": "The token is not valid yet; compare the clocks of this machine and the edge.",
    "token-revoked":
      "The token was revoked: put a new one into the token file, if this machine is still to be part of the pool. Of a machine that joined by one command, make the command anew.",
    "join-used":
      "The join token was used by another machine, or too long ago. If you know of none, revoke what it made: ipshard token revoke --name NAME.",
    "role-denied": "The token is not of the role that this takes: host for an agent, router for a router.",
    "pool-denied": "The token does not permit the pool; make one with --pool and its name.",
    "pool-unknown": "The edge has no such pool; create it, and it is joined then.",
    "ip-unknown": "The edge knows no such address; it was taken out of its pool or never added.",
    "host-already-present":
      "Another agent with this host's name is there and holds leases; if it is gone for good, its leases end by themselves, or, in a static pool, when the pool's administrator has it forgotten: ipshard host forget HOST.",
    "router-already-present":
      "Another router with this one's name is there; give each a token with a name of its own.",
    "gateway-invalid": "The edge does not take this host's gateway URL; set --gateway to one it can reach.",
    "version-unsupported": "The edge speaks another version of the protocol; upgrade this agent or the edge.",
    "control-plane-unavailable":
      "The edge's objects do not answer; it is tried again. At an edge of your own, see whether its disk is full.",
    "message-malformed":
      "The edge could not read a message from here; are both of the same version? An older edge takes neither --site nor --weight.",
    "share-exceeded": "This host holds as many ports of the address as the pool lets one host have.",
    "address-exhausted":
      "No port block is left for this host: give the pool another address, or, in a static pool, delete hosts that are gone for good.",
    "steering-pending":
      "The routers have not applied this host's last grant, or the edge cannot tell them of it; it is tried again.",
    "ip-retiring": "The pool has given the address up; what this host holds of it ends with its connections.",
    "address-recovering":
      "The edge was restored from a backup, and gives out no more of the address until whatever it does not know of has ended.",
    "holdings-wanted":
      "The edge was restored from a backup, and asks what this host holds of the address; it is told, and goes on.",
    "stale-session": "A newer connection of this host has taken over.",
    "stale-epoch": "The block has been granted anew since this host had it; the host has stopped using it.",
    "order-out-of-range": "There are no blocks of this size; are agent and edge of the same version?",
    "sequence-unknown":
      "The router acknowledged a change that there has not been; it asks for the whole table.",
  }),
);

const problemSchema = z.object({ code: z.string(), detail: z.string().optional() });

/** A sentence for people; a code that is not known stands for itself. */
export function adviceOn(code: string): string {
  return ADVICE.get(code) ?? `The edge refuses: ${code}.`;
}

/** The code of a problem document, or null for any other body. */
export function codeOfProblem(body: string): string | null {
  try {
    return problemSchema.parse(JSON.parse(body)).code;
  } catch {
    return null;
  }
}
