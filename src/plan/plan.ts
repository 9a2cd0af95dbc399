/**
 * How many addresses a load needs, what the edge costs with them, and what that saves: arithmetic on
 * averages, without I/O. Its figures are checked against a simulated pool in `test/simulation`. [PN4]
 */
import type { PoolSettings } from "../core/pool-settings.ts";
import { orderFor, portCountOf } from "../core/port-block.ts";
import { needOf, usablePorts } from "./address-need.ts";
import { addressesOfOwn, addressesOfSlices } from "./alternatives.ts";
import { edgeCostOf, type EdgeCostLine } from "./edge-cost.ts";
import { aheadOf, leasedOn } from "./holdings.ts";
import { demandsOf, hostCountOf, type PlannedLoad, type SiteDemand } from "./load.ts";

/** An IPv4 address at large clouds: $0.005 an hour is their public price. */
export const USUAL_ADDRESS_PRICE = 3.65;
/** Where a load is beyond what anybody plans for, it is not looked for where it runs out. */
const MOST_TIMES = 1e6;
const BISECTIONS = 50;

/** What is planned with beside the load. */
export interface PlanOptions {
  readonly settings: PoolSettings;
  /** Dollars of an address in a month. */
  readonly addressPrice: number;
  /** By how much the load grows in a month, as a part; 0 for not at all. */
  readonly growth: number;
  /** Addresses that there are; null for as many as are recommended. */
  readonly addressCount: number | null;
}

/** Whole addresses of all sites, since none is shared between sites. */
export interface AddressCounts {
  readonly minimum: number;
  readonly tight: number;
  readonly recommended: number;
  readonly onePerHost: number;
  readonly fixedSlices: number;
}

/** What one site needs. */
export interface SitePlan extends AddressCounts {
  readonly site: string | null;
  readonly hostCount: number;
  /** Connections at once to the busiest destination, at the peak. */
  readonly connectionCount: number;
  /** Ports that they take, those held down after a connection among them. */
  readonly portCount: number;
  /** Ports leased at the peak, on the recommended addresses. */
  readonly leasedCount: number;
}

/** Sizes in ports, of a host with the mean load at the peak. */
export interface BlockSizes {
  readonly first: number;
  readonly minimum: number;
  readonly used: number;
  readonly leased: number;
  readonly spare: number;
}

/** Until when a number of addresses suffices. */
export interface RunningOut {
  readonly addressCount: number;
  /** Average connections a second of the load from which on some wait or are refused (the tight figure). */
  readonly connectionsPerSecond: number;
  /** That load, compared with the planned one. */
  readonly times: number;
  /** Months until then; null without growth. */
  readonly months: number | null;
}

/** What an alternative needs more. */
export interface Saving {
  readonly addressCount: number;
  /** In a month, for addresses alone. */
  readonly addressDollars: number;
  /** The same less what the leases cost at the edge. */
  readonly dollars: number;
}

/** The whole plan. */
export interface Plan {
  readonly hostCount: number;
  readonly connectionCount: number;
  readonly portCount: number;
  readonly sites: readonly SitePlan[];
  readonly addresses: AddressCounts;
  readonly blocks: BlockSizes;
  readonly pairCount: number;
  /** Connections of hosts to objects of the edge: to their pool, and to each of their addresses. */
  readonly edgeConnectionCount: number;
  readonly runningOut: RunningOut;
  readonly edgeCost: {
    readonly lines: readonly EdgeCostLine[];
    readonly leaseDollars: number;
    readonly dollars: number;
  };
  readonly addressDollars: number;
  readonly savings: { readonly onePerHost: Saving; readonly fixedSlices: Saving };
}

/** Plans for a load. */
export function planFor(load: PlannedLoad, options: PlanOptions): Plan {
  const { settings, addressPrice } = options;
  const demands = demandsOf(load);
  const sites = demands.map((demand, at) => sitePlanOf(demand, load.sites[at]!.site, settings));
  const addresses = sumOf(sites);
  const hostCount = hostCountOf(load);
  const planned = options.addressCount ?? addresses.recommended;
  const pairCount = pairsOf(sites, planned / addresses.recommended, settings);
  const lines = edgeCostOf(
    { hostCount, addressCount: planned, pairCount, requestsPerSecond: load.connectionsPerSecond },
    settings,
  );
  const dollars = lines.reduce((sum, line) => sum + line.dollars, 0);
  const leaseDollars = lines
    .filter(({ name }) => name !== "requests through the Worker")
    .reduce((sum, line) => sum + line.dollars, 0);
  const savingOver = (count: number): Saving => {
    const addressDollars = (count - planned) * addressPrice;
    return { addressCount: count - planned, addressDollars, dollars: addressDollars - leaseDollars };
  };
  return {
    hostCount,
    connectionCount: total(demands, ({ connectionCount }) => connectionCount),
    portCount: total(demands, ({ portCount }) => portCount),
    sites,
    addresses,
    blocks: blocksOf(sites, settings),
    pairCount,
    edgeConnectionCount: hostCount + pairCount,
    runningOut: runningOutOf(load, planned, options),
    edgeCost: { lines, leaseDollars, dollars },
    addressDollars: planned * addressPrice,
    savings: {
      onePerHost: savingOver(addresses.onePerHost),
      fixedSlices: savingOver(addresses.fixedSlices),
    },
  };
}

/** Addresses that so many times the load needs. */
export function addressesAt(load: PlannedLoad, times: number, settings: PoolSettings): AddressCounts {
  return sumOf(demandsOf(load, times).map((demand) => countsOf(demand, settings)));
}

function sitePlanOf(demand: SiteDemand, site: string | null, settings: PoolSettings): SitePlan {
  const { hostCount, connectionCount, portCount } = demand;
  const counts = countsOf(demand, settings);
  const available = counts.recommended * usablePorts(hostCount, settings);
  const leasedCount = leasedOn(demand, available, settings);
  return { site, hostCount, connectionCount, portCount, leasedCount, ...counts };
}

function countsOf(demand: SiteDemand, settings: PoolSettings): AddressCounts {
  const { minimum, tight, recommended } = needOf(demand, settings);
  return {
    minimum: Math.max(1, Math.ceil(minimum)),
    tight: Math.ceil(tight),
    recommended: Math.ceil(recommended),
    onePerHost: Math.ceil(addressesOfOwn(demand)),
    fixedSlices: Math.ceil(addressesOfSlices(demand)),
  };
}

function sumOf(counts: readonly AddressCounts[]): AddressCounts {
  return {
    minimum: total(counts, ({ minimum }) => minimum),
    tight: total(counts, ({ tight }) => tight),
    recommended: total(counts, ({ recommended }) => recommended),
    onePerHost: total(counts, ({ onePerHost }) => onePerHost),
    fixedSlices: total(counts, ({ fixedSlices }) => fixedSlices),
  };
}

/** A host has one address, and an address several hosts; more while it is busy is not counted. */
function pairsOf(sites: readonly SitePlan[], times: number, { minHostsPerIp }: PoolSettings): number {
  return total(sites, ({ hostCount, recommended }) =>
    Math.max(hostCount, Math.min(minHostsPerIp, hostCount) * Math.round(recommended * times)),
  );
}

function blocksOf(sites: readonly SitePlan[], settings: PoolSettings): BlockSizes {
  const hostCount = total(sites, (site) => site.hostCount);
  const used = total(sites, ({ portCount }) => portCount) / hostCount;
  const leased = total(sites, ({ leasedCount }) => leasedCount) / hostCount;
  const available = total(sites, (site) => site.recommended * usablePorts(site.hostCount, settings));
  const ahead = Math.min(aheadOf(available / hostCount - leased), Math.max(used, leased / 2));
  return {
    first: portCountOf(settings.firstBlockOrder),
    minimum: settings.minPortsPerHost,
    used,
    leased,
    spare: portCountOf(orderFor(ahead)),
  };
}

/** The load at which connections begin to wait, by halving: more load never needs fewer addresses. */
function runningOutOf(
  load: PlannedLoad,
  addressCount: number,
  { settings, growth }: PlanOptions,
): RunningOut {
  let high = 1;
  while (high < MOST_TIMES && addressesAt(load, high, settings).tight <= addressCount) high *= 2;
  let low = 0;
  for (let step = 0; step < BISECTIONS && high < MOST_TIMES; step += 1) {
    const middle = (low + high) / 2;
    if (addressesAt(load, middle, settings).tight <= addressCount) low = middle;
    else high = middle;
  }
  const times = high >= MOST_TIMES ? MOST_TIMES : low;
  return {
    addressCount,
    connectionsPerSecond: load.connectionsPerSecond * times,
    times,
    months: growth > 0 ? Math.max(0, Math.log(times) / Math.log1p(growth)) : null,
  };
}

function total<T>(items: readonly T[], countOf: (item: T) => number): number {
  return items.reduce((sum, item) => sum + countOf(item), 0);
}
