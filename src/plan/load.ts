/** What is to be planned for, and how many ports that uses at once. */

import { hostLoads } from "./host-loads.ts";

/** Hosts of one place, which share the addresses that are announced there. */
export interface PlannedSite {
  /** Null where nothing is said of places. */
  readonly site: string | null;
  readonly hostCount: number;
}

/** A load, as somebody knows it who has hosts and looks at a graph. */
export interface PlannedLoad {
  /** At least one, each with at least one host; load follows the number of hosts. */
  readonly sites: readonly PlannedSite[];
  /** Connections that all hosts together begin, on average over the month. */
  readonly connectionsPerSecond: number;
  /** The busiest seconds compared with that average: at least 1. */
  readonly peakFactor: number;
  /** How long a connection lasts on average: more than 0. */
  readonly lastingMs: number;
  /** Part of the connections that goes to the destination with most of them: above 0, at most 1. */
  readonly busiestShare: number;
  /** How unlike hosts are at one moment: the standard deviation of their loads, as a part of the mean. */
  readonly spread: number;
  /** Waves of its own that a host has in a day. */
  readonly wavesPerDay: number;
}

/** Those things about a load that are the same for most, where nothing else is known. */
export const USUAL_LOAD = {
  peakFactor: 2,
  lastingMs: 60_000,
  busiestShare: 1,
  spread: 0.6,
  wavesPerDay: 12,
} as const satisfies Partial<PlannedLoad>;

/** A port rests so long towards its destination when its connection has ended. [BI3] */
export const HOLD_DOWN_MS = 1_500;

/** The load of one site at its peak, towards the busiest destination. */
export interface SiteDemand {
  readonly hostCount: number;
  /** Connections at once (Little's law). */
  readonly connectionCount: number;
  /** Ports that these take: in use, or held down. */
  readonly portCount: number;
  /** Loads of hosts compared with their mean: figures of equal weight that stand for all. */
  readonly hostLoads: readonly number[];
  readonly wavesPerDay: number;
}

/** What each site needs, with so many times the load. [PN1] */
export function demandsOf(load: PlannedLoad, times = 1): readonly SiteDemand[] {
  const { sites, spread, wavesPerDay } = load;
  const hostCount = hostCountOf(load);
  const beginning = load.connectionsPerSecond * load.peakFactor * load.busiestShare * times;
  const loads = hostLoads(spread);
  return sites.map((site) => {
    const ofSite = (beginning * site.hostCount) / hostCount / 1000;
    return {
      hostCount: site.hostCount,
      connectionCount: ofSite * load.lastingMs,
      portCount: ofSite * (load.lastingMs + HOLD_DOWN_MS),
      hostLoads: loads,
      wavesPerDay,
    };
  });
}

/** Hosts of all sites. */
export function hostCountOf({ sites }: PlannedLoad): number {
  return sites.reduce((sum, site) => sum + site.hostCount, 0);
}
