/**
 * The guard as text for `nft`: what may leave this machine with a shared source address.
 *
 * Each address has its own chain, reached by its source address behind all that may rewrite a
 * packet: at postrouting, which packets made here and forwarded ones pass alike. There pass only:
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
 * A unit is either for sockets or for translation, by which forwarded packets get the address.
 * From the one kind no translated packet leaves, from the other nothing else, but for the RST
 * that the kernel sends by itself. [GU9] What is forwarded with the address from the start was
 * given it by nobody here, and is dropped, unless it came by a device that may bring such
 * packets: a router that is itself a host has other hosts behind it. [GU10]
 *
 * Shared addresses are for what leaves: whoever comes in to one from outside reaches no program that listens at all addresses
 * of the machine, on whatever port. [GU11]
 *
 * An address's whole state is replaced in one transaction: no packet sees half of it.
 * Packets of shared addresses are not tracked, since tracking might rewrite their ports, but for
 * those of translated units. Only chains of addresses that have some ask for tracking: one
 * such rule makes the kernel track all packets of the machine. [GU6]
 */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { type Family, familyOf } from "../../core/address-family.ts";
import {
  type FamilyFields,
  type Field,
  fieldsOf,
  IDENTIFIER,
  payloadText,
  PLAIN_IPV4_START,
  QUOTED_IPV4_START,
  TCP_AND_UDP,
} from "../../linux/nftables/packet-fields.ts";
import { ruleProbe, tableRemoval } from "../../linux/nftables/statements.ts";
import { MIN_ORDER, type PortBlock, portCountOf, UNIT_PORT_COUNT } from "../../core/port-block.ts";

/** The table of the guard, in the families `inet` and `netdev`. */
export const GUARD_TABLE = "ipshard_guard";

/** What may leave with one source address, and until when. */
export interface Permission {
  readonly ip: string;
  readonly blocks: readonly PortBlock[];
  /** Which units of the blocks are for translation and not for sockets; none if absent. */
  readonly translated?: readonly number[];
  /** Time left from now on, in milliseconds; nothing is allowed at less than one. Infinite for no end. [SM3] */
  readonly remainingMs: number;
  /** The end as Unix time in milliseconds, rounded down to a second; infinite for none. */
  readonly wallEndMs: number;
}

const INET = `inet ${GUARD_TABLE}`;
const FRAME_CHAINS = ["output", "arrivals", "input", "forward", "departures"] as const;
/** In the chain of an address, translated units or not. */
const LEAST_RULE_COUNT = 8;
/** What a program may get that waits for somebody at all addresses of the machine. [GU11] */
const BEGINNINGS = ["meta l4proto udp", "tcp flags & (syn | ack) == syn"] as const;
const UNIT_MASK = 65_536 - UNIT_PORT_COUNT;
const ICMP_ERRORS = {
  4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
  6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
} as const;
const ECHO = {
  4: "icmp type { echo-request, echo-reply }",
  6: "icmpv6 type { echo-request, echo-reply }",
} as const;
const ECHO_REPLY = { 4: "icmp type echo-reply", 6: "icmpv6 type echo-reply" } as const;
/** The names of sets that have the same units for fields without a type. */
const QUOTED = { units: "quoted", translated: "translated_quoted" } as const;
type Units = keyof typeof QUOTED;

/** Devices by which packets with a shared source may come to be forwarded. */
export type Transit = readonly string[] | "all";

/** The frame around all addresses; leaves what it finds there of an earlier life, timeouts included. */
export function frameText(transit: Transit): string {
  return lines([
    `add table ${INET}`,
    ...([4, 6] as const).flatMap((family) => [
      `add map ${INET} departures${family} { type ipv${family}_addr : verdict; }`,
      `add map ${INET} arrivals${family} { type ipv${family}_addr : verdict; }`,
      `add map ${INET} passing${family} { type ipv${family}_addr : verdict; }`,
      `add set ${INET} shared${family} { type ipv${family}_addr; }`,
    ]),
    `add chain ${INET} output { type filter hook output priority raw; policy accept; }`,
    `add chain ${INET} arrivals { type filter hook prerouting priority raw; policy accept; }`,
    `add chain ${INET} input { type filter hook input priority raw; policy accept; }`,
    `add chain ${INET} forward { type filter hook forward priority raw; policy accept; }`,
    // Behind every translation of a source (100), before tracking confirms what it has seen.
    `add chain ${INET} departures { type filter hook postrouting priority 300; policy accept; }`,
    ...FRAME_CHAINS.map((chain) => `flush chain ${INET} ${chain}`),
    `add rule ${INET} output ip saddr @shared4 notrack`,
    `add rule ${INET} output ip6 saddr @shared6 notrack`,
    ...ruleByAddress("arrivals", "daddr", "arrivals"),
    ...["ip daddr @shared4", "ip6 daddr @shared6"].flatMap((shared) =>
      BEGINNINGS.map((begins) => `add rule ${INET} input ${shared} ${begins} socket wildcard 1 counter drop`),
    ),
    ...ruleByAddress("forward", "saddr", "passing"),
    ...ruleByAddress("departures", "saddr", "departures"),
    transitText(transit),
  ]);
}

/** Replaces which devices may bring packets with a shared source. */
export function transitText(transit: Transit): string {
  assert(transit === "all" || transit.every(isDeviceName));
  const names = transit === "all" ? [] : transit.map((device) => `"${device}"`);
  const rule = transit === "all" ? "accept" : `iifname { ${names.join(", ")} } accept`;
  return [
    `add chain ${INET} transit`,
    `flush chain ${INET} transit`,
    ...(transit.length === 0 ? [] : [`add rule ${INET} transit ${rule}`]),
  ].join("\n");
}

function ruleByAddress(chain: string, field: "saddr" | "daddr", map: string): string[] {
  return [
    `add rule ${INET} ${chain} ip ${field} vmap @${map}4`,
    `add rule ${INET} ${chain} ip6 ${field} vmap @${map}6`,
  ];
}

/** Possible as long as the kernel has the rules of the frame and of these addresses. */
export function guardProbes(ips: Iterable<string>): string[] {
  return [
    ...FRAME_CHAINS.map((chain) => ruleProbe("inet", GUARD_TABLE, chain, 1)),
    ...[...ips].map((ip) => ruleProbe("inet", GUARD_TABLE, nameOfAddress(ip), LEAST_RULE_COUNT - 1)),
  ];
}

/** Whether two permissions of an address differ in nothing but their units and their end. */
export function haveSameRules(one: Permission, other: Permission): boolean {
  return hasTranslated(one) === hasTranslated(other);
}

/** Replaces all that may leave with this source address. */
export function permissionText(permission: Permission): string {
  const { ip } = permission;
  const family = familyOf(ip);
  const name = nameOfAddress(ip);
  const quotedPort = payloadText(fieldsOf(family).quotedDestinationPort);
  const setsOf = (units: Units): string[] => [
    `add set ${INET} ${name}_${units} { type inet_service; flags timeout; }`,
    `add set ${INET} ${name}_${QUOTED[units]} { typeof ${quotedPort}; flags timeout; }`,
  ];
  const declarations = lines([
    `add counter ${INET} ${name}_ports`,
    `add counter ${INET} ${name}_fragments`,
    ...setsOf("units"),
    ...setsOf("translated"),
    `add chain ${INET} ${name}_term`,
    ...chainsOf(permission).flatMap(chainText),
    `add element ${INET} departures${family} { ${ip} : goto ${name} }`,
    `add element ${INET} arrivals${family} { ${ip} : goto ${name}_arrivals }`,
    `add element ${INET} passing${family} { ${ip} : goto ${name}_passing }`,
    `add element ${INET} shared${family} { ${ip} }`,
  ]);
  return declarations + termText(permission);
}

/** As `permissionText`, where the kernel has the same rules for the address already; a fifth of the time. */
export function termText(permission: Permission): string {
  const { ip, blocks, wallEndMs } = permission;
  const name = nameOfAddress(ip);
  const timeoutMs = Math.floor(permission.remainingMs);
  const units = timeoutMs > 0 ? blocks.flatMap(unitsOf) : [];
  const translated = new Set(permission.translated);
  const replaced = (of: Units, wanted: readonly number[]): string[] => {
    const sets = [`${name}_${of}`, `${name}_${QUOTED[of]}`];
    return [...sets.map((set) => `flush set ${INET} ${set}`), ...elementsText(sets, wanted, timeoutMs)];
  };
  const wallEnd = Math.max(0, Math.floor(wallEndMs / 1000));
  return lines([
    ...replaced(
      "units",
      units.filter((unit) => !translated.has(unit)),
    ),
    ...replaced(
      "translated",
      units.filter((unit) => translated.has(unit)),
    ),
    `flush chain ${INET} ${name}_term`,
    ...(Number.isFinite(wallEnd)
      ? [`add rule ${INET} ${name}_term meta time >= ${wallEnd} ${dropText(name)}`]
      : []),
  ]);
}

function dropText(name: string): string {
  return `counter name ${name}_ports drop`;
}

function hasTranslated({ translated = [] }: Permission): boolean {
  return translated.length > 0;
}

function chainText({ chain, rules }: Chain): string[] {
  const added = rules.map((rule) => `add rule ${INET} ${chain} ${rule}`);
  return [`add chain ${INET} ${chain}`, `flush chain ${INET} ${chain}`, ...added];
}

function elementsText(sets: readonly string[], units: readonly number[], timeoutMs: number): string[] {
  if (units.length === 0) return [];
  const ends = Number.isFinite(timeoutMs) ? ` timeout ${timeoutMs}ms` : "";
  const elements = units.map((unit) => `${unit * UNIT_PORT_COUNT}${ends}`).join(", ");
  return sets.map((set) => `add element ${INET} ${set} { ${elements} }`);
}

interface Chain {
  readonly chain: string;
  readonly rules: readonly string[];
}

/** Chains that others go to are first. */
function chainsOf(permission: Permission): Chain[] {
  const family = familyOf(permission.ip);
  const name = nameOfAddress(permission.ip);
  const drop = dropText(name);
  const isFragment = family === 4 ? "ip frag-off & 0x3fff != 0" : "exthdr frag exists";
  const isTranslating = hasTranslated(permission);
  return [
    { chain: `${name}_passing`, rules: ["jump transit", drop] },
    {
      chain: `${name}_translations`,
      rules: [`jump ${name}_term`, ...departuresFrom(family, name, "translated"), drop],
    },
    {
      chain: `${name}_arrivals`,
      rules: [...(isTranslating ? arrivalsAt(family, name) : []), "notrack"],
    },
    {
      chain: name,
      rules: [
        `${isFragment} counter name ${name}_fragments drop`,
        ...(isTranslating ? [`ct status snat goto ${name}_translations`] : []),
        // What other hosts send does not end with this one's lease. A VRF hands on what was made here.
        `meta iif != 0 meta iifkind != "vrf" goto ${name}_passing`,
        `jump ${name}_term`,
        ...departuresFrom(family, name, "units"),
        ...(isTranslating ? [`${isIn("tcp sport", name, "translated")} tcp flags rst accept`] : []),
        // On a machine that also routes for other hosts: what it has to say to one of them.
        `oifname "lo" ${ICMP_ERRORS[family]} accept`,
        drop,
      ],
    },
  ];
}

/** Accepts what may leave from these units. */
function departuresFrom(family: Family, name: string, units: Units): string[] {
  const fields = fieldsOf(family);
  const quotedPort = payloadText(fields.quotedDestinationPort);
  return [
    `meta l4proto { tcp, udp } ${isIn("th sport", name, units)} accept`,
    `${ECHO[family]} ${isIn(payloadText(IDENTIFIER), name, QUOTED[units])} accept`,
    `${ICMP_ERRORS[family]} ${quotesPlainly(fields)} ${isIn(quotedPort, name, QUOTED[units])} accept`,
  ];
}

/** Accepts, as what is tracked, packets that come for translated units. */
function arrivalsAt(family: Family, name: string): string[] {
  const fields = fieldsOf(family);
  const isTranslated = (field: Field): string => isIn(payloadText(field), name, QUOTED.translated);
  const quotedPort = { ...fields.quotedDestinationPort, offset: fields.quotedDestinationPort.offset - 16 };
  const quotedIdentifier = {
    ...fields.quotedIdentifierWord,
    offset: fields.quotedIdentifierWord.offset + 16,
    len: 16,
  };
  const quotesEcho = [
    ...quoteStart(fields),
    `${payloadText(fields.quotedProtocol)} ${fields.icmp}`,
    `${payloadText(fields.quotedIcmpType)} ${fields.icmpTypes.echoRequest}`,
  ].join(" ");
  return [
    `meta l4proto { tcp, udp } ${isIn("th dport", name, "translated")} accept`,
    `${ECHO_REPLY[family]} ${isTranslated(IDENTIFIER)} accept`,
    `${ICMP_ERRORS[family]} ${quotesPlainly(fields)} ${isTranslated(quotedPort)} accept`,
    `${ICMP_ERRORS[family]} ${quotesEcho} ${isTranslated(quotedIdentifier)} accept`,
  ];
}

function isIn(field: string, name: string, set: string): string {
  return `${field} & ${UNIT_MASK} == @${name}_${set}`;
}

/** True of an ICMP error that quotes TCP or UDP, with its ports where `FamilyFields` has them. */
function quotesPlainly(fields: FamilyFields): string {
  return [...quoteStart(fields), `${payloadText(fields.quotedProtocol)} { ${TCP_AND_UDP.join(", ")} }`].join(
    " ",
  );
}

/** An IPv4 header of which a quote has options would have all behind it elsewhere. */
function quoteStart({ family }: FamilyFields): string[] {
  return family === 6 ? [] : [`${payloadText(QUOTED_IPV4_START)} 0x${PLAIN_IPV4_START.toString(16)}`];
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

/** Whether `nft` takes a name for a device as it is. */
export function isDeviceName(name: string): boolean {
  return /^[^\s"/]{1,15}$/.test(name);
}

function unitsOf({ base, order }: PortBlock): number[] {
  assert(order >= MIN_ORDER && base % UNIT_PORT_COUNT === 0, "a block is whole units");
  const count = portCountOf(order) / UNIT_PORT_COUNT;
  return Array.from({ length: count }, (_, at) => base / UNIT_PORT_COUNT + at);
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
