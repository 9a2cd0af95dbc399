/** A pool as others see it: the placement by which requests are sent, and what an administrator reads. */
import { type BusyDestination, busiestOf } from "../../src/core/busiest-destination.ts";
import type { PublishedAddress, PublishedPool } from "../../src/core/egress-facts.ts";
import type { PlacedHost, PlacedIp, Placement } from "../../src/core/placement.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { isStatic } from "../../src/core/static-slots.ts";
import { LONGEST_TTL_S, SETTING_UP_MS } from "../../src/core/session-hold.ts";
import type { PoolRouter } from "../steering/router-register.ts";
import type { SteeringFeed } from "../steering/steering-feed.ts";
import type { AddressQuestions } from "./address-questions.ts";
import { describeHost, type PoolHost } from "./host-description.ts";
import type { HostAssignments } from "./host-assignments.ts";
import { type HeldByIp, type SlotCapacity, slotCapacity, slotsByHost } from "./static-places.ts";
import type { DrainProgress, OperatorDrains } from "./operator-drains.ts";
import type { HostSockets } from "./host-sockets.ts";
import type { PoolIp, PoolStore, StoredHost, StoredPool } from "./pool-store.ts";
import type { UplinkOpinions } from "./uplink-opinions.ts";

/** An address as an administrator sees it. */
export interface DescribedIp extends PoolIp {
  /** Null unless the operator drains it. [DR5] */
  readonly drain: DrainProgress | null;
  /** Where its ports are in use most, by what the live hosts say of themselves; null for nowhere. [PM9] */
  readonly busiestDestination: BusyDestination | null;
}

/** A pool as an administrator sees it. */
export interface PoolDescription {
  readonly pool: string;
  readonly settings: PoolSettings;
  readonly ips: readonly DescribedIp[];
  readonly hosts: readonly PoolHost[];
  /** What a static pool has room for; null for any other. [SM8] */
  readonly slots: SlotCapacity | null;
  /** Number of the last change of the steering table; 0 in a pool without routers. */
  readonly steeringSequence: number;
  readonly routers: readonly PoolRouter[];
  /** Hosts decide by it when they have it. [PY7] */
  readonly policyVersion: number;
}

/** What the view needs of its pool. */
export interface PoolViewOptions {
  readonly nowMs: () => number;
  readonly store: PoolStore;
  readonly sockets: HostSockets;
  readonly steering: SteeringFeed;
  readonly opinions: UplinkOpinions;
  readonly assignments: HostAssignments;
  readonly drains: OperatorDrains;
  readonly questions: AddressQuestions;
  readonly policyVersion: () => number;
}

/** A Worker that does not know of an address yet may make promises for so long. */
const LONGEST_COPY_MS = 60_000;

/** One per pool object. */
export class PoolView {
  readonly #options: PoolViewOptions;

  constructor(options: PoolViewOptions) {
    this.#options = options;
  }

  /** Where requests go now. [DO10] [UP3] */
  placement({ name, settings }: StoredPool): Placement {
    const { store, assignments } = this.#options;
    const served = store.ipsToServe();
    const placed = new Map<string, PlacedHost[]>(served.map(({ ip }) => [ip, []]));
    const all = store.hosts();
    const live = this.#options.sockets.liveInstances(settings);
    const serving = servingOf(all, live);
    const ejected = this.#ejectedOn([...placed.keys()], serving);
    const assigned = assignments.hostsByIp();
    for (const { host, gateway, rooms } of serving) {
      for (const { ip, portCount, busiestCount } of rooms) {
        if (portCount === 0 || ejected.get(ip)?.has(host) === true) continue;
        // What it takes no new flows from, it may not know yet. [AS4]
        if (assigned.get(ip)?.has(host) !== true) continue;
        placed.get(ip)?.push({ host, gateway, portCount, busiestCount });
      }
    }
    const age = this.#ageOfAddresses();
    const ips = served.map((known) => placedIp(known, placed.get(known.ip)!, age.of(known.ip)));
    const retiring = store.ips().filter((known) => known.retiring !== null);
    return {
      pool: name,
      ips,
      resting: restingOf(ips, all, live),
      ...(retiring.length === 0 ? {} : { retiring: retiring.map((known) => placedIp(known, [], null)) }),
      ...age.settingUp,
    };
  }

  /** What sessions have to know of when addresses came. [PL10] */
  #ageOfAddresses() {
    const { nowMs, store } = this.#options;
    const addedAtMs = store.addedAtMs();
    const settingUpUntilMs = store.madeAtMs() + SETTING_UP_MS;
    return {
      settingUp: nowMs() < settingUpUntilMs ? { settingUpUntilMs } : {},
      of: (ip: string): number | null => {
        const atMs = addedAtMs.get(ip)!;
        const sinceMs = atMs + LONGEST_COPY_MS;
        const isOld = atMs < settingUpUntilMs || nowMs() >= sinceMs + LONGEST_TTL_S * 1_000;
        return isOld ? null : sinceMs;
      },
    };
  }

  /** What anybody may know of its addresses; null unless the operator has them published. [PF1] */
  facts({ name, settings }: StoredPool): PublishedPool | null {
    if (!settings.published) return null;
    const { store, drains } = this.#options;
    const drained = drains.drainedIps();
    const addedAtMs = store.addedAtMs();
    const addresses = store.confirmedIps().map(({ ip, advertised, country, retiring }) => ({
      address: advertised ?? ip,
      state: retiring !== null ? "retiring" : drained.has(ip) ? "drained" : "active",
      country,
      addedAtMs: addedAtMs.get(ip) ?? 0,
    })) satisfies PublishedAddress[];
    return { pool: name, addresses };
  }

  /**
   * Settings, addresses, hosts and routers. Of a static pool the addresses are asked, since they alone know
   * who has which slot; who looks all the time is content with what they said so long ago.
   */
  async described(oldestMs = 0): Promise<PoolDescription> {
    const { store, questions } = this.#options;
    const isStaticNow = isStatic(store.pool()!.settings);
    const held = isStaticNow ? await questions.held(oldestMs) : new Map<string, null>();
    return this.#describe(store.pool()!, held);
  }

  #describe({ name, settings }: StoredPool, held: HeldByIp): PoolDescription {
    const { nowMs, store, sockets, steering, drains } = this.#options;
    const now = nowMs();
    const all = store.hosts();
    const live = sockets.liveInstances(settings);
    const serving = servingOf(all, live);
    const served = store.ipsToServe().map(({ ip }) => ip);
    const ejected = this.#ejectedOn(served, serving);
    const drained = drains.report(all);
    const slotsOfHosts = slotsByHost(settings, held);
    const hosts = all.map((stored) => {
      const isEjected = (ip: string): boolean => ejected.get(ip)?.has(stored.host) === true;
      const slots = slotsOfHosts.get(stored.host) ?? [];
      return describeHost(stored, isLive(stored, live), now, isEjected, drained, slots);
    });
    const told = all.filter((stored) => isLive(stored, live)).flatMap((stored) => stored.rooms);
    const roomsByIp = Map.groupBy(told, ({ ip }) => ip);
    const ips = store.ips().map((known): DescribedIp => {
      const busiestDestination = busiestOf(roomsByIp.get(known.ip) ?? []);
      return Object.assign({ drain: drained.ip(known.ip), busiestDestination }, known);
    });
    const slots = slotCapacity(settings, held, served);
    const policyVersion = this.#options.policyVersion();
    return { pool: name, settings, ips, hosts, slots, policyVersion, ...steering.describe() };
  }

  /** Whether a host gets requests, if it has capacity. */
  isServing(stored: StoredHost, settings: PoolSettings): boolean {
    return !stored.draining && this.#options.sockets.isLive(stored, settings);
  }

  #ejectedOn(ips: readonly string[], serving: readonly StoredHost[]): Map<string, ReadonlySet<string>> {
    return new Map(ips.map((ip) => [ip, this.#options.opinions.ejected(ip, serving)]));
  }
}

/** Each isolate asks for it every few seconds, so it has nothing that says nothing. */
function placedIp(
  { ip, advertised, country, sites }: PoolIp,
  hosts: readonly PlacedHost[],
  sinceMs: number | null,
): PlacedIp {
  return {
    ip,
    hosts,
    ...(advertised === null ? {} : { advertised }),
    ...(country === null ? {} : { country }),
    ...(sites.length === 0 ? {} : { sites }),
    ...(sinceMs === null ? {} : { sinceMs }),
  };
}

/** Those that get requests, if they have capacity. */
export function servingOf(
  hosts: readonly StoredHost[],
  live: ReadonlyMap<string, string>,
): readonly StoredHost[] {
  return hosts.filter((stored) => !stored.draining && isLive(stored, live));
}

/** Hosts that are heard and get no requests: they drain, or have nothing to send from. [PL8] */
function restingOf(
  ips: readonly PlacedIp[],
  hosts: readonly StoredHost[],
  live: ReadonlyMap<string, string>,
): string[] {
  const placed = new Set(ips.flatMap((ip) => ip.hosts.map(({ host }) => host)));
  return hosts.filter((stored) => !placed.has(stored.host) && isLive(stored, live)).map(({ host }) => host);
}

function isLive({ host, instance }: StoredHost, live: ReadonlyMap<string, string>): boolean {
  return live.get(host) === instance;
}
