/**
 * Packets by chance, for two back ends that must do the same with each: of every kind, with ports around the ends of blocks,
 * and then broken in every way: bytes changed, cut off, behind chains of extension headers, with VLAN tags.
 */
import ipaddr from "ipaddr.js";
import type { Chance } from "../fuzz/chance.ts";
import {
  errorAbout,
  FAMILIES,
  type Family,
  FIRST_PORTS,
  FREE_PORT,
  type Kind,
  ORDERS,
  tcpFrom,
  tcpTo,
  udpFrom,
  udpTo,
} from "./packet-kinds.ts";
import { frame } from "./packets.ts";
import { hostOnLan } from "./plan.ts";

/** Extension headers that the program does not walk begin after these. */
const MOST_EXTENSIONS = 7;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const EXTENSIONS = [0, 43, FRAGMENT, AUTHENTICATION, 60] as const;
const EDGE_PORTS = (["h1", "h2", "h3"] as const).flatMap((host) => {
  const [first, end] = [FIRST_PORTS[host], FIRST_PORTS[host] + 2 ** ORDERS[host]];
  return [first - 1, first, first + 63, first + 64, end - 1, end];
});
const UNREACHABLE = { IPv4: 3, IPv6: 1 } as const;

/** One frame, from one of these addresses of hardware to the other. */
export function randomFrame(chance: Chance, from: string, to: string): Buffer {
  const family = chance.of(FAMILIES);
  const is4 = family.name === "IPv4";
  const route = { from: family.source(chance.below(100)), to: family.shared };
  let bytes = kindOf(chance, family).make(route);
  // Some are none of the router's business, and come out at a host as well.
  if (chance.is(0.03)) setDestination(bytes, is4 ? hostOnLan(1).ipv4 : hostOnLan(1).ipv6);
  if (!is4 && chance.is(0.15)) bytes = behindExtensions(chance, bytes);
  if (chance.is(0.25)) bytes = broken(chance, bytes);
  if (!is4 && fragmentHeaderCount(bytes) > 1) return randomFrame(chance, from, to);
  const framed = frame(from, to, bytes);
  // What it is stays said, whatever became of its first byte.
  framed.writeUInt16BE(is4 ? 0x0800 : 0x86dd, 12);
  return chance.is(0.02) ? tagged(chance, framed) : framed;
}

function kindOf(chance: Chance, family: Family): Pick<Kind, "make"> {
  const port = chance.is(0.5) ? chance.of([...EDGE_PORTS, FREE_PORT]) : chance.below(65_536);
  const from = family.shared;
  const type = UNREACHABLE[family.name as keyof typeof UNREACHABLE];
  return chance.of<() => Pick<Kind, "make">>([
    () => ({ make: tcpTo(port) }),
    () => ({ make: udpTo(port) }),
    () => ({ make: errorAbout(type, from, family.stranger, chance.of([tcpFrom(port), udpFrom(port)])) }),
    () => chance.of(family.kinds),
  ])();
}

function setDestination(bytes: Buffer, ip: string): void {
  Buffer.from(ipaddr.parse(ip).toByteArray()).copy(bytes, bytes[0]! >> 4 === 4 ? 16 : 24);
}

/** Of a second one nft knows nothing, and takes what is not there for a port. */
function fragmentHeaderCount(bytes: Buffer): number {
  let count = 0;
  let type = bytes[6]!;
  for (let at = 40; isExtension(type) && at + 2 <= bytes.length;) {
    const [next, length] = [bytes[at]!, bytes[at + 1]!];
    if (type === FRAGMENT) count += 1;
    if (type === FRAGMENT) at += 8;
    else at += type === AUTHENTICATION ? 4 * (length + 2) : 8 * (length + 1);
    type = next;
  }
  return count;
}

function isExtension(type: number): boolean {
  return EXTENSIONS.some((known) => known === type);
}

function behindExtensions(chance: Chance, bytes: Buffer): Buffer {
  const headers: Buffer[] = [];
  let next = bytes[6]!;
  let isFragment = next === FRAGMENT || bytes[40] === FRAGMENT;
  for (let count = 1 + chance.below(MOST_EXTENSIONS - 1); count > 0; count -= 1) {
    const drawn = chance.of(EXTENSIONS);
    const type = drawn === FRAGMENT && isFragment ? 60 : drawn;
    isFragment ||= type === FRAGMENT;
    const units = type === FRAGMENT ? 0 : chance.below(3);
    const header = Buffer.alloc(type === AUTHENTICATION ? 4 * (units + 2) : 8 * (units + 1));
    header[0] = next;
    header[1] = units;
    if (type === FRAGMENT) header.writeUInt16BE(chance.is(0.3) ? chance.below(65_536) : 0, 2);
    headers.unshift(header);
    next = type;
  }
  const whole = Buffer.concat([bytes.subarray(0, 40), ...headers, bytes.subarray(40)]);
  whole[6] = next;
  whole.writeUInt16BE(whole.length - 40, 4);
  return whole;
}

/** The addresses stay: by the one it is steered, by the other it is known at its host. */
function broken(chance: Chance, bytes: Buffer): Buffer {
  const [first, end] = bytes[0]! >> 4 === 4 ? [12, 20] : [8, 40];
  for (let count = 1 + chance.below(3); count > 0; count -= 1) {
    const at = chance.below(Math.min(bytes.length, 100));
    if (at < first || at >= end)
      bytes[at] = chance.is(0.3) ? chance.of([0, 1, 5, 6, 17, 58, 255]) : chance.below(256);
  }
  return chance.is(0.3) ? bytes.subarray(0, end + chance.below(bytes.length - end + 1)) : bytes;
}

function tagged(chance: Chance, framed: Buffer): Buffer {
  const tags = Array.from({ length: 1 + chance.below(2) }, () =>
    Buffer.from([0x81, 0x00, 0, 1 + chance.below(9)]),
  );
  return Buffer.concat([framed.subarray(0, 12), ...tags, framed.subarray(12)]);
}

/** Whether a frame that came out is one of these, and not one that a kernel has said of itself. */
export function isRandomFrame(framed: Buffer): boolean {
  let at = 12;
  while (framed.readUInt16BE(at) === 0x8100) at += 4;
  const is4 = framed.readUInt16BE(at) === 0x0800;
  const source = framed.subarray(at + (is4 ? 14 : 10), at + (is4 ? 17 : 16)).toString("hex");
  return source === (is4 ? "c63364" : "20010db8ffff");
}
