/**
 * Where the fields that guard and steering ask for stand in a packet, as nftables' raw payload
 * expressions: IPv4 without and with options alike, ICMP errors with the packet they quote.
 *
 * For steering ports are always loaded as the lower half of a 32-bit word, so that one kind of key serves
 * a destination port, a quoted source port and an echo identifier. Raw loads also need no
 * check of the protocol each, which nft would else put before every one of them.
 */
import type { Family } from "../../core/address-family.ts";

/** An expression of nft's JSON. */
export type Expression = Readonly<Record<string, unknown>>;

/** Bits of a packet: from its frame, from its network header or from its transport header. */
export interface Field {
  readonly base: "ll" | "nh" | "th";
  readonly offset: number;
  readonly len: number;
}

/** All that differs between the families. */
export interface FamilyFields {
  readonly family: Family;
  /** As `fwd` calls the family. */
  readonly name: "ip" | "ip6";
  readonly source: Field;
  readonly destination: Field;
  readonly hopLimit: Field;
  /**
   * True of packets that have their ports where they nearly always are: TCP, or UDP, right
   * behind the IP header, and no later fragment. The kernel loads transport headers from
   * fragments too, so rules have to ask. All of these are loads, masks and comparisons that
   * the kernel carries out without a call; even a set of two protocols costs more.
   */
  readonly plain: readonly (readonly Expression[])[];
  /** The transport protocol, whatever stands between. */
  readonly protocol: Expression;
  readonly icmp: number;
  readonly icmpTypes: {
    readonly errors: readonly number[];
    readonly echoRequest: number;
    readonly echoReply: number;
    /** Of the link itself, for the machine that they reach. */
    readonly neighbour: readonly number[];
  };
  /** True of a fragment that carries no ports. */
  readonly isLaterFragment: Expression;
  /** True of a quoted packet in which the ports stand elsewhere, or not at all. */
  readonly isQuoteUnreadable: readonly Expression[];
  readonly quotedProtocol: Field;
  readonly quotedSource: Field;
  readonly quotedDestinationPort: Field;
  /** First byte of the quoted source port: a 256th of the address. */
  readonly quotedPortByte: Field;
  readonly quotedPortWord: Field;
  readonly quotedIcmpType: Field;
  readonly quotedIdentifierWord: Field;
}

export const ICMP_TYPE: Field = { base: "th", offset: 0, len: 8 };
/** Source and destination port. */
export const PORT_WORD: Field = { base: "th", offset: 0, len: 32 };
/** Checksum and identifier of an echo. */
export const IDENTIFIER_WORD: Field = { base: "th", offset: 16, len: 32 };
/** Of an echo. */
export const IDENTIFIER: Field = { base: "th", offset: 32, len: 16 };
/** Version and length of the header of an IPv4 packet that an ICMP error quotes. */
export const QUOTED_IPV4_START: Field = { base: "th", offset: 64, len: 8 };
/** The same byte of a header without options. */
export const PLAIN_IPV4_START = 0x45;
export const TCP_AND_UDP = [6, 17] as const;

/** `@th,16,32` as JSON. */
export function payload(field: Field): Expression {
  return { payload: { ...field } };
}

/** `@th,16,32`, as text. */
export function payloadText({ base, offset, len }: Field): string {
  return `@${base},${offset},${len}`;
}

/** Whether a value is the other, or among others. */
export function is(left: Expression, right: unknown): Expression {
  return { match: { op: "==", left, right } };
}

/** The opposite of `is`. */
export function isNot(left: Expression, right: unknown): Expression {
  return { match: { op: "!=", left, right } };
}

function nh(offset: number, len: number): Field {
  return { base: "nh", offset, len };
}

function th(offset: number, len: number): Field {
  return { base: "th", offset, len };
}

/** After an ICMP header of 8 bytes, an IPv4 header of 20, then the quoted transport header. */
const IPV4: FamilyFields = {
  family: 4,
  name: "ip",
  source: nh(96, 32),
  destination: nh(128, 32),
  hopLimit: nh(64, 8),
  // Version and length of the header are one byte; fragment offset, hop limit and protocol one word.
  plain: TCP_AND_UDP.map((protocol) => [
    is(payload(nh(0, 8)), PLAIN_IPV4_START),
    is({ "&": [payload(nh(48, 32)), 0x1fff_00ff] }, protocol),
  ]),
  protocol: payload(nh(72, 8)),
  icmp: 1,
  // Destination Unreachable with Fragmentation Needed, Time Exceeded, Parameter Problem.
  icmpTypes: { errors: [3, 11, 12], echoRequest: 8, echoReply: 0, neighbour: [] },
  isLaterFragment: isNot({ "&": [payload(nh(48, 16)), 0x1fff] }, 0),
  isQuoteUnreadable: [
    // Our hosts send no IP options; a quote with them is not of our packets.
    isNot(payload(QUOTED_IPV4_START), PLAIN_IPV4_START),
    isNot({ "&": [payload(th(112, 16)), 0x1fff] }, 0),
  ],
  quotedProtocol: th(136, 8),
  quotedSource: th(160, 32),
  quotedDestinationPort: th(240, 16),
  quotedPortByte: th(224, 8),
  quotedPortWord: th(208, 32),
  quotedIcmpType: th(224, 8),
  quotedIdentifierWord: th(240, 32),
};

/** After an ICMPv6 header of 8 bytes, an IPv6 header of 40, then the quoted transport header. */
const IPV6: FamilyFields = {
  family: 6,
  name: "ip6",
  source: nh(64, 128),
  destination: nh(192, 128),
  hopLimit: nh(56, 8),
  plain: TCP_AND_UDP.map((protocol) => [
    is({ "&": [payload(nh(0, 8)), 0xf0] }, 0x60),
    is(payload(nh(48, 8)), protocol),
  ]),
  protocol: { meta: { key: "l4proto" } },
  icmp: 58,
  // Destination Unreachable, Packet Too Big, Time Exceeded, Parameter Problem.
  icmpTypes: { errors: [1, 2, 3, 4], echoRequest: 128, echoReply: 129, neighbour: [135, 136] },
  isLaterFragment: isNot({ exthdr: { name: "frag", field: "frag-off", offset: 0 } }, 0),
  isQuoteUnreadable: [],
  quotedProtocol: th(112, 8),
  quotedSource: th(128, 128),
  quotedDestinationPort: th(400, 16),
  quotedPortByte: th(384, 8),
  quotedPortWord: th(368, 32),
  quotedIcmpType: th(384, 8),
  quotedIdentifierWord: th(400, 32),
};

/** Both families, IPv4 first. */
export const FAMILIES: readonly FamilyFields[] = [IPV4, IPV6];

/** The fields of one family. */
export function fieldsOf(family: Family): FamilyFields {
  return family === 4 ? IPV4 : IPV6;
}
