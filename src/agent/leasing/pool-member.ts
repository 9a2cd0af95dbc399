/**
 * This host in its pool: it enlists, serves the addresses that the pool names, and tells how
 * much capacity it has on each, so that requests come where they can be served. [PM1]
 */
import {
  type AddressCapacity,
  type LeavingAddress,
  type PoolReply,
  type PoolRequest,
  PROTOCOL_VERSION,
} from "../../core/messages.ts";
import { heartbeatMsFor, reportIntervalMsFor } from "../../core/liveness.ts";
import { portCountOf } from "../../core/port-block.ts";
import { parsePoolReply } from "../../wire/message-parsers.ts";
import { AddressMember } from "./address-member.ts";
import { type Link, openEdgeLink } from "../../link/edge-link.ts";
import { adviceOn } from "../../link/edge-refusals.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { destinationOf } from "../egress/destination-key.ts";
import type { ServedPorts } from "./served-addresses.ts";
import { nextHopFindings } from "./next-hop-findings.ts";
import type { PoolMemberOptions } from "./pool-member-options.ts";
import { ShareTalk } from "./share-talk.ts";
import { type CapacityReport, urgencyOf } from "./capacity-report.ts";
import { WatchTalk } from "./watch-talk.ts";
import type { AddressMeasures } from "./lease-measures.ts";
import type { Place } from "../../core/uplink.ts";
import { DEFAULT_WEIGHT } from "../../core/whereabouts.ts";

/** Changes that nobody announces, such as the use of ports, are looked for this often. */
const LOOK_INTERVAL_MS = 250;
/** Others' findings on an address in doubt last some seconds: until it is good they are asked again. [UP2] */
const SUSPECT_INTERVAL_MS = 4_000;
/** What only people look at. */
const LATE_INTERVAL_MS = 30_000;
/** Capacity may change with every request. */
const LEAST_INTERVAL_MS = 100;

/** From `start` to `drain` or `stop`. */
export class PoolMember {
  readonly #options: PoolMemberOptions;
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #members = new Map<string, AddressMember>();
  /** Addresses that are being given up. */
  readonly #leaving = new Map<string, { readonly member: AddressMember; readonly left: Promise<void> }>();
  #ips: readonly string[] = [];
  /** Those that leave the pool; null when it is an older one, which tells no others. */
  #retiring: readonly string[] | null = null;
  /** What a report may say beyond what older pools take. [ME6] */
  #takes: readonly string[] = [];
  /** An older pool accepts no report of uplinks. */
  #takesUplinks = false;
  #reportIntervalMs = reportIntervalMsFor(0);
  #advertised: Readonly<Record<string, string>>;
  #nextHopWarning = "";
  #shortage: "address-exhausted" | null = null;
  #isDraining = false;
  #isStopped = false;
  /** Another host of this name is in the pool. What is held stays, and nothing is added to it. [PM6] */
  #isDuplicate = false;
  /** Null until the pool has taken this host on the present connection. */
  #told: CapacityReport | null = null;
  #toldAtMs = 0;
  #cancelLook: CancelTimer | null = null;
  readonly #shares: ShareTalk | null;
  readonly #watch: WatchTalk | null;

  constructor(options: PoolMemberOptions) {
    const { edge, pool, token, log, openLink = openEdgeLink } = options;
    this.#options = options;
    this.#advertised = options.advertised?.keptAdvertised ?? {};
    this.#clock = options.clock ?? readClock;
    this.#timers = options.timers ?? systemTimers;
    if (options.uplinks !== undefined) options.uplinks.onChange = () => this.#look();
    this.#shares =
      options.shares === undefined
        ? null
        : new ShareTalk(options.shares, this.#timers, (use) => this.#link.send(use));
    this.#watch =
      options.host === undefined
        ? null
        : new WatchTalk({
            host: options.host,
            clock: this.#clock,
            timers: this.#timers,
            random: options.random ?? Math.random,
            send: (told) => this.#link.send(told),
          });
    this.#link = openLink<PoolReply>({
      name: `pool ${pool}`,
      url: new URL(`/v1/pools/${encodeURIComponent(pool)}/connect`, edge),
      token,
      parse: parsePoolReply,
      onOpen: () => this.#enlist(),
      onMessage: (reply) => this.#received(reply),
      onClose: () => {
        this.#told = null;
        this.#shares?.closed();
        this.#watch?.stop();
      },
      log,
      ...(options.linkTiming === undefined ? {} : { timing: options.linkTiming }),
    });
  }

  /** Begins to enlist, and goes on trying. */
  start(): void {
    // Until the pool says which addresses are its own, its disk does. [SM9]
    const { slots, pool } = this.#options;
    this.#ips = [...(slots?.of(pool).keys() ?? [])];
    this.#options.binder.advertise(this.#advertised);
    this.#serve();
    this.#link.start();
    this.#lookIn(LOOK_INTERVAL_MS);
  }

  /**
   * Asks for no new requests, and gives everything back as the flows end, at the latest after this
   * time. Static slots stay this host's.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    // Before anything else. [PM4]
    if (this.#told !== null) this.#report();
    const drained = [...this.#members.values()].map((member) => member.drain(deadlineMs, true));
    for (const { member } of this.#leaving.values()) member.hasten(deadlineMs, true);
    const left = Array.from(this.#leaving.values(), (leaving) => leaving.left);
    await Promise.all([...drained, ...left]);
    this.#look();
    this.stop();
  }

  /** Ends at once, releasing nothing. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#shares?.stop();
    this.#watch?.stop();
    this.#link.stop();
    for (const member of this.#members.values()) member.stop();
    for (const { member } of this.#leaving.values()) member.stop();
  }

  /** Whether the pool has taken this host, and can be heard. */
  get isConnected(): boolean {
    return this.#told !== null;
  }

  /** What the metrics say of each address, those that are being given up included. */
  measures(): AddressMeasures[] {
    const leaving = Array.from(this.#leaving, ([ip, { member }]) => [ip, member] as const);
    return [...this.#members, ...leaving].flatMap(([ip, member]) => {
      const ports = this.#options.binder.address(ip);
      return ports === undefined
        ? []
        : { ports, limit: member.portLimit, spare: member.spare, counts: member.counts() };
    });
  }

  #enlist(): void {
    const { instance, gateway, reach, site, weight } = this.#options;
    this.#link.ask({
      type: "enlist",
      version: PROTOCOL_VERSION,
      instance,
      gateway,
      reach,
      // What is as it would be without saying is not said: an older pool takes neither. [ME5]
      site: site ?? undefined,
      weight: weight === DEFAULT_WEIGHT ? undefined : weight,
    } satisfies PoolRequest);
  }

  #received(reply: PoolReply): void {
    switch (reply.type) {
      case "refused":
        this.#isDuplicate = reply.code === "host-already-present";
        this.#link.drop(adviceOn(reply.code));
        return;
      case "enlisted":
        this.#isDuplicate = false;
        this.#link.confirm();
        this.#followSilence(reply.settings?.hostSilenceMs);
        this.#ips = reply.ips;
        this.#retiring = reply.retiring ?? null;
        this.#takes = reply.takes ?? [];
        this.#takesUplinks = reply.steered !== undefined;
        this.#options.policy?.told(reply.policyVersion);
        this.#warnOfNextHop(reply.steered === true);
        this.#warnOfShortage(reply.shortage ?? null);
        this.#advertise(reply.advertised ?? {});
        this.#serve();
        this.#report();
        this.#shares?.opened(this.#takes);
        return;
      case "shares":
        this.#shares?.take(reply);
        return;
      case "try":
        void this.#try(reply.ip, reply.places);
        return;
      case "watch":
        this.#watch?.take(reply);
        return;
      case "ejected":
        this.#options.uplinks?.ejected(reply.ips);
        return;
    }
  }

  /** Of an address that is being left the pool says no more how it is seen, which has not changed. [PF5] */
  #advertise(told: Readonly<Record<string, string>>): void {
    const { binder, advertised } = this.#options;
    const left = Object.entries(this.#advertised).filter(
      ([ip]) => !this.#ips.includes(ip) && binder.address(ip) !== undefined,
    );
    const present = Object.fromEntries([...left, ...Object.entries(told)]);
    if (JSON.stringify(present) === JSON.stringify(this.#advertised)) return;
    this.#advertised = present;
    binder.advertise(present);
    advertised?.keepAdvertised(present);
  }

  /** The larger a pool, the more rarely its hosts speak. An older pool does not say after how much silence. [PM10] */
  #followSilence(silenceMs: number | undefined): void {
    if (silenceMs === undefined) return;
    this.#link.beatEvery(heartbeatMsFor(silenceMs));
    this.#reportIntervalMs = reportIntervalMsFor(silenceMs);
  }

  /** Once, until something changes: the pool says the same on every connection. [PM7] */
  #warnOfNextHop(isSteered: boolean): void {
    const findings = nextHopFindings(isSteered, this.#ips, this.#options.reach);
    const warning = findings.join(" ");
    if (warning === this.#nextHopWarning) return;
    this.#nextHopWarning = warning;
    for (const finding of findings) this.#options.log.warn({ code: "reach-unknown" }, finding);
  }

  /** Once, until it is over. [SM7] */
  #warnOfShortage(code: "address-exhausted" | null): void {
    if (code !== null && code !== this.#shortage) this.#options.log.error({ code }, adviceOn(code));
    this.#shortage = code;
  }

  async #try(ip: string, places: readonly Place[]): Promise<void> {
    const reached = (await this.#options.uplinks?.tryOut(ip, places)) ?? [];
    if (this.#told !== null) this.#link.send({ type: "tried", ip, reached } satisfies PoolRequest);
  }

  /** Brings the addresses served in line with those that the pool names. */
  #serve(): void {
    if (this.#isDraining || this.#isStopped) return;
    const { binder, log } = this.#options;
    for (const ip of this.#ips) {
      this.#takeBack(ip);
      if (this.#members.has(ip) || this.#leaving.has(ip)) continue;
      const member = new AddressMember(binder.addAddress(ip), {
        ...this.#options,
        mayGrow: () => !this.#isDuplicate,
        onChange: () => this.#look(),
      });
      this.#members.set(ip, member);
      log.info({ ip }, "serving an address of the pool");
      member.start();
    }
    for (const [ip, { member }] of this.#leaving) {
      if (this.#isRetiring(ip)) member.hasten(this.#options.drainDeadlineMs);
    }
    for (const [ip, member] of this.#members) if (!this.#ips.includes(ip)) this.#giveUp(ip, member);
  }

  #isRetiring(ip: string): boolean {
    return this.#retiring === null || this.#retiring.includes(ip);
  }

  #giveUp(ip: string, member: AddressMember): void {
    const why = this.#isRetiring(ip)
      ? "the pool has given up an address: draining it"
      : "the pool has assigned an address to others: it is left when its flows have ended";
    this.#options.log.info({ ip }, why);
    this.#members.delete(ip);
    this.#leaving.set(ip, { member, left: this.#leave(ip, member) });
  }

  /** The pool wants an address back that is being drained: nothing of it is cut. [RE8] */
  #takeBack(ip: string): void {
    const leaving = this.#leaving.get(ip);
    if (leaving === undefined || !leaving.member.resume()) return;
    this.#options.log.info({ ip }, "the pool has taken an address back: serving it on");
    this.#leaving.delete(ip);
    this.#members.set(ip, leaving.member);
  }

  async #leave(ip: string, member: AddressMember): Promise<void> {
    // An address that only changes hosts cuts nothing. [LAW7] [AS4]
    if (!(await member.drain(this.#isRetiring(ip) ? this.#options.drainDeadlineMs : Infinity))) return;
    this.#options.binder.removeAddress(ip);
    this.#leaving.delete(ip);
    // The pool may have taken it back meanwhile.
    this.#serve();
  }

  #lookIn(delayMs: number): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#timers.after(delayMs, () => {
      this.#lookIn(LOOK_INTERVAL_MS);
      this.#look();
    });
  }

  #look(): void {
    if (this.#told === null || this.#isStopped) return;
    this.#shares?.tell();
    const sinceMs = this.#clock().monotonicMs - this.#toldAtMs;
    const present = this.#present();
    const urgency = urgencyOf(this.#told, present);
    const isDoubted = present.rooms.some(({ uplink }) => (uplink?.doubts.length ?? 0) > 0);
    const soon = this.#options.reportIntervalMs ?? this.#reportIntervalMs;
    const dueMs = { now: LEAST_INTERVAL_MS, soon, later: LATE_INTERVAL_MS };
    if (urgency === "never") {
      if (isDoubted && sinceMs >= SUSPECT_INTERVAL_MS) this.#report();
      return;
    }
    if (sinceMs >= dueMs[urgency]) this.#report();
    else if (urgency === "now") this.#lookIn(dueMs.now - sinceMs);
  }

  #report(): void {
    const report = this.#present();
    this.#told = report;
    this.#toldAtMs = this.#clock().monotonicMs;
    const isToldOf = this.#watch !== null && this.#takes.includes("watchable");
    const watchable = isToldOf ? true : undefined;
    this.#link.send({ type: "report", ...report, watchable } satisfies PoolRequest);
  }

  #present(): CapacityReport {
    const rooms: AddressCapacity[] = [];
    const isAssigned = this.#retiring !== null;
    for (const [ip, member] of this.#members) {
      const ports = this.#options.binder.address(ip)!;
      const { portCount, busiestCount } = ports.capacity();
      const uplink = this.#takesUplinks ? this.#options.uplinks?.of(ip) : undefined;
      const absent = isAssigned && member.isAbsent ? true : undefined;
      const limit = isAssigned ? member.portLimit : undefined;
      const key = this.#takes.includes("busiestDestination") ? ports.busiestDestination() : null;
      const busiestDestination = key === null ? undefined : destinationOf(key);
      rooms.push({ ip, portCount, busiestCount, busiestDestination, limit, absent, uplink });
    }
    const leaving = isAssigned
      ? Array.from(this.#leaving.keys(), (ip) => remainderOf(this.#options.binder.address(ip)!))
      : undefined;
    const version = this.#takes.includes("policyVersion") ? this.#options.policy?.version() : null;
    return { draining: this.#isDraining, rooms, leaving, policyVersion: version ?? undefined };
  }
}

/** What is left of an address that takes no new flows. */
function remainderOf(address: ServedPorts): LeavingAddress {
  let portCount = 0;
  for (const { lease } of address.leases()) portCount += portCountOf(lease.order);
  return { ip: address.ip, portCount, flowCount: address.heldCounts().inUse };
}
