/**
 * Which block to give out next.
 *
 * There is one table, of the blocks that are taken; what is free is derived from it at each
 * question, so the two can never disagree. Free blocks are the largest aligned ones that fit
 * (buddies merge by themselves). Among equals the longest unused goes first, and chance
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

/** The free blocks of an address: maximal, disjoint, in ascending order. [AL1] */
export function freeBlocks(taken: Iterable<PortBlock>): PortBlock[] {
  const takenBefore = countTakenUnits(taken);
  const free: PortBlock[] = [];
  const visit = (base: number, order: number): void => {
    const first = unitOf(base);
    const end = first + portCountOf(order) / UNIT_PORT_COUNT;
    const takenHere = takenBefore[end]! - takenBefore[first]!;
    if (takenHere === 0) {
      free.push({ base, order });
    } else if (takenHere < end - first) {
      visit(base, order - 1);
      visit(base + portCountOf(order - 1), order - 1);
    }
  };
  for (let base = 0; base < PORT_END; base += portCountOf(MAX_ORDER)) visit(base, MAX_ORDER);
  return free;
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
  const sufficient = free.filter((block) => block.order >= order);
  if (sufficient.length > 0) {
    // The smallest block that suffices keeps the large ones whole. [AL2]
    const smallest = Math.min(...sufficient.map((block) => block.order));
    const equals = sufficient.filter((block) => block.order === smallest);
    return splitDown(longestUnused(equals, history, random), order, history, random);
  }
  if (free.length === 0) return null;
  const largest = Math.max(...free.map((block) => block.order));
  return longestUnused(
    free.filter((block) => block.order === largest),
    history,
    random,
  );
}

function splitDown(block: PortBlock, order: number, history: UnitHistory, random: () => number): PortBlock {
  let current = block;
  while (current.order > order) {
    const half = current.order - 1;
    const halves = [
      { base: current.base, order: half },
      { base: current.base + portCountOf(half), order: half },
    ];
    current = longestUnused(halves, history, random);
  }
  return current;
}

function longestUnused(blocks: readonly PortBlock[], history: UnitHistory, random: () => number): PortBlock {
  let oldest = Infinity;
  let equals: PortBlock[] = [];
  for (const block of blocks) {
    const usedAt = lastUsedAt(block, history);
    if (usedAt < oldest) {
      oldest = usedAt;
      equals = [block];
    } else if (usedAt === oldest) {
      equals.push(block);
    }
  }
  return equals[Math.floor(random() * equals.length)]!;
}

function lastUsedAt(block: PortBlock, history: UnitHistory): number {
  const first = unitOf(block.base);
  const end = first + portCountOf(block.order) / UNIT_PORT_COUNT;
  let latest = 0;
  for (let unit = first; unit < end; unit += 1) latest = Math.max(latest, history[unit]!);
  return latest;
}

/** Prefix sums: entry n counts the taken units below unit n; the reserved ones count as taken. */
function countTakenUnits(taken: Iterable<PortBlock>): Uint16Array {
  const isTaken = new Uint8Array(UNIT_COUNT);
  isTaken.fill(1, 0, unitOf(FIRST_LEASABLE_PORT));
  for (const block of taken) {
    const first = unitOf(block.base);
    isTaken.fill(1, first, first + portCountOf(block.order - MIN_ORDER));
  }
  const before = new Uint16Array(UNIT_COUNT + 1);
  for (let unit = 0; unit < UNIT_COUNT; unit += 1) before[unit + 1] = before[unit]! + isTaken[unit]!;
  return before;
}
