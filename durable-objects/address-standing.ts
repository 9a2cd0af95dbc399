/**
 * How an address and its pool speak of whether the address belongs there. The pool says what it
 * wishes until the address says that it is so; either may be restarted in between, and nothing
 * said twice or too late does harm. [RE6]
 */
import { type LeaseTable, nextDeadlineMs } from "../src/core/lease-table.ts";
import { portCountOf } from "../src/core/port-block.ts";
import { isUnpublished } from "../src/core/publication.ts";

/** What a pool wants of an address, as of a revision of the pool. */
export interface AddressOrder {
  /** An order never undoes one of the same pool with a higher revision. Null is heeded whatever came before. */
  readonly revision: number | null;
  /** To be served from; to grant nothing new; to belong nowhere, if nothing is left of it. */
  readonly wish: "serve" | "retire" | "leave";
}

/** How an address stands to the pool that asks. */
export type AddressStanding =
  | { readonly standing: "serving" }
  | RetiringStanding
  /** It does not belong to this pool, or not any more. */
  | { readonly standing: "left" }
  /** A newer order of this pool was heeded before; the pool has forgotten it, or an old instance speaks. */
  | { readonly standing: "outdated"; readonly revision: number };

/** Nothing new is granted; what there is comes to an end. */
export interface RetiringStanding {
  readonly standing: "retiring";
  readonly leasedPortCount: number;
  readonly quarantinedPortCount: number;
  /** Whether nobody can be sending from it, and the pool knows all there was to publish. */
  readonly isEmpty: boolean;
  /** When it is worth asking again. */
  readonly againInMs: number;
}

/** What is wished by whoever names no order. */
export const SERVE: AddressOrder = { revision: null, wish: "serve" };

/** It does not belong to the pool. */
export const LEFT: AddressStanding = { standing: "left" };

const SOONEST_MS = 1_000;
const LATEST_MS = 60_000;

/** How far a table is from being empty, at this time (Unix milliseconds). */
export function standingOf(table: LeaseTable, nowMs: number): AddressStanding {
  if (!table.isRetiring) return { standing: "serving" };
  let leasedPortCount = 0;
  let quarantinedPortCount = 0;
  for (const { state, order } of table.rows.values()) {
    if (state === "leased") leasedPortCount += portCountOf(order);
    else quarantinedPortCount += portCountOf(order);
  }
  const isEmpty = table.rows.size === 0 && !isUnpublished(table);
  const dueInMs = (nextDeadlineMs(table) ?? nowMs) - nowMs;
  const againInMs = Math.min(LATEST_MS, Math.max(SOONEST_MS, dueInMs));
  return { standing: "retiring", leasedPortCount, quarantinedPortCount, isEmpty, againInMs };
}
