/**
 * Packets made by hand, with true checksums, to be injected: strays, forgeries and fragments
 * that no kernel would send of its own accord.
 */
import assert from "node:assert/strict";
import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

/** IP protocol numbers. */
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

/** Bits of a TCP header's flags. */
export const TCP_FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

/** From where to where; both of one family. */
export interface Route {
  readonly from: string;
  readonly to: string;
}

/** What an IP packet carries. */
export interface Payload {
  readonly protocol: number;
  readonly bytes: Buffer;
}

/** A TCP segment without options. */
export function tcp(
  route: Route,
  segment: { sourcePort: number; destinationPort: number; flags: number; data?: Buffer },
): Payload {
  const { sourcePort, destinationPort, flags, data = Buffer.alloc(0) } = segment;
  const bytes = Buffer.concat([Buffer.alloc(20), data]);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(destinationPort, 2);
  bytes.writeUInt32BE(0x01020304, 4);
  bytes[12] = 5 << 4;
  bytes[13] = flags;
  bytes.writeUInt16BE(65_535, 14);
  bytes.writeUInt16BE(checksum(pseudoHeader(route, PROTOCOL.tcp, bytes.length), bytes), 16);
  return { protocol: PROTOCOL.tcp, bytes };
}

/** A UDP datagram. */
export function udp(
  route: Route,
  datagram: { sourcePort: number; destinationPort: number; data?: Buffer },
): Payload {
  const { sourcePort, destinationPort, data = Buffer.from("stray") } = datagram;
  const bytes = Buffer.concat([Buffer.alloc(8), data]);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(destinationPort, 2);
  bytes.writeUInt16BE(bytes.length, 4);
  const sum = checksum(pseudoHeader(route, PROTOCOL.udp, bytes.length), bytes);
  bytes.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  return { protocol: PROTOCOL.udp, bytes };
}

/** An ICMP or ICMPv6 message, by the family of the route. `rest` is the second word of its head. */
export function icmp(
  route: Route,
  message: { type: number; code: number; rest: number; data?: Buffer },
): Payload {
  const { type, code, rest, data = Buffer.alloc(0) } = message;
  const bytes = Buffer.concat([Buffer.alloc(8), data]);
  bytes[0] = type;
  bytes[1] = code;
  bytes.writeUInt32BE(rest >>> 0, 4);
  const is4 = isIPv4(route.from);
  const pseudo = is4 ? Buffer.alloc(0) : pseudoHeader(route, PROTOCOL.icmp6, bytes.length);
  bytes.writeUInt16BE(checksum(pseudo, bytes), 2);
  return { protocol: is4 ? PROTOCOL.icmp : PROTOCOL.icmp6, bytes };
}

/** An echo request with this identifier. */
export function echoRequest(route: Route, identifier: number): Payload {
  return icmp(route, { type: isIPv4(route.from) ? 8 : 128, code: 0, rest: identifier << 16 });
}

/** Fragmentation of an IPv4 packet: the place of this part in octets, and whether more follow. */
export interface Fragment {
  readonly offset: number;
  readonly hasMore: boolean;
}

/** A packet of either family, by that of the route. IPv4 packets may be fragments. */
export function packet(route: Route, payload: Payload, fragment?: Fragment): Buffer {
  return isIPv4(route.from) ? packet4(route, payload, fragment) : packet6(route, payload);
}

function packet4({ from, to }: Route, { protocol, bytes }: Payload, fragment?: Fragment): Buffer {
  const head = Buffer.alloc(20);
  head[0] = 0x45;
  head.writeUInt16BE(20 + bytes.length, 2);
  head.writeUInt16BE(0x1234, 4);
  if (fragment !== undefined) {
    assert(fragment.offset % 8 === 0, "fragments begin at multiples of eight octets");
    head.writeUInt16BE((fragment.hasMore ? 0x2000 : 0) | (fragment.offset / 8), 6);
  }
  head[8] = 64;
  head[9] = protocol;
  addressBytes(from).copy(head, 12);
  addressBytes(to).copy(head, 16);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, bytes]);
}

function packet6({ from, to }: Route, { protocol, bytes }: Payload): Buffer {
  const head = Buffer.alloc(40);
  head[0] = 0x60;
  head.writeUInt16BE(bytes.length, 4);
  head[6] = protocol;
  head[7] = 64;
  addressBytes(from).copy(head, 8);
  addressBytes(to).copy(head, 24);
  return Buffer.concat([head, bytes]);
}

/** An Ethernet frame around a packet. */
export function frame(sourceMac: string, destinationMac: string, bytes: Buffer): Buffer {
  const isVersion4 = bytes[0]! >> 4 === 4;
  const type = Buffer.from(isVersion4 ? [0x08, 0x00] : [0x86, 0xdd]);
  return Buffer.concat([macBytes(destinationMac), macBytes(sourceMac), type, bytes]);
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

function addressBytes(ip: string): Buffer {
  return Buffer.from(ipaddr.parse(ip).toByteArray());
}

function pseudoHeader({ from, to }: Route, protocol: number, length: number): Buffer {
  if (isIPv4(from)) {
    const tail = Buffer.from([0, protocol, length >> 8, length & 0xff]);
    return Buffer.concat([addressBytes(from), addressBytes(to), tail]);
  }
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail[7] = protocol;
  return Buffer.concat([addressBytes(from), addressBytes(to), tail]);
}

/** The Internet checksum (RFC 1071) of these parts, each padded to an even length. */
function checksum(...parts: readonly Buffer[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) sum += (part[at]! << 8) | (part[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
