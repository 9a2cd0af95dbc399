/** The allocator against one of the ordinary kind, which keeps lists of what is free. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chooseBlock,
  emptyUnitHistory,
  freeBlocks,
  markUnused,
  portTotal,
  type UnitHistory,
} from "../../src/core/buddy-allocator.ts";
import {
  blocksOverlap,
  buddyOf,
  LEASABLE_PORT_COUNT,
  MAX_ORDER,
  type PortBlock,
  portCountOf,
  UNIT_COUNT,
  UNIT_PORT_COUNT,
  unitOf,
} from "../../src/core/port-block.ts";
import { seededRandom } from "./address-story.ts";
import { DISJOINT_BLOCKS, LEASABLE_BLOCK, ORDER } from "./arbitraries.ts";

/** What is free, as lists that splitting and merging keep up by hand. */
class FreeLists {
  readonly #free = new Map<string, PortBlock>();

  constructor() {
    this.#put({ base: 1024, order: 10 });
    this.#put({ base: 2048, order: 11 });
    for (let base = 4096; base < 65_536; base += 4096) this.#put({ base, order: 12 });
  }

  /** In ascending order. */
  get blocks(): readonly PortBlock[] {
    return [...this.#free.values()].toSorted((a, b) => a.base - b.base);
  }

  /** Takes a block out of the free one around it, and keeps the halves that are left over. */
  take(block: PortBlock): void {
    const around = this.blocks.find((free) => blocksOverlap(free, block) && free.order >= block.order);
    if (around === undefined) throw new Error("not free");
    this.#free.delete(nameOf(around));
    for (let { base, order } = around; order > block.order;) {
      order -= 1;
      const upper = base + portCountOf(order);
      const isLower = block.base < upper;
      this.#put({ base: isLower ? upper : base, order });
      if (!isLower) base = upper;
    }
  }

  /** Gives a block back, and merges it with its buddy for as long as that is free too. */
  giveBack(block: PortBlock): void {
    let merged = block;
    while (merged.order < MAX_ORDER && this.#free.delete(nameOf(buddyOf(merged)))) {
      merged = { base: Math.min(merged.base, buddyOf(merged).base), order: merged.order + 1 };
    }
    this.#put(merged);
  }

  #put(block: PortBlock): void {
    this.#free.set(nameOf(block), block);
  }
}

function nameOf({ base, order }: PortBlock): string {
  return `${base}/${order}`;
}

function lastUse(history: UnitHistory, { base, order }: PortBlock): number {
  return Math.max(...history.slice(unitOf(base), unitOf(base) + portCountOf(order) / UNIT_PORT_COUNT));
}

const take = fc.record({ type: fc.constant("take" as const), order: ORDER });
const giveBack = fc.record({ type: fc.constant("give back" as const), at: fc.nat() });
const steps = fc.array(fc.oneof({ weight: 3, arbitrary: take }, { weight: 2, arbitrary: giveBack }), {
  minLength: 5,
  maxLength: 80,
  size: "max",
});

describe("blocks that are taken and given back", () => {
  test("[AL1] [AL2] leave free what an allocator with free lists has free, and no port is lost", () => {
    fc.assert(
      fc.property(steps, fc.nat(), (history, seed) => {
        const lists = new FreeLists();
        const taken: PortBlock[] = [];
        const unused = emptyUnitHistory();
        const random = seededRandom(seed);
        for (const [atMs, step] of history.entries()) {
          if (step.type === "take") {
            const before = lists.blocks;
            const block = chooseBlock(freeBlocks(taken), step.order, unused, random);
            if (block === null) expect(before).toEqual([]);
            else {
              lists.take(block);
              taken.push(block);
              const largest = Math.max(...before.map(({ order }) => order));
              expect(block.order).toBe(Math.min(step.order, largest));
            }
          } else if (taken.length > 0) {
            const [block] = taken.splice(step.at % taken.length, 1);
            markUnused(unused, block!, atMs);
            lists.giveBack(block!);
          }
          expect(freeBlocks(taken)).toEqual(lists.blocks);
          expect(portTotal(taken) + portTotal(lists.blocks)).toBe(LEASABLE_PORT_COUNT);
        }
        for (const block of taken.splice(0)) lists.giveBack(block);
        expect(lists.blocks).toEqual(freeBlocks([]));
      }),
    );
  });

  test("[AL1] leave the same free in whatever order they are told", () => {
    const shuffled = DISJOINT_BLOCKS.chain((blocks) =>
      fc.tuple(fc.constant(blocks), fc.shuffledSubarray(blocks, { minLength: blocks.length })),
    );
    fc.assert(
      fc.property(shuffled, ([blocks, others]) => {
        expect(freeBlocks(others)).toEqual(freeBlocks(blocks));
      }),
    );
  });
});

describe("the block that is chosen", () => {
  const uses = fc.array(fc.tuple(LEASABLE_BLOCK, fc.nat(50)), { maxLength: 40 });

  function historyOf(given: readonly (readonly [PortBlock, number])[]): UnitHistory {
    const history = emptyUnitHistory();
    for (const [block, atMs] of given) markUnused(history, block, atMs);
    return history;
  }

  test("[AL3] is at every halving in the half that has been unused for longer", () => {
    fc.assert(
      fc.property(DISJOINT_BLOCKS, ORDER, uses, fc.nat(), (taken, order, given, seed) => {
        const history = historyOf(given);
        const free = freeBlocks(taken);
        const chosen = chooseBlock(free, order, history, seededRandom(seed));
        fc.pre(chosen !== null);
        const source = free.find((block) => blocksOverlap(block, chosen))!;
        for (let current = source; current.order > chosen.order;) {
          const half = current.order - 1;
          const size = portCountOf(half);
          const isUpper = chosen.base >= current.base + size;
          current = { base: isUpper ? current.base + size : current.base, order: half };
          expect(lastUse(history, current)).toBeLessThanOrEqual(lastUse(history, buddyOf(current)));
        }
      }),
    );
  });

  test("[AL3] is no matter of chance while all have been unused for different times", () => {
    const ages = fc.shuffledSubarray([...emptyUnitHistory().keys()], { minLength: UNIT_COUNT });
    fc.assert(
      fc.property(DISJOINT_BLOCKS, ORDER, ages, fc.nat(), fc.nat(), (taken, order, given, one, other) => {
        const history = Float64Array.from(given);
        const free = freeBlocks(taken);
        const choose = (seed: number) => chooseBlock(free, order, history, seededRandom(seed));
        expect(choose(one)).toEqual(choose(other));
      }),
    );
  });
});
