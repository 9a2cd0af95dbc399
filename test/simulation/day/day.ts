/** A day of a pool: real lease tables, keepers and assignment under a load of numbers. */
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../../src/core/pool-settings.ts";
import { UNIT_PORT_COUNT } from "../../../src/core/port-block.ts";
import type { LeaseReply, LeaseRequest } from "../../../src/core/messages.ts";
import { Chance } from "../chance.ts";
import { DayEdge } from "./day-edge.ts";
import { type Counts, DayHost } from "./day-host.ts";
import type { DayLoad } from "./load.ts";

/** What is to go wrong. */
export interface DayFaults {
  /** How often a host ends without a word, and comes back a minute later. */
  readonly crashesPerHostAndDay: number;
  /** Times at which nobody reaches the edge, in seconds of the day. */
  readonly outages: readonly { readonly from: number; readonly to: number }[];
}

/** A day without trouble. */
export const NO_FAULTS: DayFaults = { crashesPerHostAndDay: 0, outages: [] };

/** What a day came to. */
export interface DayResult extends Counts {
  /** The most connections at once. */
  readonly peakCount: number;
  /** Of what was refused, what was so while the pool had a unit of ports free for each host. */
  readonly refusedWithRoom: number;
  readonly resetCount: number;
  readonly grantCount: number;
  readonly messageCount: number;
  readonly decisionCount: number;
  /** Ports leased for each port in use, at the peak. */
  readonly leasedPerUse: number;
  /** The most pairs of host and address. */
  readonly mostAssignments: number;
  /** Two hosts that could send from one port, as text; empty when law 1 held. */
  readonly overlaps: readonly string[];
}

export interface DayOptions {
  readonly addressCount: number;
  readonly settings?: Partial<PoolSettings>;
  readonly faults?: DayFaults;
  /** Told each simulated hour. */
  readonly onHour?: (
    hour: number,
    sofar: { readonly counts: Counts; readonly flowCount: number; readonly leased: number },
  ) => void;
}

const START_MS = 1_790_000_000_000;
/** Hosts are up before the load comes. */
const SETTLING_SECONDS = 60;
const OVERLAP_CHECK_SECONDS = 60;
const RESTART_SECONDS = 60;

/** Lets the load of a day come to a pool of so many addresses. */
export function runDay(load: DayLoad, options: DayOptions): DayResult {
  const { hostCount, seconds, meanHoldSeconds, seed } = load.shape;
  const { faults = NO_FAULTS } = options;
  const chance = new Chance(seed + 1);
  const trouble = chance.fork();
  const settings = { ...DEFAULT_POOL_SETTINGS, ...options.settings };
  let nowMs = START_MS;
  const now = (): number => nowMs;
  let asked: { host: DayHost; ip: string; request: LeaseRequest }[] = [];
  let answers: { host: DayHost; ip: string; reply: LeaseReply }[] = [];
  let told = new Map<string, readonly string[]>();
  const edge = new DayEdge(
    options.addressCount,
    settings,
    { chance: chance.fork(), nowMs: now },
    (host, ips) => told.set(host, ips),
    (host, ip) => answers.push({ host: byName.get(host)!, ip, reply: { type: "changed" } }),
  );
  const links = {
    nowMs: now,
    ask: (host: DayHost, ip: string, request: LeaseRequest): void => void asked.push({ host, ip, request }),
  };
  const hosts = Array.from({ length: hostCount }, (_, at) => new DayHost(at, links, chance.fork()));
  const byName = new Map(hosts.map((host) => [host.name, host]));
  const absentUntil = new Map<DayHost, number>();
  edge.enlist(hosts.map(({ name }) => name));
  const endProbability = 1 - Math.exp(-1 / meanHoldSeconds);
  const counts: Counts = { offered: 0, waited: 0, refused: 0 };
  const seen = { peak: 0, leasedPerUse: 0, assignments: 0, refusedWithRoom: 0, resets: 0 };
  const overlaps: string[] = [];
  let isReachable = true;

  for (let second = -SETTLING_SECONDS; second < seconds; second += 1) {
    nowMs += 1_000;
    const isNowReachable = !faults.outages.some(({ from, to }) => second >= from && second < to);
    if (isNowReachable !== isReachable) {
      isReachable = isNowReachable;
      asked = [];
      answers = [];
      for (const host of hosts) if (!absentUntil.has(host)) host.connect(isReachable);
    }
    for (const { host, ip, reply } of answers.splice(0)) if (!absentUntil.has(host)) host.heard(ip, reply);
    if (isReachable) {
      const orders = told;
      told = new Map();
      for (const [name, ips] of orders) {
        const host = byName.get(name)!;
        if (!absentUntil.has(host)) host.serve(ips);
      }
    }
    const refusedBefore = counts.refused;
    let flowCount = 0;
    for (const [at, host] of hosts.entries()) {
      const backAt = absentUntil.get(host);
      if (backAt !== undefined) {
        if (second < backAt) continue;
        absentUntil.delete(host);
        host.isConnected = isReachable;
        host.serve(edge.ipsOf(host.name));
      } else if (second >= 0 && trouble.isLikely(faults.crashesPerHostAndDay / seconds)) {
        host.crash();
        absentUntil.set(host, second + RESTART_SECONDS);
        continue;
      }
      // Before the day begins the load rises to where it begins.
      const rise = second < 0 ? (second + SETTLING_SECONDS) / SETTLING_SECONDS : 1;
      const arrivals = load.arrivalsOf(at, Math.max(0, second), chance);
      const isCounted = second >= 0;
      host.pass(
        Math.round(arrivals * rise),
        endProbability,
        isCounted ? counts : { offered: 0, waited: 0, refused: 0 },
      );
      flowCount += host.flowCount;
      if (!isReachable) continue;
      const report = host.reportNow();
      if (report !== null) edge.reported(host.name, report);
    }
    if (isReachable) {
      for (const { host, ip, request } of asked.splice(0)) {
        answers.push({ host, ip, reply: edge.answer(host.name, ip, request) });
      }
    }
    edge.pass();
    if (counts.refused > refusedBefore && edge.freePortCount >= hostCount * UNIT_PORT_COUNT) {
      seen.refusedWithRoom += counts.refused - refusedBefore;
    }
    seen.assignments = Math.max(seen.assignments, edge.assignmentCount);
    if (flowCount > seen.peak) {
      seen.peak = flowCount;
      seen.leasedPerUse = edge.leasedPortCount / flowCount;
    }
    if (second % OVERLAP_CHECK_SECONDS === 0)
      overlaps.push(...overlapsOf(hosts.filter((host) => !absentUntil.has(host))));
    if (second > 0 && second % 3_600 === 0) {
      options.onHour?.(second / 3_600, { counts, flowCount, leased: edge.leasedPortCount });
    }
  }
  for (const host of hosts) seen.resets += host.resetCount;
  return {
    ...counts,
    peakCount: seen.peak,
    refusedWithRoom: seen.refusedWithRoom,
    resetCount: seen.resets,
    grantCount: edge.grantCount,
    messageCount: edge.messageCount,
    decisionCount: edge.decisionCount,
    leasedPerUse: seen.leasedPerUse,
    mostAssignments: seen.assignments,
    overlaps,
  };
}

/** Units of ports from which two hosts could send. [LAW1] */
function overlapsOf(hosts: readonly DayHost[]): string[] {
  const owners = new Map<string, string>();
  const overlaps: string[] = [];
  for (const host of hosts) {
    for (const { ip, base, order } of host.blocks()) {
      for (let port = base; port < base + 2 ** order; port += UNIT_PORT_COUNT) {
        const key = `${ip}:${port}`;
        const owner = owners.get(key);
        if (owner !== undefined) overlaps.push(`${key} of ${owner} and ${host.name}`);
        owners.set(key, host.name);
      }
    }
  }
  return overlaps;
}
