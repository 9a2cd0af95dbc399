/**
 * Which block to give out next.
 *
 * There is one table, of the blocks that are taken; what is free is derived from it, so the two
 * can never disagree: for a whole address, or anew for the stretch in which something has changed.
 * Free blocks are the largest aligned ones that fit (buddies merge by themselves). Among equals the longest unused goes first, and chance
 * decides between those, so that a stranger cannot tell where the next ports will be.
 * [AL1] [AL2] [AL3]
 */
import {
  FIRST_LEASABLE_PORT,
  MAX_ORDER,
  MIN_ORDER,
  type PortBlock,
  PORT_END,
  portCountOf,
  UNIT_COUNT,
  UNIT_PORT_COUNT,
  unitOf,
} from "./port-block.ts";

/** When each unit of an address was last given up, in Unix milliseconds; 0 for never used. */
export type UnitHistory = Float64Array;

/** A history in which nothing was ever used. */
export function emptyUnitHistory(): UnitHistory {
  return new Float64Array(UNIT_COUNT);
}

/** Notes that a block was given up at this time. */
export function markUnused(history: UnitHistory, block: PortBlock, atMs: number): void {
  const first = unitOf(block.base);
  history.fill(atMs, first, first + portCountOf(block.order) / UNIT_PORT_COUNT);
}

/** Of the free blocks of one order, those that were unused for longest. */
interface Candidates {
  /** When one of their ports was last given up. */
  readonly usedAtMs: number;
  /** In ascending order. */
  readonly blocks: PortBlock[];
}

/** What can be given out, by order from the smallest on; undefined where no such block is free. */
type Offer = readonly (Candidates | undefined)[];

/**
 * Which units of an address are taken, and what can be given out of what that leaves. Plain values,
 * which follow from the blocks that are taken and from the history alone.
 */
export interface Occupancy {
  readonly history: UnitHistory;
  /**
   * How many units are taken in each aligned block of each order: a binary tree in an array, as a
   * heap has it. A block that is taken whole is counted at its own node and above, not below: no
   * question goes below a full node.
   */
  readonly taken: Uint8Array;
  /** Of each stretch of the largest order, derived anew whenever a block in it is taken or freed. */
  readonly offers: Offer[];
}

/** Only the ports that are never leased are taken. [PB2] */
export function emptyOccupancy(history: UnitHistory): Occupancy {
  const taken = new Uint8Array(2 * UNIT_COUNT);
  const offers = STRETCHES.map((stretch) => offerOf([stretch], history));
  const occupancy = { history, taken, offers };
  markTaken(occupancy, RESERVED);
  return occupancy;
}

/** Notes that a block, all of which is free, is taken. */
export function markTaken(occupancy: Occupancy, block: PortBlock): void {
  addUnits(occupancy, block, unitCountOf(block.order));
}

/** Notes that a block, which was taken as it is, is free, after the history has been told. */
export function markFree(occupancy: Occupancy, block: PortBlock): void {
  addUnits(occupancy, block, -unitCountOf(block.order));
}

/** How many ports are free. */
export function freePortCount({ taken }: Occupancy): number {
  let unitCount = UNIT_COUNT;
  for (const { base, order } of STRETCHES) unitCount -= taken[nodeOf(base, order)]!;
  return unitCount * UNIT_PORT_COUNT;
}

/** The free blocks of an address: maximal, disjoint, in ascending order. [AL1] */
export function freeBlocks(taken: Iterable<PortBlock>): PortBlock[] {
  const occupancy = emptyOccupancy(emptyUnitHistory());
  for (const block of taken) markTaken(occupancy, block);
  return STRETCHES.flatMap(({ base, order }) => freeWithin(occupancy.taken, base, order, []));
}

/** How many ports these blocks have together. */
export function portTotal(blocks: Iterable<PortBlock>): number {
  let total = 0;
  for (const block of blocks) total += portCountOf(block.order);
  return total;
}

/**
 * Takes a block of the order asked for out of the free blocks, or the largest smaller one
 * if none is left. `null` when nothing at all is free. `random` gives numbers in [0, 1).
 */
export function chooseBlock(
  free: readonly PortBlock[],
  order: number,
  history: UnitHistory,
  random: () => number,
): PortBlock | null {
  return chooseFrom([offerOf(free, history)], order, history, random);
}

/** The same out of what an address has free. It costs the same however much and how scattered that is. */
export function chooseFree(
  { offers, history }: Occupancy,
  order: number,
  random: () => number,
): PortBlock | null {
  return chooseFrom(offers, order, history, random);
}

function chooseFrom(
  offers: readonly Offer[],
  order: number,
  history: UnitHistory,
  random: () => number,
): PortBlock | null {
  const best = bestOrder(offers, order);
  if (best === null) return null;
  let current = longestUnused(offers, best, random);
  while (current.order > order) {
    const half = current.order - 1;
    const upper = { base: current.base + portCountOf(half), order: half };
    const halves = offerOf([{ base: current.base, order: half }, upper], history);
    current = longestUnused([halves], half, random);
  }
  return current;
}

/** The smallest order that suffices keeps the large blocks whole; else the largest. [AL2] */
function bestOrder(offers: readonly Offer[], order: number): number | null {
  const isOffered = (candidate: number): boolean =>
    offers.some((offer) => offer[candidate - MIN_ORDER] !== undefined);
  for (let larger = order; larger <= MAX_ORDER; larger += 1) if (isOffered(larger)) return larger;
  for (let smaller = order - 1; smaller >= MIN_ORDER; smaller -= 1) if (isOffered(smaller)) return smaller;
  return null;
}

/** Of the blocks of this order, of which there is one at least. [AL3] */
function longestUnused(offers: readonly Offer[], order: number, random: () => number): PortBlock {
  let oldestMs = Infinity;
  let equals: PortBlock[][] = [];
  let equalCount = 0;
  for (const offer of offers) {
    const candidates = offer[order - MIN_ORDER];
    if (candidates === undefined || candidates.usedAtMs > oldestMs) continue;
    if (candidates.usedAtMs < oldestMs) [equals, equalCount] = [[], 0];
    oldestMs = candidates.usedAtMs;
    equals.push(candidates.blocks);
    equalCount += candidates.blocks.length;
  }
  let at = Math.floor(random() * equalCount);
  const chosen = equals.find((blocks) => at < blocks.length || (at -= blocks.length) < 0)!;
  return chosen[at]!;
}

/** What a list of free blocks offers. */
function offerOf(free: readonly PortBlock[], history: UnitHistory): Offer {
  const offer: (Candidates | undefined)[] = NOTHING.slice();
  for (const block of free) {
    const usedAtMs = lastUsedAt(block, history);
    const candidates = offer[block.order - MIN_ORDER];
    if (candidates === undefined || usedAtMs < candidates.usedAtMs) {
      offer[block.order - MIN_ORDER] = { usedAtMs, blocks: [block] };
    } else if (usedAtMs === candidates.usedAtMs) {
      candidates.blocks.push(block);
    }
  }
  return offer;
}

function lastUsedAt(block: PortBlock, history: UnitHistory): number {
  const first = unitOf(block.base);
  const end = first + unitCountOf(block.order);
  let latest = 0;
  for (let unit = first; unit < end; unit += 1) latest = Math.max(latest, history[unit]!);
  return latest;
}

function addUnits(
  { taken, offers, history }: Occupancy,
  { base, order }: PortBlock,
  unitCount: number,
): void {
  for (let above = order; above <= MAX_ORDER; above += 1) taken[nodeOf(base, above)]! += unitCount;
  const stretch = base >> MAX_ORDER;
  offers[stretch] = offerOf(freeWithin(taken, stretch << MAX_ORDER, MAX_ORDER, []), history);
}

/** Adds to the list what is free in a block. */
function freeWithin(taken: Uint8Array, base: number, order: number, free: PortBlock[]): PortBlock[] {
  const takenHere = taken[nodeOf(base, order)]!;
  if (takenHere === 0) {
    free.push({ base, order });
  } else if (takenHere < unitCountOf(order)) {
    freeWithin(taken, base, order - 1, free);
    freeWithin(taken, base + portCountOf(order - 1), order - 1, free);
  }
  return free;
}

/** Where the block of this order is counted that contains this port; the one above it is at half of that. */
function nodeOf(port: number, order: number): number {
  return (PORT_END + port) >> order;
}

function unitCountOf(order: number): number {
  return portCountOf(order - MIN_ORDER);
}

const RESERVED: PortBlock = { base: 0, order: Math.log2(FIRST_LEASABLE_PORT) };
/** The blocks of the largest order of which an address consists. */
const STRETCHES: readonly PortBlock[] = Array.from({ length: PORT_END >> MAX_ORDER }, (_, at) => ({
  base: at << MAX_ORDER,
  order: MAX_ORDER,
}));
const NOTHING: Offer = Array.from({ length: MAX_ORDER - MIN_ORDER + 1 }, () => undefined);
