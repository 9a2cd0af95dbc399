/**
 * Steering entries as elements of the kernel's maps. [RT1]
 *
 * The kernel looks an address and a masked port up in hash tables, since those can be changed
 * in constant time however large they are. A mask belongs to a table, so blocks of seven sizes
 * would need seven look-ups a packet; instead there are three sizes of elements, and a block
 * between two of them is written as two or four of the smaller.
 */
import ipaddr from "ipaddr.js";
import { type PortBlock, PORT_END, portCountOf } from "../../core/port-block.ts";
import { type Destination } from "../steering/router-config.ts";
import { type Family, familyOf } from "../../core/address-family.ts";

/** Sizes of elements as powers of two, in the order in which the kernel asks for them. */
export const ELEMENT_ORDERS = [11, 8, 6] as const;
export type ElementOrder = (typeof ELEMENT_ORDERS)[number];

/** A map from (address, masked port) to where the packet goes: one per family, size and way. */
export interface SteeringMap {
  readonly name: string;
  readonly family: Family;
  readonly order: ElementOrder;
  /** The output device of a map of next hops; null for a map of marks. */
  readonly device: string | null;
}

/** One element: key and, for a map, data, spelled as the kernel's tools print them. */
export interface Element {
  /** The map or set that it is in. */
  readonly container: string;
  readonly key: string;
  readonly data: string | number | null;
}

/** The map that holds elements of this size for packets that go this way. */
export function steeringMap(family: Family, order: ElementOrder, device: string | null): SteeringMap {
  const way = device === null ? "stack" : `via_${nameOfDevice(device)}`;
  return { name: `${way}_ip${family}_${order}`, family, order, device };
}

/** The mask that leaves of a port what is the same for the whole element. */
export function maskOf(order: ElementOrder): number {
  return PORT_END - portCountOf(order);
}

/** Calls back with each element that sends a block's packets to a destination. */
export function forEachElement(
  entry: PortBlock & { readonly ip: string },
  destination: Destination,
  use: (map: SteeringMap, element: Element) => void,
): void {
  const order = ELEMENT_ORDERS.find((candidate) => candidate <= entry.order)!;
  const isNeighbour = destination.kind === "neighbour";
  const map = steeringMap(familyOf(entry.ip), order, isNeighbour ? destination.device : null);
  const data = isNeighbour ? destination.nextHop : destination.mark;
  const address = addressKey(entry.ip);
  const end = entry.base + portCountOf(entry.order);
  for (let base = entry.base; base < end; base += portCountOf(order)) {
    use(map, { container: map.name, key: `${address} ${base}`, data });
  }
}

/** An address as the number that stands in a packet: decimal for IPv4, 32 hex digits for IPv6. */
export function addressKey(ip: string): string {
  const bytes = ipaddr.parse(ip).toByteArray();
  if (bytes.length === 4) return String(bytes.reduce((sum, byte) => sum * 256 + byte, 0));
  return `0x${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The address behind a number of `addressKey`. */
export function ipOf(key: string): string {
  const digits = key.startsWith("0x") ? key.slice(2) : Number(key).toString(16).padStart(8, "0");
  const bytes = digits.match(/../g)!.map((pair) => Number.parseInt(pair, 16));
  const address = ipaddr.fromByteArray(bytes);
  return address.kind() === "ipv6" ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** A device's name in the letters that nftables takes, still unlike that of every other device. */
export function nameOfDevice(device: string): string {
  return device.replaceAll(/[^A-Za-z0-9]/g, (letter) => `_${letter.codePointAt(0)!.toString(16)}_`);
}
