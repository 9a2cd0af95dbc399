/**
 * What the Internet sends to an address unasked: probes of every port with every flag, forged
 * ICMP, fragments. Each kind says how a router should count it. Everything is drawn from a seed.
 */
import { isIPv4 } from "node:net";
import type { DropReason } from "../../src/router/steering/drop-reasons.ts";
import {
  echoRequest,
  icmp,
  packet,
  type Payload,
  PROTOCOL,
  type Route,
  tcp,
  TCP_FLAG,
  udp,
} from "./packets.ts";

/** Packets, and the reason for which all of them should be dropped. */
export interface Noise {
  readonly name: string;
  readonly reason: DropReason;
  readonly packets: readonly Buffer[];
}

/** Draws whole numbers from 0 up to, not including, a limit. */
export type Draw = (limit: number) => number;

/** As much of a quoted transport header as ICMP promises. */
const QUOTED_OCTETS = 8;

/** The same draws for the same seed (SplitMix32, which passes every seed through its mixer). */
export function drawFrom(seed: number): Draw {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return Math.floor(((mixed ^ (mixed >>> 15)) >>> 0) * (limit / 2 ** 32));
  };
}

/** So many segments, each to one of these ports with any of the 256 combinations of flags. */
export function probes(route: Route, ports: readonly number[], count: number, draw: Draw): Noise {
  const packets = Array.from({ length: count }, () =>
    packet(
      route,
      tcp(route, {
        sourcePort: draw(65_536),
        destinationPort: ports[draw(ports.length)]!,
        flags: draw(256),
      }),
    ),
  );
  return { name: "TCP with any flags", reason: "unleased", packets };
}

/** So many of each other kind, about ports of which none is leased. */
export function otherNoise(route: Route, ports: readonly number[], count: number, draw: Draw): Noise[] {
  const isVersion4 = isIPv4(route.to);
  const port = (): number => ports[draw(ports.length)]!;
  const kind = (name: string, reason: DropReason, make: () => Payload): Noise => {
    const packets = Array.from({ length: count }, () => packet(route, make()));
    return { name, reason, packets };
  };
  const back = { from: route.to, to: route.from };
  const types = isVersion4 ? { error: 3, reply: 0, redirect: 5 } : { error: 1, reply: 129, redirect: 137 };
  const datagram = (): Payload => udp(route, { sourcePort: draw(65_536), destinationPort: port() });
  const quoting = (quoted: Route): Payload => {
    const { protocol, bytes } = tcp(quoted, { sourcePort: port(), destinationPort: 443, flags: draw(256) });
    const data = packet(quoted, { protocol, bytes: bytes.subarray(0, QUOTED_OCTETS) });
    return icmp(route, { type: types.error, code: draw(4), rest: draw(2 ** 31), data });
  };
  return [
    kind("UDP", "unleased", datagram),
    kind("echo request", "echo_request", () => echoRequest(route, draw(65_536))),
    kind("echo reply", "unleased", () => icmp(route, { type: types.reply, code: 0, rest: port() << 16 })),
    kind("error about a port", "unleased", () => quoting(back)),
    kind("error about another's packet", "unrelated_error", () => quoting(route)),
    kind("redirect", "other_icmp", () => icmp(route, { type: types.redirect, code: 0, rest: 0 })),
    kind("another protocol", "other_protocol", () => ({ protocol: 47, bytes: Buffer.alloc(16, draw(256)) })),
    ...(isVersion4 ? fragments4(route, datagram, count, draw) : fragments6(route, port, count, draw)),
  ];
}

/** Errors about the very connections to a destination that these ports may have, each with a wrong guess. */
export function forgeries(
  route: Route,
  ports: readonly number[],
  destination: { readonly ip: string; readonly port: number },
  draw: Draw,
): Buffer[] {
  const isVersion4 = isIPv4(route.to);
  const quoted = { from: route.to, to: destination.ip };
  // Host and port unreachable, and a packet that was too big, for the smallest MTU there is.
  const kinds = isVersion4
    ? [[3, 1, 0] as const, [3, 3, 0] as const, [3, 4, 576] as const]
    : [[1, 3, 0] as const, [1, 4, 0] as const, [2, 0, 1280] as const];
  return ports.flatMap((port) =>
    kinds.map(([type, code, rest]) => {
      const { protocol, bytes } = tcp(quoted, {
        sourcePort: port,
        destinationPort: destination.port,
        flags: TCP_FLAG.ack,
      });
      bytes.writeUInt32BE(draw(2 ** 32), 4);
      const data = packet(quoted, { protocol, bytes: bytes.subarray(0, QUOTED_OCTETS) });
      return packet(route, icmp(route, { type, code, rest, data }));
    }),
  );
}

function fragments4(route: Route, datagram: () => Payload, count: number, draw: Draw): Noise[] {
  const later = (): Buffer => {
    const fragment = { offset: 8 * (1 + draw(8000)), hasMore: draw(2) === 0 };
    return packet(route, { protocol: PROTOCOL.udp, bytes: Buffer.alloc(64, draw(256)) }, fragment);
  };
  const first = (): Buffer => packet(route, datagram(), { offset: 0, hasMore: true });
  return [
    { name: "first fragment", reason: "unleased", packets: Array.from({ length: count }, first) },
    { name: "later fragment", reason: "fragment", packets: Array.from({ length: count }, later) },
  ];
}

function fragments6(route: Route, port: () => number, count: number, draw: Draw): Noise[] {
  const make = (offset: number): Buffer => {
    const { bytes } = udp(route, { sourcePort: draw(65_536), destinationPort: port() });
    const head = Buffer.from([PROTOCOL.udp, 0, 0, 1, 0, 0, 0, draw(256)]);
    head.writeUInt16BE((offset << 3) | 1, 2);
    return packet(route, { protocol: 44, bytes: Buffer.concat([head, bytes]) });
  };
  const first = Array.from({ length: count }, () => make(0));
  const later = Array.from({ length: count }, () => make(1 + draw(8000)));
  return [
    { name: "first fragment", reason: "unleased", packets: first },
    { name: "later fragment", reason: "fragment", packets: later },
  ];
}
