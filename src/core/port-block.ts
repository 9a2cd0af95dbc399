/**
 * The port as a sharding key: aligned blocks of 2^order ports are the unit of a lease.
 *
 * Orders run from 6 (64 ports) to 12 (4,096 ports). Ports 0-1023 are never leased, so one
 * address has 1,008 blocks of 64. [PB1] [PB2]
 */

/** Consecutive ports, both ends included, as the kernel and nftables write them. Never empty. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** An aligned run of 2^order ports beginning at `base`. */
export interface PortBlock {
  readonly base: number;
  readonly order: number;
}

/** The smallest block: 2^6 = 64 ports. */
export const MIN_ORDER = 6;
/** The largest block: 2^12 = 4,096 ports. */
export const MAX_ORDER = 12;
/** The first port that may be leased. */
export const FIRST_LEASABLE_PORT = 1024;
/** One past the last port. */
export const PORT_END = 65_536;
/** Ports of one address that may be leased. */
export const LEASABLE_PORT_COUNT = PORT_END - FIRST_LEASABLE_PORT;
/** Ports in a unit, the granule in which tables of an address are kept. */
export const UNIT_PORT_COUNT = 2 ** MIN_ORDER;
/** Units in an address, the sixteen reserved ones included. */
export const UNIT_COUNT = PORT_END / UNIT_PORT_COUNT;

/** Ports in a block of this order. */
export function portCountOf(order: number): number {
  return 1 << order;
}

/** Whether this is a block that may be leased: a known order, aligned, inside the leasable ports. [PB1] [PB2] */
export function isLeasableBlock(block: PortBlock): boolean {
  const { base, order } = block;
  if (!Number.isInteger(order) || order < MIN_ORDER || order > MAX_ORDER) return false;
  if (!Number.isInteger(base) || base % portCountOf(order) !== 0) return false;
  return base >= FIRST_LEASABLE_PORT && base + portCountOf(order) <= PORT_END;
}

/** The ports of a block as a range. */
export function rangeOf(block: PortBlock): PortRange {
  return { first: block.base, last: block.base + portCountOf(block.order) - 1 };
}

/** Whether a port lies in a block. */
export function blockContains(block: PortBlock, port: number): boolean {
  return port >= block.base && port < block.base + portCountOf(block.order);
}

/** Whether two blocks share a port. Aligned blocks either nest or are disjoint. */
export function blocksOverlap(a: PortBlock, b: PortBlock): boolean {
  return a.base < b.base + portCountOf(b.order) && b.base < a.base + portCountOf(a.order);
}

/** The other half of the block one order up: together they merge. */
export function buddyOf(block: PortBlock): PortBlock {
  const size = portCountOf(block.order);
  return { base: (block.base / size) % 2 === 0 ? block.base + size : block.base - size, order: block.order };
}

/** The unit in which a port lies: 0 to 1,023. */
export function unitOf(port: number): number {
  return Math.floor(port / UNIT_PORT_COUNT);
}

/** The units of a block, from its first to its last. */
export function* unitsOf(block: PortBlock): Iterable<number> {
  const end = unitOf(block.base + portCountOf(block.order));
  for (let unit = unitOf(block.base); unit < end; unit += 1) yield unit;
}

/** The smallest order whose block holds this many ports, clamped to what may be leased. */
export function orderFor(portCount: number): number {
  const exact = Math.ceil(Math.log2(Math.max(1, portCount)));
  return Math.min(MAX_ORDER, Math.max(MIN_ORDER, exact));
}

/** `2048-2111`, as people and nftables write it. */
export function formatRange(range: PortRange): string {
  return `${range.first}-${range.last}`;
}
