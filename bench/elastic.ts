/**
 * Does assigning addresses to hosts stay near-linear? One decision for 10, 1,000 and 10,000 hosts on
 * a tenth as many addresses: all of them new, none changed, a host more, an address more. Each is set
 * beside the same decision for few hosts, in time per host. How long does a plan take? And does a lease
 * cost more as its address fills?
 */
import {
  type AssignableAddress,
  type AssignableHost,
  assignAddresses,
  type Assignment,
} from "../src/core/address-assignment.ts";
import { DEFAULT_POOL_SETTINGS } from "../src/core/pool-settings.ts";
import { USUAL_LOAD } from "../src/plan/load.ts";
import { pictureOf } from "../src/plan/plan-picture.ts";
import { planFor, USUAL_ADDRESS_PRICE } from "../src/plan/plan.ts";
import { measureLeaseChurn } from "./lease-churn.ts";
import { compared, median, nowMs, plain, type Row } from "./report.ts";

const HOST_COUNTS = [10, 1_000, 10_000] as const;
const HOSTS_PER_ADDRESS = 10;
const RULES = { leastHosts: 3, mostHosts: 126 };
/** Hosts for which decisions are made in one round, so that a round of few takes long enough. */
const HOSTS_PER_ROUND = 20_000;
const ROUNDS = 5;
const PLANNED_HOSTS = 10_000;
const PLAN_ROUNDS = 15;
/** Time per host may at most be so many times that of few hosts. */
const NEAR_LINEAR = 4;

interface Pool {
  readonly hosts: readonly AssignableHost[];
  readonly addresses: readonly AssignableAddress[];
  readonly assigned: readonly Assignment[];
}

interface Case {
  readonly name: string;
  readonly of: (hostCount: number) => Pool;
}

const CASES: readonly Case[] = [
  { name: "all new", of: (count) => poolOf(count, count / HOSTS_PER_ADDRESS, []) },
  { name: "nothing changed", of: settled },
  {
    name: "a host more",
    of: (count) => {
      const { addresses, assigned } = settled(count);
      return { hosts: hostsOf(count + 1, assigned), addresses, assigned };
    },
  },
  {
    name: "an address more",
    of: (count) => {
      const { hosts, assigned } = settled(count);
      return { hosts, addresses: addressesOf(count / HOSTS_PER_ADDRESS + 1), assigned };
    },
  },
];

/** Measures each case at each size, in turn. */
export async function measureElastic(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { name, of } of CASES) {
    const pools = HOST_COUNTS.map((count) => ({ count, pool: of(count), figures: [] as number[] }));
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const { count, pool, figures } of pools) {
        const times = Math.ceil(HOSTS_PER_ROUND / count);
        const startMs = nowMs();
        for (let time = 0; time < times; time += 1) decide(pool);
        // The first round is to warm up.
        if (round > 0) figures.push(((nowMs() - startMs) * 1000) / (times * count));
      }
    }
    const [few, ...many] = pools.map(({ count, figures }) => ({ count, ours: median(figures) }));
    rows.push(plain(`${name}, ${few!.count} hosts`, "µs for each host", few!.ours));
    for (const { count, ours } of many) {
      rows.push(
        compared({
          case: `${name}, ${count} hosts`,
          unit: "µs for each host",
          better: "less",
          ours,
          peer: few!.ours,
          peerName: `ours with ${few!.count}`,
          goal: 1 / NEAR_LINEAR,
        }),
      );
    }
  }
  return [...rows, ...measurePlan(), ...measureLeaseChurn()];
}

/** A plan for as many hosts as a pool may ever have, and its picture. */
function measurePlan(): Row[] {
  const load = {
    ...USUAL_LOAD,
    sites: ["fra", "ams", "lon", "mad"].map((site) => ({ site, hostCount: PLANNED_HOSTS / 4 })),
    connectionsPerSecond: 10 * PLANNED_HOSTS,
  };
  const settings = DEFAULT_POOL_SETTINGS;
  const options = { settings, addressPrice: USUAL_ADDRESS_PRICE, growth: 0.05, addressCount: null };
  const timeOf = (make: () => unknown): number => {
    const figures = Array.from({ length: PLAN_ROUNDS }, () => {
      const startMs = nowMs();
      make();
      return nowMs() - startMs;
    });
    return median(figures);
  };
  return [
    plain(
      `plan for ${PLANNED_HOSTS} hosts`,
      "ms",
      timeOf(() => planFor(load, options)),
    ),
    plain(
      `picture of it`,
      "ms",
      timeOf(() => pictureOf(load, settings)),
    ),
  ];
}

function decide({ hosts, addresses, assigned }: Pool): Assignment[] {
  return assignAddresses(hosts, addresses, assigned, RULES);
}

function settled(hostCount: number): Pool {
  const first = poolOf(hostCount, hostCount / HOSTS_PER_ADDRESS, []);
  let assigned = decide(first);
  // Each has ports wherever it serves, and has let go of what it left.
  for (let step = 0; step < 5; step += 1) {
    const here = { hosts: hostsOf(hostCount, assigned), addresses: first.addresses, assigned };
    assigned = decide(here).filter(({ state }) => state !== "leaving");
  }
  return { hosts: hostsOf(hostCount, assigned), addresses: first.addresses, assigned };
}

function poolOf(hostCount: number, addressCount: number, assigned: readonly Assignment[]): Pool {
  return { hosts: hostsOf(hostCount, assigned), addresses: addressesOf(addressCount), assigned };
}

function hostsOf(count: number, assigned: readonly Assignment[]): AssignableHost[] {
  const established = new Map<string, Set<string>>();
  for (const { host, ip } of assigned) {
    if (!established.has(host)) established.set(host, new Set());
    established.get(host)!.add(ip);
  }
  return Array.from({ length: count }, (_, at) => ({
    host: `h${at}`,
    site: null,
    weight: 1,
    isLive: true,
    isDrained: false,
    addressCounts: {},
    established: established.get(`h${at}`) ?? new Set(),
    absent: new Set(),
  }));
}

function addressesOf(count: number): AssignableAddress[] {
  return Array.from({ length: count }, (_, at) => ({
    ip: `198.${18 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`,
    sites: [],
    isDrained: false,
    isRetiring: false,
  }));
}
