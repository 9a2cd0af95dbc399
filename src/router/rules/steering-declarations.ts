/**
 * Which tables, sets, maps and chains the router has in the kernel, besides their elements.
 *
 * A netdev table steers; an inet table of the same name keeps connection tracking away from
 * what hosts send through this router and from packets for routed hosts, and sees to those that
 * the kernel forwards. Declarations are text, since only
 * text can give a map's key by example; rules are JSON, since only JSON can mask one part of
 * a concatenated key.
 */
import type { TableFamily } from "../../linux/nftables/statements.ts";
import {
  type Expression,
  FAMILIES,
  fieldsOf,
  type FamilyFields,
  is,
  payload,
  payloadText,
  PORT_WORD,
} from "../../linux/nftables/packet-fields.ts";
import { ELEMENT_ORDERS, nameOfDevice, steeringMap, type SteeringMap } from "./steering-elements.ts";
import {
  firstMarkOf,
  isHostItself,
  markOf,
  type RouterConfig,
  routedHosts,
} from "../steering/router-config.ts";
import { CHAIN_STEMS, REASON_SET, nameIn, type Rule } from "./steering-rules.ts";

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

/** Packets for this machine's own ports that it would have forwarded, since it has not got the address. */
export const ABSENT_COUNTER = "absent";

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
    const fields = fieldsOf(map.family);
    const data = map.device === null ? "meta mark" : `${fields.name} daddr`;
    const key = `${payloadText(fields.destination)} . ${payloadText(PORT_WORD)}`;
    return { table: "netdev", name: map.name, kind: "map", declaration: `typeof ${key} : ${data} ;` };
  });
  const reasons = { name: REASON_SET, declaration: "typeof meta mark ; counter ;" };
  return [{ table: "netdev", kind: "set", ...reasons }, ...FAMILIES.flatMap(addressSets), ...maps];
}

/** Makes all of it, in one line; does nothing to what is there already. */
export function declarationText(config: RouterConfig): string {
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
  const ofAbsent = isHostItself(config) ? [`add counter inet ${name} ${ABSENT_COUNTER}`] : [];
  const ofChains = chainNames().map((chain) => `add chain netdev ${name} ${chain}`);
  const tables = [`add table netdev ${name}`, `add table inet ${name}`];
  return [...tables, ...ofSets, ...ofRates, ...ofAbsent, ...ofChains].join(" ; ");
}

/** The base chains, in nft's JSON: only with them do packets come by. */
export function baseChains(config: RouterConfig): { table: TableFamily; chain: Record<string, unknown> }[] {
  const common = { table: config.table, type: "filter", policy: "accept" };
  const ofDevices = ingressDevicesOf(config).map((dev) => {
    const name = ingressChainOf(dev);
    const chain = { ...common, family: "netdev", name, hook: "ingress", prio: 0, dev };
    return { table: "netdev" as const, chain };
  });
  const ofStack = [
    { ...common, family: "inet", name: "untracked", hook: "prerouting", prio: -300 },
    // Without a rule in it there is no use for it, and whoever looks for rules finds none. [RT10]
    ...(forwardedRules(config).length === 0
      ? []
      : [{ ...common, family: "inet", name: "forwarded", hook: "forward", prio: -300 }]),
  ];
  return [...ofDevices, ...ofStack.map((chain) => ({ table: "inet" as const, chain }))];
}

/**
 * The devices at which packets are steered.
 *
 * On a machine that has the addresses itself, what its kernel has to say to the host of another
 * port goes round by the loopback device, and is steered there: that a packet which that host
 * sent through this machine was too big for the next link. [RT3] [RT9]
 */
export function ingressDevicesOf(config: RouterConfig): string[] {
  return [...new Set([...config.ingressDevices, ...(isHostItself(config) ? ["lo"] : [])])];
}

/** The base chain of one device: nft's JSON knows none of several. */
export function ingressChainOf(device: string): string {
  return `ingress_${nameOfDevice(device)}`;
}

/** Chains of the netdev table, the base chains left out. */
export function chainNames(): string[] {
  return FAMILIES.flatMap((fields) => CHAIN_STEMS.map((stem) => nameIn(stem, fields)));
}

/** All rules of the inet table. */
export function stackRules(config: RouterConfig): Rule[] {
  return [...untrackedRules(config), ...forwardedRules(config)];
}

/** Keeps what passes here on its way out, and what is routed to a host, free of connection tracking. [RT7] */
function untrackedRules(config: RouterConfig): Rule[] {
  const ofMarks = routedHosts(config).map((host) => ({
    chain: "untracked",
    expr: [isMarked(markOf(config, host)), { notrack: null }],
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

/**
 * The mark has served once the route is found. A tunnel keeps it on what it wraps a packet
 * into, which would be routed into the tunnel again.
 *
 * And what is for this machine is forwarded only if it has not got the address (any more): it
 * would go back to where it came from, and come again.
 */
function forwardedRules(config: RouterConfig): Rule[] {
  const unmark = { mangle: { key: { meta: { key: "mark" } }, value: 0 } };
  const ofMarks = routedHosts(config).map((host) => ({
    chain: "forwarded",
    expr: [isMarked(markOf(config, host)), unmark],
  }));
  if (!isHostItself(config)) return ofMarks;
  const drop = [isMarked(firstMarkOf(config)), { counter: ABSENT_COUNTER }, { drop: null }];
  return [{ chain: "forwarded", expr: drop }, ...ofMarks];
}

function isMarked(mark: number): Expression {
  return is({ meta: { key: "mark" } }, mark);
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
