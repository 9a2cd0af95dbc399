/**
 * What hosts lease at a given use: the policy of their growth (LK6, LK7, LK14) as an average. [PN2]
 *
 * Where ports are dear, a host keeps a part of what is left for each host ahead. Of that it has between
 * once and four times as much free among its active ports, and as much again as its spare, since it
 * takes more below the one and gives back above the other. Where ports are plenty, its holdings double.
 */
import type { PoolSettings } from "../core/pool-settings.ts";
import { MAX_ORDER, portCountOf, UNIT_PORT_COUNT } from "../core/port-block.ts";
import { minimumOf } from "../core/share.ts";
import type { SiteDemand } from "./load.ts";

/** Part of what is left for each host that it keeps ahead. [LK14] */
const AHEAD_SHARE = 0.5;
/** The middle between once and four times what is kept ahead. [LK7] [LK14] */
const MEAN_AHEADS = (1 + 4) / 2;
/** Use at which the spare is activated, where ports are plenty. [LK6] */
const PRESSURE_SHARE = 0.7;
const LARGEST_BLOCK = portCountOf(MAX_ORDER);

/** Ports that a host keeps ahead where so many that nobody leases come to each host. */
export function aheadOf(unleasedPerHost: number): number {
  return Math.max(UNIT_PORT_COUNT, unleasedPerHost * AHEAD_SHARE);
}

/** Ports that a host leases on average that uses so many, where so many that nobody leases come to each host. */
export function holdingOf(usedCount: number, unleasedPerHost: number, settings: PoolSettings): number {
  const ahead = aheadOf(unleasedPerHost) * MEAN_AHEADS;
  const dear = usedCount + ahead + Math.min(ahead, LARGEST_BLOCK);
  // What is active was doubled when use came to the pressure, by no more than the largest block.
  const pressed = usedCount / PRESSURE_SHARE;
  const active = pressed + Math.min(pressed * (1 / Math.LN2 - 1), LARGEST_BLOCK / 2);
  const plenty = active + Math.min(active, LARGEST_BLOCK);
  const least = Math.max(minimumOf(settings), portCountOf(settings.firstBlockOrder));
  return Math.max(least, Math.min(dear, plenty));
}

/** Ports that all hosts of a site lease while so many ports of its addresses are leased by nobody. */
export function leasedBy(demand: SiteDemand, unleasedCount: number, settings: PoolSettings): number {
  const { hostCount, portCount, hostLoads: loads } = demand;
  let sum = 0;
  for (const load of loads) {
    sum += holdingOf((portCount / hostCount) * load, unleasedCount / hostCount, settings);
  }
  return (sum * hostCount) / loads.length;
}

/** The same where only the number of addresses is known: what is not leased follows from what is. */
export function leasedOn(demand: SiteDemand, availableCount: number, settings: PoolSettings): number {
  // More that nobody leases goes with more that is kept ahead, so there is one point where both fit.
  let [low, high] = [0, availableCount];
  for (let step = 0; step < 40; step += 1) {
    const middle = (low + high) / 2;
    if (leasedBy(demand, middle, settings) + middle > availableCount) high = middle;
    else low = middle;
  }
  return Math.min(availableCount, leasedBy(demand, low, settings));
}
