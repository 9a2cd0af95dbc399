/**
 * The laboratory's cables, addresses and routes, as batches for `ip`: one for all links, then
 * one for each namespace. `plan.ts` says who is where; here is what each must be told.
 */
import {
  BACKBONE,
  EDGE,
  hostOnLan,
  hostOnManagement,
  hostsOf,
  type LabSize,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Place,
  type Role,
  rolesOf,
  routerOnLan,
  routerOnManagement,
  routersOf,
  SHARED_IPV4,
  SHARED_IPV6,
  SHARED_NET_IPV4,
  SHARED_NET_IPV6,
  SWITCHES,
  uplinkOf,
} from "./plan.ts";

const LAN_IPV4 = "203.0.113.64/26";
const LAN_IPV6 = "2001:db8:a::/64";

/** One cable: a device in each of two namespaces. */
export interface Link {
  readonly a: Role;
  readonly aDevice: string;
  readonly b: Role;
  readonly bDevice: string;
}

/** A whole network: who there is, how they are cabled, and what each is told. */
export interface Wiring {
  readonly roles: readonly Role[];
  /** At the switches the device is named after who is at the other end. */
  readonly links: readonly Link[];
  /** Kernel settings of one namespace, to be made before it has devices. */
  settingsOf(role: Role): readonly string[];
  /** What `ip` is told in one namespace, once its devices stand. */
  configurationOf(role: Role): readonly string[];
}

/** The network of the drawing: a carrier, routers side by side, and hosts on one link behind them. */
export function laboratoryWiring(size: LabSize, areSharedConfigured: boolean): Wiring {
  return {
    roles: rolesOf(size),
    links: linksOf(size),
    settingsOf: (role) => settingsOf(role, areSharedConfigured),
    configurationOf: (role) => addressesAndRoutes(role, size, areSharedConfigured),
  };
}

/** All cables. */
function linksOf(size: LabSize): Link[] {
  const links: Link[] = [{ a: "internet", aDevice: "eth0", b: "carrier", bDevice: "inet0" }];
  for (const router of routersOf(size)) {
    links.push({ a: router, aDevice: "up0", b: "carrier", bDevice: router });
    links.push({ a: router, aDevice: "lan0", b: "lan", bDevice: router });
    links.push({ a: router, aDevice: "mgmt0", b: "management", bDevice: router });
  }
  for (const host of hostsOf(size)) {
    links.push({ a: host, aDevice: "lan0", b: "lan", bDevice: host });
    links.push({ a: host, aDevice: "mgmt0", b: "management", bDevice: host });
  }
  links.push({ a: "edge", aDevice: "mgmt0", b: "management", bDevice: "edge" });
  return links;
}

/** What holds everywhere: no path filter (paths are asymmetric), nothing learned or announced by itself. */
export const EVERYWHERE = [
  "net.ipv4.conf.all.rp_filter=0",
  "net.ipv4.conf.default.rp_filter=0",
  "net.ipv4.conf.all.send_redirects=0",
  "net.ipv4.conf.default.send_redirects=0",
  "net.ipv6.conf.default.accept_dad=0",
  "net.ipv6.conf.default.accept_ra=0",
] as const;
export const FORWARDING = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] as const;
export const BY_PORTS = [
  "net.ipv4.fib_multipath_hash_policy=1",
  "net.ipv6.fib_multipath_hash_policy=1",
] as const;
const SILENT_ARP = ["net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"] as const;

function settingsOf(role: Role, areSharedConfigured: boolean): readonly string[] {
  if (role === "carrier") return [...EVERYWHERE, ...FORWARDING, ...BY_PORTS];
  if (/^r\d/.test(role)) return [...EVERYWHERE, ...FORWARDING];
  if (/^h\d/.test(role)) return [...EVERYWHERE, ...BY_PORTS, ...(areSharedConfigured ? SILENT_ARP : [])];
  return EVERYWHERE;
}

/** The batch for `ip` in one namespace, once its devices exist. Switches are bridges. */
export function batchOf(role: Role, wiring: Wiring): string[] {
  const devices = wiring.links.flatMap(({ a, aDevice, b, bDevice }) => {
    if (a === role) return [aDevice];
    return b === role ? [bDevice] : [];
  });
  const isSwitch = SWITCHES.includes(role);
  return [
    "link set dev lo up",
    ...(isSwitch ? ["link add dev br0 type bridge mcast_snooping 0", "link set dev br0 up"] : []),
    ...devices.map((device) => `link set dev ${device}${isSwitch ? " master br0" : ""} up`),
    ...wiring.configurationOf(role),
  ];
}

function addressesAndRoutes(role: Role, size: LabSize, areSharedConfigured: boolean): string[] {
  const number = Number(role.slice(1));
  if (role === "internet") return atInternet();
  if (role === "carrier") return atCarrier(size);
  if (role === "edge") return addresses("mgmt0", EDGE, 25, 64);
  if (SWITCHES.includes(role)) return [];
  return role.startsWith("r") ? atRouter(number) : atHost(number, size, areSharedConfigured);
}

function atInternet(): string[] {
  return [
    ...addresses("eth0", BACKBONE.internet, 31, 127),
    ...ORIGINS_IPV4.map((ip) => `addr add ${ip}/32 dev lo`),
    ...ORIGINS_IPV6.map((ip) => `addr add ${ip}/128 dev lo nodad`),
    ...defaultRoutes([{ via: BACKBONE.carrier, device: "eth0" }], {
      ipv4: ORIGINS_IPV4[0],
      ipv6: ORIGINS_IPV6[0],
    }),
  ];
}

function atCarrier(size: LabSize): string[] {
  const hops = routersOf(size).map((device, at) => ({ via: uplinkOf(at + 1).router, device }));
  return [
    ...addresses("inet0", BACKBONE.carrier, 31, 127),
    ...hops.flatMap(({ device }, at) => addresses(device, uplinkOf(at + 1).carrier, 31, 127)),
    ...ORIGINS_IPV4.map((ip) => `route add ${ip}/32 via ${BACKBONE.internet.ipv4}`),
    ...ORIGINS_IPV6.map((ip) => `route add ${ip}/128 via ${BACKBONE.internet.ipv6}`),
    ...[SHARED_NET_IPV4, LAN_IPV4].map((net) => `route add ${net} ${nextHops(hops, "ipv4")}`),
    ...[SHARED_NET_IPV6, LAN_IPV6].map((net) => `route add ${net} ${nextHops(hops, "ipv6")}`),
  ];
}

function atRouter(number: number): string[] {
  return [
    ...addresses("up0", uplinkOf(number).router, 31, 127),
    ...addresses("lan0", routerOnLan(number), 26, 64),
    ...addresses("mgmt0", routerOnManagement(number), 25, 64),
    ...defaultRoutes([{ via: uplinkOf(number).carrier, device: "up0" }]),
    // What nobody steers must not go back to where it came from and circle.
    `route add blackhole ${SHARED_NET_IPV4}`,
    `route add blackhole ${SHARED_NET_IPV6}`,
  ];
}

function atHost(number: number, size: LabSize, areSharedConfigured: boolean): string[] {
  const hops = routersOf(size).map((_, at) => ({ via: routerOnLan(at + 1), device: "lan0" }));
  const own = hostOnLan(number);
  const shared = [
    `addr add ${SHARED_IPV4}/32 dev lo scope host`,
    `addr add ${SHARED_IPV6}/128 dev lo nodad preferred_lft 0`,
  ];
  return [
    ...addresses("lan0", own, 26, 64),
    ...addresses("mgmt0", hostOnManagement(number), 25, 64),
    ...defaultRoutes(hops, own),
    ...(areSharedConfigured ? shared : []),
  ];
}

export function addresses(
  device: string,
  { ipv4, ipv6 }: Place,
  ipv4Length: number,
  ipv6Length: number,
): string[] {
  return [
    `addr add ${ipv4}/${ipv4Length} dev ${device}`,
    `addr add ${ipv6}/${ipv6Length} dev ${device} nodad`,
  ];
}

interface Hop {
  readonly via: Place;
  readonly device: string;
}

function defaultRoutes(hops: readonly Hop[], source?: Place): string[] {
  const from = (family: keyof Place): string => (source === undefined ? "" : ` src ${source[family]}`);
  return [
    `route add default${from("ipv4")} ${nextHops(hops, "ipv4")}`,
    `route add ::/0${from("ipv6")} ${nextHops(hops, "ipv6")}`,
  ];
}

function nextHops(hops: readonly Hop[], family: keyof Place): string {
  return hops.map(({ via, device }) => `nexthop via ${via[family]} dev ${device}`).join(" ");
}
