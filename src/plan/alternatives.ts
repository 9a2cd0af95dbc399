/**
 * What the same load needs without leases: an address for each host, or fixed slices of an address. [PN7]
 *
 * Nothing moves between hosts there, so each needs as much as it uses at its own busiest moment: in a
 * wave of its own, while all are busy. How busy each one will be is taken to be known, which favours
 * the alternatives.
 */
import { LEASABLE_PORT_COUNT } from "../core/port-block.ts";
import type { SiteDemand } from "./load.ts";

/** Ports of a fixed slice: 31 of them to an address. */
export const SLICE_PORT_COUNT = 2_048;

/** In simulated days the peaks of all hosts, each at its own time, were so many times the peak of all together. */
const OWN_PEAK = 1.8;

/** Addresses of a site where each host has addresses of its own. */
export function addressesOfOwn(demand: SiteDemand): number {
  return piecesOf(demand, LEASABLE_PORT_COUNT);
}

/** Addresses of a site where each host has as many slices as it needs. */
export function addressesOfSlices(demand: SiteDemand): number {
  return piecesOf(demand, SLICE_PORT_COUNT) / Math.floor(LEASABLE_PORT_COUNT / SLICE_PORT_COUNT);
}

/** Whole pieces for each host, by how unlike they are. */
function piecesOf(demand: SiteDemand, pieceSize: number): number {
  const { hostCount, portCount, hostLoads: loads, wavesPerDay } = demand;
  const busiest = (portCount / hostCount) * (wavesPerDay >= 1 ? OWN_PEAK : 1);
  let pieces = 0;
  for (const load of loads) pieces += Math.max(1, Math.ceil((busiest * load) / pieceSize));
  return (pieces * hostCount) / loads.length;
}
