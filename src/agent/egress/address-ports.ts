/**
 * The ports that this host may use on one egress address: what its leases give, for as long
 * as their term lasts, minus what is held towards each destination.
 * A port is held towards a destination from the choice until a hold-down after the connection
 * has ended, because a bound socket bypasses the kernel's own TIME_WAIT delay. What is held
 * does not depend on the leases: a block that goes and comes back finds its ports as they
 * were. [BI1] [BI3] [BI4]
 */
import type { Lease } from "../../core/lease-commands.ts";
import { type LeaseTerm, remainingMs } from "../../core/lease-term.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { UNIT_COUNT, UNIT_PORT_COUNT, unitOf, unitsOf } from "../../core/port-block.ts";
import { type Clock, readClock } from "../../process/clock.ts";
import { type CancelTimer, systemTimers, type Timers } from "../../process/timers.ts";
import { type DestinationUse, HeldDestinations } from "./held-destinations.ts";
import { HeldPort, type LeasedBlock } from "./held-port.ts";
import { HoldQueue } from "./hold-queue.ts";
import type { PerDestinationPorts } from "./per-destination-ports.ts";
import { PortApplier } from "./port-applier.ts";
import type { PortControl } from "./port-messages.ts";
import type { PortsElsewhere } from "./ports-elsewhere.ts";
import { PortWaiters } from "./port-waiters.ts";
import { createRandomBelow, type RandomBelow } from "./random-numbers.ts";

/** What a binder can be told about time and chance; the defaults are the real ones. */
export interface BinderOptions {
  readonly clock?: Clock;
  readonly random?: RandomBelow;
  readonly timers?: Timers;
  /** How long a port stays held towards a destination after its connection ended. */
  readonly holdDownMs?: number;
  /** How many ports of an address may rest at once. */
  readonly maxResting?: number;
}

/** Why no port can be had. */
export type PortRefusal = "lease-lost" | "port-block-exhausted";

/** How long a port that the kernel refused stays held: Linux keeps a TIME_WAIT for a minute. */
const REFUSED_MS = 60_000;
/** How long a used port is not chosen while there are others: the longest TIME_WAIT in use. */
const REST_MS = 120_000;
/** Each port at rest takes memory, and so may its destination. */
const MAX_RESTING = 32_768;
/** How often the end of the term is looked at: the wall clock may jump where timers do not. */
const TERM_CHECK_MS = 500;

/** The ports of one egress address on this host. */
export class AddressPorts {
  readonly ip: string;
  /** What the Internet sees instead, where that is another; clients are told. [PF5] */
  advertised: string | null = null;
  /**
   * Called when use towards the busiest destination rises to `pressureCount`, at every further rise,
   * and when a choice fails: the moment to ask for another block.
   */
  onPressure: (() => void) | null = null;
  /** Set by whoever asks for blocks: connections to one destination. */
  pressureCount = Infinity;
  /** Set by whoever asks for blocks, while an answer may still bring one. */
  growthOutstanding = false;
  /** Other processes of the host that have ports of this address; null where there are none. */
  elsewhere: PortsElsewhere | null = null;

  readonly #clock: Clock;
  readonly #random: RandomBelow;
  readonly #timers: Timers;
  readonly #holdDownMs: number;
  readonly #blocks = new Map<number, LeasedBlock>();
  readonly #blockOfUnit: (LeasedBlock | undefined)[] = Array.from({ length: UNIT_COUNT });
  readonly #usable = { list: [] as number[], has: new Uint8Array(UNIT_COUNT) };
  readonly #destinations: HeldDestinations;
  /** By unit: ports held towards any destination, those that are held down among them. */
  readonly #heldOfUnit = new Uint32Array(UNIT_COUNT);
  #isChanging = false;
  readonly #heldDown = new HoldQueue();
  readonly #refused = new HoldQueue();
  readonly #resting = new HoldQueue();
  readonly #maxResting: number;
  #cancelHoldDownWatch: CancelTimer | null = null;
  #term: LeaseTerm | null = null;
  #cancelTermWatch: CancelTimer | null = null;
  readonly #waiters: PortWaiters;

  constructor(ip: string, options: BinderOptions = {}) {
    this.ip = ip;
    this.#clock = options.clock ?? readClock;
    this.#random = options.random ?? createRandomBelow();
    this.#timers = options.timers ?? systemTimers;
    this.#holdDownMs = options.holdDownMs ?? 1_500;
    this.#maxResting = options.maxResting ?? MAX_RESTING;
    this.#waiters = new PortWaiters(this.#timers);
    this.#destinations = new HeldDestinations(this.#usable, (count) => {
      if (count >= this.pressureCount) this.onPressure?.();
    });
  }

  /** For a keeper in this process; a later one replaces it. */
  control(): PortControl {
    return new PortApplier(this);
  }

  /** Makes several changes of blocks at the price of one. */
  together(change: () => void): void {
    this.#isChanging = true;
    try {
      change();
    } finally {
      this.#isChanging = false;
    }
    this.#recountUsable();
    this.wake();
  }

  /** Makes the ports of a lease usable; a lease that is already there stays as it is. */
  addBlock(lease: Lease): void {
    if (this.#blocks.has(lease.epoch)) return;
    const block: LeasedBlock = { lease, isDraining: false, held: new Set() };
    this.#blocks.set(lease.epoch, block);
    for (const unit of unitsOf(lease)) this.#blockOfUnit[unit] = block;
    this.#recountUsable();
    this.wake();
  }

  /** Takes no new ports from a block; pooled connections on it close when they fall idle. */
  drainBlock(epoch: number): void {
    const block = this.#blocks.get(epoch);
    if (block === undefined || block.isDraining) return;
    block.isDraining = true;
    this.#recountUsable();
    for (const held of block.held) held.onDrain?.();
  }

  /** Takes new ports from a block again that was being drained. [BI5] */
  resumeBlock(epoch: number): void {
    const block = this.#blocks.get(epoch);
    if (block === undefined || !block.isDraining) return;
    block.isDraining = false;
    this.#recountUsable();
    this.wake();
  }

  /** Forgets a block and resets every connection still on it, with RST. [BI5] */
  removeBlock(epoch: number): void {
    const block = this.#blocks.get(epoch);
    if (block === undefined) return;
    this.#blocks.delete(epoch);
    block.isDraining = true;
    for (const unit of unitsOf(block.lease)) {
      if (this.#blockOfUnit[unit] === block) this.#blockOfUnit[unit] = undefined;
    }
    this.#recountUsable();
    for (const held of block.held) held.reset();
  }

  /** Until when the blocks may be used; null for not at all. At its end every connection is reset. [BI4] */
  setTerm(term: LeaseTerm | null): void {
    this.#term = term;
    this.#cancelTermWatch?.();
    this.#cancelTermWatch = null;
    this.#watchTerm();
    this.wake();
  }

  /** Whether the term lasts and there is a block. */
  isUsable(): boolean {
    return (this.#usable.list.length > 0 || this.elsewhere?.hasPorts === true) && this.hasTerm;
  }

  /** Whether the term lasts at this moment: what has no connection is asked for by each datagram. [UD2] */
  get hasTerm(): boolean {
    return this.#term !== null && remainingMs(this.#term, this.#clock()) > 0;
  }

  /** Connections on a block. */
  flowCount(epoch: number): number {
    return this.#blocks.get(epoch)?.held.size ?? 0;
  }

  /** Leases that are here, draining ones included. */
  leases(): Iterable<LeasedBlock> {
    return this.#blocks.values();
  }

  /** Ports usable now, and how many of them the busiest destination takes. */
  capacity(): { readonly portCount: number; readonly busiestCount: number } {
    this.#endHoldDowns();
    const portCount = this.hasTerm ? this.#usable.list.length * UNIT_PORT_COUNT : 0;
    return { portCount, busiestCount: this.#destinations.busiestCount };
  }

  /** Ports held towards all destinations: in use, and held down. */
  heldCounts(): { readonly inUse: number; readonly heldDown: number } {
    this.#endHoldDowns();
    let inUse = 0;
    for (const block of this.#blocks.values()) inUse += block.held.size;
    return { inUse, heldDown: Math.max(0, this.#destinations.heldCount - inUse) };
  }

  /** The destination that takes most ports, of equal ones the one it was before; null when none does. */
  busiestDestination(): string | null {
    this.#endHoldDowns();
    return this.#destinations.busiest();
  }

  /**
   * Chooses a free port towards a destination at random, or the longest unused when all of them
   * were used lately, and holds it. Constant time. [BI1] [BI14]
   */
  take(destinationKey: string): Outcome<HeldPort, PortRefusal> {
    if (!this.hasTerm) return refuse("lease-lost");
    const destination = this.#destinations.of(destinationKey);
    const port = this.#holdFree(destination);
    if (port !== -1)
      return ok(new HeldPort(port, this.#blockOfUnit[unitOf(port)]!, destination, this.#holdDown));
    const lent = this.elsewhere?.take(destinationKey) ?? null;
    if (lent !== null) return ok(lent);
    this.onPressure?.();
    return refuse(this.isUsable() ? "port-block-exhausted" : "lease-lost");
  }

  /** Holds a free port towards a destination for no flow of this process; -1 when there is none. [MP5] */
  holdApart(destinationKey: string): number {
    return this.hasTerm ? this.#holdFree(this.#destinations.of(destinationKey)) : -1;
  }

  /** Holds this very port for no flow of this process. */
  holdPortApart(destinationKey: string, port: number): void {
    const destination = this.#destinations.of(destinationKey);
    const before = destination.heldCount;
    this.#destinations.holdThis(destination, port);
    this.#heldOfUnit[unitOf(port)]! += destination.heldCount - before;
  }

  /** Gives a port back that was held so; one that was used rests. */
  giveBackApart(destinationKey: string, port: number, wasUsed: boolean): void {
    const destination = this.#destinations.of(destinationKey);
    if (destination.keeps(port)) return;
    const block = { lease: { base: port, order: 0, epoch: 0 }, isDraining: true, held: new Set<HeldPort>() };
    if (wasUsed) {
      this.#rest(new HeldPort(port, block, destination, () => {}), this.#clock().monotonicMs);
      return this.wake();
    }
    this.#destinations.change(destination, () => destination.unhold(port));
    this.#heldOfUnit[unitOf(port)]! -= 1;
    this.#destinations.forgetIdle(destination);
    this.wake();
  }

  /** Whether nothing of a block is held towards any destination. */
  isIdle(epoch: number): boolean {
    this.#endHoldDowns();
    const block = this.#blocks.get(epoch);
    return block !== undefined && [...unitsOf(block.lease)].every((unit) => this.#heldOfUnit[unit] === 0);
  }

  /** The destinations that use most ports, the busiest first. */
  busiestFirst(maxCount: number): DestinationUse[] {
    this.#endHoldDowns();
    return this.#destinations.busiestFirst(maxCount);
  }

  /**
   * As `take`, but while a further block is on its way it waits for that, or for a port to come
   * free, at most this long and only while somebody wants it. [BI6]
   */
  async takeWithin(
    destinationKey: string,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Outcome<HeldPort, PortRefusal>> {
    let taken = this.take(destinationKey);
    if (taken.ok || !(this.growthOutstanding || this.elsewhere?.hasPorts === true)) return taken;
    const askCount = this.elsewhere?.askCount ?? 0;
    const endMs = this.#clock().monotonicMs + timeoutMs;
    while (!taken.ok && this.#mayCome(destinationKey, askCount)) {
      const leftMs = endMs - this.#clock().monotonicMs;
      if (leftMs <= 0 || signal?.aborted) break;
      await this.#waiters.wait(leftMs, signal);
      if (!signal?.aborted) taken = this.take(destinationKey);
    }
    return taken;
  }

  /** To be called when no further block will come, so that nobody waits for it. */
  endGrowth(): void {
    this.growthOutstanding = false;
    this.wake();
  }

  /** Whoever waits for a port looks again. */
  wake(): void {
    this.#waiters.wake();
  }

  /** Forgets everything, and resets every connection. */
  close(): void {
    this.setTerm(null);
    for (const epoch of this.#blocks.keys()) this.removeBlock(epoch);
    this.#cancelHoldDownWatch?.();
    this.#cancelHoldDownWatch = null;
  }

  #watchTerm(): void {
    if (this.#term === null) {
      this.#resetAll();
      return;
    }
    const leftMs = remainingMs(this.#term, this.#clock());
    if (leftMs <= 0) {
      this.#resetAll();
      return;
    }
    const lookInMs = Math.min(leftMs, TERM_CHECK_MS);
    this.#cancelTermWatch = this.#timers.after(lookInMs, () => this.#watchTerm(), "idle");
  }

  #resetAll(): void {
    for (const block of this.#blocks.values()) for (const held of block.held) held.reset();
    this.elsewhere?.resetAll();
  }

  #holdFree(destination: PerDestinationPorts): number {
    this.#endHoldDowns();
    let port = destination.choose(this.#random);
    if (port === -1) port = destination.takeUp();
    if (port === -1) {
      this.#destinations.forgetIdle(destination);
      return -1;
    }
    this.#destinations.hold(destination, port);
    this.#heldOfUnit[unitOf(port)]! += 1;
    return port;
  }

  /** Others are asked while the host grows as well. */
  #mayCome(destinationKey: string, askCount: number): boolean {
    if (!this.hasTerm) return this.growthOutstanding;
    return this.elsewhere?.mayGive(destinationKey, askCount) === true || this.growthOutstanding;
  }

  #recountUsable(): void {
    if (this.#isChanging) return;
    const { list, has } = this.#usable;
    list.length = 0;
    has.fill(0);
    for (let unit = 0; unit < UNIT_COUNT; unit += 1) {
      const block = this.#blockOfUnit[unit];
      if (block === undefined || block.isDraining) continue;
      list.push(unit);
      has[unit] = 1;
    }
    this.#destinations.recount();
  }

  /** One function for all held ports of this address: called once by each, at its end. */
  readonly #holdDown = (held: HeldPort): void => {
    const nowMs = this.#clock().monotonicMs;
    if (held.isRefused) this.#refused.push(held, nowMs + REFUSED_MS);
    else this.#heldDown.push(held, nowMs + this.#holdDownMs);
    if (this.#cancelHoldDownWatch === null) this.#watchHoldDowns(this.#holdDownMs);
  };

  #watchHoldDowns(delayMs: number): void {
    const look = (): void => {
      this.#cancelHoldDownWatch = null;
      this.#endHoldDowns();
      const endsAtMs = this.#heldDown.endsAtMs ?? this.#refused.endsAtMs;
      // Not for each port by itself: what lapses within a moment is let go together. Nor later
      // than what may be held down meanwhile.
      const leftMs = (endsAtMs ?? 0) - this.#clock().monotonicMs;
      if (endsAtMs !== null) this.#watchHoldDowns(Math.max(20, Math.min(this.#holdDownMs, leftMs)));
      this.wake();
    };
    this.#cancelHoldDownWatch = this.#timers.after(delayMs, look, "idle");
  }

  /** Lets rest what was held down long enough, oldest first: each port once, so O(1) each. [BI3] */
  #endHoldDowns(): void {
    if (this.#heldDown.count + this.#refused.count + this.#resting.count === 0) return;
    const nowMs = this.#clock().monotonicMs;
    for (const queue of [this.#heldDown, this.#refused]) {
      for (let held = queue.shift(nowMs); held !== null; held = queue.shift(nowMs)) this.#rest(held, nowMs);
    }
    const max = this.#maxResting;
    for (let held = this.#resting.shift(nowMs, max); held !== null; held = this.#resting.shift(nowMs, max)) {
      if (held.isTakenUp) continue;
      held.destination.wake(held);
      this.#destinations.forgetIdle(held.destination);
    }
  }

  #rest(held: HeldPort, nowMs: number): void {
    const { destination } = held;
    if (destination.keeps(held.port)) return;
    this.#destinations.change(destination, () => destination.rest(held));
    this.#heldOfUnit[unitOf(held.port)]! -= 1;
    this.#resting.push(held, nowMs + REST_MS);
  }
}
