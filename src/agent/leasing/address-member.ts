/**
 * This host on one address: a lease keeper, its connection to the edge, and its timer. It
 * leases only while the address is on this machine. [PM2]
 */
import type { Logger } from "pino";
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseReply, LeaseRequest } from "../../core/messages.ts";
import { formatRange, rangeOf } from "../../core/port-block.ts";
import { renewalPhaseOf } from "../../core/renewal-time.ts";
import { parseLeaseReply } from "../../wire/message-parsers.ts";
import { whyAbsent } from "./address-presence.ts";
import type { PortControl } from "../egress/port-messages.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { type Link, type LinkTiming, openEdgeLink, type OpenLink } from "../../link/edge-link.ts";
import { adviceOn } from "../../link/edge-refusals.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import { DrainLog } from "./drain-log.ts";
import type { KeeperEvent, KeeperTiming } from "./keeper-options.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { type LeaseCounts, LeaseMeasures } from "./lease-measures.ts";
import type { ServedPorts } from "./served-addresses.ts";
import { SlotRecord, type SlotStore } from "./slot-record.ts";

/** The machine under the addresses, which may have a guard that the leases must be told to. */
export interface LeasingMachine {
  /** Makes an address ready to be leased from; while it throws, it must not be. */
  prepare(ip: string): Promise<void>;
  /** The ports of an address that was prepared, as its keeper should control them. */
  guarded(ip: string, ports: PortControl): PortControl;
  /** Units of an address in which this machine's kernel has flows from before this began. */
  unitsInUse?(ip: string): readonly number[];
}

/** What every address of a host shares. */
export interface MemberOptions {
  readonly edge: URL;
  readonly instance: string;
  readonly token: () => Promise<string>;
  /** Epochs of earlier runs, and of this one for the next. */
  readonly epochs: { highestEpoch(ip: string): number; noteEpoch(ip: string, epoch: number): void };
  readonly pool: string;
  /** The static slots of this host, over restarts; without it none are kept. */
  readonly slots?: SlotStore;
  readonly log: Logger;
  readonly machine?: LeasingMachine;
  /** Whether the host may ask for more than it holds. */
  readonly mayGrow?: () => boolean;
  /** The capacity may have changed. */
  readonly onChange: () => void;
  readonly whyAbsent?: (ip: string) => Promise<string | null>;
  readonly presenceIntervalMs?: number;
  readonly linkTiming?: Partial<LinkTiming>;
  readonly keeperTiming?: Partial<KeeperTiming>;
  readonly openLink?: OpenLink;
  readonly clock?: Clock;
  readonly timers?: Timers;
  /** Numbers in [0, 1). */
  readonly random?: () => number;
}

const PRESENCE_INTERVAL_MS = 10_000;
/** What lies on the way forgets connections that are quiet for long. */
const LONGEST_HEARTBEAT_MS = 60_000;
const SHORTEST_HEARTBEAT_MS = 1_000;
/** So a connection that has died is missed early in a lease, however short that is. */
const BEATS_PER_LEASE = 10;
const NOTHING_KEPT: SlotStore = { of: () => new Map(), keep: () => Promise.resolve() };

/** From `start` until `drain` has resolved. */
export class AddressMember {
  readonly #options: MemberOptions;
  readonly #ports: ServedPorts;
  readonly #log: Logger;
  readonly #record: SlotRecord;
  readonly #measures: LeaseMeasures;
  readonly #timers: Timers;
  #keeper: LeaseKeeper | null = null;
  #control: PortControl | null = null;
  /** Behind a guard, if there is one. */
  #bareControl: PortControl | null = null;
  #link: Link | null = null;
  #cancelWake: CancelTimer | null = null;
  #cancelPresence: CancelTimer | null = null;
  #absence: string | null = null;
  #isEnding = false;
  #isStopped = false;
  #lookCount = 0;
  #ended: ((isDrained: boolean) => void) | null = null;
  readonly #drainLog: DrainLog;

  constructor(ports: ServedPorts, options: MemberOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#log = options.log.child({ ip: ports.ip });
    this.#timers = options.timers ?? systemTimers;
    const { pool, slots = NOTHING_KEPT, clock = readClock } = options;
    this.#measures = new LeaseMeasures(() => clock().monotonicMs);
    this.#record = new SlotRecord({ store: slots, pool, ip: ports.ip, log: this.#log });
    const flowCount = (): number => ports.heldCounts().inUse;
    this.#drainLog = new DrainLog({ flowCount, log: this.#log, timers: this.#timers });
  }

  /** Begins to lease as soon as the address is there. */
  start(): void {
    void this.#lookForAddress();
  }

  /**
   * Gives everything back, except static slots that are kept: flows may end by themselves until the
   * deadline (milliseconds from now). False if that was taken back.
   */
  drain(deadlineMs: number, keepsSlots = false): Promise<boolean> {
    this.#isEnding = true;
    this.#cancelPresence?.();
    const isNothingHeld = this.#keeper === null && (keepsSlots || this.#record.slots().length === 0);
    if (isNothingHeld) return Promise.resolve(true);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#ended = resolve;
    this.#drainLog.begin(deadlineMs);
    if (this.#keeper === null) void this.#giveSlotsBack(deadlineMs);
    else this.#keeper.drain(deadlineMs, keepsSlots);
    return promise;
  }

  /** Of an address that this process has not used yet: like a first use, not before the guard listens. */
  async #giveSlotsBack(deadlineMs: number): Promise<void> {
    const absence = await this.#whyAbsent();
    if (this.#isStopped) return;
    // An address that is gone from the machine has its slot all the same.
    if (absence !== "kernel-unavailable") return this.#begin((keeper) => keeper.drain(deadlineMs));
    const againInMs = this.#options.presenceIntervalMs ?? PRESENCE_INTERVAL_MS;
    this.#cancelPresence = this.#timers.after(againInMs, () => void this.#giveSlotsBack(deadlineMs), "idle");
  }

  /** Of what is drained already: flows have only this much time left (milliseconds from now). */
  hasten(deadlineMs: number, keepsSlots = false): void {
    this.#keeper?.drain(deadlineMs, keepsSlots);
    if (this.#ended !== null) this.#drainLog.begin(deadlineMs);
  }

  /** Whether the address is known not to be on this machine. [PM2] */
  get isAbsent(): boolean {
    return this.#absence !== null;
  }

  /** What the metrics say of its leases. */
  counts(): LeaseCounts {
    return this.#measures.counts();
  }

  /** The block that is held back, in which nothing is in use. [LK6] */
  get spare(): Lease | null {
    return this.#keeper?.view().spare ?? null;
  }

  /** Ports that this host could have of the address, as far as it knows. [AS8] */
  get portLimit(): number {
    return this.#keeper?.portLimit ?? 0;
  }

  /** Takes a drain back: no flow is cut, and new ones are taken at once. False if it is too late. [RE8] */
  resume(): boolean {
    if (this.#keeper === null || !this.#keeper.resume()) return false;
    this.#isEnding = false;
    this.#drainLog.end(false);
    this.#ended?.(false);
    this.#ended = null;
    void this.#lookForAddress();
    return true;
  }

  /** Ends at once, releasing nothing: leases end by themselves, or a restart takes them up. */
  stop(): void {
    this.#isEnding = true;
    this.#isStopped = true;
    this.#cancelPresence?.();
    this.#drainLog.end(false);
    this.#disband();
  }

  async #lookForAddress(): Promise<void> {
    this.#lookCount += 1;
    const look = this.#lookCount;
    const absence = await this.#whyAbsent();
    // A drain that was taken back while this looked has begun to look anew.
    if (this.#isEnding || look !== this.#lookCount) return;
    if (absence !== this.#absence) this.#logPresence(absence);
    const isChanged = absence !== this.#absence;
    this.#absence = absence;
    if (isChanged) this.#options.onChange();
    if (absence === null && this.#keeper === null) this.#begin((keeper) => this.#useSlots(keeper));
    // What cannot be bound is of no use to this host; others may have its blocks, but for its slots.
    if (absence !== null) this.#keeper?.drain(0, true);
    const lookInMs = this.#options.presenceIntervalMs ?? PRESENCE_INTERVAL_MS;
    this.#cancelPresence = this.#timers.after(lookInMs, () => void this.#lookForAddress(), "idle");
  }

  /**
   * A machine whose guard cannot be told must not begin to lease, whatever addresses it has. Once it
   * leases, a guard that cannot be told ends no flow: the kernel allows what it was told last until
   * its timeouts, and the binder keeps to the leases meanwhile. [LAW7] [PM5]
   */
  async #whyAbsent(): Promise<string | null> {
    const { ip } = this.#ports;
    try {
      await this.#options.machine?.prepare(ip);
    } catch (fault) {
      this.#log.error({ err: fault }, `the kernel cannot be told what may leave from ${ip}`);
      if (this.#keeper === null) return "kernel-unavailable";
    }
    return (this.#options.whyAbsent ?? whyAbsent)(ip);
  }

  /** `first` is done before the edge is spoken to. */
  #begin(first: (keeper: LeaseKeeper) => void): void {
    const { edge, instance, token, epochs, mayGrow, keeperTiming, openLink = openEdgeLink } = this.#options;
    const { ip } = this.#ports;
    const link = openLink<LeaseReply>({
      name: `address ${ip}`,
      url: new URL(`/v1/ips/${encodeURIComponent(ip)}/connect`, edge),
      token,
      parse: parseLeaseReply,
      onOpen: () => this.#record.inOrder(() => keeper.connected()),
      onMessage: (reply) => this.#received(link, keeper, reply),
      // What was granted before is its own: heard in another order, it would count for nothing. [LK3]
      onClose: () => this.#record.inOrder(() => keeper.disconnected()),
      onRefused: (code) => this.#refused(keeper, code),
      log: this.#log,
      ...(this.#options.linkTiming === undefined ? {} : { timing: this.#options.linkTiming }),
    });
    const control = this.#ports.control();
    this.#bareControl = control;
    const ports = this.#options.machine?.guarded(ip, control) ?? control;
    const keeper = new LeaseKeeper({
      instance,
      ports,
      clock: this.#options.clock ?? readClock,
      random: this.#options.random ?? Math.random,
      send: (request: LeaseRequest) => {
        this.#measures.sent(request);
        this.#record.sending(request, () => link.ask(request));
      },
      wakeIn: (delayMs) => {
        this.#cancelWake?.();
        this.#cancelWake = this.#timers.after(Math.max(1, Math.ceil(delayMs)), () => keeper.tick());
      },
      onEvent: (event) => this.#onEvent(event),
      highestEpoch: epochs.highestEpoch(ip),
      renewalPhase: renewalPhaseOf(ip),
      slots: this.#record.slots(),
      unitsInUse: this.#options.machine?.unitsInUse?.(ip) ?? [],
      ...(mayGrow === undefined ? {} : { mayGrow }),
      ...(keeperTiming === undefined ? {} : { timing: keeperTiming }),
    });
    this.#keeper = keeper;
    this.#control = ports;
    this.#link = link;
    first(keeper);
    link.start();
  }

  #received(link: Link, keeper: LeaseKeeper, reply: LeaseReply): void {
    this.#measures.received(reply);
    if (reply.type === "answer") {
      link.confirm();
      if (reply.leaseDurationMs !== null) link.beatEvery(heartbeatMsOf(reply.leaseDurationMs));
    }
    this.#record.received(reply, () => keeper.message(reply));
  }

  /** An address leaves its pool only when nothing of it is held: what the disk says is of the past. [SM10] */
  #refused(keeper: LeaseKeeper, code: string): void {
    if (code !== "ip-unknown") return;
    this.#record.inOrder(() => keeper.disown());
    this.#record.forget();
  }

  /** What is its own by its disk it uses before anybody is asked. [SM9] */
  #useSlots(keeper: LeaseKeeper): void {
    const slots = this.#record.slots();
    if (slots.length === 0) return;
    this.#log.info({ leases: slots.map(describeLease) }, "static slots taken up from the state directory");
    keeper.tick();
  }

  #onEvent(event: KeeperEvent): void {
    this.#logEvent(event);
    this.#measures.happened(event);
    if (event.type === "epoch-seen") this.#options.epochs.noteEpoch(this.#ports.ip, event.epoch);
    // Not from within the keeper: it still has to finish what it is doing.
    if (event.type === "drained") queueMicrotask(() => this.#onDrained());
    this.#options.onChange();
  }

  #onDrained(): void {
    this.#disband();
    this.#drainLog.end(true);
    this.#ended?.(true);
  }

  #disband(): void {
    // What the guard or the ports still report is for nobody.
    if (this.#control !== null) this.#control.onReport = null;
    this.#control = null;
    this.#bareControl?.close?.();
    this.#bareControl = null;
    this.#keeper = null;
    this.#link?.stop();
    this.#link = null;
    // Last, since a keeper that hears of the connection's end wishes to be woken once more.
    this.#cancelWake?.();
    this.#cancelWake = null;
  }

  #logPresence(absence: string | null): void {
    const { ip } = this.#ports;
    if (absence === null) {
      this.#log.info(`address ${ip} is on this machine now`);
    } else if (absence === "kernel-unavailable") {
      this.#log.error(
        { code: absence },
        `this machine's kernel is not ready for address ${ip}: leasing none of its ports; it is tried again`,
      );
    } else {
      const advice = `Add it to a network device, such as: ip address add ${ip} dev lo.`;
      this.#log.error(
        { code: absence },
        `address ${ip} is not on this machine: leasing none of its ports. ${advice}`,
      );
    }
  }

  #logEvent(event: KeeperEvent): void {
    switch (event.type) {
      case "adopted":
        this.#log.info({ leases: event.leases.map(describeLease) }, "leases taken up");
        return;
      case "lost":
        this.#log.warn(
          { leases: event.leases.map(describeLease) },
          "the edge no longer lists these leases; their connections were reset",
        );
        return;
      case "disowned":
        this.#log.error(
          "the edge has no such address any more: its static slots are given up, their connections were reset",
        );
        return;
      case "lapsed":
        this.#log.error(
          "the lease time is over without a renewal: all connections were reset, nothing leaves",
        );
        return;
      case "epoch-outdated": {
        const { epoch, highestEpoch } = event;
        const why = "the edge granted an epoch from the past; was its storage restored from an old copy?";
        this.#log.error({ epoch, highestEpoch }, why);
        return;
      }
      case "refused":
        this.#log.warn({ request: event.request, code: event.code }, adviceOn(event.code));
        return;
      case "released":
        this.#log.info({ epoch: event.epoch }, "lease given back");
        return;
      case "epoch-seen":
      case "drained":
        return;
    }
  }
}

function describeLease(lease: { base: number; order: number; epoch: number }): string {
  return `${formatRange(rangeOf(lease))} epoch ${lease.epoch}`;
}

/**
 * Nobody judges by these heartbeats whether this host is there: they are for a connection that has
 * died while nothing was asked. Requests find that as well, so only short leases need them often. [EL1]
 */
function heartbeatMsOf(leaseDurationMs: number): number {
  const intervalMs = Math.floor(leaseDurationMs / BEATS_PER_LEASE);
  return Math.min(Math.max(intervalMs, SHORTEST_HEARTBEAT_MS), LONGEST_HEARTBEAT_MS);
}
