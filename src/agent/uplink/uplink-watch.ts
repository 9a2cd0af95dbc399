/**
 * Watches whether what leaves from this host's addresses gets anywhere.
 *
 *     dials, links, the operator's probes → uplink health, one per address → trials → the pool
 *
 * A trial is a connection like any other, from a leased port of the address, and closed as soon
 * as it stands. What others cannot reach is tried in the same way. [UP1] [UP2] [UP6] [UP8]
 */
import { isIP } from "node:net";
import type { Logger } from "pino";
import { type AddressUplink, type Place } from "../../core/uplink.ts";
import { type Trial, UplinkHealth, type Wait } from "../../core/uplink-health.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import type { AddressPorts } from "../egress/address-ports.ts";
import type { Dialled } from "../egress/dial.ts";
import type { PortBinder } from "../egress/port-binder.ts";
import { problemOf } from "../egress/faults.ts";
import type { LinkView } from "./link-view.ts";

/** Where an operator says that something always answers. */
export interface Probe {
  /** A name or an address. */
  readonly host: string;
  readonly port: number;
}

/** Opens connections from an address of this host. */
export interface TrialDialler {
  dial(from: AddressPorts, host: string, port: number): Promise<Pick<Dialled, "socket">>;
}

/** What a watch needs. */
export interface UplinkWatchOptions {
  readonly binder: Pick<PortBinder, "address" | "addresses">;
  /** For trials alone: it gives up soon, and tells nobody. */
  readonly dialler: TrialDialler;
  readonly probes: readonly Probe[];
  readonly links: LinkView;
  /** What waits longest for its answer on a connection that stands already; null for nothing. */
  readonly oldestWait: (from: AddressPorts) => Wait | null;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timers?: Timers;
}

const LOOK_INTERVAL_MS = 250;
/** How often links and routes are looked at. */
const LINK_INTERVAL_MS = 1_000;

interface Watched {
  readonly health: UplinkHealth;
  isOnTrial: boolean;
  wasSuspect: boolean;
  /** Where links and routes are followed to. */
  reference: Place | null;
  isLinkUp: boolean;
}

/** One per agent; from `start` to `stop`. */
export class UplinkWatch {
  /** Called at once when an address becomes suspect, or good again. */
  onChange: (() => void) | null = null;
  readonly #options: UplinkWatchOptions;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #watched = new Map<string, Watched>();
  #ejected: ReadonlySet<string> = new Set();
  #linksAtMs = -Infinity;
  #isLookDue = false;
  #cancelLook: CancelTimer | null = null;

  constructor(options: UplinkWatchOptions) {
    this.#options = options;
    this.#clock = options.clock ?? readClock;
    this.#timers = options.timers ?? systemTimers;
  }

  start(): void {
    this.#cancelLook = this.#timers.after(
      LOOK_INTERVAL_MS,
      () => {
        this.start();
        this.#look();
      },
      "idle",
    );
  }

  stop(): void {
    this.#cancelLook?.();
    this.#cancelLook = null;
  }

  /** A connection is tried; what is returned is to be told the fault it ended with, null for none. */
  readonly onTry = (ip: string, place: Place): ((fault: unknown) => void) => {
    const watched = this.#of(ip);
    const number = watched.health.began(place, this.#nowMs());
    return (fault) => {
      const isReached = wasReached(fault);
      watched.health.ended(number, isReached, this.#nowMs());
      if (isReached === true) watched.reference = place;
      // A fault is looked into at once, success of a suspect told at once; all else can wait.
      if (isReached === false || (isReached === true && watched.wasSuspect)) this.#lookSoon();
    };
  };

  /** How the way out of an address looks now. */
  of(ip: string): AddressUplink {
    return this.#of(ip).health.view(this.#nowMs());
  }

  /** Those of the places that can be reached from an address. [UP2] */
  async tryOut(ip: string, places: readonly Place[]): Promise<readonly Place[]> {
    const trials = await Promise.all(places.map((place) => this.#try(ip, place.ip, place.port)));
    return trials.flatMap((trial) => (trial?.isReached === true ? [trial.place] : []));
  }

  /** The addresses on which the pool sends no requests here. [UP4] */
  ejected(ips: readonly string[]): void {
    for (const ip of ips) {
      if (this.#ejected.has(ip)) continue;
      this.#options.log.error(
        { ip, code: "uplink-dead" },
        `other hosts reach what this one cannot from ${ip}: it gets no requests there until it does`,
      );
    }
    this.#ejected = new Set(ips);
  }

  /** For the status. */
  describe(): readonly Record<string, unknown>[] {
    return Array.from(this.#options.binder.addresses(), ({ ip }) => {
      const { state, destinationCount, failedCount } = this.of(ip);
      return { ip, uplink: this.#ejected.has(ip) ? "dead" : state, destinationCount, failedCount };
    });
  }

  #of(ip: string): Watched {
    let watched = this.#watched.get(ip);
    if (watched === undefined) {
      const health = new UplinkHealth(this.#options.probes.length > 0);
      watched = { health, isOnTrial: false, wasSuspect: false, reference: null, isLinkUp: true };
      this.#watched.set(ip, watched);
    }
    return watched;
  }

  #lookSoon(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    queueMicrotask(() => {
      this.#isLookDue = false;
      this.#look();
    });
  }

  #look(): void {
    const nowMs = this.#nowMs();
    const areLinksDue = nowMs - this.#linksAtMs >= LINK_INTERVAL_MS;
    if (areLinksDue) this.#linksAtMs = nowMs;
    for (const ports of this.#options.binder.addresses()) {
      const watched = this.#of(ports.ip);
      this.#tell(ports.ip, watched);
      if (!ports.isUsable()) continue;
      if (areLinksDue) void this.#followLink(ports.ip, watched);
      watched.health.waits(this.#options.oldestWait(ports), nowMs);
      if (!watched.isOnTrial && watched.health.isTrialDue(nowMs)) void this.#tryAll(ports.ip, watched);
    }
    for (const ip of this.#watched.keys()) {
      if (this.#options.binder.address(ip) === undefined) this.#watched.delete(ip);
    }
  }

  async #followLink(ip: string, watched: Watched): Promise<void> {
    if (watched.reference === null) return;
    const isUp = await this.#options.links.isUp(ip, watched.reference);
    if (isUp === watched.isLinkUp) return;
    watched.isLinkUp = isUp;
    // Either way: what is gone is found out at once, and so is what is back.
    watched.health.doubt();
  }

  async #tryAll(ip: string, watched: Watched): Promise<void> {
    watched.isOnTrial = true;
    const places = watched.health.beginTrial(this.#nowMs());
    const trials = await Promise.all([
      ...this.#options.probes.map(({ host, port }) => this.#try(ip, host, port)),
      ...places.map((place) => this.#try(ip, place.ip, place.port)),
    ]);
    watched.isOnTrial = false;
    const tried = trials.filter((trial) => trial !== null);
    watched.reference = tried.find(({ isReached }) => isReached)?.place ?? watched.reference;
    watched.health.endTrial(tried, this.#nowMs());
    this.#tell(ip, watched);
  }

  /** Null when there was no place to try: a name without an address, or of the other family. */
  async #try(ip: string, host: string, port: number): Promise<Trial | null> {
    const ports = this.#options.binder.address(ip);
    const named = isIP(host) === 0 ? null : { ip: host, port };
    if (ports === undefined) return named && { place: named, isReached: null };
    try {
      const { socket } = await this.#options.dialler.dial(ports, host, port);
      const place = { ip: socket.remoteAddress ?? host, port };
      socket.destroy();
      return isIP(place.ip) === 0 ? null : { place, isReached: true };
    } catch (fault) {
      return named && { place: named, isReached: wasReached(fault) };
    }
  }

  #tell(ip: string, watched: Watched): void {
    const isSuspect = watched.health.view(this.#nowMs()).state === "suspect";
    if (isSuspect === watched.wasSuspect) return;
    watched.wasSuspect = isSuspect;
    const { log } = this.#options;
    if (isSuspect) log.warn({ ip, code: "uplink-suspect" }, `nothing that was tried from ${ip} was reached`);
    else log.info({ ip }, `what leaves from ${ip} is answered again`);
    this.onChange?.();
  }

  #nowMs(): number {
    return this.#clock().monotonicMs;
  }
}

/** Faults of the way to a destination; all others, such as a want of ports, say nothing of it. */
const LOST: ReadonlySet<string> = new Set([
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
]);
/** A refusal is an answer: the place was reached. */
const ANSWERED: ReadonlySet<string> = new Set(["ECONNREFUSED", "ECONNRESET"]);

function wasReached(fault: unknown): boolean | null {
  if (fault === null) return true;
  const { code } = fault as { readonly code?: unknown };
  if (typeof code === "string" && ANSWERED.has(code)) return true;
  const isLost = typeof code === "string" && LOST.has(code);
  return isLost || problemOf(fault).code === "connection-timeout" ? false : null;
}
