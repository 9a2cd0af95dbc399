/** Which flows may share connections to an origin: those that have the same key. [OR33] */
import type { EgressContext } from "../../egress/flow-context.ts";

/**
 * Holds everything that connections know of a flow; the compiler asks here for whatever is added.
 * Addresses and policies count as themselves: one that was given up and taken back is another.
 */
export function connectionKey({ pool, address, policy }: EgressContext, origin: string): string {
  const parts = { pool, address: numberOf(address), policy: numberOf(policy) } satisfies Record<
    keyof EgressContext,
    string | number
  >;
  // Only the pool's name might have a space in it.
  return `${parts.address} ${parts.policy} ${parts.pool} ${origin}`;
}

const numbers = new WeakMap<object, number>();
let numberedCount = 0;

function numberOf(thing: object): number {
  let number = numbers.get(thing);
  if (number === undefined) {
    numberedCount += 1;
    number = numberedCount;
    numbers.set(thing, number);
  }
  return number;
}
