/**
 * How many addresses a host needs, by how busy its ports are towards the busiest destination, since
 * a port can serve every destination at once. [AS8]
 *
 * It gets a further address while there is still room: at 70 % of what it could have on all that it
 * serves, or when it would be there soon if it went on as it does. It gives one back when what it
 * has would be little used without it, and has been so for long: a wave of use moves nothing.
 */

import type { HostPorts } from "./address-assignment.ts";
import type { AddressCapacity } from "./messages.ts";
import { LEASABLE_PORT_COUNT, UNIT_PORT_COUNT } from "./port-block.ts";

/** Use of what a host could have at which it needs a further address. */
export const SHORT_SHARE = 0.7;
/** Use of what it could have with one address less, below which it does not need that one. */
export const REST_SHARE = 0.35;
/** Rest after which an address is given back. */
export const REST_MS = 180_000;
/** How far ahead the use is foreseen: an address serves some seconds after it is asked for. */
const LEAD_MS = 10_000;
/** Two looks at the use that are further apart, or nearer, say nothing of what comes. */
const TREND_MS = { least: 500, most: 30_000 };

/** What is kept of the demand of a host between two looks, for one family. Times are Unix milliseconds. */
export interface Demand {
  /** Addresses that it is to have: at least 1. */
  readonly addressCount: number;
  /** Since when one of them has not been needed; null while all are. */
  readonly restSinceMs: number | null;
  /** The last use, and when it was seen. */
  readonly busyCount: number;
  readonly atMs: number;
}

/** One address that a host serves. */
export interface AddressUse {
  /** Ports in use towards the busiest destination. */
  readonly busiestCount: number;
  /** Ports that the host could have there. */
  readonly limit: number;
}

/** Of a host that has said nothing yet. */
export const FIRST_DEMAND: Demand = { addressCount: 1, restSinceMs: null, busyCount: 0, atMs: 0 };

/** The demand after a look at what is in use on the addresses where the host has ports. */
export function demandAfter(
  before: Demand,
  uses: readonly AddressUse[],
  nowMs: number,
  leastPorts = 0,
): Demand {
  if (uses.length === 0) return before;
  let [busyCount, limit, largest] = [0, 0, 0];
  for (const use of uses) {
    busyCount += use.busiestCount;
    limit += use.limit;
    largest = Math.max(largest, use.limit);
  }
  limit = Math.max(limit, leastPorts);
  const seen = { busyCount, atMs: nowMs };
  const { addressCount } = before;
  if (Math.max(busyCount, foreseen(before, seen)) >= limit * SHORT_SHARE) {
    // Only once it has all that it was to have: it may still be on its way.
    const wanted = Math.max(addressCount, uses.length + 1);
    return { ...seen, addressCount: uses.length >= addressCount ? wanted : addressCount, restSinceMs: null };
  }
  const isSpare = addressCount > 1 && busyCount <= (limit - largest) * REST_SHARE;
  if (!isSpare) return { ...seen, addressCount, restSinceMs: null };
  const restSinceMs = before.restSinceMs ?? nowMs;
  // Whichever way the clock was set meanwhile.
  if (Math.abs(nowMs - restSinceMs) < REST_MS) return { ...seen, addressCount, restSinceMs };
  return { ...seen, addressCount: addressCount - 1, restSinceMs: null };
}

/** The ports of a host on all addresses of a family together. */
export function portsOf(uses: readonly AddressUse[]): HostPorts {
  const ports = { busyCount: 0, unusedCount: 0 };
  for (const { busiestCount, limit } of uses) {
    ports.busyCount += busiestCount;
    ports.unusedCount += Math.max(0, limit - busiestCount);
  }
  return ports;
}

/**
 * Ports of each address that no host has, by what each host said of those that it serves: by the least,
 * but for hosts that may hold no more whatever is free (`maxPortsPerHost`), and no more than all of them leave.
 */
export function freePortCounts(
  rooms: Iterable<readonly AddressCapacity[]>,
  maxPortsPerHost: number,
): Map<string, number> {
  const left = new Map<string, number>();
  const least = new Map<string, number>();
  for (const ofHost of rooms) {
    for (const { ip, portCount, limit } of ofHost) {
      if (portCount === 0 || limit === undefined) continue;
      left.set(ip, (left.get(ip) ?? LEASABLE_PORT_COUNT) - portCount);
      if (limit + UNIT_PORT_COUNT > maxPortsPerHost) continue;
      least.set(ip, Math.min(least.get(ip) ?? Infinity, limit - portCount));
    }
  }
  return new Map(
    Array.from(left, ([ip, count]) => [ip, Math.max(0, Math.min(count, least.get(ip) ?? Infinity))]),
  );
}

function foreseen(before: Demand, { busyCount, atMs }: Pick<Demand, "busyCount" | "atMs">): number {
  const tookMs = atMs - before.atMs;
  if (tookMs < TREND_MS.least || tookMs > TREND_MS.most) return busyCount;
  return busyCount + ((busyCount - before.busyCount) * LEAD_MS) / tookMs;
}
