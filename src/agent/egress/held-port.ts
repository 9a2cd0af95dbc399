/** One port, held towards one destination from its choice until its connection has ended. */
import type { Lease } from "../../core/lease-commands.ts";
import type { FlowNote } from "./flow-recorder.ts";
import { type PortMeter, UNMETERED } from "./flow-use.ts";
import type { PerDestinationPorts, RestingPort } from "./per-destination-ports.ts";

/** A lease as the binder uses it. */
export interface LeasedBlock {
  readonly lease: Lease;
  isDraining: boolean;
  /** Ports with a connection, held-down ones not among them. */
  readonly held: Set<HeldPort>;
}

/** The right to use one port towards one destination. Whoever has it gives it back once. */
export class HeldPort implements RestingPort {
  readonly port: number;
  readonly block: LeasedBlock;
  readonly destination: PerDestinationPorts;
  /** Must end the connection at once; set by whoever opens it. */
  onReset: (() => void) | null = null;
  /** The block wants to be given back: an idle connection should close. */
  onDrain: (() => void) | null = null;
  /** What is noted of the flow on it; null where nothing is. */
  note: FlowNote | null = null;
  /** Counts it for the tenant that has it. */
  meter: PortMeter = UNMETERED;
  /** When its time in the queue ends, by the monotonic clock. */
  lapsesAtMs = 0;
  /** The next in the queue. */
  next: HeldPort | null = null;
  /** The next that rests towards the same destination. */
  nextResting: RestingPort | null = null;
  /** Rested, until it was needed before its time. */
  isTakenUp = false;
  /** The kernel has another use for it towards this destination. */
  isRefused = false;
  /** Its lease has ended since it was chosen: no connection may be opened from it any more. */
  isLost = false;
  #isReleased = false;
  readonly #holdDown: (held: HeldPort) => void;

  constructor(
    port: number,
    block: LeasedBlock,
    destination: PerDestinationPorts,
    holdDown: (held: HeldPort) => void,
  ) {
    this.port = port;
    this.block = block;
    this.destination = destination;
    this.#holdDown = holdDown;
    block.held.add(this);
  }

  /** Ends the connection at once, and keeps one that is about to be opened from being so. [BI5] */
  reset(): void {
    this.isLost = true;
    this.onReset?.();
  }

  /** Gives the port back: it is held down for a while and then free. Only the first call counts. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.block.held.delete(this);
    this.onReset = null;
    this.onDrain = null;
    this.meter.releasePort();
    this.meter = UNMETERED;
    this.#holdDown(this);
  }
}
