/**
 * Who notes what leaves this host, so that it can be said afterwards who sent it. A flow is here what it
 * is on the wire: one connection, or one socket of UDP. [AT5]
 */

import type { RequestTiming } from "./request-timing.ts";

/** Who is behind a flow. */
export interface FlowSender {
  /** Empty for the host itself. */
  readonly tenant: string;
  /** As its token says; null for the host itself. */
  readonly client: string | null;
  /** From where it came to this host; null where nobody knows. */
  readonly clientAddress: string | null;
  /** Notes how long the steps of its request take; absent where nobody asked. [DA10] */
  readonly timing?: RequestTiming;
}

/** An address and a port. */
export interface FlowPlace {
  readonly ip: string;
  readonly port: number;
}

/** A flow that is about to begin. */
export interface LeavingFlow extends FlowPlace {
  readonly protocol: "tcp" | "udp";
  /** Null for UDP, which may go anywhere. */
  readonly destination: FlowPlace | null;
  readonly sender: FlowSender;
}

/** What is noted of one flow. */
export interface FlowNote {
  /** Another client of the same tenant uses it from now on, or may. */
  usedBy(sender: FlowSender): void;
  /** It sends to a further place. */
  sentTo(place: FlowPlace): void;
  /** It is over; how many bytes went which way. */
  ended(sentBytes: number, receivedBytes: number): void;
}

/** Notes flows; must take constant time, and throws nothing. */
export interface FlowRecorder {
  /** To be called before anything of the flow leaves. */
  begins(flow: LeavingFlow): FlowNote;
}
