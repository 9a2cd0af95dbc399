/** What the same load would need without leases: slices of a fixed size, and an address for each host. */
import { LEASABLE_PORT_COUNT } from "../../../src/core/port-block.ts";
import { Chance } from "../chance.ts";
import { binomial, type DayLoad } from "./load.ts";

/** As the NAT gateways of large clouds are commonly set. */
export const SLICE_PORT_COUNT = 2_048;
/** A port rests so long towards its destination after a connection. */
const HOLD_DOWN_SECONDS = 1.5;

/** What a day came to where each host has so many slices of its own, and no more. */
export interface SlicedDay {
  readonly addressCount: number;
  readonly offered: number;
  readonly refused: number;
}

/** The most ports that each host uses at once, were there no bound. */
export function peaksOf(load: DayLoad): number[] {
  return eachHost(load, () => Infinity).map(({ peak }) => peak);
}

/** One slice to each host. */
export function oneSliceEach(load: DayLoad): SlicedDay {
  const days = eachHost(load, () => SLICE_PORT_COUNT);
  return sum(days, addressesOf(days.length));
}

/** As many slices to each host as it will need at its own peak, were that known before. */
export function slicesByPeak(load: DayLoad): SlicedDay {
  const slices = peaksOf(load).map((peak) => Math.ceil(peak / SLICE_PORT_COUNT));
  const days = eachHost(load, (host) => slices[host]! * SLICE_PORT_COUNT);
  return sum(days, addressesOf(slices.reduce((total, count) => total + count, 0)));
}

/** A whole address to each host. */
export function oneAddressEach(load: DayLoad): SlicedDay {
  const days = eachHost(load, () => LEASABLE_PORT_COUNT);
  return sum(days, days.length);
}

interface HostDay {
  readonly offered: number;
  readonly refused: number;
  readonly peak: number;
}

function eachHost(load: DayLoad, boundOf: (host: number) => number): HostDay[] {
  const { hostCount, seconds, meanHoldSeconds, seed } = load.shape;
  const endProbability = 1 - Math.exp(-1 / meanHoldSeconds);
  const chance = new Chance(seed + 2);
  return Array.from({ length: hostCount }, (_, host) => {
    const bound = boundOf(host);
    let [inUse, last, before] = [Math.min(bound, Math.round(load.levelOf(host, 0))), 0, 0];
    let [offered, refused, peak] = [0, 0, 0];
    for (let second = 0; second < seconds; second += 1) {
      const ended = binomial(inUse, endProbability, chance);
      [inUse, last, before] = [inUse - ended, ended, last];
      const held = inUse + last + Math.round(before * (HOLD_DOWN_SECONDS - 1));
      const arrivals = load.arrivalsOf(host, second, chance);
      const begun = Math.max(0, Math.min(arrivals, bound - held));
      inUse += begun;
      offered += arrivals;
      refused += arrivals - begun;
      peak = Math.max(peak, held + begun);
    }
    return { offered, refused, peak };
  });
}

function addressesOf(sliceCount: number): number {
  return Math.ceil(sliceCount / Math.floor(LEASABLE_PORT_COUNT / SLICE_PORT_COUNT));
}

function sum(days: readonly HostDay[], addressCount: number): SlicedDay {
  let [offered, refused] = [0, 0];
  for (const day of days) {
    offered += day.offered;
    refused += day.refused;
  }
  return { addressCount, offered, refused };
}
