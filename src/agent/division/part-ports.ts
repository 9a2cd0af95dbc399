/**
 * One data process's part of an address: follows the commands of the division, reports, and asks for
 * ports where it has none. The end of the term needs no word: the ports look at it themselves. [MP1] [MP2]
 */
import { isDeepStrictEqual } from "node:util";
import { MIN_ORDER, UNIT_PORT_COUNT } from "../../core/port-block.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import type { AddressPorts } from "../egress/address-ports.ts";
import type { HeldPort } from "../egress/held-port.ts";
import type { PortsElsewhere } from "../egress/ports-elsewhere.ts";
import { BorrowedPorts } from "./borrowed-ports.ts";
import { LentPorts } from "./lent-ports.ts";
import { PartAsks } from "./part-asks.ts";
import { MAX_BUSIEST, type PartCommand, type PartReport } from "./part-messages.ts";

/** What it is given. */
export interface PartPortsOptions {
  readonly ports: AddressPorts;
  readonly send: (report: PartReport) => void;
  readonly clock?: Clock;
  readonly timers?: Timers;
  /** Sequence of its first report, less one. */
  readonly firstSequence?: number;
}

/** Use changes with every flow: what is not asked for is told so often at most. */
const TELLING_MS = 20;
/** How often it is looked for what can be let go, while there may be any. */
const LOOK_MS = 25;
/** A borrowed port that was free for so long goes back. */
const BORROWED_REST_MS = 3_000;
const HOLD_DOWN_MS = 1_500;
/** Rise of use, as a part of what was told, that is told by itself. */
const WORTHY_SHARE = 1 / 16;
const WORTHY_COUNT = 4;

/** One per address of a data process; from its making to `close`. */
export class PartPorts implements PortsElsewhere {
  readonly #ports: AddressPorts;
  readonly #send: (report: PartReport) => void;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #lent: LentPorts;
  readonly #borrowed: BorrowedPorts;
  readonly #asks = new PartAsks();
  readonly #released = new Set<number>();
  #command: PartCommand | null = null;
  #sequence: number;
  #cancelTelling: CancelTimer | null = null;
  #cancelLook: CancelTimer | null = null;
  #cancelRetry: CancelTimer | null = null;
  #isClosed = false;

  constructor(options: PartPortsOptions) {
    this.#ports = options.ports;
    this.#send = options.send;
    this.#clock = options.clock ?? readClock;
    this.#timers = options.timers ?? systemTimers;
    this.#sequence = options.firstSequence ?? 0;
    this.#lent = new LentPorts(this.#ports);
    this.#borrowed = new BorrowedPorts(() => this.#nowMs(), HOLD_DOWN_MS);
    this.#ports.elsewhere = this;
    this.#ports.pressureCount = WORTHY_COUNT;
    this.#ports.onPressure = () => this.#tellSoon();
  }

  /** Puts a command in force, and reports. One that is in force already is only reported on. */
  command(command: PartCommand): void {
    if (this.#isClosed) return;
    if (command.number > (this.#command?.number ?? 0)) this.#apply(command);
    this.ask();
  }

  /** Reports. */
  ask(): void {
    this.#letGo();
    this.#report();
  }

  /** Ends: nothing is reported any more. */
  close(): void {
    this.#isClosed = true;
    for (const cancel of [this.#cancelTelling, this.#cancelLook, this.#cancelRetry]) cancel?.();
    this.#ports.onPressure = null;
  }

  /** Whether others of the host, or this one, have units for new flows. */
  get hasPorts(): boolean {
    return this.#command?.isHostUsable === true;
  }

  /** Questions that were asked so far. */
  get askCount(): number {
    return this.#asks.count;
  }

  /** A free port that was lent. */
  take(destinationKey: string): HeldPort | null {
    return this.#borrowed.take(destinationKey);
  }

  /** Asks the others, unless they have said no since. */
  mayGive(destinationKey: string, sinceAskCount: number): boolean {
    if (!this.hasPorts || this.#isClosed) return false;
    const { mayCome, isNew, waitMs } = this.#asks.want(destinationKey, sinceAskCount, this.#nowMs());
    // Flows that want a port in the same turn ask together.
    if (isNew) queueMicrotask(() => this.#report());
    if (waitMs > 0 && this.#cancelRetry === null) {
      this.#cancelRetry = this.#timers.after(Math.ceil(waitMs), () => {
        this.#cancelRetry = null;
        this.#ports.wake();
      });
    }
    return mayCome;
  }

  /** The term is over. */
  resetAll(): void {
    this.#borrowed.resetAll();
  }

  #apply(command: PartCommand): void {
    const ports = this.#ports;
    const before = this.#command;
    this.#command = command;
    const grants = new Set(command.units.map(({ grant }) => grant));
    for (const grant of this.#released) if (!grants.has(grant)) this.#released.delete(grant);
    const follow = (): void => {
      // Before the term is set: a new term says nothing of what is gone. [LK13]
      for (const { lease } of ports.leases()) if (!grants.has(lease.epoch)) ports.removeBlock(lease.epoch);
      this.#borrowed.set(command.borrowed);
      if (!isDeepStrictEqual(before?.term, command.term)) ports.setTerm(command.term);
      for (const { grant, unit, isDraining } of command.units) {
        // What it has let go of is not its own any more, whatever the command still says.
        if (this.#released.has(grant)) continue;
        ports.addBlock({ base: unit * UNIT_PORT_COUNT, order: MIN_ORDER, epoch: grant });
        if (isDraining) ports.drainBlock(grant);
        else ports.resumeBlock(grant);
      }
      // Before anything can be chosen of a unit of which a port is lent already.
      this.#lent.set(command.lent, command.requests);
    };
    // Mostly the units are the same, and need not be counted anew.
    if (isDeepStrictEqual(before?.units, command.units)) follow();
    else ports.together(follow);
    if (command.isGrowing) ports.growthOutstanding = true;
    else if (ports.growthOutstanding) ports.endGrowth();
    if (this.#asks.answered(command.answers, this.#nowMs()) || command.borrowed.length > 0) ports.wake();
  }

  /** Lets go of idle units beyond the limit, and of borrowed ports that rest. */
  #letGo(): boolean {
    const { unitLimit = null } = this.#command ?? {};
    let isNews = this.#borrowed.giveBack(BORROWED_REST_MS);
    if (this.#offer()) isNews = true;
    const leases = [...this.#ports.leases()].map(({ lease }) => lease.epoch);
    let beyond = unitLimit === null ? 0 : leases.length - unitLimit;
    const idle = leases
      .filter((grant) => beyond > 0 && this.#ports.isIdle(grant))
      .slice(0, Math.max(0, beyond));
    if (idle.length > 0) {
      this.#ports.together(() => {
        for (const grant of idle) this.#ports.removeBlock(grant);
      });
      for (const grant of idle) this.#released.add(grant);
      beyond -= idle.length;
      isNews = true;
    }
    if (beyond > 0 || this.#borrowed.count > 0) this.#lookLater();
    return isNews;
  }

  /** Offers what is asked for: first what it has borrowed itself and does not need. */
  #offer(): boolean {
    let isNews = false;
    for (const request of this.#command?.requests ?? []) {
      if (this.#lent.hasOffered(request)) continue;
      if (this.#borrowed.isFresh(request.destination)) {
        this.#lookLater();
        continue;
      }
      this.#borrowed.giveBack(0, request.destination);
      this.#lent.offer(request);
      isNews = true;
    }
    return isNews;
  }

  #lookLater(): void {
    if (this.#cancelLook !== null) return;
    this.#cancelLook = this.#timers.after(
      LOOK_MS,
      () => {
        this.#cancelLook = null;
        if (this.#letGo()) this.#report();
      },
      "idle",
    );
  }

  #tellSoon(): void {
    if (this.#cancelTelling !== null) return;
    this.#cancelTelling = this.#timers.after(TELLING_MS, () => this.#report(), "idle");
  }

  #report(): void {
    if (this.#isClosed) return;
    this.#cancelTelling?.();
    this.#cancelTelling = null;
    this.#sequence += 1;
    const ports = this.#ports;
    const { inUse, heldDown } = ports.heldCounts();
    const busiest = ports.busiestFirst(MAX_BUSIEST);
    const told = busiest[0]?.count ?? 0;
    ports.pressureCount = told + Math.max(WORTHY_COUNT, Math.ceil(told * WORTHY_SHARE));
    const grants = [...ports.leases()].map(({ lease }) => lease.epoch);
    const busyLoans = this.#borrowed.busy;
    this.#send({
      sequence: this.#sequence,
      number: this.#command?.number ?? 0,
      busiest,
      flows: grants.flatMap((grant): [number, number][] => {
        const count = ports.flowCount(grant);
        return count === 0 ? [] : [[grant, count]];
      }),
      busyLoans,
      released: [...this.#released],
      returned: this.#borrowed.returned,
      idleCount: grants.filter((grant) => ports.isIdle(grant)).length,
      asks: this.#asks.open,
      offers: this.#lent.offers(),
      inUse: inUse + busyLoans.length,
      heldDown: Math.max(0, heldDown - this.#lent.count),
    });
  }

  #nowMs(): number {
    return this.#clock().monotonicMs;
  }
}
