/**
 * How many addresses a site needs. [PN3]
 *
 * Ports change hands slowly: who has too many rests before it gives some back, and then they are in
 * quarantine. Waves of single hosts that begin within that time have to be served from what nobody
 * leases. That much, beside what hosts lease, is what addresses are needed for. More waves than the tight
 * figure has room for come in one of six such times, which at the peak of a day is about a thousandth
 * of its connections; more than the recommended one has room for come once a day.
 */
import type { PoolSettings } from "../core/pool-settings.ts";
import { LEASABLE_PORT_COUNT, portCountOf } from "../core/port-block.ts";
import { minimumOf } from "../core/share.ts";
import { leasedBy } from "./holdings.ts";
import { normalQuantile } from "./host-loads.ts";
import type { SiteDemand } from "./load.ts";

/** Addresses that a site needs; fractions say how near the next one is. */
export interface AddressNeed {
  /** Connections divided by the ports of an address: nothing can do with less. */
  readonly minimum: number;
  /** About 99.9 % of the connections of a day start without waiting. */
  readonly tight: number;
  /** No connection waits, in a usual day. */
  readonly recommended: number;
}

/** Where ports are dear, a host rests so long before it gives back: a sixth of three minutes. [LK7] */
const DEAR_REST_MS = 30_000;
/** A wave adds so much to the load of its host, on average. */
const WAVE_SIZE = 1.25;
/** A host gets a further address only where so many ports are free; fewer on each stay as they are. [AS3] */
const FURTHER_LEAST = 2_048;
const DAY_MS = 86_400_000;
/** Part of such times at the peak in which more waves may come than there is room for. */
const TIGHT_EXCEEDED = 1 / 6;
const MOST_STEPS = 30;
/** Addresses are whole in the end. */
const EXACT_ENOUGH = 1e-6;

/** What a site needs for this demand. */
export function needOf(demand: SiteDemand, settings: PoolSettings): AddressNeed {
  const handoverMs = settings.quarantineMs + DEAR_REST_MS;
  const meanWaves = (demand.hostCount * demand.wavesPerDay * handoverMs) / DAY_MS;
  const waveSize = waveSizeOf(demand, settings);
  const needWith = (exceeded: number): number =>
    addressesFor(demand, exceededWithin(meanWaves, exceeded) * waveSize, settings);
  return {
    minimum: demand.connectionCount / LEASABLE_PORT_COUNT,
    tight: needWith(TIGHT_EXCEEDED),
    recommended: needWith(Math.min(TIGHT_EXCEEDED, handoverMs / DAY_MS)),
  };
}

/** Ports of an address that so many hosts can use together. */
export function usablePorts(hostCount: number, settings: PoolSettings): number {
  return Math.min(LEASABLE_PORT_COUNT, hostCount * settings.maxPortsPerHost);
}

/** Ports that a wave of a host takes, beyond what the host is never refused. [AL5] */
function waveSizeOf({ portCount, hostCount }: SiteDemand, settings: PoolSettings): number {
  const usedCount = portCount / hostCount;
  const wave = usedCount * WAVE_SIZE;
  return Math.min(wave, Math.max(0, usedCount + wave - minimumOf(settings)));
}

/** Addresses on which so many ports for waves are left beside what is leased. */
function addressesFor(demand: SiteDemand, wavePorts: number, settings: PoolSettings): number {
  const stranded = demand.wavesPerDay > 0 ? Math.min(FURTHER_LEAST, waveSizeOf(demand, settings)) : 0;
  const usable = usablePorts(demand.hostCount, settings);
  // No more hosts serve an address than can have their minimum there. [AS2]
  const each = Math.max(minimumOf(settings), portCountOf(settings.firstBlockOrder));
  const least = Math.max(1, demand.hostCount / Math.floor(LEASABLE_PORT_COUNT / each));
  let count = least;
  // Each further address strands only a few ports more, so this comes to rest quickly.
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const unleased = wavePorts + stranded * (count - 1);
    const before = count;
    count = Math.max(least, (leasedBy(demand, unleased, settings) + unleased) / usable);
    if (Math.abs(count - before) < count * EXACT_ENOUGH) break;
  }
  return count;
}

/** The number that a Poisson variable of this mean exceeds with at most this probability. */
function exceededWithin(mean: number, probability: number): number {
  // Of large means the normal distribution does.
  if (mean > 500) return mean + normalQuantile(1 - probability) * Math.sqrt(mean);
  let term = Math.exp(-mean);
  let within = term;
  let count = 0;
  while (1 - within > probability) {
    count += 1;
    term *= mean / count;
    within += term;
  }
  return count;
}
