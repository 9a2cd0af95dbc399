/**
 * What the operator tells a router: which devices face the Internet, and how each host is
 * reached from here. What the pool knows of a host, its address on a shared link, serves
 * where the operator says nothing.
 */
import ipaddr from "ipaddr.js";
import { type Family, familyOf } from "../../core/address-family.ts";
import type { NextHop } from "../../core/steering.ts";

/** How a host is reached, when not simply as a neighbour at the address the pool names. */
export type HostWay =
  /** This machine is the host: its packets are delivered here. */
  | { readonly kind: "self" }
  /** On a shared link: the frame goes to a next hop, by default the address the pool names. */
  | { readonly kind: "neighbour"; readonly device: string; readonly nextHops: readonly string[] }
  /**
   * By the kernel's own routing, through a table of its own: for tunnels, whose smaller MTU
   * the sender must be told. Without a next hop the device itself is the route.
   */
  | { readonly kind: "routed"; readonly device: string; readonly nextHops: readonly string[] };

/** As Linux has them: no slash, no blank, no colon, at most 15 bytes; `*` would stand for many in nftables. */
const DEVICE_NAME = /^(?!\.{1,2}$)[^/:*"\s]{1,15}$/;

/** One router's configuration. */
export interface RouterConfig {
  /** Name of its nftables tables; letters, digits and underscores. */
  readonly table: string;
  /** Devices by which packets from the Internet come in. */
  readonly ingressDevices: readonly string[];
  /** The link shared with the hosts of which `hosts` says nothing; null: there is none. */
  readonly neighbourDevice: string | null;
  /** What the operator says about single hosts. */
  readonly hosts: ReadonlyMap<string, HostWay>;
  /** ICMP errors let through each second towards 256 ports of one address. */
  readonly icmpErrorsPerSecond: number;
}

/** A plain router between its ingress devices and one link with all hosts. */
export const DEFAULT_ROUTER_CONFIG: RouterConfig = {
  table: "ipshard",
  ingressDevices: [],
  neighbourDevice: null,
  hosts: new Map(),
  icmpErrorsPerSecond: 100,
};

/** Marks and routing tables are numbered from here on: an `i` in ASCII, two bytes for the table's name, then 0. */
const FIRST_MARK = 0x6900_0000;
/** As many marks as a router has: one for the host that this machine is, and one for each routed host. */
const MARK_COUNT = 256;

/** Where packets of one family for one host go. */
export type Destination =
  | { readonly kind: "neighbour"; readonly device: string; readonly nextHop: string }
  /** Through the kernel's stack with this mark. */
  | { readonly kind: "stack"; readonly mark: number };

/** An address in the one spelling that the kernel's tools print. */
export function canonicalIp(ip: string): string {
  return familyOf(ip) === 4 ? ip : (ipaddr.parse(ip) as ipaddr.IPv6).toRFC5952String();
}

/** Where packets for a host go; null when nobody has said how to reach it in this family. */
export function destinationOf(
  config: RouterConfig,
  host: string,
  family: Family,
  told: NextHop | null,
): Destination | null {
  const way = config.hosts.get(host);
  if (way?.kind === "self") return { kind: "stack", mark: firstMarkOf(config) };
  if (way?.kind === "routed") return { kind: "stack", mark: markOf(config, host) };
  const device = way?.device ?? config.neighbourDevice;
  const known = family === 4 ? told?.ipv4 : told?.ipv6;
  const nextHop = way?.nextHops.find((ip) => familyOf(ip) === family) ?? known ?? null;
  if (device === null || nextHop === null) return null;
  return { kind: "neighbour", device, nextHop: canonicalIp(nextHop) };
}

/** Hosts that the kernel's own routing reaches, in the order of their marks. */
export function routedHosts(config: RouterConfig): string[] {
  return [...config.hosts].flatMap(([host, way]) => (way.kind === "routed" ? [host] : [])).toSorted();
}

/** Whether this machine is one of the hosts. */
export function isHostItself({ hosts }: RouterConfig): boolean {
  return [...hosts.values()].some(({ kind }) => kind === "self");
}

/** The mark of what is for this machine itself; other routers on it, with tables of other names, have other marks. */
export function firstMarkOf({ table }: RouterConfig): number {
  let hash = 0;
  for (const letter of table) hash = (31 * hash + letter.codePointAt(0)!) % 65_536;
  return FIRST_MARK + MARK_COUNT * hash;
}

/** The firewall mark, and the number of the routing table, of a routed host. */
export function markOf(config: RouterConfig, host: string): number {
  return firstMarkOf(config) + 1 + routedHosts(config).indexOf(host);
}

/** Whether a mark is, or was in an earlier life, that of a routed host. */
export function isRoutedMark(config: RouterConfig, mark: number): boolean {
  const first = firstMarkOf(config);
  return mark > first && mark < first + MARK_COUNT;
}

/** All devices that a configuration names, some perhaps twice. */
function devicesOf({ ingressDevices, neighbourDevice, hosts }: RouterConfig): string[] {
  const ways = [...hosts.values()].flatMap((way) => (way.kind === "self" ? [] : [way.device]));
  return [...ingressDevices, ...(neighbourDevice === null ? [] : [neighbourDevice]), ...ways];
}

/** What is wrong with a configuration, in sentences; empty when nothing is. */
export function configProblems(config: RouterConfig): string[] {
  const problems: string[] = [];
  const ways = [...config.hosts.values()];
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,31}$/.test(config.table)) {
    problems.push(
      `The table name ${config.table} has other characters than letters, digits and underscores.`,
    );
  }
  for (const device of devicesOf(config)) {
    if (!DEVICE_NAME.test(device))
      problems.push(`${device} cannot be the name of a device: give one that \`ip link\` shows.`);
  }
  if (config.icmpErrorsPerSecond < 1)
    problems.push("The kernel cannot limit ICMP errors to none at all: give --icmp-rate 1 or more.");
  if (config.ingressDevices.length === 0)
    problems.push("No device faces the Internet: name each with --ingress.");
  if (ways.filter(({ kind }) => kind === "self").length > 1)
    problems.push("A machine is one host only: give --via host=self once.");
  if (routedHosts(config).length >= MARK_COUNT) {
    problems.push(`More than ${MARK_COUNT - 1} hosts are reached by routes of their own.`);
  }
  return problems;
}
