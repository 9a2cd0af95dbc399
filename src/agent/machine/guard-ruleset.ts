/**
 * The guard as text for `nft`: what may leave this machine with a shared source address.
 *
 * Each address has its own chain, reached from the output hook by its source address, in
 * front of everything else (priority raw). There pass only:
 *
 * - TCP and UDP from a port in a block held now,
 * - echo requests and replies whose identifier is in one,
 * - ICMP errors about a packet that came to a port in one: the packet they quote has it as
 *   its destination port.
 *
 * Everything else is dropped and counted: RST and ICMP that the kernel makes by itself, other
 * protocols, and fragments, of which only the first has a port. [GU1] [GU2]
 *
 * Blocks are kept as their units of 64 ports, so that a packet costs one look into a hash
 * table. Each unit carries the rest of the lease as a timeout of the kernel, so the kernel
 * stops sending without being told (a static slot, which has no end, has no timeout). That clock halts while the machine is suspended, and the
 * rest is counted before the kernel hears of it; so the end of the lease stands in the chain
 * as wall-clock time as well. [GU3]
 *
 * An address's whole state is replaced in one transaction: no packet sees half of it.
 * Packets of shared addresses are not tracked, since tracking might rewrite their ports.
 */
import assert from "node:assert/strict";
import { isIP, isIPv4 } from "node:net";
import { type Family, familyOf } from "../../core/address-family.ts";
import {
  type FamilyFields,
  fieldsOf,
  IDENTIFIER,
  payloadText,
  PLAIN_IPV4_START,
  QUOTED_IPV4_START,
  TCP_AND_UDP,
} from "../../linux/nftables/packet-fields.ts";
import { tableRemoval } from "../../linux/nftables/statements.ts";
import { MIN_ORDER, type PortBlock, portCountOf, UNIT_PORT_COUNT } from "../../core/port-block.ts";

/** The table of the guard, in the families `inet` and `netdev`. */
export const GUARD_TABLE = "ipshard_guard";

/** What may leave with one source address, and until when. */
export interface Permission {
  readonly ip: string;
  readonly blocks: readonly PortBlock[];
  /** Time left from now on, in milliseconds; nothing is allowed at less than one. Infinite for no end. [SM3] */
  readonly remainingMs: number;
  /** The end as Unix time in milliseconds, rounded down to a second; infinite for none. */
  readonly wallEndMs: number;
}

const INET = `inet ${GUARD_TABLE}`;
const NETDEV = `netdev ${GUARD_TABLE}`;
const UNIT_MASK = 65_536 - UNIT_PORT_COUNT;
const ICMP_ERRORS = {
  4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
  6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
} as const;
const ECHO = {
  4: "icmp type { echo-request, echo-reply }",
  6: "icmpv6 type { echo-request, echo-reply }",
} as const;

/** The frame around all addresses; leaves what it finds there of an earlier life, timeouts included. */
export function frameText(): string {
  return lines([
    `add table ${INET}`,
    `add map ${INET} departures4 { type ipv4_addr : verdict; }`,
    `add map ${INET} departures6 { type ipv6_addr : verdict; }`,
    `add set ${INET} shared4 { type ipv4_addr; }`,
    `add set ${INET} shared6 { type ipv6_addr; }`,
    `add chain ${INET} output { type filter hook output priority raw; policy accept; }`,
    `add chain ${INET} arrivals { type filter hook prerouting priority raw; policy accept; }`,
    `flush chain ${INET} output`,
    `flush chain ${INET} arrivals`,
    `add rule ${INET} output ip saddr vmap @departures4`,
    `add rule ${INET} output ip6 saddr vmap @departures6`,
    `add rule ${INET} arrivals ip daddr @shared4 notrack`,
    `add rule ${INET} arrivals ip6 daddr @shared6 notrack`,
  ]);
}

/** Replaces all that may leave with this source address. */
export function permissionText(permission: Permission): string {
  const { ip, blocks } = permission;
  const family = familyOf(ip);
  const name = nameOfAddress(ip);
  const quotedPort = payloadText(fieldsOf(family).quotedDestinationPort);
  const timeoutMs = Math.floor(permission.remainingMs);
  const units = timeoutMs > 0 ? blocks.flatMap(unitBases) : [];
  const ends = Number.isFinite(timeoutMs) ? ` timeout ${timeoutMs}ms` : "";
  const elements = units.map((base) => `${base}${ends}`).join(", ");
  return lines([
    `add counter ${INET} ${name}_ports`,
    `add counter ${INET} ${name}_fragments`,
    `add set ${INET} ${name}_units { type inet_service; flags timeout; }`,
    `add set ${INET} ${name}_quoted { typeof ${quotedPort}; flags timeout; }`,
    `add chain ${INET} ${name}`,
    `flush set ${INET} ${name}_units`,
    `flush set ${INET} ${name}_quoted`,
    `flush chain ${INET} ${name}`,
    ...rulesFor(permission, family, name).map((rule) => `add rule ${INET} ${name} ${rule}`),
    ...(units.length === 0
      ? []
      : [
          `add element ${INET} ${name}_units { ${elements} }`,
          `add element ${INET} ${name}_quoted { ${elements} }`,
        ]),
    `add element ${INET} departures${family} { ${ip} : goto ${name} }`,
    `add element ${INET} shared${family} { ${ip} }`,
  ]);
}

function rulesFor({ wallEndMs }: Permission, family: Family, name: string): string[] {
  const fields = fieldsOf(family);
  const quotedPort = payloadText(fields.quotedDestinationPort);
  const isFragment = family === 4 ? "ip frag-off & 0x3fff != 0" : "exthdr frag exists";
  const isOurs = (field: string, set: string): string => `${field} & ${UNIT_MASK} == @${name}_${set}`;
  return [
    "notrack",
    `${isFragment} counter name ${name}_fragments drop`,
    ...(Number.isFinite(wallEndMs)
      ? [`meta time >= ${Math.max(0, Math.floor(wallEndMs / 1000))} counter name ${name}_ports drop`]
      : []),
    `meta l4proto { tcp, udp } ${isOurs("th sport", "units")} accept`,
    `${ECHO[family]} ${isOurs(payloadText(IDENTIFIER), "quoted")} accept`,
    `${ICMP_ERRORS[family]} ${quotesPlainly(fields)} ${isOurs(quotedPort, "quoted")} accept`,
    // On a machine that also routes for other hosts: what it has to say to one of them.
    `oifname "lo" ${ICMP_ERRORS[family]} accept`,
    `counter name ${name}_ports drop`,
  ];
}

/** True of an ICMP error that quotes TCP or UDP, with its ports where `FamilyFields` has them. */
function quotesPlainly({ family, quotedProtocol }: FamilyFields): string {
  const isPortKnown = `${payloadText(quotedProtocol)} { ${TCP_AND_UDP.join(", ")} }`;
  if (family === 6) return isPortKnown;
  return `${payloadText(QUOTED_IPV4_START)} 0x${PLAIN_IPV4_START.toString(16)} ${isPortKnown}`;
}

/**
 * Drops what the kernel splits on its way out: it does so behind the output hook, so this
 * sits on the devices themselves. Replaces what was there. [GU2]
 */
export function fragmentText(ips: readonly string[], devices: readonly string[]): string {
  const names = devices.map((device) => `"${device}"`).join(", ");
  assert(devices.every((device) => /^[^\s"/]{1,15}$/.test(device)));
  return lines([
    `add table ${NETDEV}`,
    ...ips.map((ip) => `add counter ${NETDEV} ${nameOfAddress(ip)}_fragments`),
    `add chain ${NETDEV} egress { type filter hook egress devices = { ${names} } priority 0; policy accept; }`,
    `flush chain ${NETDEV} egress`,
    ...ips.map((ip) => {
      const isFragment = isIPv4(ip) ? "ip frag-off & 0x3fff != 0" : "exthdr frag exists";
      const from = `${isIPv4(ip) ? "ip" : "ip6"} saddr ${ip}`;
      return `add rule ${NETDEV} egress ${from} ${isFragment} counter name ${nameOfAddress(ip)}_fragments drop`;
    }),
  ]);
}

/** Takes the guard out of the kernel altogether; without error if there is none. */
export function removalText(): string {
  return lines((["inet", "netdev"] as const).flatMap((family) => tableRemoval(family, GUARD_TABLE)));
}

/** The name of an address inside the table; different for different addresses. */
export function nameOfAddress(ip: string): string {
  assert(isIP(ip) !== 0, `${ip} is not an address`);
  return `from_${ip.replaceAll(/[.:]/g, "_")}`;
}

function unitBases({ base, order }: PortBlock): number[] {
  assert(order >= MIN_ORDER && base % UNIT_PORT_COUNT === 0, "a block is whole units");
  const count = portCountOf(order) / UNIT_PORT_COUNT;
  return Array.from({ length: count }, (_, at) => base + at * UNIT_PORT_COUNT);
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
