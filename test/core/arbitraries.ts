/** Random values of the domain, for property tests. */
import * as fc from "fast-check";
import {
  FIRST_LEASABLE_PORT,
  MAX_ORDER,
  MIN_ORDER,
  type PortBlock,
  PORT_END,
  portCountOf,
} from "../../src/core/port-block.ts";

/** Any order that may be leased. */
export const ORDER = fc.integer({ min: MIN_ORDER, max: MAX_ORDER });

/** Any block that may be leased. */
export const LEASABLE_BLOCK: fc.Arbitrary<PortBlock> = ORDER.chain((order) => {
  const size = portCountOf(order);
  const first = Math.ceil(FIRST_LEASABLE_PORT / size);
  return fc.integer({ min: first, max: PORT_END / size - 1 }).map((at) => ({ base: at * size, order }));
});

/** Any set of blocks that do not overlap. */
export const DISJOINT_BLOCKS: fc.Arbitrary<PortBlock[]> = fc
  .array(LEASABLE_BLOCK, { maxLength: 60 })
  .map((blocks) => {
    const chosen: PortBlock[] = [];
    for (const block of blocks) {
      const end = block.base + portCountOf(block.order);
      if (chosen.every((other) => end <= other.base || block.base >= other.base + portCountOf(other.order))) {
        chosen.push(block);
      }
    }
    return chosen;
  });
