/** Which flows may share connections to an origin: those that have the same key. [OR33] */
import type { EgressContext } from "../../egress/flow-context.ts";

/**
 * Holds everything that connections know of a flow; the compiler asks here for whatever is added.
 * Addresses and policies count as themselves: one that was given up and taken back is another.
 */
export function connectionKey({ pool, address, tenant, policy }: EgressContext, origin: string): string {
  // Each tenant has one meter, so that says nothing more.
  const parts = { pool, address: numberOf(address), tenant, policy: numberOf(policy) } satisfies Record<
    Exclude<keyof EgressContext, "meter">,
    string | number
  >;
  // Only the names of a pool and a tenant might have a space in them: with the length of one no two keys read alike.
  return `${parts.address} ${parts.policy} ${origin} ${pool.length} ${parts.pool}${parts.tenant}`;
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
