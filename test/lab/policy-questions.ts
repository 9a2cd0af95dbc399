/** What the client that asks by every way is asked, and where. */

/** Each way by which a destination is asked for. */
export const WAYS = [
  "the gateway",
  "a redirect at the gateway",
  "a WebSocket at the gateway",
  "TCP at the gateway",
  "the proxy",
  "CONNECT",
  "SOCKS5 by name",
  "SOCKS5 by address",
  "the edge",
  "a redirect at the edge",
  "a WebSocket at the edge",
  "TCP at the edge",
] as const;
export type Way = (typeof WAYS)[number];

/** One destination. */
export interface Question {
  readonly way: Way | "UDP";
  /** As it is written. */
  readonly host: string;
  readonly port: number;
  /** The shared address that it is to leave from. */
  readonly from: string;
  /** The place that redirects there, with its port. */
  readonly redirecting: string;
  /** Whether a datagram is sent again until it is answered. */
  readonly isAnswered: boolean;
}

/** All of it, and where it is asked. */
export interface Questions {
  readonly gateway: Server;
  readonly proxy: Server;
  readonly edge: Server;
  readonly gatewayToken: string;
  readonly clientToken: string;
  readonly questions: readonly Question[];
  /** A place by address that does answer datagrams, by the address that they leave from. */
  readonly fences: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}

/** Where a server listens. */
export interface Server {
  readonly ip: string;
  readonly port: number;
}
