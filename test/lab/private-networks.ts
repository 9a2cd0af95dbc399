/**
 * The drawing's laboratory and, on the hosts' own network, a machine that stands for all private networks: it
 * has every private address that the table of spellings means. The public ones of the table are on the Internet.
 * So whatever a host dials is really there, and nothing but the host's own judgement keeps it from it.
 */
import ipaddr from "ipaddr.js";
import { unmapped } from "../../src/policy/embedded-addresses.ts";
import { RECORDS, type Spelling, SPELLINGS } from "../spellings/spellings.ts";
import { withoutBrackets } from "../spellings/ways.ts";
import { EDGE, hostOnLan, hostOnManagement, type Place, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { laboratoryWiring, type Wiring } from "./wiring.ts";

export const SIZE = { hosts: 1, routers: 1 };
/** The machine that stands for private networks, on the hosts' own one. */
export const INSIDE: Place = { ipv4: "203.0.113.120", ipv6: "2001:db8:a::ffff" };
/** An address of the host that is as public as any. */
const OWN_PUBLIC: Place = { ipv4: "5.9.9.1", ipv6: "2a00:5::1" };
/** Where what is public leads on to the next place. */
export const REDIRECTING: Place = { ipv4: "8.8.4.4", ipv6: "2606:4700::1001" };
const SHARED = [SHARED_IPV4, SHARED_IPV6] as const;
/** All that the host itself has. */
const OWN: readonly Place[] = [
  { ipv4: "127.0.0.1", ipv6: "::1" },
  { ipv4: SHARED_IPV4, ipv6: SHARED_IPV6 },
  hostOnLan(1),
  hostOnManagement(1),
  OWN_PUBLIC,
];

/** The names of the table, and some for what is here only. */
export const LAB_RECORDS: Readonly<Record<string, readonly string[]>> = {
  ...RECORDS,
  "edge.test": [EDGE.ipv4],
  "own.test": [OWN_PUBLIC.ipv4],
  "own6.test": [OWN_PUBLIC.ipv6],
};

/** The table, and all private places that this laboratory has of its own. */
export const LAB_SPELLINGS: readonly Spelling[] = [
  ...SPELLINGS,
  ...[SHARED_IPV6, INSIDE.ipv4, INSIDE.ipv6, ...[EDGE, ...OWN.slice(2)].flatMap(bothOf)].map((ip) => ({
    host: ip.includes(":") ? `[${ip}]` : ip,
    dials: null,
    isOfUrls: false,
  })),
  ...["127.0.0.2", "edge.test", "own.test", "own6.test"].map((host) => ({
    host,
    dials: null,
    isOfUrls: false,
  })),
  ...["fe80::1%lan0", "fe80::1%25lan0", "fe80::1%2", "fe80::a9fe:a9fe%lan0", "ff02::1%lan0"].map((ip) => ({
    host: `[${ip}]`,
    dials: null,
    isOfUrls: true,
  })),
];

/** The addresses that a private spelling would lead to if nobody judged it, as they are dialled. */
export function meantBy(host: string): readonly string[] {
  const withoutZone = host.replace(/%.*\]$/, "]");
  const hostname = URL.parse(`http://${host.startsWith("[") ? withoutZone : host}/`)?.hostname;
  // Nobody reads it, so it means nothing.
  if (hostname === undefined) return [];
  const name = withoutBrackets(hostname).replace(/\.$/, "");
  if (ipaddr.isValid(name)) return [unmapped(name)];
  if (/(?:^|\.)localhost$/.test(name)) return ["127.0.0.1", "::1"];
  return (LAB_RECORDS[name] ?? []).map(unmapped);
}

/** Every public address of the table; one is only beside private ones in answers of a name server. */
const PUBLIC = new Set([...SPELLINGS.flatMap(({ dials }) => dials ?? []), "9.9.9.9"]);
const PRIVATE = new Set(
  LAB_SPELLINGS.filter(({ dials }) => dials === null)
    .flatMap(({ host }) => meantBy(host))
    .filter((ip) => !PUBLIC.has(ip)),
);
const ELSEWHERE = new Set([...OWN, EDGE, INSIDE].flatMap(bothOf));

/** What the machine inside has besides its place. */
const PRIVATE_IPS = [...PRIVATE].filter((ip) => !ELSEWHERE.has(ip) && !isOfNoMachine(ip));
/** All addresses of the machine inside. */
export const INSIDE_IPS: readonly string[] = [...PRIVATE_IPS, ...bothOf(INSIDE)];
/** Those that the host itself has, so that they are reached without any network. */
export const OWN_IPS: readonly string[] = [...OWN.flatMap(bothOf), "127.0.0.2", "127.255.255.254"];
/** The public ones. */
export const PUBLIC_IPS: readonly string[] = [...PUBLIC, ...bothOf(REDIRECTING)];

export function bothOf({ ipv4, ipv6 }: Place): readonly [string, string] {
  return [ipv4, ipv6];
}

/** Whether a zone is needed to dial it. */
export function isLinkLocal(ip: string): boolean {
  return ip.includes(":") && ipaddr.parse(ip).range() === "linkLocal";
}

/** The drawing's network with private ones beside it. */
export function privateWiring(): Wiring {
  const drawing = laboratoryWiring(SIZE, false);
  return {
    roles: [...drawing.roles, "inside"],
    links: [...drawing.links, { a: "inside", aDevice: "lan0", b: "lan", bDevice: "inside" }],
    settingsOf: (role) => drawing.settingsOf(role),
    configurationOf: (role) => {
      if (role === "inside") return atInside();
      const drawn = drawing.configurationOf(role);
      if (role === "h1") return [...drawn, ...atHost()];
      // What the host sends comes home from the edge's machine too.
      if (role === "edge") return [...drawn, ...SHARED.map((ip) => towards(ip, hostOnManagement(1)))];
      if (role === "internet") return [...drawn, ...PUBLIC_IPS.map(onLoopback)];
      if (role === "carrier") return [...drawn, ...PUBLIC_IPS.map((ip) => towards(ip, INTERNET))];
      return drawn;
    },
  };
}

const INTERNET: Place = { ipv4: "203.0.113.33", ipv6: "2001:db8:b::1" };

function atInside(): string[] {
  const host = hostOnLan(1);
  return [
    `addr add ${INSIDE.ipv4}/26 dev lan0`,
    `addr add ${INSIDE.ipv6}/64 dev lan0 nodad`,
    ...PRIVATE_IPS.map((ip) => (isLinkLocal(ip) ? `addr add ${ip}/128 dev lan0 nodad` : onLoopback(ip))),
    // What the host sends comes home, so that nothing but the host can be why a connection does not stand.
    ...SHARED.map((ip) => towards(ip, host)),
    `route add ${hostOnManagement(1).ipv4}/32 via ${host.ipv4}`,
  ];
}

function atHost(): string[] {
  return [
    ...bothOf(OWN_PUBLIC).map(onLoopback),
    ...PRIVATE_IPS.map((ip) => (isLinkLocal(ip) ? `route add ${ip}/128 dev lan0` : towards(ip, INSIDE))),
  ];
}

function onLoopback(ip: string): string {
  return `addr add ${ip}/${ip.includes(":") ? "128 dev lo nodad" : "32 dev lo"}`;
}

function towards(ip: string, { ipv4, ipv6 }: Place): string {
  return ip.includes(":") ? `route add ${ip}/128 via ${ipv6}` : `route add ${ip}/32 via ${ipv4}`;
}

/** Multicast, broadcast and the unspecified addresses. */
function isOfNoMachine(ip: string): boolean {
  return ["multicast", "broadcast", "unspecified", "loopback"].includes(ipaddr.parse(ip).range());
}
