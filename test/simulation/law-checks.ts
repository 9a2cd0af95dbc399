/**
 * The laws, checked while a run goes on, from where only a simulator can stand: it sees every
 * machine at once, in true time. What leaves a machine is what its guard would let out, not what
 * its agent believes.
 */
import type { Publication } from "../../src/core/publication.ts";
import {
  blockContains,
  blocksOverlap,
  isLeasableBlock,
  type PortBlock,
  portCountOf,
  UNIT_COUNT,
  unitOf,
} from "../../src/core/port-block.ts";
import type { SteeringEntry } from "../../src/core/steering.ts";
import { AddressDisk, type StoredLease } from "./address-disk.ts";
import { BlockLives } from "./block-lives.ts";
import { type Edge, overlap } from "./edge.ts";
import type { Host } from "./host.ts";
import type { KernelEntries, SimulatedRouter } from "./router.ts";
import type { Meet } from "./transitions.ts";

/** A law that did not hold. */
export class Violation extends Error {
  readonly law: string;

  constructor(law: string, text: string) {
    super(`${law}: ${text}`);
    this.law = law;
  }
}

/** A block, and which host has it under which epoch. */
export interface HeldBlock extends PortBlock {
  readonly host: string;
  readonly epoch: number;
}

/** What the checks look at. */
export interface CheckedWorld {
  readonly nowMs: () => number;
  readonly edge: Edge;
  readonly hosts: readonly Host[];
  readonly routers: readonly SimulatedRouter[];
  readonly quarantineMs: () => number;
  /** Forward leaps of an address's clock since this time, as far as the address believes them. */
  readonly believedLeapsMs: (ip: string, sinceMs: number) => number;
  /** Whether the pool heard a router from then on, and a moment before, be it ready or not. */
  readonly isListening: (router: SimulatedRouter, sinceMs: number) => boolean;
  /** Whether a router could follow the pool at once, all the time lately. */
  readonly isAttentive: (router: SimulatedRouter) => boolean;
  readonly meet: Meet;
}

/** A machine that could send, by the key of its state directory as well: a new one is another host. */
interface User {
  readonly machine: string;
  readonly instance: string;
  readonly untilMs: number;
}

/** What is known of one address from outside. */
interface AddressRecord {
  /** By unit: the machine that could send from it last, and until when. */
  readonly users: (User | null)[];
  /** By unit: the hosts that were granted it, the last two. */
  readonly holders: { readonly current: string; readonly last: string | null }[];
  /** Routers that a grant has gone ahead of, by epoch. */
  readonly excused: Map<number, readonly string[]>;
  /** Epochs that were granted before the address knew of routers. */
  readonly unsteered: Set<number>;
  /** Epochs that hosts were told. */
  readonly told: Set<number>;
  /** All that was ever on disk, by epoch, as it was first seen there. */
  readonly grants: Map<number, StoredLease>;
  /** When each was first seen there. */
  readonly grantedAtMs: Map<number, number>;
  /** Epochs that were seen to have ended. */
  readonly ended: Set<number>;
  /** The newest epoch in a publication that was answered. */
  appliedEpoch: number;
  highestEpoch: number;
  readonly lives: BlockLives;
  readonly disk: AddressDisk;
  /** Leases that were found to be lawful: as long as nothing is written, they are. */
  lawfulLeases: readonly StoredLease[] | null;
  /** By router, what it steered when that was found to be lawful, by the holders of now. */
  readonly lawfulEntries: Map<SimulatedRouter, KernelEntries>;
}

/** Clocks may be this much faster or slower than true time. */
const DRIFT = 0.003;
/** No lease of a run lasts longer. */
const LONGEST_TERM_MS = 20_000;
/** Granularity of clocks that are read in whole milliseconds. */
const TICK_MS = 2;

/** One per run. */
export class LawChecks {
  readonly #world: CheckedWorld;
  readonly #records = new Map<string, AddressRecord>();
  /** How many comparisons were made that could have failed. */
  readonly counts = { senders: 0, grants: 0, told: 0, tables: 0, entries: 0, chosen: 0 };

  constructor(world: CheckedWorld, ips: readonly string[]) {
    this.#world = world;
    for (const ip of ips) {
      this.#records.set(ip, {
        users: Array.from({ length: UNIT_COUNT }, () => null),
        holders: [],
        excused: new Map(),
        unsteered: new Set(),
        told: new Set(),
        grants: new Map(),
        grantedAtMs: new Map(),
        ended: new Set(),
        appliedEpoch: 0,
        highestEpoch: 0,
        lives: new BlockLives(world.meet),
        disk: new AddressDisk(world.edge.address(ip).database),
        lawfulLeases: null,
        lawfulEntries: new Map(),
      });
    }
  }

  /** Law 1: something else may leave from an address than a moment ago. */
  senders(ip: string): void {
    const record = this.#record(ip);
    const nowMs = this.#world.nowMs();
    const senders: { host: Host; blocks: readonly PortBlock[] }[] = [];
    for (const host of this.#world.hosts) {
      const blocks = host.guard.permitted(ip);
      if (blocks.length === 0) continue;
      this.counts.senders += 1;
      for (const other of senders) {
        const shared = overlap(blocks, other.blocks);
        if (shared !== null) {
          const both = `${other.host.machine.name} and ${host.machine.name}`;
          throw new Violation("law 1", `${both} can both send from ${ip}, port ${shared.base}`);
        }
      }
      senders.push({ host, blocks });
      const user: User = { machine: host.machine.name, instance: host.instance, untilMs: nowMs };
      for (const block of blocks) {
        const [first, end] = unitsOf(block);
        for (let unit = first; unit < end; unit += 1) record.users[unit] = user;
      }
    }
  }

  /** Laws 3, 5 and 6, and that no block is lost: an address has written. */
  table(ip: string): void {
    const record = this.#record(ip);
    const { leases, standing } = record.disk;
    const isNews = leases !== record.lawfulLeases;
    this.counts.tables += 1;
    if (isNews) record.lives.look(leases);
    record.lives.stand(standing.standing, standing.knowsOfRouters);
    if (isNews) this.#leases(ip, record, leases);
    record.lawfulLeases = leases;
    this.#steering(ip, record);
  }

  /** An address was told that the routers have applied it. */
  applied(ip: string, { lastEpoch }: Publication): void {
    const record = this.#record(ip);
    record.appliedEpoch = Math.max(record.appliedEpoch, lastEpoch);
  }

  /** The pool has noted which routers have not applied it, be its answer lost. */
  lagged(ip: string, { blocks }: Publication, laggards: readonly string[]): void {
    if (laggards.length === 0) return;
    const { excused } = this.#record(ip);
    for (const { epoch } of blocks) excused.set(epoch, [...(excused.get(epoch) ?? []), ...laggards]);
  }

  /** A block is used only once the kernel lets it out: an agent has chosen a port for a new flow. [MA2] */
  chosen(ip: string, port: number, host: Host): void {
    this.counts.chosen += 1;
    if (host.guard.knows(ip, port) || host.mayNotHaveHeard(ip, port)) return;
    throw new Violation("guard", `${host.machine.name} opens ${ip}:${port} before its guard knows of it`);
  }

  /** Whether a block with this port was granted to somebody else since then. */
  wasOthers(ip: string, port: number, instance: string, sinceMs: number): boolean {
    const { grants, grantedAtMs } = this.#record(ip);
    return [...grants.values()].some(
      (grant) =>
        grant.instance !== instance &&
        blockContains(grant, port) &&
        (grantedAtMs.get(grant.epoch) ?? 0) > sinceMs,
    );
  }

  /** Laws 4 and 5: a host has been told of its blocks. */
  told(ip: string, blocks: readonly (PortBlock & { readonly epoch: number })[], host: Host): void {
    const record = this.#record(ip);
    for (const block of blocks) {
      const grant = record.grants.get(block.epoch);
      if (grant?.instance !== host.instance || grant.base !== block.base || grant.order !== block.order) {
        const what = `${host.machine.name} was told of ${describe({ ...block, host: host.name })} on ${ip}`;
        const truth = grant === undefined ? "never written" : `written as ${describe(grant)}`;
        throw new Violation("law 5", `${what}, which was ${truth}`);
      }
      if (!grant.isSteered && block.epoch > record.appliedEpoch) {
        const what = `${host.machine.name} was told of ${describe(grant)} on ${ip}`;
        throw new Violation("law 4", `${what} before any router could have heard of it`);
      }
      if (record.told.has(block.epoch)) continue;
      record.told.add(block.epoch);
      for (const router of this.#world.routers) {
        // One that was away when the block was granted may not have caught up yet.
        const grantedAtMs = record.grantedAtMs.get(block.epoch)!;
        if (!this.#world.isListening(router, grantedAtMs)) continue;
        if (record.excused.get(block.epoch)?.includes(router.name)) continue;
        // It was granted when the address had not heard of routers yet. [ST4]
        if (record.unsteered.has(block.epoch)) continue;
        this.counts.told += 1;
        const placed = router.kernel.find(ip, block.base);
        if (placed !== null && placed.entry.epoch >= block.epoch) continue;
        // Another answer may have come earlier: then the block may have been given back since.
        if (!record.disk.leases.some(({ epoch, isLeased }) => epoch === block.epoch && isLeased)) continue;
        const what = `${host.machine.name} was told of ${describe({ ...block, host: host.name })} on ${ip}`;
        throw new Violation("law 4", `${what} before ${router.name} steers it`);
      }
    }
  }

  /** Law 5 at a router. */
  steered(router: SimulatedRouter, entry: SteeringEntry, replaced: readonly SteeringEntry[]): void {
    this.counts.entries += 1;
    const newer = replaced.find(({ epoch }) => epoch > entry.epoch);
    if (newer === undefined) return;
    const what = `${router.name} puts ${describe(entry)} of ${entry.ip}`;
    throw new Violation("law 5", `${what} in the place of ${describe(newer)}`);
  }

  #leases(ip: string, record: AddressRecord, leases: readonly StoredLease[]): void {
    for (const [at, lease] of leases.entries()) {
      if (!isLeasableBlock(lease)) throw new Violation("blocks", `${ip}: ${describe(lease)} is no block`);
      for (let later = at + 1; later < leases.length; later += 1) {
        const other = leases[later]!;
        if (!blocksOverlap(lease, other)) continue;
        throw new Violation("blocks", `${ip}: ${describe(lease)} and ${describe(other)} share ports`);
      }
      const known = record.grants.get(lease.epoch);
      if (known === undefined || known.host !== lease.host || known.instance !== lease.instance) {
        if (lease.epoch <= record.highestEpoch) {
          throw new Violation("law 5", `${ip}: ${describe(lease)} after epoch ${record.highestEpoch}`);
        }
        this.#granted(ip, record, lease);
      }
      if (!lease.isLeased) this.#ended(ip, record, lease);
    }
    // They are read in the order of their epochs.
    record.highestEpoch = Math.max(record.highestEpoch, leases.at(-1)?.epoch ?? 0);
  }

  /** Steering names nobody but the holder or the last holder. */
  #steering(ip: string, { holders, lawfulEntries }: AddressRecord): void {
    for (const router of this.#world.routers) {
      const { entries } = router.kernel;
      if (!this.#world.isAttentive(router) || lawfulEntries.get(router) === entries) continue;
      for (const { entry } of entries.get(ip)?.values() ?? []) {
        const { host } = entry;
        // It is steered nowhere.
        if (host.startsWith(":")) continue;
        const [first, end] = unitsOf(entry);
        for (let unit = first; unit < end; unit += 1) {
          const known = holders[unit];
          if (known === undefined || known.current === host || known.last === host) continue;
          const whose = `held by ${known.current}, and by ${known.last} before`;
          throw new Violation("steering", `${router.name} sends ${describe(entry)} of ${ip}, ${whose}`);
        }
      }
      lawfulEntries.set(router, entries);
    }
  }

  #granted(ip: string, record: AddressRecord, row: StoredLease): void {
    this.counts.grants += 1;
    record.grants.set(row.epoch, row);
    record.grantedAtMs.set(row.epoch, this.#world.nowMs());
    record.lawfulEntries.clear();
    if (!record.disk.standing.knowsOfRouters) record.unsteered.add(row.epoch);
    const nowMs = this.#world.nowMs();
    this.senders(ip);
    const [first, end] = unitsOf(row);
    for (let unit = first; unit < end; unit += 1) {
      const holder = record.holders[unit];
      if (holder?.current !== row.host) {
        record.holders[unit] = { current: row.host, last: holder?.current ?? null };
      }
      const user = record.users[unit];
      if (user === null || user === undefined || user.instance === row.instance) continue;
      const restMs = nowMs - user.untilMs;
      // One during the lease ended it early, and the quarantine counts from there.
      const leapsMs = this.#world.believedLeapsMs(ip, user.untilMs - LONGEST_TERM_MS);
      const leastMs = (this.#world.quarantineMs() - leapsMs) * (1 - DRIFT) - TICK_MS;
      if (restMs >= leastMs) continue;
      const since = `${Math.round(restMs)} ms after ${user.machine} could send from it`;
      throw new Violation("law 6", `${ip}: ${row.host} gets ${describe(row)} ${since}, leaps ${leapsMs}`);
    }
  }

  /** Law 3: a host is silent before its lease ends. */
  #ended(ip: string, { ended, disk }: AddressRecord, row: StoredLease): void {
    if (ended.has(row.epoch)) return;
    ended.add(row.epoch);
    // Nobody can be given it before the wait is over; that is judged when somebody is. [OC2]
    if (disk.standing.isRecovering) return;
    // By so much a leap that the address believes ends leases early; quarantine bears it. [LE6]
    const leapsMs = this.#world.believedLeapsMs(ip, this.#world.nowMs() - LONGEST_TERM_MS);
    const host = this.#world.hosts.find(({ instance }) => instance === row.instance);
    if (host === undefined || overlap(host.guard.permitted(ip), [row]) === null) return;
    if (host.guard.untilSilence(ip) <= leapsMs * (1 + DRIFT) + TICK_MS) return;
    const what = `${describe(row)} of ${ip} has ended, and ${host.machine.name} can still send from it`;
    throw new Violation("law 3", what);
  }

  #record(ip: string): AddressRecord {
    return this.#records.get(ip)!;
  }
}

/** All blocks of these are what is steered, and nothing else. */
export function sameBlocks(some: Iterable<HeldBlock>, others: Iterable<HeldBlock>): boolean {
  const text = (blocks: Iterable<HeldBlock>): string => Array.from(blocks, describe).toSorted().join(" ");
  return text(some) === text(others);
}

function describe({ base, order, epoch, host }: HeldBlock): string {
  return `${base}-${base + portCountOf(order) - 1} (epoch ${epoch}, ${host})`;
}

/** All units of a block, from one on and before another. */
function unitsOf({ base, order }: PortBlock): [first: number, end: number] {
  const first = unitOf(base);
  return [first, first + portCountOf(order) / 64];
}
