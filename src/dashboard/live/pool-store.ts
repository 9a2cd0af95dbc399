/** What a page knows of a pool: the answer of the API, kept true by the differences that its object tells. */
import type { AnswerOf } from "../../api/edge-api.ts";
import type {
  LiveDecision,
  PastCounts,
  PoolSight,
  WatchedAddress,
  WatchedHost,
} from "../../core/live-view.ts";
import { Signal } from "../parts/signal.ts";
import { HostClocks } from "./host-clocks.ts";
import { LinkStanding } from "./link-standing.ts";
import { RateMeter } from "./rate-meter.ts";

/** As `GET /v1/pools/{pool}` answers. */
export type Pool = AnswerOf<"getPool">;
export type PoolIp = Pool["ips"][number];
export type PoolHost = Pool["hosts"][number];
export type PoolRouter = Pool["routers"][number];
/** All of a pool but its lists. */
export type PoolRest = Omit<Pool, "ips" | "hosts" | "routers">;
/** A decision with its host, numbered as it was heard. */
export type HeardDecision = LiveDecision & { readonly host: string; readonly number: number };

/** The past of a pool as its hosts told it. */
export interface KnownPast {
  readonly past: PastCounts;
  readonly hostCount: number;
  readonly silentHosts: readonly string[];
}

/** The most decisions that are kept; the oldest go first. */
export const MOST_DECISIONS = 2000;
const NOBODY: ReadonlyMap<string, WatchedAddress> = new Map();

/** The store; `heard` takes the messages of the pool's object. */
export class PoolStore extends LinkStanding {
  readonly ips = new Map<string, PoolIp>();
  readonly hosts = new Map<string, PoolHost>();
  readonly routers = new Map<string, PoolRouter>();
  readonly watched = new Map<string, WatchedHost>();
  rest: PoolRest | null = null;
  past: KnownPast | null = null;
  decisions: readonly HeardDecision[] = [];
  lostDecisionCount = 0;
  readonly meter = new RateMeter();
  readonly clocks = new HostClocks();

  /** Pool, hosts, addresses, routers. */
  readonly fleetChanged = new Signal();
  readonly watchedChanged = new Signal();
  readonly pastChanged = new Signal();
  readonly decisionsChanged = new Signal();
  /** The same as `watched`, by addresses and then by hosts. */
  readonly #watchedByIp = new Map<string, Map<string, WatchedAddress>>();
  #decisionCount = 0;

  heard(message: unknown): void {
    const sight = message as PoolSight<Pool>;
    switch (sight.type) {
      case "pool":
        this.#takeAll(sight.pool);
        break;
      case "pool-change":
        replace(this.ips, sight.ips, ({ ip }) => ip, sight.goneIps);
        replace(this.hosts, sight.hosts, ({ host }) => host, sight.goneHosts);
        replace(this.routers, sight.routers, ({ router }) => router, sight.goneRouters);
        for (const host of sight.goneHosts) this.#forgetWatched(host);
        if (sight.rest !== undefined) this.rest = sight.rest;
        this.fleetChanged.touch();
        break;
      case "watched":
        for (const [host, told] of Object.entries(sight.hosts)) this.#takeWatched(host, told);
        this.meter.take(sight.hosts, Date.now());
        this.clocks.take(sight.hosts, Date.now());
        this.watchedChanged.touch();
        break;
      case "past":
        this.past = sight;
        this.pastChanged.touch();
        break;
      case "decisions":
        this.#takeDecisions(sight.decisions, sight.lostCount);
        break;
      default:
        // A newer edge says more than this page knows.
        break;
    }
  }

  /** Of an address, what each host that was heard says of it. */
  watchedOf(ip: string): ReadonlyMap<string, WatchedAddress> {
    return this.#watchedByIp.get(ip) ?? NOBODY;
  }

  #takeWatched(host: string, told: WatchedHost): void {
    this.#forgetWatched(host);
    this.watched.set(host, told);
    for (const address of told.addresses) {
      const hosts = this.#watchedByIp.get(address.ip) ?? new Map<string, WatchedAddress>();
      hosts.set(host, address);
      this.#watchedByIp.set(address.ip, hosts);
    }
  }

  #forgetWatched(host: string): void {
    for (const { ip } of this.watched.get(host)?.addresses ?? []) this.#watchedByIp.get(ip)?.delete(host);
    this.watched.delete(host);
  }

  #takeAll({ ips, hosts, routers, ...rest }: Pool): void {
    this.ips.clear();
    this.hosts.clear();
    this.routers.clear();
    replace(this.ips, ips, ({ ip }) => ip, []);
    replace(this.hosts, hosts, ({ host }) => host, []);
    replace(this.routers, routers, ({ router }) => router, []);
    for (const host of this.watched.keys()) if (!this.hosts.has(host)) this.#forgetWatched(host);
    this.rest = rest;
    this.fleetChanged.touch();
  }

  #takeDecisions(decisions: readonly (LiveDecision & { readonly host: string })[], lostCount: number): void {
    const numbered = decisions.map((decision) => {
      this.#decisionCount += 1;
      return { ...decision, number: this.#decisionCount };
    });
    this.decisions = [...this.decisions, ...numbered].slice(-MOST_DECISIONS);
    this.lostDecisionCount += lostCount;
    this.decisionsChanged.touch();
  }
}

function replace<T>(
  known: Map<string, T>,
  now: readonly T[],
  nameOf: (item: T) => string,
  gone: readonly string[],
): void {
  for (const name of gone) known.delete(name);
  for (const item of now) known.set(nameOf(item), item);
}
