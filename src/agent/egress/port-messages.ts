/**
 * What a lease keeper tells the ports of an address, and what they report.
 *
 * Both are plain data, so the ports may be in another process than their keeper. A command says
 * all that the ports are to be: the newest replaces those before it, and to hear it twice changes
 * nothing. A report says which command it is about: the keeper draws no conclusion from it about
 * what it ordered later. [LK13]
 */
import type { Lease } from "../../core/lease-commands.ts";
import type { LeaseTerm } from "../../core/lease-term.ts";

/** What the ports of an address are to be from now on. */
export interface PortCommand {
  /** Rises with every change of the rest, from 1. */
  readonly number: number;
  /** Until when the blocks may be used; null for not at all. */
  readonly term: LeaseTerm | null;
  /** All blocks there are. The flows of any other are reset. */
  readonly blocks: readonly CommandedBlock[];
  /** Whether more ports may come, so that a flow without a port should wait for them. */
  readonly isGrowing: boolean;
  /** While more ports may come: use towards the busiest destination from which on to report each rise. */
  readonly pressureCount: number;
}

/** A block that may have flows. */
export interface CommandedBlock {
  readonly lease: Lease;
  /** Takes no new flows. */
  readonly isDraining: boolean;
}

/** How the ports of an address stand. */
export interface PortReport {
  /** Number of the newest command that is in force. */
  readonly number: number;
  /** Ports in use towards the busiest destination. */
  readonly busiestCount: number;
  /** Flows on each block; one that is missing has none. */
  readonly flows: readonly FlowCount[];
  /** Epochs of removed blocks from which packets may still leave. [MA3] */
  readonly lingering: readonly number[];
}

/** How many flows a block has. */
export interface FlowCount {
  readonly epoch: number;
  readonly count: number;
}

/** The ports of one address, as far as a keeper controls them. */
export interface PortControl {
  /** Puts a command in force, and reports. One that is in force already is only reported on. */
  command(command: PortCommand): void;
  /**
   * Called after each command, at once or later; when a removed block does not linger any more;
   * and when use rises while more ports may come.
   */
  onReport: ((report: PortReport) => void) | null;
  /** Nobody is there to be told any more. */
  close?(): void;
}
