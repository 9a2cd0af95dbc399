/**
 * How the values of the program's maps are laid out, as `tables.h` has it; whoever changes one changes both. Numbers are
 * in the machine's byte order, which is little-endian wherever a package of ours runs; addresses are as in a packet.
 */
import ipaddr from "ipaddr.js";
import { type Family, familyOf } from "../../core/address-family.ts";

/** Entries of a line: 2,048 ports each, or 64 each in a fine one. */
export const LINE_ENTRIES = 32;
/** Marks an entry that names a fine line. */
const FINE = 0x8000_0000;
/** Places for next hops. */
export const MOST_HOPS = 4096;
/** Addresses of one family. */
export const MOST_ADDRESSES = 65_536;

const HOP_NONE = 0;
const HOP_NEIGHBOUR = 1;
const HOP_NEIGHBOUR_BY_NFT = 2;
const HOP_STACK = 3;

interface NeighbourHop {
  readonly kind: "neighbour";
  readonly family: Family;
  readonly device: string;
  readonly ifindex: number;
  readonly ip: string;
}

interface StackHop {
  readonly kind: "stack";
  readonly mark: number;
}

/** Where packets for one host in one family are to go. */
export type WantedHop = NeighbourHop | StackHop;

/** The same, and for a neighbour whether the kernel redirects to its device; else nft forwards to it. */
export type Hop = (NeighbourHop & { readonly isRedirected: boolean }) | StackHop;

/** A line: what stands for each part of the ports. */
export type Line = Uint32Array<ArrayBuffer>;

/** An entry that names a fine line. */
export function fineEntry(number: number): number {
  return (FINE | number) >>> 0;
}

/** The number of the fine line that an entry names; null when it names a hop. */
export function fineNumberOf(entry: number): number | null {
  return entry >= FINE ? entry - FINE : null;
}

/** The octets of an address, as a packet has them. */
export function addressBytes(ip: string): Uint8Array {
  return Uint8Array.from(ipaddr.parse(ip).toByteArray());
}

/** The address of these octets, as it is written everywhere. */
export function addressOf(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes]);
  return address.kind() === "ipv6" ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** A number as a key. */
export function numberBytes(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** The number behind a key. */
export function readNumber(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** A hop as the program reads it. `generation` is another one for each content that its place ever had. */
export function hopBytes(hop: Hop | null, generation: number): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint32(12, generation, true);
  if (hop === null) {
    view.setUint32(0, HOP_NONE, true);
  } else if (hop.kind === "stack") {
    view.setUint32(0, HOP_STACK, true);
    // The program has no use for it; a router that starts again reads it here.
    view.setUint32(16, hop.mark, true);
  } else {
    view.setUint32(0, hop.isRedirected ? HOP_NEIGHBOUR : HOP_NEIGHBOUR_BY_NFT, true);
    view.setUint32(4, familyOf(hop.ip), true);
    view.setUint32(8, hop.ifindex, true);
    bytes.set(addressBytes(hop.ip), 16);
  }
  return bytes;
}

/** What a hop's place holds; null for nothing. Devices are named by `nameOf`, by their index. */
export function readHop(bytes: Uint8Array, nameOf: (ifindex: number) => string): Hop | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = view.getUint32(0, true);
  if (kind === HOP_STACK) return { kind: "stack", mark: view.getUint32(16, true) };
  if (kind !== HOP_NEIGHBOUR && kind !== HOP_NEIGHBOUR_BY_NFT) return null;
  const family = view.getUint32(4, true) === 4 ? 4 : 6;
  const ifindex = view.getUint32(8, true);
  return {
    kind: "neighbour",
    family,
    device: nameOf(ifindex),
    ifindex,
    ip: addressOf(bytes.subarray(16, family === 4 ? 20 : 32)),
    isRedirected: kind === HOP_NEIGHBOUR,
  };
}

/**
 * The limits of ICMP errors, as the program reads them: the time that one uses up, and what may be used ahead; and whose
 * program it is.
 */
export function settingsBytes(errorsPerSecond: number, burstSeconds: number, owner: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(Math.round(1e9 / errorsPerSecond)), true);
  view.setBigUint64(8, BigInt(burstSeconds) * 1_000_000_000n, true);
  view.setBigUint64(16, BigInt(owner), true);
  return bytes;
}

/** Whose program it is, by its settings. */
export function readOwner(settings: Uint8Array): number {
  return Number(new DataView(settings.buffer, settings.byteOffset).getBigUint64(16, true));
}

/** The line of these octets. */
export function readLine(bytes: Uint8Array): Line {
  const copy = Uint8Array.from(bytes);
  return new Uint32Array(copy.buffer);
}
