/** Which block is given out next. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DISJOINT_BLOCKS, LEASABLE_BLOCK, ORDER } from "./arbitraries.ts";
import { seededRandom } from "./address-story.ts";
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
  isLeasableBlock,
  LEASABLE_PORT_COUNT,
  type PortBlock,
  portCountOf,
} from "../../src/core/port-block.ts";

const zero = (): number => 0;
const nearlyOne = (): number => 1 - 2 ** -32;

describe("free blocks", () => {
  test("[AL1] an untouched address is free but for its reserved ports, in the largest blocks that fit", () => {
    const free = freeBlocks([]);
    expect(portTotal(free)).toBe(LEASABLE_PORT_COUNT);
    expect(free.slice(0, 3)).toEqual([
      { base: 1024, order: 10 },
      { base: 2048, order: 11 },
      { base: 4096, order: 12 },
    ]);
    expect(free).toHaveLength(2 + 15);
  });

  test("[AL1] halves merge once both are free", () => {
    const half = { base: 4096, order: 11 };
    expect(freeBlocks([half])).toContainEqual(buddyOf(half));
    expect(freeBlocks([])).toContainEqual({ base: 4096, order: 12 });
  });

  test("[AL1] every port is taken or free, exactly once, in blocks that cannot be larger", () => {
    fc.assert(
      fc.property(DISJOINT_BLOCKS, (taken) => {
        const free = freeBlocks(taken);
        expect(portTotal(free) + portTotal(taken)).toBe(LEASABLE_PORT_COUNT);
        const all = [...free, ...taken].toSorted((a, b) => a.base - b.base);
        for (let at = 1; at < all.length; at += 1) expect(blocksOverlap(all[at - 1]!, all[at]!)).toBe(false);
        expect(free).toEqual(free.toSorted((a, b) => a.base - b.base));
        const known = new Set(free.map(nameOf));
        for (const block of free) {
          expect(isLeasableBlock(block)).toBe(true);
          expect(block.order < 12 && known.has(nameOf(buddyOf(block)))).toBe(false);
        }
      }),
    );
  });
});

describe("choosing a block", () => {
  test("[AL2] a small request leaves the large blocks whole", () => {
    const free = [
      { base: 1024, order: 7 },
      { base: 4096, order: 12 },
    ];
    const chosen = chooseBlock(free, 6, emptyUnitHistory(), zero)!;
    expect(blocksOverlap(chosen, free[0]!)).toBe(true);
  });

  test("[AL2] the smallest that suffices goes first, though larger ones have been unused for longer", () => {
    const history = emptyUnitHistory();
    const free = [
      { base: 1024, order: 6 },
      { base: 2048, order: 8 },
      { base: 4096, order: 12 },
    ];
    for (const block of free.slice(0, 2)) markUnused(history, block, 500);
    for (const draw of [zero, nearlyOne]) {
      expect(chooseBlock(free, 6, history, draw)).toEqual({ base: 1024, order: 6 });
      expect(blocksOverlap(chooseBlock(free, 7, history, draw)!, free[1]!)).toBe(true);
    }
  });

  test("[AL3] a block that was given up says nothing of its neighbours", () => {
    const history = emptyUnitHistory();
    markUnused(history, { base: 4096, order: 7 }, 500);
    const used = [...history.keys()].filter((unit) => history[unit] !== 0);
    expect(used).toEqual([64, 65]);
  });

  test("[AL2] when nothing is large enough the largest there is goes instead", () => {
    const free = [
      { base: 1024, order: 6 },
      { base: 2048, order: 8 },
    ];
    expect(chooseBlock(free, 12, emptyUnitHistory(), zero)).toEqual({ base: 2048, order: 8 });
    expect(chooseBlock([], 6, emptyUnitHistory(), zero)).toBeNull();
  });

  test("[AL3] the longest unused goes first, also among the halves of a block", () => {
    const history = emptyUnitHistory();
    markUnused(history, { base: 4096, order: 11 }, 500);
    markUnused(history, { base: 6144, order: 10 }, 300);
    markUnused(history, { base: 7168, order: 10 }, 400);
    const free = [{ base: 4096, order: 12 }];
    expect(chooseBlock(free, 11, history, nearlyOne)).toEqual({ base: 6144, order: 11 });
    expect(chooseBlock(free, 10, history, nearlyOne)).toEqual({ base: 6144, order: 10 });
  });

  test("[AL3] chance decides between equals, and reaches each of them", () => {
    const free = freeBlocks([]);
    const random = seededRandom(7);
    const seen = new Set<number>();
    for (let draw = 0; draw < 2000; draw += 1) {
      seen.add(chooseBlock(free, 12, emptyUnitHistory(), random)!.base);
    }
    expect(seen.size).toBe(15);
  });

  test("[AL2] [AL3] the choice is free, of the order asked for or the largest, and used no later than any equal", () => {
    fc.assert(
      fc.property(
        DISJOINT_BLOCKS,
        ORDER,
        fc.array(fc.tuple(LEASABLE_BLOCK, fc.nat(1000)), { maxLength: 40 }),
        fc.nat(),
        (taken, order, uses, seed) => {
          const history = emptyUnitHistory();
          for (const [block, atMs] of uses) markUnused(history, block, atMs);
          const free = freeBlocks(taken);
          const chosen = chooseBlock(free, order, history, seededRandom(seed));
          fc.pre(chosen !== null);
          const largest = Math.max(...free.map((block) => block.order));
          expect(chosen.order).toBe(Math.min(order, largest));
          const source = free.find((block) => blocksOverlap(block, chosen))!;
          expect(portCountOf(source.order)).toBeGreaterThanOrEqual(portCountOf(chosen.order));
          expect(taken.some((block) => blocksOverlap(block, chosen))).toBe(false);
          for (const equal of free.filter((block) => block.order === source.order)) {
            expect(lastUse(history, source)).toBeLessThanOrEqual(lastUse(history, equal));
          }
        },
      ),
    );
  });

  test("[AL1] taking blocks until nothing is left hands out every port once", () => {
    fc.assert(
      fc.property(fc.array(ORDER, { minLength: 1, maxLength: 8 }), fc.nat(), (orders, seed) => {
        const random = seededRandom(seed);
        const taken: PortBlock[] = [];
        for (let at = 0; ; at += 1) {
          const order = orders[at % orders.length]!;
          const block = chooseBlock(freeBlocks(taken), Math.max(order, 9), emptyUnitHistory(), random);
          if (block === null) break;
          taken.push(block);
        }
        expect(portTotal(taken)).toBe(LEASABLE_PORT_COUNT);
      }),
      { numRuns: 20 },
    );
  });
});

function nameOf(block: PortBlock): string {
  return `${block.base}/${block.order}`;
}

function lastUse(history: UnitHistory, block: PortBlock): number {
  return Math.max(...history.slice(block.base / 64, (block.base + portCountOf(block.order)) / 64));
}
