/** A host of the simulated day: a real lease keeper for each address that its pool gives it. */
import type {
  AddressCapacity,
  LeaseReply,
  LeaseRequest,
  LeavingAddress,
} from "../../../src/core/messages.ts";
import type { ClockReading } from "../../../src/core/lease-term.ts";
import { portCountOf } from "../../../src/core/port-block.ts";
import { renewalPhaseOf } from "../../../src/core/renewal-time.ts";
import { type CapacityReport, urgencyOf } from "../../../src/agent/leasing/capacity-report.ts";
import { LeaseKeeper } from "../../../src/agent/leasing/lease-keeper.ts";
import type { Chance } from "../chance.ts";
import { FluidPorts } from "./fluid-ports.ts";
import { binomial } from "./load.ts";

/** What a host does with the edge. */
export interface HostLinks {
  /** Sends to an address; the answer comes a second later, to `heard`. */
  readonly ask: (host: DayHost, ip: string, request: LeaseRequest) => void;
  readonly nowMs: () => number;
}

/** What became of connections. */
export interface Counts {
  /** Connections that were to begin. */
  offered: number;
  /** Those that found no port free and had to wait for the edge. */
  waited: number;
  /** Those that nothing was to be waited for, or that waited for too long. */
  refused: number;
}

interface Held {
  readonly keeper: LeaseKeeper;
  readonly ports: FluidPorts;
  wakeAtMs: number;
  /** Connections when the keeper looked last. */
  seenCount: number;
  isLeaving: boolean;
  isGone: boolean;
}

/** The longest sleep a keeper asks for. */
const IDLE_MS = 1_000;
/** One that only looks at its clock sleeps on for so long, unless use has changed by a part: no clock jumps here. */
const LOOK_MS = 5_000;
const NEWS_SHARE = 1 / 64;
/** As in the agent. */
const REPORT_INTERVAL_MS = 2_000;
/** A connection waits for a port no longer than this. */
const LONGEST_WAIT_MS = 10_000;

/** One per host; it lives all day. */
export class DayHost {
  readonly name: string;
  readonly #index: number;
  readonly #links: HostLinks;
  readonly #chance: Chance;
  readonly #addresses = new Map<string, Held>();
  #told: { readonly report: CapacityReport; readonly atMs: number } | null = null;
  /** Connections without a port, by when they came. */
  #waiting: { readonly sinceMs: number; count: number }[] = [];
  isConnected = true;

  constructor(index: number, links: HostLinks, chance: Chance) {
    this.#index = index;
    this.name = `h${index}`;
    this.#links = links;
    this.#chance = chance;
  }

  /** The addresses that the pool wants it to serve. */
  serve(ips: readonly string[]): void {
    for (const ip of ips) {
      const held = this.#addresses.get(ip);
      if (held === undefined) this.#begin(ip);
      else if (held.isLeaving && held.keeper.resume()) held.isLeaving = false;
    }
    for (const [ip, held] of this.#addresses) {
      if (ips.includes(ip) || held.isLeaving) continue;
      held.isLeaving = true;
      held.keeper.drain(Infinity);
    }
  }

  /** An address has answered. */
  heard(ip: string, reply: LeaseReply): void {
    this.#addresses.get(ip)?.keeper.message(reply);
  }

  /** The edge can be reached, or cannot any more. */
  connect(isConnected: boolean): void {
    this.isConnected = isConnected;
    this.#told = null;
    for (const { keeper } of this.#addresses.values()) {
      if (isConnected) keeper.connected();
      else keeper.disconnected();
    }
  }

  /** The process ends at once, and forgets everything; its connections are gone. */
  crash(): void {
    this.#addresses.clear();
    this.#told = null;
    this.#waiting = [];
  }

  /** A second: connections end, begin, and wait. */
  pass(arrivals: number, endProbability: number, counts: Counts): void {
    const nowMs = this.#links.nowMs();
    for (const [ip, held] of this.#addresses) {
      const { ports } = held;
      ports.pass(endProbability, this.#chance);
      const change = Math.abs(ports.useCount - held.seenCount);
      if (nowMs >= held.wakeAtMs || change > ports.portCount * NEWS_SHARE) {
        held.wakeAtMs = nowMs + LOOK_MS;
        held.seenCount = ports.useCount;
        held.keeper.tick();
      }
      if (held.isGone) this.#addresses.delete(ip);
    }
    counts.offered += arrivals;
    this.#serveWaiting(nowMs, counts);
    const without = arrivals - this.#take(arrivals);
    if (without === 0) return;
    if (this.#isGrowing()) {
      counts.waited += without;
      this.#waiting.push({ sinceMs: nowMs, count: without });
    } else {
      counts.refused += without;
    }
  }

  /** What it tells its pool now; null if nothing is worth a message. */
  reportNow(): CapacityReport | null {
    const nowMs = this.#links.nowMs();
    const report = this.#present();
    if (this.#told !== null) {
      const urgency = urgencyOf(this.#told.report, report);
      if (urgency === "never") return null;
      if (urgency === "soon" && nowMs - this.#told.atMs < REPORT_INTERVAL_MS) return null;
    }
    this.#told = { report, atMs: nowMs };
    return report;
  }

  /** Blocks from which it may send now, by address. */
  *blocks(): Iterable<{ readonly ip: string; readonly base: number; readonly order: number }> {
    for (const [ip, { ports }] of this.#addresses) {
      if (ports.term === null) continue;
      for (const { lease } of ports.blocks.values()) yield { ip, base: lease.base, order: lease.order };
    }
  }

  /** Connections that it has. */
  get flowCount(): number {
    let count = 0;
    for (const { ports } of this.#addresses.values()) count += ports.flowCount;
    return count;
  }

  /** Connections that were cut since a block was taken away. */
  get resetCount(): number {
    let count = 0;
    for (const { ports } of this.#addresses.values()) count += ports.resetCount;
    return count;
  }

  #begin(ip: string): void {
    const ports = new FluidPorts();
    const clock = (): ClockReading => {
      const nowMs = this.#links.nowMs();
      return { monotonicMs: nowMs, wallMs: nowMs };
    };
    const held: Held = {
      ports,
      wakeAtMs: 0,
      seenCount: 0,
      isLeaving: false,
      isGone: false,
      keeper: new LeaseKeeper({
        instance: `instance-of-${this.#index}`,
        renewalPhase: renewalPhaseOf(ip),
        ports,
        clock,
        random: this.#chance.next,
        highestEpoch: 0,
        send: (request) => this.#links.ask(this, ip, request),
        wakeIn: (delayMs) => {
          const isIdle = delayMs >= IDLE_MS;
          held.wakeAtMs = clock().monotonicMs + (isIdle ? LOOK_MS : delayMs);
        },
        onEvent: (event) => {
          if (event.type === "drained") held.isGone = true;
        },
      }),
    };
    this.#addresses.set(ip, held);
    if (this.isConnected) held.keeper.connected();
  }

  #serving(): Held[] {
    return [...this.#addresses.values()].filter(({ isLeaving, ports }) => !isLeaving && ports.portCount > 0);
  }

  /** New connections go where ports are free. */
  #take(count: number): number {
    let left = count;
    const serving = this.#serving();
    if (serving.length === 1) return serving[0]!.ports.take(left);
    let free = 0;
    for (const { ports } of serving) free += ports.freeCount;
    for (const { ports } of serving) {
      if (free <= 0) break;
      const share = ports.freeCount / free;
      free -= ports.freeCount;
      left -= ports.take(share >= 1 ? left : binomial(left, share, this.#chance));
    }
    // Whatever was drawn for a full one goes to another.
    for (const { ports } of serving) if (left > 0) left -= ports.take(left);
    return count - left;
  }

  #serveWaiting(nowMs: number, counts: Counts): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      first.count -= this.#take(first.count);
      if (first.count > 0 && nowMs - first.sinceMs < LONGEST_WAIT_MS && this.#isGrowing()) return;
      counts.refused += first.count;
      this.#waiting.shift();
    }
  }

  #isGrowing(): boolean {
    return this.#serving().some(({ ports }) => ports.isGrowing) || this.#serving().length === 0;
  }

  #present(): CapacityReport {
    const rooms: AddressCapacity[] = [];
    const leaving: LeavingAddress[] = [];
    for (const [ip, { ports, keeper, isLeaving, isGone }] of this.#addresses) {
      const { portCount, busiestCount } = ports;
      if (!isLeaving) rooms.push({ ip, portCount, busiestCount, limit: keeper.portLimit });
      else if (!isGone) leaving.push({ ip, portCount: heldBy(ports), flowCount: ports.flowCount });
    }
    return { draining: false, rooms, leaving };
  }
}

function heldBy({ blocks }: FluidPorts): number {
  let held = 0;
  for (const { lease } of blocks.values()) held += portCountOf(lease.order);
  return held;
}
