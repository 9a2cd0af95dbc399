/** A pool with one address of each family, two hosts on a link and what the operator says. */
import type { NextHop, SteeringChange, SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import { DEFAULT_ROUTER_CONFIG, type RouterConfig } from "../../src/router/steering/router-config.ts";

export const IPV4 = "192.0.2.1";
export const IPV6 = "2001:db8:1::1";

export const CONFIG: RouterConfig = {
  ...DEFAULT_ROUTER_CONFIG,
  ingressDevices: ["up0"],
  neighbourDevice: "lan0",
};

/** A block of an address in the hands of a host. */
export function entry(host: string, base: number, order: number, epoch: number, ip = IPV4): SteeringEntry {
  return { ip, base, order, host, epoch };
}

/** Where a host is, by its number. */
export function nextHopOf(host: string, number: number): NextHop {
  return { host, ipv4: `203.0.113.${80 + number}`, ipv6: `2001:db8:a::1:${number}` };
}

export const NEXT_HOPS = [nextHopOf("h1", 1), nextHopOf("h2", 2)];

/** A table of the fixture's pool. */
export function table(sequence: number, entries: readonly SteeringEntry[]): SteeringTable {
  return { sequence, ips: [IPV4, IPV6], entries, nextHops: NEXT_HOPS };
}

/** A change that does nothing but what is given. */
export function change(sequence: number, what: Partial<SteeringChange> = {}): SteeringChange {
  const nothing = { withdraw: [], put: [], addIps: [], removeIps: [], nextHops: [] };
  return { ...nothing, ...what, sequence };
}
