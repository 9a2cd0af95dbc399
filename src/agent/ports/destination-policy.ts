/**
 * Which addresses a client may reach: by default only what is globally reachable.
 *
 * Every IPv6 form that carries an IPv4 address is unwrapped first and judged by what it
 * carries, so that no spelling of 127.0.0.1 gets through and no NAT64 form of a public
 * address is refused. What is judged is the address that is then dialled, never a name.
 * [DE1] [DE2] [DE3]
 */
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

const SPECIAL_IPV4: readonly Range[] = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, metadata services among them
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays, deprecated
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarking
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, and the limited broadcast
].map((text) => ipaddr.parseCIDR(text));

/** Of IPv6 only this is unicast and global; all else is special or not assigned. */
const GLOBAL_IPV6: Range = ipaddr.parseCIDR("2000::/3");

const SPECIAL_IPV6: readonly Range[] = [
  "2001::/23", // protocol assignments; Teredo is unwrapped before
  "2001:db8::/32", // documentation
  "3fff::/20", // documentation
].map((text) => ipaddr.parseCIDR(text));

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

const TEREDO: Range = ipaddr.parseCIDR("2001::/32");

/** Verdicts that are remembered at once. */
const MAX_VERDICTS = 4_096;

/** Decides which destination addresses may be dialled. */
export class DestinationPolicy {
  readonly #allowed: readonly Range[];
  /** By address as it was written: parsing and comparing would cost more than choosing a port. */
  readonly #verdicts = new Map<string, boolean>();

  /** `allowed` are ranges in CIDR form that may be reached although they are special. */
  constructor(allowed: readonly string[] = []) {
    this.#allowed = allowed.map((text) => ipaddr.parseCIDR(text));
  }

  /** Whether an address (as text, in any form) may be dialled. What is no address may not. */
  permits(address: string): boolean {
    const known = this.#verdicts.get(address);
    if (known !== undefined) return known;
    const verdict = ipaddr.isValid(address) && this.#permits(ipaddr.parse(address));
    // Ranges never change, so a verdict stays true; only their number is bounded.
    if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.clear();
    this.#verdicts.set(address, verdict);
    return verdict;
  }

  #permits(address: Address): boolean {
    if (this.#allowed.some((range) => isIn(address, range))) return true;
    if (address.kind() === "ipv4") return !SPECIAL_IPV4.some((range) => isIn(address, range));
    const embedded = embeddedIn(address.toByteArray(), address);
    // A Teredo address carries two; one prohibited address among them is enough.
    if (!embedded.every((inner) => this.#permits(inner))) return false;
    if (isUnwrapped(address)) return true;
    return isIn(address, GLOBAL_IPV6) && !SPECIAL_IPV6.some((range) => isIn(address, range));
  }
}

/** The text to dial: an IPv4-mapped IPv6 address is the IPv4 address to every kernel. */
export function unmapped(address: string): string {
  if (!address.includes(":") || !ipaddr.isValid(address)) return address;
  return ipaddr.process(address).toString();
}

function isIn(address: Address, [network, bits]: Range): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}

/** Whether the address is nothing but a wrapping, so that what it carries decides alone. */
function isUnwrapped(address: Address): boolean {
  return isIn(address, TEREDO) || EMBEDDING.some(([range]) => isIn(address, range));
}

function embeddedIn(bytes: readonly number[], address: Address): ipaddr.IPv4[] {
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
