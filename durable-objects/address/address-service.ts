/**
 * One egress IP: owns the table of which host may send from which of its ports.
 *
 * Here are its entry points. The table is `address-table.ts`, the messages of hosts are
 * `lease-sessions.ts`, and what routers are told is `address-publisher.ts`. [DO6]
 */
import { freePortCount } from "../../src/core/buddy-allocator.ts";
import { newestOf } from "../../src/core/history-event.ts";
import { type Holder, leasesOf, type LeaseRow } from "../../src/core/lease-table.ts";
import { ok, type Outcome, refuse } from "../../src/core/outcome.ts";
import type { LeasesQuestion, PortQuestion } from "../../src/core/port-history.ts";
import { leaseSettingsOf, type PoolSettings } from "../../src/core/pool-settings.ts";
import { isStatic, settingsToFollow } from "../../src/core/static-slots.ts";
import type { AddressOrder, AddressStatus, HeldBlock } from "../calls/address-calls.ts";
import type { AddressPool } from "../calls/pool-calls.ts";
import type { Acceptance, ObjectPlatform, ObjectSocket } from "../platform/object-platform.ts";
import { endConnectionsOf, NO_OPENER, type Opener } from "../platform/token-sockets.ts";
import { type Viewer, ViewerSockets } from "../viewing/viewer-sockets.ts";
import { AddressPublisher } from "./address-publisher.ts";
import { type AddressCounts, countsOf, LEFT, SERVE, statusOf } from "./address-status.ts";
import { AddressTable } from "./address-table.ts";
import { AddressViewers } from "./address-viewers.ts";
import type { AddressQuestion, StoredEvents } from "./address-events.ts";
import type { StoredHistory, StoredLeases } from "./lease-store.ts";
import { LeaseSessions } from "./lease-sessions.ts";

/** A host of an address; it has no end while it has a slot. */
export interface DescribedHolder extends Omit<Holder, "instance" | "expiresAtMs"> {
  readonly expiresAtMs: number | null;
}

/** An address as an administrator sees it. Instance keys are left out: they prove identity. */
export interface AddressDescription {
  readonly pool: string;
  /** Whether the pool has given the address up, so that nothing more is granted. */
  readonly retiring: boolean;
  readonly settings: PoolSettings;
  readonly lastEpoch: number;
  readonly freePortCount: number;
  readonly holders: readonly DescribedHolder[];
  /** Leased and quarantined, oldest epoch first. */
  readonly blocks: readonly Omit<LeaseRow, "instance" | "requestId">[];
}

/** One per egress IP, in the object named as the address. */
export class AddressService {
  readonly #platform: ObjectPlatform;
  readonly #table: AddressTable;
  readonly #sessions: LeaseSessions;
  readonly #publisher: AddressPublisher;
  readonly #viewers: AddressViewers;

  constructor(platform: ObjectPlatform, poolOf: (name: string) => AddressPool) {
    this.#platform = platform;
    this.#table = new AddressTable(
      platform,
      (address) => this.#publisher.publishSoon(address),
      () => this.#viewers.changed(),
    );
    this.#sessions = new LeaseSessions(platform, this.#table);
    this.#publisher = new AddressPublisher({
      platform,
      table: this.#table,
      poolOf,
      onApplied: () => this.#sessions.answerHeld(),
      onFailed: () => this.#sessions.refuseHeld(),
    });
    this.#viewers = new AddressViewers(platform, {
      ip: () => this.#table.address()?.ip ?? platform.name ?? null,
      describe: async () => this.describe(),
    });
  }

  /** To be told before anything else when the object wakes up: the alarm that is set; null for none. */
  awake(alarmAtMs: number | null): void {
    this.#table.alarmIs(alarmAtMs);
  }

  /**
   * Gives the address to a pool, changes the settings it follows there, or takes it from there
   * step by step. When it hears of routers for the first time it has published its blocks when
   * this is done, or tries again. [RE6]
   */
  async assign(
    pool: string,
    settings: PoolSettings,
    isSteered = false,
    { revision, wish }: AddressOrder = SERVE,
  ): Promise<Outcome<AddressStatus, "ip-elsewhere">> {
    const { name } = this.#platform;
    if (name === undefined) throw new Error("an address's object is reached by the address");
    const present = this.#table.address();
    // It is not this pool's, so for a pool that removes it, it has left.
    if (present !== null && present.pool !== pool) {
      return wish === "serve" ? refuse("ip-elsewhere") : ok(LEFT);
    }
    const heeded = this.#table.orderOf(pool);
    if (revision !== null && revision < heeded) return ok({ status: "outdated", revision: heeded });
    if (revision !== null && revision > heeded) this.#table.noteOrder(pool, revision);
    if (present === null && wish !== "serve") return ok(LEFT);
    if (present === null) this.#table.assign(name, pool, settings);
    if (this.#table.address()?.ip === null) this.#table.name(name);
    const address = this.#table.address()!;
    // Where no host is left to speak, the pool alone may notice that the clock was set. [LE6]
    this.#table.execute(address, { type: "tick" });
    const wanted = settingsToFollow(address.table, settings);
    if (JSON.stringify(address.table.settings) !== JSON.stringify(wanted)) {
      const before = leaseSettingsOf(address.table.settings);
      this.#table.execute(address, { type: "configure", settings });
      const isNews = JSON.stringify(before) !== JSON.stringify(leaseSettingsOf(address.table.settings));
      if (isNews) this.#sessions.tellChanged(address);
    }
    if (wish !== "serve" || address.table.isRetiring) {
      this.#table.execute(address, { type: "retire", isRetiring: wish !== "serve" });
    }
    const begins = isSteered && !address.table.isSteered;
    if (begins) this.#table.execute(address, { type: "steer" });
    const status = statusOf(address.table, this.#platform.nowMs());
    const isLeaving = wish === "leave" && status.status === "retiring" && status.isEmpty;
    // Nothing is held back then, and nothing is being published: there is no lease to tell of.
    if (isLeaving) this.#table.leave();
    await Promise.all([this.#table.alarmSet, begins ? this.#publisher.publishing : null]);
    if (isLeaving) return ok(LEFT);
    const isFollowing = address.table.settings.staticPortsPerHost === settings.staticPortsPerHost;
    return ok(isFollowing || status.status !== "serving" ? status : { status: "leased" });
  }

  /** The table as it stands now. */
  async describe(): Promise<Outcome<AddressDescription, "ip-unknown">> {
    const address = this.#table.address();
    if (address === null) return refuse("ip-unknown");
    this.#table.execute(address, { type: "tick" });
    const { settings, lastEpoch, holders, rows, index } = address.table;
    return ok({
      pool: address.pool,
      retiring: address.table.isRetiring,
      settings,
      lastEpoch,
      freePortCount: freePortCount(index.occupancy),
      holders: [...holders.values()].map(({ host, session, expiresAtMs }) => {
        const hasSlot = isStatic(settings) && leasesOf(address.table, host).length > 0;
        return { host, session, expiresAtMs: hasSlot ? null : expiresAtMs };
      }),
      blocks: [...rows.values()].map(({ instance: _secret, requestId: _private, ...row }) => row),
    });
  }

  /** How its ports are divided now; null of an address that belongs to no pool. [MT8] */
  async counts(): Promise<AddressCounts | null> {
    const address = this.#table.address();
    if (address === null) return null;
    this.#table.execute(address, { type: "tick" });
    await this.#table.alarmSet;
    return countsOf(address.table);
  }

  /** Who held a port at a time, also in pools that the address has left. [AT1] */
  async holdersAt(question: PortQuestion): Promise<Outcome<StoredHistory, "ip-unknown">> {
    const known = this.#table.historyOf(question);
    await this.#table.alarmSet;
    return known === null ? refuse("ip-unknown") : ok(known);
  }

  /** The latest leases on a port, also in pools that the address has left. [AT11] */
  async leasesOf(question: LeasesQuestion): Promise<Outcome<StoredLeases, "ip-unknown">> {
    const known = this.#table.leasesOf(question);
    await this.#table.alarmSet;
    return known === null ? refuse("ip-unknown") : ok(known);
  }

  /** What happened to it, also in pools that it has left, the newest of what is asked for. [EV2] */
  async events(question: AddressQuestion): Promise<Outcome<StoredEvents, "ip-unknown">> {
    const known = this.#table.eventsOf(question);
    await this.#table.alarmSet;
    if (known === null) return refuse("ip-unknown");
    return ok({ ...known, events: newestOf([known.events], question.limit) });
  }

  /** What is not free of it now; nothing of an address that belongs to no pool. */
  async held(): Promise<readonly HeldBlock[]> {
    const address = this.#table.address();
    if (address === null) return [];
    this.#table.execute(address, { type: "tick" });
    return [...address.table.rows.values()].map(({ epoch, host, base, order, state }) => ({
      epoch,
      host,
      base,
      order,
      isLeased: state === "leased",
    }));
  }

  /**
   * Ends these slots of a host that is gone for good, by its operator's word. Should it be there all the
   * same, it is told to ask what it still has. May be repeated, and may come late. [SM5]
   */
  async removeHost(pool: string, host: string, epochs: readonly number[]): Promise<void> {
    const address = this.#table.address();
    if (address === null || address.pool !== pool) return;
    this.#table.execute(address, { type: "remove", host, epochs });
    this.#sessions.tellChanged(address, [host]);
    await this.#table.alarmSet;
  }

  /** Connects a host. An address that belongs to no pool has no settings to lease by. [DO7] */
  connect(host: string, opener: Opener = NO_OPENER): Outcome<Acceptance, "ip-unknown"> {
    const address = this.#table.address();
    return address === null ? refuse("ip-unknown") : ok(this.#sessions.connect(host, address.pool, opener));
  }

  /** Connects who looks at it by a page. [LV2] */
  connectViewer(
    viewer: Viewer,
    opener: Opener = NO_OPENER,
  ): Outcome<Acceptance, "ip-unknown" | "viewers-exhausted"> {
    const address = this.#table.address();
    return address === null ? refuse("ip-unknown") : this.#viewers.connect(viewer, address.pool, opener);
  }

  /** Tokens, or all of a key, are not good any more: what they have opened ends. Leases end by time. [TK6] */
  dropTokens(names: readonly string[]): void {
    endConnectionsOf(this.#platform, names);
  }

  /** Hears a host; done when it is answered, or held back. Or hears a viewer. */
  async heard(socket: ObjectSocket, message: string | ArrayBuffer): Promise<void> {
    if (ViewerSockets.isViewer(socket)) return this.#viewers.heard(socket, message);
    await this.#sessions.heard(socket, message);
  }

  /** A host has gone; done when all is heard that it said before. */
  async closed(): Promise<void> {
    await this.#sessions.allHeard();
  }

  /**
   * Lets time pass. It may come late, early or twice: what is due is judged by the table, and
   * commands judge by the clock anyway, so the alarm only keeps the stored table honest. [DO8]
   */
  async alarm(): Promise<void> {
    this.#table.alarmIs(null);
    const address = this.#table.address();
    if (address === null) return;
    this.#table.execute(address, { type: "tick" });
    this.#table.prune(address);
    await this.#table.alarmSet;
  }
}
