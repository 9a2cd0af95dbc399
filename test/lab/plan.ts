/**
 * Who is where in the laboratory: names, devices and addresses, all of them for documentation
 * (RFC 5737, RFC 3849). Nothing here does anything.
 */

/** The shared egress addresses, which every host holds on its loopback device. */
export const SHARED_IPV4 = "192.0.2.1";
export const SHARED_IPV6 = "2001:db8:1::1";
/** What the Internet routes towards the routers: more shared addresses may be taken from it. */
export const SHARED_NET_IPV4 = "192.0.2.0/24";
export const SHARED_NET_IPV6 = "2001:db8:1::/64";

/** The two origins, both on the Internet's machine. */
export const ORIGINS_IPV4 = ["198.51.100.20", "198.51.100.21"] as const;
export const ORIGINS_IPV6 = ["2001:db8:ffff::20", "2001:db8:ffff::21"] as const;

/** One address of either family on one device. */
export interface Place {
  readonly ipv4: string;
  readonly ipv6: string;
}

/** Both ends of the link between the Internet and the carrier in front of the routers. */
export const BACKBONE = {
  internet: { ipv4: "203.0.113.33", ipv6: "2001:db8:b::1" },
  carrier: { ipv4: "203.0.113.32", ipv6: "2001:db8:b::" },
} as const;

/** The carrier's and the router's end of a router's uplink. Routers count from 1. */
export function uplinkOf(router: number): { readonly carrier: Place; readonly router: Place } {
  const low = 2 * (router - 1);
  return {
    carrier: { ipv4: `203.0.113.${low}`, ipv6: `2001:db8:c:${router}::` },
    router: { ipv4: `203.0.113.${low + 1}`, ipv6: `2001:db8:c:${router}::1` },
  };
}

/** A router's place on the hosts' network. */
export function routerOnLan(router: number): Place {
  return { ipv4: `203.0.113.${64 + router}`, ipv6: `2001:db8:a::${router}` };
}

/** A host's own place on the hosts' network. Hosts count from 1. */
export function hostOnLan(host: number): Place {
  return { ipv4: `203.0.113.${80 + host}`, ipv6: `2001:db8:a::1:${host}` };
}

/** The edge's place on the management network. */
export const EDGE: Place = { ipv4: "198.51.100.129", ipv6: "2001:db8:e::e" };

/** Where routers and hosts are on the management network. */
export function routerOnManagement(router: number): Place {
  return { ipv4: `198.51.100.${140 + router}`, ipv6: `2001:db8:e::${router}` };
}

export function hostOnManagement(host: number): Place {
  return { ipv4: `198.51.100.${150 + host}`, ipv6: `2001:db8:e::1:${host}` };
}

/** A network on a host that nobody else knows of: the host's end, which is the gateway, and who is behind it. */
export interface Behind {
  readonly device: string;
  readonly netIpv4: string;
  readonly netIpv6: string;
  readonly gateway: Place;
  readonly container: Place;
}

/** A host's container that is alone behind a pair of devices: c1 for host 1. */
export function behindVeth(host: number): Behind {
  return behind("pod0", `10.88.${host}`, `fd00:88:${host}`);
}

/** A host's container behind a bridge, as Docker has them: b1 for host 1. */
export function behindBridge(host: number): Behind {
  return behind("docker0", `172.17.${host}`, `fd00:17:${host}`);
}

/** A host's container that a plug-in of CNI has put behind a bridge: p1 for host 1. */
export function behindPlugIn(host: number): Behind {
  return behind("cni0", `10.244.${host}`, `fd00:244:${host}`);
}

function behind(device: string, ipv4: string, ipv6: string): Behind {
  return {
    device,
    netIpv4: `${ipv4}.0/24`,
    netIpv6: `${ipv6}::/64`,
    gateway: { ipv4: `${ipv4}.1`, ipv6: `${ipv6}::1` },
    container: { ipv4: `${ipv4}.2`, ipv6: `${ipv6}::2` },
  };
}

/** How many there are of each. */
export interface LabSize {
  /** 1 to 16. */
  readonly hosts: number;
  /** 1 to 8. */
  readonly routers: number;
}

/**
 * A machine of the laboratory, or one of its switches; `inside` is what stands for private networks, and `c`, `b`
 * and `p` are containers of the host with that number.
 */
export type Role =
  | "inside"
  | "internet"
  | "carrier"
  | "lan"
  | "lan2"
  | "management"
  | "edge"
  | `r${number}`
  | `h${number}`
  | `c${number}`
  | `b${number}`
  | `p${number}`;

/** Those that are switches; the second link is for hosts at another site. */
export const SWITCHES: readonly Role[] = ["lan", "lan2", "management"];

/** The routers' names, r1 on. */
export function routersOf(size: LabSize): `r${number}`[] {
  return Array.from({ length: size.routers }, (_, at) => `r${at + 1}` as const);
}

/** The hosts' names, h1 on. */
export function hostsOf(size: LabSize): `h${number}`[] {
  return Array.from({ length: size.hosts }, (_, at) => `h${at + 1}` as const);
}

/** Everyone, switches included. */
export function rolesOf(size: LabSize): Role[] {
  return ["internet", "carrier", "lan", "management", "edge", ...routersOf(size), ...hostsOf(size)];
}
