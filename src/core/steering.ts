/**
 * Which host a returning packet belongs to, as routers know it: blocks of addresses, and how
 * to reach each host. A router needs nothing else, and nothing per flow.
 *
 * Changes are numbered. A router carries them out in order and says up to which number its
 * kernel has applied; only then may a host send from a new block. [LAW4] [ST1] [ST2]
 */
import type { PortBlock } from "./port-block.ts";

/** Packets to these ports of this address go to this host. */
export interface SteeringEntry extends PortBlock {
  readonly ip: string;
  readonly host: string;
  /** Of the lease behind it; an entry never gives way to one with a lower epoch. [ST3] */
  readonly epoch: number;
}

/** Where a host can be reached from the routers: its own address on a shared link, not the egress IP. */
export interface NextHop {
  readonly host: string;
  /** Next hop for IPv4 packets; null when unknown. */
  readonly ipv4: string | null;
  /** Next hop for IPv6 packets; null when unknown. */
  readonly ipv6: string | null;
}

/** Everything a router steers by. */
export interface SteeringTable {
  /** The last change that is in it. */
  readonly sequence: number;
  /** All addresses of the pool: what is not in an entry of theirs is dropped and counted. */
  readonly ips: readonly string[];
  readonly entries: readonly SteeringEntry[];
  readonly nextHops: readonly NextHop[];
  /** The pool is an old copy: what a router has, and nothing here is in the way of, stays. [OC4] */
  readonly isPartial?: boolean | undefined;
}

/** What one numbered change does, all at once. Withdrawals come first. */
export interface SteeringChange {
  readonly sequence: number;
  readonly withdraw: readonly { readonly ip: string; readonly base: number; readonly epoch: number }[];
  readonly put: readonly SteeringEntry[];
  readonly addIps: readonly string[];
  readonly removeIps: readonly string[];
  readonly nextHops: readonly NextHop[];
}
