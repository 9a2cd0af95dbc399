/**
 * The table of an address: in memory, on disk, and the alarm that lets time pass in it.
 *
 * Every decision is `core/lease-commands.ts`. A command and its events are one storage
 * transaction. The table in memory is a copy of the disk, made when first needed. [DO3] [DO6]
 */
import {
  execute,
  type LeaseAnswer,
  type LeaseCommand,
  type LeaseRefusal,
} from "../../src/core/lease-commands.ts";
import { type LeaseEvent, nextDeadlineMs } from "../../src/core/lease-table.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import type { LeasesQuestion, PortQuestion } from "../../src/core/port-history.ts";
import type { Restoration } from "../../src/core/recovery.ts";
import { isStatic } from "../../src/core/static-slots.ts";
import { isUnpublished } from "../../src/core/publication.ts";
import { type ObjectPlatform, withSchema } from "../platform/object-platform.ts";
import { ADDRESS_MIGRATIONS } from "./address-schema.ts";
import type { AddressQuestion, StoredEvents } from "./address-events.ts";
import { LeaseStore, type StoredAddress, type StoredHistory, type StoredLeases } from "./lease-store.ts";

/** One per egress IP. */
export class AddressTable {
  readonly #platform: ObjectPlatform;
  readonly #store: LeaseStore;
  readonly #onUnpublished: (address: StoredAddress) => void;
  readonly #onChange: () => void;
  /** Copies of what is stored; a failure to store throws the whole instance away. */
  #loaded: StoredAddress | null = null;
  #alarmAtMs: number | null = null;
  #alarmSet: Promise<void> = Promise.resolve();

  /**
   * `onUnpublished` is told after a command if the pool does not know all there is to publish, `onChange`
   * whenever something in the table has become other.
   */
  constructor(
    platform: ObjectPlatform,
    onUnpublished: (address: StoredAddress) => void,
    onChange: () => void = () => {},
  ) {
    this.#platform = withSchema(platform, ADDRESS_MIGRATIONS);
    this.#onUnpublished = onUnpublished;
    this.#onChange = onChange;
    this.#store = new LeaseStore(this.#platform.storage);
  }

  /** To be told when the object wakes up, and when the alarm rings: the alarm that is set; null for none. */
  alarmIs(atMs: number | null): void {
    this.#alarmAtMs = atMs;
  }

  /** Done when the alarm that was asked for last is on disk. */
  get alarmSet(): Promise<void> {
    return this.#alarmSet;
  }

  /** The address and its table; null while it belongs to no pool. */
  address(): StoredAddress | null {
    if (this.#loaded !== null) return this.#loaded;
    const loaded = this.#store.load();
    this.#loaded = loaded;
    if (loaded !== null) this.#heedRestoration(loaded, this.#store.recovery.restoration());
    return this.#loaded;
  }

  /** Before anything else: by an old copy nothing may be granted. [OC1] [OC6] */
  #heedRestoration(address: StoredAddress, known: string | null): void {
    const { restoration } = this.#platform;
    if (restoration === null) return;
    const { recovery } = address.table;
    const isNews = restoration.id !== known;
    const isConfirmed = recovery !== null && recovery.untilMs === null && restoration.areSlotsKnown;
    if (isNews || isConfirmed) this.execute(address, { type: "restored", restoration });
  }

  /** Decides, and stores what that comes to. */
  execute(address: StoredAddress, command: LeaseCommand): Outcome<LeaseAnswer, LeaseRefusal> {
    return this.executeAll(address, [command])[0]!;
  }

  /** The same with several commands, one after the other, that are stored as one. */
  executeAll(
    address: StoredAddress,
    commands: readonly LeaseCommand[],
  ): Outcome<LeaseAnswer, LeaseRefusal>[] {
    const decisions = this.#stored(() => {
      const nowMs = this.#platform.nowMs();
      const made = commands.map((command) => execute(address.table, command, nowMs, this.#platform.random));
      this.#store.append(made.flatMap(({ events }) => events));
      return made;
    });
    if (this.#alarmAtMs === null || !decisions.every(({ events }) => events.every(endsNothingSooner))) {
      this.wakeBy(nextDeadlineMs(address.table));
    }
    if (isUnpublished(address.table)) this.#onUnpublished(address);
    if (decisions.some(({ events }) => events.length > 0)) this.#onChange();
    return decisions.map(({ outcome }) => outcome);
  }

  /** An alarm that comes too early costs less than moving it at every renewal. [DO8] */
  wakeBy(deadlineMs: number | null): void {
    if (deadlineMs === null || (this.#alarmAtMs !== null && this.#alarmAtMs <= deadlineMs)) return;
    this.#alarmAtMs = deadlineMs;
    // Begun in the same turn, it is part of the same commit.
    this.#alarmSet = this.#platform.setAlarm(deadlineMs);
  }

  /** The newest revision of a pool's orders that was heeded; 0 for none. [RE6] */
  orderOf(pool: string): number {
    return this.#store.orderOf(pool);
  }

  /** Notes that an order of this revision is heeded. */
  noteOrder(pool: string, revision: number): void {
    this.#stored(() => this.#store.noteOrder(pool, revision));
  }

  /** Gives an address that belongs nowhere to a pool. */
  assign(ip: string, pool: string, settings: PoolSettings): void {
    const { restoration } = this.#platform;
    this.#stored(() => {
      this.#store.assign(ip, pool, settings, this.#platform.nowMs());
      // It may have been the pool's before, and have been added since the copy was made; but long after
      // the restore nobody can hold any of it.
      if (
        restoration === null ||
        this.#platform.nowMs() < restoration.atMs + longestWaitMs(restoration, settings)
      )
        return;
      this.#store.recovery.note(restoration.id);
    });
  }

  /** Notes what the address is, which an alarm does not tell. */
  name(ip: string): void {
    this.#stored(() => this.#store.name(ip));
    this.#loaded = null;
  }

  /** Takes an address of which nothing is left from its pool. [RE3] */
  leave(): void {
    this.#stored(() => this.#store.leave());
    this.#loaded = null;
    this.#onChange();
  }

  /** Forgets leases that are long over. */
  prune({ table }: StoredAddress): void {
    this.#stored(() => this.#store.prune(this.#platform.nowMs(), table.settings.historyDays));
  }

  /** Who held a port at a time; null if the address never belonged to a pool. */
  historyOf(question: PortQuestion): StoredHistory | null {
    const address = this.address();
    // What has ended by now has to be in the table as ended.
    if (address !== null) this.execute(address, { type: "tick" });
    return this.#store.historyOf(question, this.#platform.nowMs());
  }

  /** The latest leases on a port; null if the address never belonged to a pool. */
  leasesOf(question: LeasesQuestion): StoredLeases | null {
    const address = this.address();
    if (address !== null) this.execute(address, { type: "tick" });
    return this.#store.leasesOf(question, this.#platform.nowMs());
  }

  /** What happened; null if the address never belonged to a pool. */
  eventsOf(question: AddressQuestion): StoredEvents | null {
    const address = this.address();
    if (address !== null) this.execute(address, { type: "tick" });
    return this.#store.eventsOf(question, this.#platform.nowMs());
  }

  /** Stores all or nothing; after a failure memory may be ahead of the disk, so it goes. [DO6] */
  #stored<Result>(closure: () => Result): Result {
    try {
      return this.#platform.storage.transactionSync(closure);
    } catch (fault) {
      this.#loaded = null;
      this.#platform.abort(`storage failed: ${String(fault)}`);
      throw fault;
    }
  }
}

/** In a static pool no time is long enough. [OC6] */
function longestWaitMs({ waitMs, areSlotsKnown }: Restoration, settings: PoolSettings): number {
  if (isStatic(settings) && !areSlotsKnown) return Infinity;
  return Math.max(waitMs, settings.leaseDurationMs + settings.quarantineMs);
}

/** After a grant or a renewal the next deadline is what it was, or later: no need to look for it. */
function endsNothingSooner({ type }: LeaseEvent): boolean {
  return type === "granted" || type === "renewed";
}
