/**
 * What became of datagrams. Nobody is told when one of them is lost, so each drop is counted by its
 * reason, of its association and of the host. [UD9]
 */
import type { ProblemCode } from "../../../core/problems.ts";
import { problemOf } from "../../egress/faults.ts";
import type { DatagramRefusal } from "./udp-datagram.ts";

/** Why a datagram was not passed on. Where a client could be refused for the same, it has the same name. */
export type DropReason =
  | DatagramRefusal
  /** It came to the client's place from somebody else. */
  | "sender-foreign"
  /** The name is none that can be asked for. */
  | "connect-target-invalid"
  | "lease-lost"
  | "destination-prohibited"
  | "destination-denied"
  | "destination-not-allowed"
  | "address-family-mismatch"
  | "dns-error"
  | "dns-timeout"
  /** Too many datagrams wait for a name server, or for the kernel to say whose an address is. */
  | "resolution-backlog"
  /** Its client had gone before it was known where to send it. */
  | "association-ended"
  /** The kernel could not even be asked, for want of descriptors. */
  | "connections-exhausted"
  | "destination-unroutable"
  | "datagram-too-large"
  /** Too much waits for the kernel to send it. */
  | "queue-full"
  /** It came from where the client has not sent anything lately. */
  | "source-unsolicited"
  | "internal-fault";

/** Of one association, or of all associations of a host. */
export class UdpTally {
  /** Datagrams that left for the Internet, and that were passed on to the client. */
  sentCount = 0;
  receivedCount = 0;
  readonly #drops = new Map<DropReason, number>();
  readonly #whole: UdpTally | null;

  /** `whole` counts too what is counted here. */
  constructor(whole: UdpTally | null = null) {
    this.#whole = whole;
  }

  countSent(): void {
    this.sentCount += 1;
    if (this.#whole !== null) this.#whole.sentCount += 1;
  }

  countReceived(): void {
    this.receivedCount += 1;
    if (this.#whole !== null) this.#whole.receivedCount += 1;
  }

  countDrop(reason: DropReason): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
    this.#whole?.countDrop(reason);
  }

  /** For the status, and for the log. */
  describe(): { readonly sent: number; readonly received: number; readonly drops: Record<string, number> } {
    return { sent: this.sentCount, received: this.receivedCount, drops: Object.fromEntries(this.#drops) };
  }
}

/** What a fault of sending or of resolving is called. */
const REASONS: Readonly<Partial<Record<ProblemCode, DropReason>>> = {
  "dns-error": "dns-error",
  "dns-timeout": "dns-timeout",
  "destination-unroutable": "destination-unroutable",
  "connections-exhausted": "connections-exhausted",
  // What a router or the other end said in an ICMP message.
  "connection-refused": "destination-unroutable",
  "connection-timeout": "destination-unroutable",
};

/** The reason that a fault of sending or of resolving is. */
export function dropReasonOf(fault: unknown): DropReason {
  const { code } = (fault ?? {}) as { readonly code?: unknown };
  if (code === "EMSGSIZE") return "datagram-too-large";
  if (code === "ENOBUFS" || code === "ENOMEM") return "queue-full";
  return REASONS[problemOf(fault).code] ?? "internal-fault";
}
