/**
 * Keeps up to date which hosts of the pool serve which of its addresses, and says whom to tell.
 *
 * What is decided is on disk before a host is told, so an object that restarts goes on from there.
 * Whether a host has gone is judged when somebody asks for the placement: heartbeats wake nobody,
 * and while nobody asks no address needs another host. [AS1] [AS6]
 */
import {
  type AssignableHost,
  assignAddresses,
  type Assignment,
  type AssignmentRules,
} from "../../src/core/address-assignment.ts";
import { freePortCounts, portsOf } from "../../src/core/address-demand.ts";
import { LEASABLE_PORT_COUNT, portCountOf } from "../../src/core/port-block.ts";
import { DEFAULT_LEASE_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import { minimumOf } from "../../src/core/share.ts";
import { isStatic, slotLayout } from "../../src/core/static-slots.ts";
import type { AddressCapacity, LeavingAddress } from "../../src/core/messages.ts";
import { familyOf } from "../../src/core/address-family.ts";
import type { EventLog } from "../events/event-log.ts";
import type { ObjectPlatform } from "../platform/object-platform.ts";
import type { AssignmentStore } from "./assignment-store.ts";
import type { DrainStore } from "./drain-store.ts";
import { noteDrainEnds } from "./drain-ends.ts";
import { HostAbsences, RESTART_MS } from "./host-absences.ts";
import { FAMILIES, HostDemands, usesOf } from "./host-demands.ts";
import type { PoolStore, StoredHost } from "./pool-store.ts";
import { isWithoutSlot } from "./static-places.ts";

/** What the assignments need of their pool. */
export interface AssignmentsOptions {
  readonly platform: Pick<ObjectPlatform, "nowMs" | "wait" | "keepAwake" | "report">;
  readonly store: PoolStore;
  readonly assignments: AssignmentStore;
  /** What the operator drains. */
  readonly drains: DrainStore;
  readonly events: EventLog;
  /** Of these hosts, those that get requests. */
  readonly servingOf: (hosts: readonly StoredHost[]) => readonly StoredHost[];
  /** These hosts have other addresses to serve than before. */
  readonly onChange: (hosts: ReadonlySet<string>) => void;
}

/** Hosts that need a further address, and found none with free ports, are looked at again. */
const SHORT_AGAIN_MS = 10_000;
/** A decision looks at every host. Where all of them come at once, it is made for many together. */
const PAUSE_MS_PER_HOST = 0.1;
const LONGEST_PAUSE_MS = 1_000;

/** One per pool object. */
export class HostAssignments {
  readonly #options: AssignmentsOptions;
  readonly #demands: HostDemands;
  /** By name and place, as of the last decision of this instance; null before its first. */
  #serving: string | null = null;
  /** When a silent host will count as gone. */
  #dueAtMs = Infinity;
  /** Before that no decision is made, but the one that waits for it. */
  #pauseEndMs = -Infinity;
  #isWaiting = false;
  /** Hosts that are without a slot since there is none, as of the last decision. */
  #exhausted: ReadonlySet<string> = new Set();
  /** Addresses that leave the pool, as this instance told hosts. */
  #retiring: ReadonlySet<string> = new Set();

  constructor(options: AssignmentsOptions) {
    this.#options = options;
    this.#demands = new HostDemands(options);
  }

  /** The addresses that a host is to serve now, and those that it lets go of because they leave the pool. */
  of(host: string): {
    readonly ips: readonly string[];
    readonly retiring: readonly string[];
    /** Of a static pool: whether the host has no address of a family in which every slot is somebody's. [SM7] */
    readonly isExhausted: boolean;
  } {
    const { assignments, store } = this.#options;
    const own = assignments.of(host);
    const isRetiring = ({ ip }: Assignment): boolean => (store.ip(ip)?.retiring ?? null) !== null;
    const ips = own.filter(({ state }) => state !== "leaving").map(({ ip }) => ip);
    return {
      ips,
      retiring: own.filter(isRetiring).map(({ ip }) => ip),
      isExhausted: isWithoutSlot(this.#options, host, ips),
    };
  }

  /** All addresses of which a host may hold something. */
  ipsOf(host: string): string[] {
    return this.#options.assignments.of(host).map(({ ip }) => ip);
  }

  /**
   * Whether a host may be forgotten at its operator's word: it is not heard, and what it had ends then,
   * or is over for certain. [SM5]
   */
  isRemovable(stored: StoredHost): boolean {
    const { store, servingOf, assignments, platform } = this.#options;
    const { settings } = store.pool()!;
    // One that drains is heard as well.
    if (servingOf([{ ...stored, draining: false }]).length > 0) return false;
    if (isStatic(settings)) return true;
    // Since when it is silent is noted by a decision.
    this.decide();
    const sinceMs = assignments.silentSinceMs().get(stored.host) ?? platform.nowMs();
    return Math.abs(platform.nowMs() - sinceMs) >= goneAfterMs(settings);
  }

  /** The operator has removed a host. */
  forget(host: string): void {
    this.#options.assignments.forget(host);
    this.decide();
  }

  /** Who may get requests for an address, by address. */
  hostsByIp(): Map<string, ReadonlySet<string>> {
    const hosts = new Map<string, Set<string>>();
    for (const { host, ip, state } of this.#options.assignments.all()) {
      if (state === "leaving") continue;
      if (!hosts.has(ip)) hosts.set(ip, new Set());
      hosts.get(ip)!.add(host);
    }
    return hosts;
  }

  /** A host has said what it serves, and what it has not let go of. */
  reported(before: StoredHost, now: StoredHost, leaving: readonly LeavingAddress[]): void {
    const { assignments } = this.#options;
    const has = new Set([...now.rooms, ...leaving].map(({ ip }) => ip));
    for (const left of leaving) assignments.noteLeft({ ...left, host: now.host });
    const gone = assignments.of(now.host).filter(({ ip, state }) => state === "leaving" && !has.has(ip));
    for (const assignment of gone) assignments.remove(assignment);
    noteDrainEnds(this.#options, gone);
    const isSame = before.draining === now.draining && standingOf(before) === standingOf(now);
    if (gone.length > 0 || !isSame || this.#isShort(now)) this.#decideSoon(null);
  }

  /** Whether the demand of a host needs more addresses than before, or less. */
  #isShort(now: StoredHost): boolean {
    const { assignments, store } = this.#options;
    // One address is all that a host of a static pool has.
    if (isStatic(store.pool()!.settings)) return false;
    const demand = assignments.demandOf(now.host);
    const { addressCounts } = this.#demands.lookAt(now, demand, this.#leastPorts());
    return FAMILIES.some((family) => addressCounts[family] !== (demand[family]?.addressCount ?? 1));
  }

  /**
   * Decides anew if a host has come, gone, moved to another site, or been away for long since the last
   * time. The newcomer is told by the caller, whatever comes of it. [AS11]
   */
  review(newcomer: string | null = null): void {
    const { store, platform, servingOf } = this.#options;
    if (platform.nowMs() < this.#dueAtMs && spelled(servingOf(store.hosts())) === this.#serving) return;
    this.#decideSoon(newcomer);
  }

  /** At once, or with all that comes until the pause ends. */
  #decideSoon(newcomer: string | null): void {
    const { platform } = this.#options;
    if (this.#isWaiting) return;
    const leftMs = this.#pauseEndMs - platform.nowMs();
    // After the clock was set back there is none.
    if (leftMs <= 0 || leftMs > LONGEST_PAUSE_MS) return this.decide(newcomer);
    this.#isWaiting = true;
    platform.keepAwake(this.#decideAfter(leftMs));
  }

  async #decideAfter(delayMs: number): Promise<void> {
    const { platform } = this.#options;
    await platform.wait(delayMs);
    this.#isWaiting = false;
    try {
      this.decide();
    } catch (fault) {
      platform.report("addresses could not be assigned to hosts", fault);
      // Whatever comes next tries it again.
      this.#serving = null;
    }
  }

  /** Decides anew; hosts that are concerned are told, but for the newcomer. */
  decide(newcomer: string | null = null): void {
    const { store, assignments, drains, onChange, servingOf, platform } = this.#options;
    const pool = store.pool();
    if (pool === null) return;
    const hosts = store.hosts();
    const serving = servingOf(hosts);
    const before = assignments.all();
    const ips = store.ips();
    const drained = drains.ips();
    // What one said that is gone since says nothing of what is free now.
    const rooms = serving.map((stored) => stored.rooms);
    const free = freePortCounts(rooms, pool.settings.maxPortsPerHost);
    const assignable = this.#assignable(hosts, new Set(serving), pool.settings);
    const decided = assignAddresses(
      assignable,
      ips.map(({ ip, sites, retiring }) => ({
        ip,
        sites,
        // Until it has said that it is the pool's, it may be another's.
        isDrained: drained.has(ip) || !store.isConfirmed(ip),
        isRetiring: retiring !== null,
        freePortCount: free.get(ip) ?? LEASABLE_PORT_COUNT,
      })),
      before,
      rulesOf(pool.settings),
    );
    // Ports may become free without a word that would bring about a decision.
    if (isAnyShort(assignable, decided)) {
      this.#dueAtMs = Math.min(this.#dueAtMs, platform.nowMs() + SHORT_AGAIN_MS);
    }
    const changed = this.#write(before, decided);
    const retiring = new Set(ips.filter((known) => known.retiring !== null).map(({ ip }) => ip));
    for (const { host, ip } of decided) {
      if (retiring.has(ip) && !this.#retiring.has(ip)) changed.add(host);
    }
    this.#retiring = retiring;
    if (isStatic(pool.settings)) this.#noteExhausted(serving, changed);
    this.#serving = spelled(serving);
    const pauseMs = Math.min(LONGEST_PAUSE_MS, Math.floor(hosts.length * PAUSE_MS_PER_HOST));
    this.#pauseEndMs = platform.nowMs() + pauseMs;
    if (newcomer !== null) changed.delete(newcomer);
    if (changed.size > 0) onChange(changed);
  }

  /** Hosts are told when there is no slot for them, and when there is one again. [SM7] */
  #noteExhausted(serving: readonly StoredHost[], changed: Set<string>): void {
    const { assignments } = this.#options;
    const exhausted = new Set<string>();
    for (const { host } of serving) {
      const own = assignments.of(host).filter(({ state }) => state !== "leaving");
      if (
        isWithoutSlot(
          this.#options,
          host,
          own.map(({ ip }) => ip),
        )
      )
        exhausted.add(host);
    }
    for (const host of exhausted) if (!this.#exhausted.has(host)) changed.add(host);
    for (const host of this.#exhausted) if (!exhausted.has(host)) changed.add(host);
    this.#exhausted = exhausted;
  }

  /** Answers which hosts have other addresses to serve. */
  #write(before: readonly Assignment[], decided: readonly Assignment[]): Set<string> {
    const { assignments } = this.#options;
    const old = new Map(before.map((assignment) => [keyOf(assignment), assignment]));
    const changed = new Set<string>();
    for (const assignment of decided) {
      const known = old.get(keyOf(assignment));
      old.delete(keyOf(assignment));
      if (known?.state === assignment.state) continue;
      assignments.put(assignment);
      if (isServed(known) !== isServed(assignment)) changed.add(assignment.host);
    }
    for (const assignment of old.values()) {
      assignments.remove(assignment);
      if (isServed(assignment)) changed.add(assignment.host);
    }
    noteDrainEnds(this.#options, [...old.values()]);
    return changed;
  }

  /** Ports that every host can have of each of its addresses, whatever the others ask for. [AL5] */
  #leastPorts(): number {
    return minimumOf(this.#options.store.pool()?.settings ?? DEFAULT_LEASE_SETTINGS);
  }

  /** Hosts that have been away for so long that all their leases are over have no addresses any more. */
  #assignable(
    hosts: readonly StoredHost[],
    serving: ReadonlySet<StoredHost>,
    settings: PoolSettings,
  ): AssignableHost[] {
    const { platform, assignments, drains, events } = this.#options;
    const drained = drains.hosts();
    const absences = new HostAbsences(assignments, events);
    const now = platform.nowMs();
    const goneMs = goneAfterMs(settings);
    const keepsPlaces = isStatic(settings);
    // What it has it has for good, heard or not. [SM7]
    const placed = new Set(keepsPlaces ? assignments.all().map(({ host }) => host) : []);
    const silent = assignments.silentSinceMs();
    const demands = assignments.demands();
    const leastPorts = minimumOf(settings);
    const assignable: AssignableHost[] = [];
    this.#dueAtMs = Infinity;
    for (const stored of hosts) {
      const { host, site, weight } = stored;
      let sinceMs = silent.get(host) ?? null;
      const isHeard = serving.has(stored);
      if (isHeard === (sinceMs !== null)) {
        sinceMs = isHeard ? null : now;
        assignments.noteSilence(host, sinceMs);
      }
      // The clock may have been set back meanwhile.
      const silentMs = sinceMs === null ? 0 : Math.abs(now - sinceMs);
      absences.look(stored, silentMs);
      if (silentMs >= goneMs && !placed.has(host)) continue;
      if (sinceMs !== null) {
        const nextMs = silentMs < RESTART_MS ? RESTART_MS : goneMs;
        if (silentMs < nextMs) this.#dueAtMs = Math.min(this.#dueAtMs, now + nextMs - silentMs);
      }
      const { addressCounts, dueAtMs } = keepsPlaces
        ? { addressCounts: {}, dueAtMs: Infinity }
        : this.#demands.lookAt(stored, demands.get(host) ?? {}, leastPorts);
      this.#dueAtMs = Math.min(this.#dueAtMs, dueAtMs);
      assignable.push({
        host,
        site,
        weight,
        isLive: silentMs < RESTART_MS,
        isDrained: drained.has(host),
        addressCounts,
        // One that is away for a moment is not replaced, and takes nothing over either.
        established: new Set(isHeard ? stored.rooms.filter(hasPorts).map(({ ip }) => ip) : []),
        // Whoever waits for its address to be put on its machine has no other meanwhile. [SM7]
        absent: new Set(
          stored.rooms.filter(({ absent }) => absent === true && !keepsPlaces).map(({ ip }) => ip),
        ),
        ports: { 4: portsOf(usesOf(stored, 4)), 6: portsOf(usesOf(stored, 6)) },
      });
    }
    return assignable;
  }
}

/** Whether a host has fewer addresses than it needs: further ones, for the first is given wherever it may be. */
function isAnyShort(hosts: readonly AssignableHost[], decided: readonly Assignment[]): boolean {
  const counts = new Map<string, number>();
  for (const { host, ip, state } of decided) {
    const key = `${host} ${familyOf(ip)}`;
    if (state === "serving") counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return hosts.some(({ host, isDrained, addressCounts }) =>
    FAMILIES.some((family) => {
      const count = counts.get(`${host} ${family}`) ?? 0;
      return !isDrained && count > 0 && count < (addressCounts[family] ?? 1);
    }),
  );
}

/** Silence after which all leases of a host are over. */
function goneAfterMs({ leaseDurationMs, quarantineMs }: PoolSettings): number {
  return leaseDurationMs + quarantineMs + RESTART_MS;
}

/** A site has no line break, and is the last of its line. */
function spelled(hosts: readonly StoredHost[]): string {
  return hosts.map(({ host, site, weight }) => `${host} ${weight} ${site ?? ""}`).join("\n");
}

function rulesOf(settings: PoolSettings): AssignmentRules {
  const { staticPortsPerHost } = settings;
  if (staticPortsPerHost !== null) {
    return { leastHosts: 1, mostHosts: slotLayout(staticPortsPerHost).slotCount, isStatic: true };
  }
  const least = Math.max(minimumOf(settings), portCountOf(settings.firstBlockOrder));
  return { leastHosts: settings.minHostsPerIp, mostHosts: Math.floor(LEASABLE_PORT_COUNT / least) };
}

/** Where a host has ports, and where it never will. */
function standingOf({ rooms }: StoredHost): string {
  return rooms.map(({ ip, portCount, absent = false }) => `${ip} ${portCount > 0} ${absent}`).join();
}

function hasPorts({ portCount }: AddressCapacity): boolean {
  return portCount > 0;
}

function isServed(assignment: Assignment | undefined): boolean {
  return assignment !== undefined && assignment.state !== "leaving";
}

function keyOf({ host, ip }: Assignment): string {
  return `${host} ${ip}`;
}
