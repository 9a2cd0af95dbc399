/**
 * The networks that docs/operating/networks.md describes, device by device and address by address as
 * they stand there. What a machine has been given by its provider is here; what its operator
 * does to it is in the document alone.
 */
import {
  BACKBONE,
  EDGE,
  hostOnManagement,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Place,
  type Role,
  routerOnManagement,
  SHARED_IPV4,
  SHARED_IPV6,
  uplinkOf,
} from "./plan.ts";
import { addresses, BY_PORTS, EVERYWHERE, FORWARDING, type Link, type Wiring } from "./wiring.ts";

type Cable = readonly [a: Role, aDevice: string, b: Role, bDevice: string];

interface Network {
  readonly cables: readonly Cable[];
  readonly configuration: Partial<Record<Role, readonly string[]>>;
}

/** The private address of the cloud, and what the Internet sees in its place. */
export const CLOUD = { wire: "10.8.0.100", advertised: "203.0.113.77" } as const;

/** Set-up 1: r1 between the Internet and a link with h1 and h2. */
export const ONE_LAN: Wiring = wiringOf({
  cables: [
    ["internet", "eth0", "r1", "eth0"],
    ["r1", "eth1", "lan", "r1"],
    ["h1", "eth0", "lan", "h1"],
    ["h2", "eth0", "lan", "h2"],
  ],
  configuration: {
    internet: [
      ...atInternet(uplinkOf(1).carrier, uplinkOf(1).router),
      `route add ${SHARED_IPV4}/32 via ${uplinkOf(1).router.ipv4}`,
      `route add ${SHARED_IPV6}/128 via ${uplinkOf(1).router.ipv6}`,
    ],
    r1: [...behind(1), ...onLink("eth1", "0", 1)],
    h1: onLink("eth0", "0", 11, 1),
    h2: onLink("eth0", "0", 12, 1),
  },
});

/** Set-up 2: two sites and a lone host, each with its own way to the carrier. */
export const TWO_SITES: Wiring = wiringOf({
  cables: [
    ["internet", "eth0", "carrier", "inet0"],
    ["r1", "eth0", "carrier", "r1"],
    ["r2", "eth0", "carrier", "r2"],
    ["h4", "eth0", "carrier", "h4"],
    ["r1", "eth1", "lan", "r1"],
    ["h1", "eth0", "lan", "h1"],
    ["h2", "eth0", "lan", "h2"],
    ["r2", "eth1", "lan2", "r2"],
    ["h3", "eth0", "lan2", "h3"],
  ],
  configuration: {
    internet: atInternet(BACKBONE.internet, BACKBONE.carrier),
    carrier: [
      ...addresses("inet0", BACKBONE.carrier, 31, 127),
      ...(["r1", "r2", "h4"] as const).flatMap((device, at) =>
        addresses(device, uplinkOf(at + 1).carrier, 31, 127),
      ),
      ...ORIGINS_IPV4.map((ip) => `route add ${ip}/32 via ${BACKBONE.internet.ipv4}`),
      ...ORIGINS_IPV6.map((ip) => `route add ${ip}/128 via ${BACKBONE.internet.ipv6}`),
    ],
    r1: [...behind(1), ...onLink("eth1", "1", 1)],
    r2: [...behind(2), ...onLink("eth1", "2", 1)],
    h1: onLink("eth0", "1", 11, 1),
    h2: onLink("eth0", "1", 12, 1),
    h3: onLink("eth0", "2", 11, 1),
    h4: behind(3),
  },
});

/** Set-up 3: instances on one virtual network, whose gateway (the carrier) maps addresses one to one. */
export const ONE_CLOUD: Wiring = wiringOf({
  cables: [
    ["internet", "eth0", "carrier", "inet0"],
    ["carrier", "vpc0", "lan", "carrier"],
    ["r1", "eth0", "lan", "r1"],
    ["h1", "eth0", "lan", "h1"],
    ["h2", "eth0", "lan", "h2"],
  ],
  configuration: {
    internet: atInternet(BACKBONE.internet, BACKBONE.carrier),
    carrier: [
      ...addresses("inet0", BACKBONE.carrier, 31, 127),
      ...onLink("vpc0", "8", 1),
      ...ORIGINS_IPV4.map((ip) => `route add ${ip}/32 via ${BACKBONE.internet.ipv4}`),
      `route add ${CLOUD.wire}/32 via 10.8.0.10`,
    ],
    r1: onLink("eth0", "8", 10, 1),
    h1: onLink("eth0", "8", 11, 1),
    h2: onLink("eth0", "8", 12, 1),
  },
});

/** Where a machine with a process of ours is on the management network. */
export function onManagement(role: Role): Place {
  const number = Number(role.slice(1));
  if (role === "edge") return EDGE;
  return role.startsWith("r") ? routerOnManagement(number) : hostOnManagement(number);
}

function atInternet(own: Place, next: Place): string[] {
  return [
    ...addresses("eth0", own, 31, 127),
    ...ORIGINS_IPV4.map((ip) => `addr add ${ip}/32 dev lo`),
    ...ORIGINS_IPV6.map((ip) => `addr add ${ip}/128 dev lo nodad`),
    ...defaultRoute(next),
  ];
}

/** The provider's cable at eth0, and everything else behind it. */
function behind(uplink: number): string[] {
  const { carrier, router } = uplinkOf(uplink);
  return [...addresses("eth0", router, 31, 127), ...defaultRoute(carrier)];
}

/** A place on the link 10.SITE.0.0/24; with a way out by another machine of it. */
function onLink(device: string, site: string, number: number, next?: number): string[] {
  const place = (at: number): Place => ({ ipv4: `10.${site}.0.${at}`, ipv6: `2001:db8:a:${site}::${at}` });
  return [
    ...addresses(device, place(number), 24, 64),
    ...(next === undefined ? [] : defaultRoute(place(next))),
  ];
}

function defaultRoute({ ipv4, ipv6 }: Place): string[] {
  return [`route add default via ${ipv4}`, `route add ::/0 via ${ipv6}`];
}

/** Everyone on the cables and the edge; those with a process of ours are on the management network too. */
function wiringOf({ cables, configuration }: Network): Wiring {
  const roles = new Set<Role>(["edge", "management", ...cables.flatMap(([a, , b]) => [a, b])]);
  const managed = [...roles].filter((role) => role === "edge" || /^[rh]\d/.test(role));
  const toManagement = managed.map((role): Cable => [role, "mgmt0", "management", role]);
  const links = [...cables, ...toManagement].map(([a, aDevice, b, bDevice]): Link => ({
    a,
    aDevice,
    b,
    bDevice,
  }));
  return {
    roles: [...roles],
    links,
    settingsOf: (role) => (role === "carrier" ? [...EVERYWHERE, ...FORWARDING, ...BY_PORTS] : EVERYWHERE),
    configurationOf: (role) => [
      ...(managed.includes(role) ? addresses("mgmt0", onManagement(role), 25, 64) : []),
      ...(configuration[role] ?? []),
    ],
  };
}
