/**
 * The ranges that no host reaches unless it is told to: what is not globally reachable (the
 * special-purpose registries of IANA), and what is, but leads to the services that a cloud
 * offers to its own machines. [DE1] [DE5]
 */
import ipaddr from "ipaddr.js";

/** An address of either family. */
export type Address = ipaddr.IPv4 | ipaddr.IPv6;
/** A network and the length of its prefix. */
export type Range = readonly [Address, number];

const COMPATIBLE = /^::\d+\.[\d.]+$/;

/** Special addresses of IPv4. */
export const SPECIAL_IPV4: readonly Range[] = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT, Alibaba's services among them
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, most metadata services among them
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments, Oracle's metadata service among them
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays, deprecated
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarking
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, and the limited broadcast
].map(parseRange);

/** Nothing but this machine by any name: a pool cannot open it. [DE9] */
export const THIS_MACHINE: readonly Range[] = ["0.0.0.0/8", "127.0.0.0/8", "::/127"].map(parseRange);

/** Of IPv6 only this is unicast and global; all else is special or not assigned. */
export const GLOBAL_IPV6: Range = parseRange("2000::/3");

/** Special addresses of IPv6 within the global range. */
export const SPECIAL_IPV6: readonly Range[] = [
  "2001::/23", // protocol assignments; Teredo is unwrapped before
  "2001:db8::/32", // documentation
  "3fff::/20", // documentation
].map(parseRange);

/**
 * Global addresses at which a cloud's machine finds the cloud itself: they answer by who asks,
 * and to this host they mean this host. With the name of the cloud.
 */
export const CLOUD_SERVICES: readonly (readonly [Range, string])[] = (
  [
    ["168.63.129.16/32", "Azure"], // WireServer, DNS, health probes
    ["199.36.153.4/30", "Google Cloud"], // restricted.googleapis.com, from within a VPC only
    ["199.36.153.8/30", "Google Cloud"], // private.googleapis.com
    ["2600:2d00:2:1000::/64", "Google Cloud"], // the same two by IPv6
    ["2600:2d00:2:2000::/64", "Google Cloud"],
    ["161.26.0.0/16", "IBM Cloud"], // infrastructure services of the private network
    ["166.8.0.0/14", "IBM Cloud"], // service endpoints of the private network
    ["183.60.82.98/32", "Tencent Cloud"], // name servers of the private network
    ["183.60.83.19/32", "Tencent Cloud"],
  ] as const
).map(([text, cloud]) => [parseRange(text), cloud]);

/** Reads an address as kernels do: of ::1.2.3.4, which kernels write so, the library makes a mapped address. */
export function parseAddress(text: string): Address {
  if (!COMPATIBLE.test(text)) return ipaddr.parse(text);
  const carried = ipaddr.IPv4.parse(text.slice(2)).toByteArray();
  return new ipaddr.IPv6([...Array.from({ length: 12 }, () => 0), ...carried]);
}

/** Reads CIDR notation; a range of mapped addresses is the range of IPv4 addresses that it maps. */
export function parseRange(text: string): Range {
  const [, bits] = ipaddr.parseCIDR(text);
  const network = parseAddress(text.slice(0, text.lastIndexOf("/")));
  if (network.kind() === "ipv6" && bits >= 96) {
    const mapping = network as ipaddr.IPv6;
    if (mapping.isIPv4MappedAddress()) return [mapping.toIPv4Address(), bits - 96];
  }
  return [network, bits];
}

/** Whether an address lies in a range; one of the other family does not. */
export function isIn(address: Address, [network, bits]: Range): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}
