/**
 * Every kind of packet that comes to a router for a shared address, made by hand, with the host
 * that it belongs to or the reason for which it is dropped.
 */
import type { DropReason } from "../../src/router/steering/drop-reasons.ts";
import { icmp, packet, type Payload, PROTOCOL, type Route, tcp, TCP_FLAG, udp } from "./packets.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";

/** One block of each size of elements. */
export const FIRST_PORTS = { h1: 2048, h2: 4096, h3: 6144 } as const;
export const ORDERS = { h1: 11, h2: 9, h3: 6 } as const;
/** Nobody's. */
export const FREE_PORT = 6144 + 64;

/** One kind of packet: what it is, and the host it belongs to or why it is dropped. */
export interface Kind {
  readonly name: string;
  readonly goes: "h1" | "h2" | "h3" | DropReason;
  readonly make: (route: Route) => Buffer;
}

/** All kinds of one family, and the addresses that they have. */
export interface Family {
  readonly name: string;
  readonly shared: string;
  readonly stranger: string;
  readonly source: (at: number) => string;
  readonly kinds: readonly Kind[];
}

function carrying(payload: (route: Route) => Payload): Kind["make"] {
  return (route) => packet(route, payload(route));
}

/** TCP to a port. */
export function tcpTo(port: number): Kind["make"] {
  const segment = { sourcePort: 443, destinationPort: port, flags: TCP_FLAG.ack };
  return carrying((route) => tcp(route, segment));
}

/** UDP to a port. */
export function udpTo(port: number): Kind["make"] {
  return carrying((route) => udp(route, { sourcePort: 53, destinationPort: port }));
}

function icmpOf(type: number, rest: number, data?: Buffer): Kind["make"] {
  return carrying((route) =>
    icmp(route, data === undefined ? { type, code: 0, rest } : { type, code: 0, rest, data }),
  );
}

/** An error about a packet that a host has sent, with no more than eight octets of its transport header. */
export function errorAbout(
  type: number,
  from: string,
  to: string,
  sent: (route: Route) => Payload,
): Kind["make"] {
  const route = { from, to };
  const { protocol, bytes } = sent(route);
  return icmpOf(type, 0, packet(route, { protocol, bytes: bytes.subarray(0, 8) }));
}

/** What a host has sent by TCP from a port. */
export function tcpFrom(port: number): (route: Route) => Payload {
  return (route) => tcp(route, { sourcePort: port, destinationPort: 443, flags: TCP_FLAG.ack });
}

/** What a host has sent by UDP from a port. */
export function udpFrom(port: number): (route: Route) => Payload {
  return (route) => udp(route, { sourcePort: port, destinationPort: 53 });
}

/** A packet with one byte changed; the header's checksum is right again. */
export function withByte(make: Kind["make"], at: number, value: number): Kind["make"] {
  return (route) => {
    const bytes = make(route);
    bytes[at] = value;
    return bytes[0]! >> 4 === 4 ? withSum(bytes) : bytes;
  };
}

/** Puts the right checksum into an IPv4 header. */
function withSum(bytes: Buffer): Buffer {
  bytes.writeUInt16BE(0, 10);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
  return bytes;
}

/** What is the same in both families. */
function commonKinds(
  shared: string,
  origin: string,
  types: { unreachable: number; request: number; reply: number; hopLimitAt: number },
): Kind[] {
  const { unreachable, request, reply, hopLimitAt } = types;
  const about = (sent: (route: Route) => Payload): Kind["make"] =>
    errorAbout(unreachable, shared, origin, sent);
  return [
    { name: "first port, TCP", goes: "h1", make: tcpTo(2048) },
    { name: "last port, TCP", goes: "h1", make: tcpTo(4095) },
    { name: "first port, UDP", goes: "h2", make: udpTo(4096) },
    { name: "last port of two elements", goes: "h2", make: udpTo(4607) },
    { name: "port after the last", goes: "unleased", make: udpTo(4608) },
    { name: "small block", goes: "h3", make: udpTo(6144 + 63) },
    { name: "port below all", goes: "unleased", make: tcpTo(22) },
    { name: "highest port", goes: "unleased", make: tcpTo(65_535) },
    { name: "echo reply", goes: "h1", make: icmpOf(reply, 2050 << 16) },
    { name: "echo reply to nobody", goes: "unleased", make: icmpOf(reply, FREE_PORT << 16) },
    { name: "echo request", goes: "echo_request", make: icmpOf(request, 2050 << 16) },
    { name: "error about TCP", goes: "h2", make: about(tcpFrom(4100)) },
    { name: "error about UDP", goes: "h3", make: about(udpFrom(6150)) },
    { name: "error about a free port", goes: "unleased", make: about(tcpFrom(FREE_PORT)) },
    {
      name: "error about an echo",
      goes: "h2",
      make: about((route) => icmp(route, { type: request, code: 0, rest: 4100 << 16 })),
    },
    {
      name: "error about an echo reply",
      goes: "unreadable_quote",
      make: about((route) => icmp(route, { type: reply, code: 0, rest: 4100 << 16 })),
    },
    {
      name: "error about another's packet",
      goes: "unrelated_error",
      make: errorAbout(unreachable, origin, shared, tcpFrom(4100)),
    },
    {
      name: "error that ends in the quoted header",
      goes: "unrelated_error",
      make: icmpOf(unreachable, 0, Buffer.alloc(6, 0x45)),
    },
    {
      name: "error that ends before the port",
      goes: "unleased",
      make: icmpOf(unreachable, 0, packet({ from: shared, to: origin }, tcpOfLength(1))),
    },
    { name: "another protocol", goes: "other_protocol", make: carrying(() => rawOf(47, Buffer.alloc(16))) },
    { name: "last hop", goes: "hop_limit", make: withByte(udpTo(2048), hopLimitAt, 1) },
    { name: "last hop but one", goes: "h1", make: withByte(udpTo(2048), hopLimitAt, 2) },
  ];
}

function rawOf(protocol: number, bytes: Buffer): Payload {
  return { protocol, bytes };
}

function tcpOfLength(length: number): Payload {
  return rawOf(PROTOCOL.tcp, Buffer.alloc(length, 0x10));
}

/** An IPv6 extension header of eight octets in front of a UDP header. */
function behind(headerType: number, head: readonly number[], port: number): Kind["make"] {
  return carrying((route) => {
    const { bytes } = udp(route, { sourcePort: 53, destinationPort: port });
    return rawOf(headerType, Buffer.concat([Buffer.from([PROTOCOL.udp, ...head]), bytes]));
  });
}

const PADDING = [0, 1, 4, 0, 0, 0, 0] as const;
/** Both families. */
export const FAMILIES: readonly Family[] = [
  {
    name: "IPv4",
    shared: SHARED_IPV4,
    stranger: ORIGINS_IPV4[0],
    source: (at) => `198.51.100.${30 + at}`,
    kinds: [
      ...commonKinds(SHARED_IPV4, ORIGINS_IPV4[0], { unreachable: 3, request: 8, reply: 0, hopLimitAt: 8 }),
      {
        name: "time exceeded",
        goes: "h1",
        make: errorAbout(11, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)),
      },
      {
        name: "quote with options",
        goes: "unreadable_quote",
        make: withByte(errorAbout(3, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)), 28, 0x46),
      },
      {
        name: "quote of a later fragment",
        goes: "unreadable_quote",
        make: withByte(errorAbout(3, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)), 35, 5),
      },
      {
        name: "redirect",
        goes: "other_icmp",
        make: errorAbout(5, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)),
      },
      {
        name: "first fragment",
        goes: "h1",
        make: (route) =>
          packet(route, udp(route, { sourcePort: 53, destinationPort: 2048 }), { offset: 0, hasMore: true }),
      },
      {
        name: "later fragment",
        goes: "fragment",
        make: (route) =>
          packet(route, rawOf(PROTOCOL.udp, Buffer.alloc(64, 8)), { offset: 64, hasMore: false }),
      },
      {
        name: "later fragment of ICMP",
        goes: "fragment",
        make: (route) =>
          packet(route, rawOf(PROTOCOL.icmp, Buffer.alloc(64)), { offset: 64, hasMore: false }),
      },
    ],
  },
  {
    name: "IPv6",
    shared: SHARED_IPV6,
    stranger: ORIGINS_IPV6[0],
    source: (at) => `2001:db8:ffff::1:${at}`,
    kinds: [
      ...commonKinds(SHARED_IPV6, ORIGINS_IPV6[0], {
        unreachable: 1,
        request: 128,
        reply: 129,
        hopLimitAt: 7,
      }),
      { name: "too big", goes: "h1", make: errorAbout(2, SHARED_IPV6, ORIGINS_IPV6[0], tcpFrom(2048)) },
      {
        name: "redirect",
        goes: "other_icmp",
        make: errorAbout(137, SHARED_IPV6, ORIGINS_IPV6[0], tcpFrom(2048)),
      },
      { name: "behind destination options", goes: "h2", make: behind(60, PADDING, 4096) },
      { name: "first fragment", goes: "h2", make: behind(44, [0, 0, 1, 0, 0, 0, 7], 4096) },
      { name: "later fragment", goes: "fragment", make: behind(44, [0, 1, 0, 0, 0, 0, 7], 4096) },
      {
        // The kernel takes the IPv6 header for the transport header of such a packet.
        name: "later fragment with a flow label like a port",
        goes: "fragment",
        make: withByte(behind(44, [0, 1, 0, 0, 0, 0, 7], 4096), 2, 0x10),
      },
      { name: "no next header", goes: "other_protocol", make: carrying(() => rawOf(59, Buffer.alloc(8))) },
    ],
  },
];
