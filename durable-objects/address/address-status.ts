/** The status of an address in its pool: serving, retiring, or left. [RE6] */
import { type LeaseTable, nextDeadlineMs } from "../../src/core/lease-table.ts";
import { freePortCount } from "../../src/core/buddy-allocator.ts";
import { portCountOf } from "../../src/core/port-block.ts";
import { isUnpublished } from "../../src/core/publication.ts";
import type { AddressOrder, AddressStatus } from "../calls/address-calls.ts";

/** The order of a caller that names none. */
export const SERVE: AddressOrder = { revision: null, wish: "serve" };

/** It does not belong to the pool. */
export const LEFT: AddressStatus = { status: "left" };

const SOONEST_MS = 1_000;
const LATEST_MS = 60_000;

/** How the ports of an address are divided. */
export interface AddressCounts {
  readonly leasedPortCount: number;
  readonly quarantinedPortCount: number;
  readonly freePortCount: number;
  /** Hosts that hold some. */
  readonly hostCount: number;
}

/** As a table has it now. */
export function countsOf(table: LeaseTable): AddressCounts {
  const hosts = new Set<string>();
  for (const { state, host } of table.rows.values()) if (state === "leased") hosts.add(host);
  return { ...heldIn(table), freePortCount: freePortCount(table.index.occupancy), hostCount: hosts.size };
}

/** How far a table is from being empty, at this time (Unix milliseconds). */
export function statusOf(table: LeaseTable, nowMs: number): AddressStatus {
  if (!table.isRetiring) return { status: "serving" };
  const { leasedPortCount, quarantinedPortCount } = heldIn(table);
  const isEmpty = table.rows.size === 0 && table.recovery === null && !isUnpublished(table);
  const dueInMs = (nextDeadlineMs(table) ?? nowMs) - nowMs;
  const againInMs = Math.min(LATEST_MS, Math.max(SOONEST_MS, dueInMs));
  return { status: "retiring", leasedPortCount, quarantinedPortCount, isEmpty, againInMs };
}

function heldIn(table: LeaseTable): Pick<AddressCounts, "leasedPortCount" | "quarantinedPortCount"> {
  let leasedPortCount = 0;
  let quarantinedPortCount = 0;
  for (const { state, order } of table.rows.values()) {
    if (state === "leased") leasedPortCount += portCountOf(order);
    else quarantinedPortCount += portCountOf(order);
  }
  return { leasedPortCount, quarantinedPortCount };
}
