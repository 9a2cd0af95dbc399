/**
 * The few rules of nft behind the program: they carry out what the program has decided and cannot do. It has written a mark
 * and the number of the hop where the source of the frame was. They ask for no address and no port, so they need
 * no element for any. What hosts send through this machine is kept from connection tracking as before. [RT7]
 *
 * They stand in tables of their own, so that those of the other back end can be made, and taken away, beside them.
 */
import { familyOf } from "../../core/address-family.ts";
import {
  type Expression,
  FAMILIES,
  type Field,
  is,
  payload,
  payloadText,
  fieldsOf,
} from "../../linux/nftables/packet-fields.ts";
import type { NftCommand, TableFamily } from "../../linux/nftables/statements.ts";
import { ABSENT_COUNTER, baseChains, stackRules } from "../rules/steering-declarations.ts";
import { addressKey, nameOfDevice } from "../rules/steering-elements.ts";
import type { Rule } from "../rules/steering-rules.ts";
import { isHostItself, type RouterConfig } from "../steering/router-config.ts";
import type { Hop } from "./map-layout.ts";

/** First four octets of a frame's source that say that it is decided: `DECIDED` in `steer.c`. */
const DECIDED = 0x0669_7073;
const START: Field = { base: "ll", offset: 48, len: 32 };
const NUMBER: Field = { base: "ll", offset: 80, len: 16 };
const STACK_MAP = "handed_stack";

/** The name of the tables, in both families. */
export function handoverTable({ table }: RouterConfig): string {
  return `${table}_xdp`;
}

/** Makes tables, sets and maps, in one line; does nothing to what is there already. */
export function handoverDeclaration(config: RouterConfig): string {
  const name = handoverTable(config);
  const number = payloadText(NUMBER);
  const ofWays = waysOf(config).map(
    ({ map, family }) =>
      `add map netdev ${name} ${map} { typeof ${number} : ${fieldsOf(family).name} daddr ; }`,
  );
  const ofSources = FAMILIES.map(
    ({ family, source }) => `add set inet ${name} addresses_ip${family} { typeof ${payloadText(source)} ; }`,
  );
  const ofAbsent = isHostItself(config) ? [`add counter inet ${name} ${ABSENT_COUNTER}`] : [];
  return [
    `add table netdev ${name}`,
    `add table inet ${name}`,
    `add map netdev ${name} ${STACK_MAP} { typeof ${number} : meta mark ; }`,
    ...ofWays,
    ...ofSources,
    ...ofAbsent,
  ].join(" ; ");
}

/** Replaces all that is in them, at once. */
export function handoverCommands(
  config: RouterConfig,
  hops: ReadonlyMap<number, Hop>,
  ips: Iterable<string>,
): NftCommand[] {
  const table = handoverTable(config);
  const flush = (kind: "set" | "map", family: TableFamily, name: string): NftCommand => ({
    flush: { [kind]: { family, table, name } },
  });
  const ofTable = (family: TableFamily, rules: readonly Rule[]): NftCommand[] =>
    rules.map(({ chain, expr }) => ({ add: { rule: { family, table, chain, expr } } }));
  const bases = baseChains(config);
  const ingress = bases.flatMap((base) => (base.table === "netdev" ? [base.chain["name"] as string] : []));
  return [
    ...(["netdev", "inet"] as const).map((family) => ({ flush: { table: { family, name: table } } })),
    ...[STACK_MAP, ...waysOf(config).map(({ map }) => map)].map((name) => flush("map", "netdev", name)),
    ...FAMILIES.map(({ family }) => flush("set", "inet", `addresses_ip${family}`)),
    ...bases.map(({ chain }) => ({ add: { chain: { ...chain, table } } })),
    ...ofTable(
      "netdev",
      ingress.flatMap((chain) => ingressRules(config, chain)),
    ),
    ...ofTable("inet", stackRules(config)),
    ...hopCommands(config, hops),
    ...addressCommands(config, "add", ips),
  ];
}

/** Adds hops that are new; null stands for one that is no more. */
export function hopCommands(config: RouterConfig, hops: ReadonlyMap<number, Hop | null>): NftCommand[] {
  const byMap = new Map<string, [number, string | number][]>();
  const known = new Set([STACK_MAP, ...waysOf(config).map(({ map }) => map)]);
  for (const [number, hop] of hops) {
    if (hop === null) continue;
    const map = hop.kind === "stack" ? STACK_MAP : mapOf(hop.device, hop.family);
    // Of a device that an earlier configuration named.
    if (!known.has(map)) continue;
    const elements = byMap.get(map) ?? [];
    elements.push([number, hop.kind === "stack" ? hop.mark : hop.ip]);
    byMap.set(map, elements);
  }
  const about = { family: "netdev", table: handoverTable(config) };
  return [...byMap].map(([name, elem]) => ({ add: { element: { ...about, name, elem } } }));
}

/** Adds or takes away addresses whose packets are kept from connection tracking. */
export function addressCommands(
  config: RouterConfig,
  verb: "add" | "delete",
  ips: Iterable<string>,
): NftCommand[] {
  const all = [...ips];
  return FAMILIES.flatMap(({ family }) => {
    const elem = all.filter((ip) => familyOf(ip) === family).map((ip) => keyJson(addressKey(ip)));
    if (elem.length === 0) return [];
    const about = { family: "inet", table: handoverTable(config), name: `addresses_ip${family}` };
    return [{ [verb]: { element: { ...about, elem } } }];
  });
}

function ingressRules(config: RouterConfig, chain: string): Rule[] {
  const isDecided = is(payload(START), DECIDED);
  return [
    { chain, expr: [{ match: { op: "!=", left: payload(START), right: DECIDED } }, { accept: null }] },
    {
      chain,
      expr: [
        isDecided,
        { mangle: { key: { meta: { key: "mark" } }, value: found(STACK_MAP) } },
        { accept: null },
      ],
    },
    ...waysOf(config).map(({ map, family, device }) => ({
      chain,
      expr: [isDecided, { fwd: { family: fieldsOf(family).name, addr: found(map), dev: device } }],
    })),
    // What was decided by a hop that is no more.
    { chain, expr: [isDecided, { drop: null }] },
  ];
}

/** Each device on which hosts are neighbours, in each family. */
function waysOf({ hosts, neighbourDevice }: RouterConfig) {
  const named = [...hosts.values()].flatMap((way) => (way.kind === "neighbour" ? [way.device] : []));
  const devices = new Set([...(neighbourDevice === null ? [] : [neighbourDevice]), ...named].toSorted());
  return [...devices].flatMap((device) =>
    FAMILIES.map(({ family }) => ({ device, family, map: mapOf(device, family) })),
  );
}

function mapOf(device: string, family: 4 | 6): string {
  return `handed_${nameOfDevice(device)}_ip${family}`;
}

function keyJson(key: string): string | number {
  return key.startsWith("0x") ? key : Number(key);
}

/** What a map says of the number in the frame. */
function found(map: string): Expression {
  return { map: { key: payload(NUMBER), data: `@${map}` } };
}
