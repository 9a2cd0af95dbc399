/**
 * When a host renews its leases on an address. All hosts of the address choose moments of one grid,
 * by their wall clocks, so that its object writes their renewals as one. Clocks that differ cost
 * only that: each host still renews within a third of the lease. [LK5] [DO21]
 */
import { rendezvousWeight } from "./rendezvous.ts";

/** A step of the grid, as a part of the longest wait: there is always one that is not too late. */
const STEP = 0.9;

/** Where the grid of an address lies within its step, from 0 to 1: apart from those of other addresses. */
export function renewalPhaseOf(ip: string): number {
  return rendezvousWeight("renewal", ip) / 2 ** 32;
}

/**
 * How long after a request that was sent at this wall time the next renewal is due (milliseconds): at
 * most a third of the lease, which leaves two more tries, and at least a tenth of that, in whole ones.
 */
export function renewalDelayMs(sentAtWallMs: number, leaseDurationMs: number, phase: number): number {
  const longestMs = leaseDurationMs / 3;
  const stepMs = STEP * longestMs;
  const beyondMs = (sentAtWallMs + longestMs - phase * stepMs) % stepMs;
  return Math.floor(longestMs - beyondMs);
}
