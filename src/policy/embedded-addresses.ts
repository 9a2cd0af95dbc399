/** IPv4 addresses inside of IPv6 addresses: what they carry is what decides. [DE2] */
import ipaddr from "ipaddr.js";
import { type Address, isIn, parseAddress, parseRange, type Range } from "./special-ranges.ts";

/** Where a range keeps the IPv4 address that it embeds: offset in bytes. */
const EMBEDDING: readonly (readonly [Range, number])[] = (
  [
    ["::ffff:0:0/96", 12], // mapped
    ["::/96", 12], // compatible; :: and ::1 become 0.0.0.0 and 0.0.0.1
    ["::ffff:0:0:0/96", 12], // translated (SIIT)
    ["64:ff9b::/96", 12], // NAT64
    ["2002::/16", 2], // 6to4
  ] as const
).map(([text, offset]) => [ipaddr.parseCIDR(text), offset]);

const TEREDO: Range = parseRange("2001::/32");

/** The IPv4 addresses that an address carries: none, one, or the two of Teredo. */
export function carriedBy(address: Address): readonly ipaddr.IPv4[] {
  if (address.kind() === "ipv4") return [];
  const bytes = address.toByteArray();
  if (isIn(address, TEREDO)) {
    const obscured = bytes.slice(12, 16).map((byte) => byte ^ 0xff);
    return [new ipaddr.IPv4(bytes.slice(4, 8)), new ipaddr.IPv4(obscured)];
  }
  for (const [range, offset] of EMBEDDING) {
    if (isIn(address, range)) return [new ipaddr.IPv4(bytes.slice(offset, offset + 4))];
  }
  // ISATAP: an interface identifier of 00-00-5E-FE or 02-00-5E-FE before the IPv4 address.
  const isIsatap = (bytes[8]! & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
  return isIsatap ? [new ipaddr.IPv4(bytes.slice(12, 16))] : [];
}

/** Whether the address is nothing but a wrapping, so that what it carries decides alone. */
export function isWrapping(address: Address): boolean {
  return isIn(address, TEREDO) || EMBEDDING.some(([range]) => isIn(address, range));
}

/** The text to dial: an IPv4-mapped IPv6 address is the IPv4 address to every kernel. */
export function unmapped(address: string): string {
  if (!address.includes(":") || !ipaddr.isValid(address)) return address;
  const read = parseAddress(address);
  const isMapped = read instanceof ipaddr.IPv6 && read.isIPv4MappedAddress();
  return (isMapped ? read.toIPv4Address() : read).toString();
}
