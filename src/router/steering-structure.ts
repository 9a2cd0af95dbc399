/**
 * Which tables, sets, maps and chains the router has in the kernel, besides their elements.
 *
 * A netdev table steers; an inet table of the same name keeps connection tracking away from
 * what hosts send through this router and from packets for routed hosts. Declarations are text, since only
 * text can give a map's key by example; rules are JSON, since only JSON can mask one part of
 * a concatenated key.
 */
import { FAMILIES, type FamilyFields, payload, payloadText, PORT_WORD, is } from "./packet-fields.ts";
import { ELEMENT_ORDERS, nameOf, steeringMap, type SteeringMap } from "./steering-elements.ts";
import { FIRST_MARK, type RouterConfig, routedHosts } from "./router-config.ts";
import { CHAIN_STEMS, REASON_SET, nameIn, type Rule } from "./steering-rules.ts";

/** The two tables, by their nftables family. */
export type TableFamily = "netdev" | "inet";

/** A set or map whose elements follow the steering table. */
export interface Container {
  readonly table: TableFamily;
  readonly name: string;
  readonly kind: "set" | "map";
  /** What stands between the braces of its declaration. */
  readonly declaration: string;
}

/** How long a limiter of ICMP errors outlives the last one. */
const ERROR_RATE_TIMEOUT_SECONDS = 10;
const ERROR_RATE_LIMITERS = 65_536;

/** All maps that steer, for every size and way that the configuration knows. */
export function steeringMaps(config: RouterConfig): SteeringMap[] {
  const ways = [...config.hosts.values()];
  const devices = ways.flatMap((way) => (way.kind === "neighbour" ? [way.device] : []));
  if (config.neighbourDevice !== null) devices.push(config.neighbourDevice);
  const hasStack = ways.some(({ kind }) => kind !== "neighbour");
  const all = [...(hasStack ? [null] : []), ...new Set(devices.toSorted())];
  return FAMILIES.flatMap(({ family }) =>
    all.flatMap((device) => ELEMENT_ORDERS.map((order) => steeringMap(family, order, device))),
  );
}

/** Everything that has elements of ours. */
export function containers(config: RouterConfig): Container[] {
  const maps = steeringMaps(config).map((map): Container => {
    const fields = FAMILIES.find(({ family }) => family === map.family)!;
    const data = map.device === null ? "meta mark" : `${fields.name} daddr`;
    const key = `${payloadText(fields.destination)} . ${payloadText(PORT_WORD)}`;
    return { table: "netdev", name: map.name, kind: "map", declaration: `typeof ${key} : ${data} ;` };
  });
  const reasons = { name: REASON_SET, declaration: "typeof meta mark ; counter ;" };
  return [{ table: "netdev", kind: "set", ...reasons }, ...FAMILIES.flatMap(addressSets), ...maps];
}

/** Makes all of it, in one line; does nothing to what is there already. */
export function structureText(config: RouterConfig): string {
  const name = config.table;
  const ofSets = containers(config).map(
    ({ table, kind, name: own, declaration }) => `add ${kind} ${table} ${name} ${own} { ${declaration} }`,
  );
  const ofRates = FAMILIES.map((fields) => {
    const key = `${payloadText(fields.destination)} . ${payloadText(fields.quotedPortByte)}`;
    const limits = `timeout ${ERROR_RATE_TIMEOUT_SECONDS}s ; size ${ERROR_RATE_LIMITERS}`;
    const about = `typeof ${key} ; flags dynamic,timeout ; ${limits} ;`;
    return `add set netdev ${name} ${nameIn("error_rates", fields)} { ${about} }`;
  });
  const ofChains = chainNames().map((chain) => `add chain netdev ${name} ${chain}`);
  return [`add table netdev ${name}`, `add table inet ${name}`, ...ofSets, ...ofRates, ...ofChains].join(
    " ; ",
  );
}

/** The base chains, in nft's JSON: only with them do packets come by. */
export function baseChains(config: RouterConfig): { table: TableFamily; chain: Record<string, unknown> }[] {
  const common = { table: config.table, type: "filter", policy: "accept" };
  const ofDevices = ingressDevicesOf(config).map((dev) => {
    const name = ingressChainOf(dev);
    const chain = { ...common, family: "netdev", name, hook: "ingress", prio: 0, dev };
    return { table: "netdev" as const, chain };
  });
  const untracked = { ...common, family: "inet", name: "untracked", hook: "prerouting", prio: -300 };
  return [...ofDevices, { table: "inet", chain: untracked }];
}

/**
 * The devices at which packets are steered.
 *
 * On a machine that has the addresses itself, what its kernel has to say to the host of another
 * port goes round by the loopback device, and is steered there: that a packet which that host
 * sent through this machine was too big for the next link. [RT3] [RT9]
 */
export function ingressDevicesOf(config: RouterConfig): string[] {
  const isHost = [...config.hosts.values()].some(({ kind }) => kind === "self");
  return [...new Set([...config.ingressDevices, ...(isHost ? ["lo"] : [])])];
}

/** The base chain of one device: nft's JSON knows none of several. */
export function ingressChainOf(device: string): string {
  return `ingress_${nameOf(device)}`;
}

/** Chains of the netdev table, the base chains left out. */
export function chainNames(): string[] {
  return FAMILIES.flatMap((fields) => CHAIN_STEMS.map((stem) => nameIn(stem, fields)));
}

/** Keeps what passes here on its way out, and what is routed to a host, free of connection tracking. [RT7] */
export function untrackedRules(config: RouterConfig): Rule[] {
  const ofMarks = routedHosts(config).map((_, at) => ({
    chain: "untracked",
    expr: [is({ meta: { key: "mark" } }, FIRST_MARK + at), { notrack: null }],
  }));
  const ofSources = FAMILIES.map((fields) => ({
    chain: "untracked",
    expr: [
      is({ meta: { key: "nfproto" } }, fields.family === 4 ? "ipv4" : "ipv6"),
      is(payload(fields.source), `@${nameIn("addresses", fields)}`),
      { notrack: null },
    ],
  }));
  return [...ofMarks, ...ofSources];
}

/** Sets with an element for each address of the pool; `quotes` pairs the address with itself. */
function addressSets(fields: FamilyFields): Container[] {
  const destination = payloadText(fields.destination);
  const both = `${destination} . ${payloadText(fields.quotedSource)}`;
  const set = (table: TableFamily, stem: string, declaration: string): Container => ({
    table,
    name: nameIn(stem, fields),
    kind: "set",
    declaration,
  });
  return [
    set("netdev", "addresses", `typeof ${destination} ;`),
    set("netdev", "drops", `typeof ${destination} ; counter ;`),
    set("netdev", "quotes", `typeof ${both} ;`),
    set("inet", "addresses", `typeof ${payloadText(fields.source)} ;`),
  ];
}
