/**
 * Turns the pool's table into what the kernel is told, without I/O. [RT1] [RT2] [RT5]
 *
 * Everything that varies is elements of sets and maps. So a whole table is a collection of
 * elements, a change is a few of them to delete and to add, and a repair is the difference of
 * two collections. Rules depend only on which maps have elements at all.
 */
import type { SteeringTable } from "../../core/steering.ts";
import { type NftCommand, type TableFamily, transactionText } from "../../linux/nftables/statements.ts";
import { DROP_REASONS } from "../steering/drop-reasons.ts";
import { destinationOf, type RouterConfig } from "../steering/router-config.ts";
import { familyOf } from "../../core/address-family.ts";
import type { PlacedEntry, SteeringDelta, Unreachable } from "../steering/steering-kernel.ts";
import { addressKey, type Element, forEachElement } from "./steering-elements.ts";
import { REASON_SET, reasonNumber, type Rule, steeringRules } from "./steering-rules.ts";
import {
  baseChains,
  containers,
  stackRules,
  steeringMaps,
  declarationText,
} from "./steering-declarations.ts";

/** Elements by `containerId`: data by key. */
export type Contents = Map<string, Map<string, string | number | null>>;

/** Elements to take out and to put in, in one transaction. */
export interface Difference {
  readonly removed: Contents;
  readonly added: Contents;
}

/** A set or map, told apart from that of the same name in the other table. */
export function containerId(table: TableFamily, name: string): string {
  return `${table} ${name}`;
}

/** All elements for a table, and which hosts are left out because they have no next hop. */
export function contentsOf(
  config: RouterConfig,
  table: SteeringTable,
): { contents: Contents; unreachable: Unreachable[] } {
  const nextHops = new Map(table.nextHops.map((nextHop) => [nextHop.host, nextHop]));
  const contents: Contents = new Map();
  const unreachable = new Map<string, Unreachable>();
  for (const reason of DROP_REASONS) {
    put(contents, containerId("netdev", REASON_SET), String(reasonNumber(reason)), null);
  }
  for (const ip of table.ips) addAddress(contents, ip);
  for (const entry of table.entries) {
    const left = addEntry(config, contents, { entry, nextHop: nextHops.get(entry.host) ?? null });
    if (left !== null) unreachable.set(`${left.host} ${left.family}`, left);
  }
  return { contents, unreachable: [...unreachable.values()] };
}

/** What a change takes out and puts in; what is in both stays untouched. */
export function differenceOf(config: RouterConfig, delta: SteeringDelta): Difference {
  const before: Contents = new Map();
  const after: Contents = new Map();
  for (const ip of delta.removedIps) addAddress(before, ip);
  for (const ip of delta.addedIps) addAddress(after, ip);
  for (const placed of delta.removed) addEntry(config, before, placed);
  for (const placed of delta.added) addEntry(config, after, placed);
  return differenceBetween(before, after);
}

/** What turns one collection of elements into the other. */
export function differenceBetween(before: Contents, after: Contents): Difference {
  return { removed: without(before, after), added: without(after, before) };
}

/** The elements of a difference as nft's commands: all deletions, then all additions. */
export function elementCommands(config: RouterConfig, { removed, added }: Difference): NftCommand[] {
  return [
    ...[...removed].flatMap(([id, elements]) => elementCommand(config, "delete", id, elements)),
    ...[...added].flatMap(([id, elements]) => elementCommand(config, "add", id, elements)),
  ];
}

/** Replaces all rules by those for the maps that have elements, and makes the chains at which packets come in. */
export function ruleCommands(config: RouterConfig, inUse: ReadonlySet<string>): NftCommand[] {
  const maps = steeringMaps(config).filter(({ name }) => inUse.has(containerId("netdev", name)));
  const bases = baseChains(config);
  const ingress = bases.flatMap(({ table, chain }) => (table === "netdev" ? [chain["name"] as string] : []));
  const ofTable = (family: TableFamily, rules: readonly Rule[]): NftCommand[] =>
    rules.map(({ chain, expr }) => ({ add: { rule: { family, table: config.table, chain, expr } } }));
  return [
    ...(["netdev", "inet"] as const).map((family) => ({ flush: { table: { family, name: config.table } } })),
    ...bases.map(({ chain }) => ({ add: { chain } })),
    ...ofTable("netdev", steeringRules(config, maps, ingress)),
    ...ofTable("inet", stackRules(config)),
  ];
}

/** Something in one of our tables, as nft's JSON calls it. */
export interface NamedObject {
  readonly kind: string;
  readonly table: TableFamily;
  readonly name: string;
}

/** Takes a chain, set, map or counter away. */
export function deletion(config: RouterConfig, { kind, table, name }: NamedObject): NftCommand {
  return { delete: { [kind]: { family: table, table: config.table, name } } };
}

/** What nft would be told to make a table from nothing, one transaction a line. */
export function printTransactions(config: RouterConfig, table: SteeringTable): string[] {
  const { contents } = contentsOf(config, table);
  const difference = differenceBetween(new Map(), contents);
  const rules = ruleCommands(config, usedContainers(contents));
  return [declarationText(config), transactionText([...rules, ...elementCommands(config, difference)])];
}

/** Which maps a collection uses. */
export function usedContainers(contents: Contents): Set<string> {
  return new Set([...contents].flatMap(([id, elements]) => (elements.size > 0 ? [id] : [])));
}

function addAddress(contents: Contents, ip: string): void {
  const key = addressKey(ip);
  const suffix = `ip${familyOf(ip)}`;
  put(contents, containerId("netdev", `addresses_${suffix}`), key, null);
  put(contents, containerId("netdev", `drops_${suffix}`), key, null);
  put(contents, containerId("netdev", `quotes_${suffix}`), `${key} ${key}`, null);
  put(contents, containerId("inet", `addresses_${suffix}`), key, null);
}

/** Gives the host back if there is no way to it. */
function addEntry(config: RouterConfig, contents: Contents, placed: PlacedEntry): Unreachable | null {
  const { entry, nextHop } = placed;
  const family = familyOf(entry.ip);
  const destination = destinationOf(config, entry.host, family, nextHop);
  if (destination === null) return { host: entry.host, family };
  forEachElement(entry, destination, (_, { container, key, data }: Element) =>
    put(contents, containerId("netdev", container), key, data),
  );
  return null;
}

function put(contents: Contents, id: string, key: string, data: string | number | null): void {
  let elements = contents.get(id);
  if (elements === undefined) {
    elements = new Map();
    contents.set(id, elements);
  }
  elements.set(key, data);
}

function without(contents: Contents, others: Contents): Contents {
  const left: Contents = new Map();
  for (const [id, elements] of contents) {
    const same = others.get(id);
    for (const [key, data] of elements) {
      if (same?.get(key) !== data || !same.has(key)) put(left, id, key, data);
    }
  }
  return left;
}

/** Elements in one command: nft reads them at once. */
function elementCommand(
  config: RouterConfig,
  verb: "add" | "delete",
  id: string,
  elements: ReadonlyMap<string, string | number | null>,
): NftCommand[] {
  const container = containers(config).find(({ table, name }) => containerId(table, name) === id);
  if (container === undefined) throw new Error(`no set or map ${id} in this configuration`);
  const isDataGiven = verb === "add" && container.kind === "map";
  const elem = [...elements].map(([key, data]) => (isDataGiven ? [keyJson(key), data] : keyJson(key)));
  return [
    { [verb]: { element: { family: container.table, table: config.table, name: container.name, elem } } },
  ];
}

function keyJson(key: string): unknown {
  const parts = key.split(" ").map((part) => (part.startsWith("0x") ? part : Number(part)));
  return parts.length === 1 ? parts[0] : { concat: parts };
}
