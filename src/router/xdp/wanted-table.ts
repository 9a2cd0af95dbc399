/** The pool's table as it is to be in the program's maps: by address, which block goes where. */
import type { PortBlock } from "../../core/port-block.ts";
import type { SteeringTable } from "../../core/steering.ts";
import { familyOf } from "../../core/address-family.ts";
import { type Destination, destinationOf, type RouterConfig } from "../steering/router-config.ts";
import type { Unreachable } from "../steering/steering-kernel.ts";
import { fill, noUnits, type SteeringLines } from "./steering-lines.ts";

/** Ports of an entry of an address's line, as a power of two. */
const COARSE_ORDER = 11;

/** A block and where its packets go. */
interface PlacedBlock extends PortBlock {
  readonly destination: Destination;
}

/** Everything that is to be steered. */
export interface WantedTable {
  readonly blocks: ReadonlyMap<string, readonly PlacedBlock[]>;
  /** Hosts that are left out because nobody has said how to reach them. */
  readonly unreachable: readonly Unreachable[];
}

/** What a table comes to. */
export function wantedTable(config: RouterConfig, table: SteeringTable): WantedTable {
  const nextHops = new Map(table.nextHops.map((nextHop) => [nextHop.host, nextHop]));
  const blocks = new Map<string, PlacedBlock[]>(table.ips.map((ip) => [ip, []]));
  const unreachable = new Map<string, Unreachable>();
  const destinations = new Map<string, Destination | null>();
  for (const { ip, base, order, host } of table.entries) {
    const family = familyOf(ip);
    const key = `${family} ${host}`;
    let destination = destinations.get(key);
    if (destination === undefined) {
      destination = destinationOf(config, host, family, nextHops.get(host) ?? null);
      destinations.set(key, destination);
      if (destination === null) unreachable.set(key, { host, family });
    }
    if (destination === null) continue;
    const own = blocks.get(ip);
    if (own === undefined) blocks.set(ip, [{ base, order, destination }]);
    else own.push({ base, order, destination });
  }
  return { blocks, unreachable: [...unreachable.values()] };
}

/** How many fine lines it needs, at most. */
export function fineLinesFor({ blocks }: WantedTable): number {
  let count = 0;
  for (const own of blocks.values()) {
    const split = own.flatMap(({ base, order }) => (order < COARSE_ORDER ? [base >> COARSE_ORDER] : []));
    count += new Set(split).size;
  }
  return count;
}

/** Makes all lines so; says what that takes away and gives, in elements of 64 ports and addresses. */
export function replaceAll(
  lines: SteeringLines,
  { blocks }: WantedTable,
  numberOf: (destination: Destination) => number,
): { removedCount: number; addedCount: number } {
  const counts = { removedCount: 0, addedCount: 0 };
  for (const ip of lines.ips) {
    if (blocks.has(ip)) continue;
    lines.removeIp(ip);
    counts.removedCount += 1;
  }
  const known = new Set(lines.ips);
  for (const [ip, own] of blocks) {
    const units = noUnits();
    for (const block of own) fill(units, block, numberOf(block.destination));
    const { removed, added } = lines.replace(ip, units);
    counts.removedCount += removed;
    counts.addedCount += added + (known.has(ip) ? 0 : 1);
  }
  return counts;
}
