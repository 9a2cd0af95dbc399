/**
 * What the division of an address among the data processes of a host tells each of them, and what
 * they report.
 *
 * As between a keeper and its ports, both are plain data and say all: the newest command replaces
 * those before it, and a report says which one is in force. Three kinds of things are handed out,
 * and each time under a number that is never used again: whoever has let go of it, or was told that
 * it is gone, can never take it for what is handed out later. [MP1]
 */
import type { LeaseTerm } from "../../core/lease-term.ts";
import type { DestinationUse } from "../egress/held-destinations.ts";

/** What one data process may use of an address from now on. */
export interface PartCommand {
  /** Rises with every change of the rest. */
  readonly number: number;
  /** Until when all of it may be used; null for not at all. */
  readonly term: LeaseTerm | null;
  readonly units: readonly GivenUnit[];
  /** How many units it may keep: it lets go of idle ones beyond. Null for all. */
  readonly unitLimit: number | null;
  /** Single ports of its units that others have. */
  readonly lent: readonly LentPort[];
  /** Others ask for single ports. */
  readonly requests: readonly LendRequest[];
  /** Single ports of others' units. */
  readonly borrowed: readonly BorrowedPort[];
  /** What it asked, as far as it is decided. */
  readonly answers: readonly PartAnswer[];
  /** Whether the host may get more ports soon, so that a flow without a port should wait for them. */
  readonly isGrowing: boolean;
  /** Whether there is any unit for new flows in the host, in this process or another. */
  readonly isHostUsable: boolean;
}

/** A unit of 64 ports, for one process alone. */
export interface GivenUnit {
  /** Number of this giving: to the ports it is the epoch of the unit's block. */
  readonly grant: number;
  readonly unit: number;
  /** Takes no new flows. */
  readonly isDraining: boolean;
}

/** A port that its unit's process holds towards a destination, for another one. */
export interface LentPort {
  readonly port: number;
  readonly destination: string;
}

/** The same port, in the other process: it may be used towards this destination alone. */
export interface BorrowedPort extends LentPort {
  /** Number of this lending. */
  readonly loan: number;
  readonly isDraining: boolean;
}

/** Another process is short of ports towards a destination. */
export interface LendRequest {
  readonly request: number;
  readonly destination: string;
  readonly count: number;
}

/** A question is decided. */
export interface PartAnswer {
  readonly ask: number;
  /** All processes of the host have said no. */
  readonly isNo: boolean;
}

/** How one data process stands with an address. */
export interface PartReport {
  /** Rises with every report of a process. */
  readonly sequence: number;
  /** Number of the newest command that is in force. */
  readonly number: number;
  /** The destinations that use most of its units' ports, lent ones included; the busiest first. */
  readonly busiest: readonly DestinationUse[];
  /** By grant, flows on each unit that has any. */
  readonly flows: readonly (readonly [grant: number, count: number])[];
  /** Loans with a flow. */
  readonly busyLoans: readonly number[];
  /** Grants that it has let go of by itself, until a command does not name them any more. */
  readonly released: readonly number[];
  /** Loans that it has let go of, likewise. */
  readonly returned: readonly number[];
  /** Units of which nothing is held. */
  readonly idleCount: number;
  /** What it wants to know, until the answer has come. */
  readonly asks: readonly PartAsk[];
  /** Ports that it holds for requests which the newest command names. */
  readonly offers: readonly LendOffer[];
  /** Ports held towards all destinations: in use, and held down. */
  readonly inUse: number;
  readonly heldDown: number;
}

/** It has no free port towards a destination. */
export interface PartAsk {
  /** Rises with every question of a process. */
  readonly ask: number;
  readonly destination: string;
  /** Flows that wait. */
  readonly count: number;
}

/** What a process can lend; no port if it has none that is free. */
export interface LendOffer {
  readonly request: number;
  readonly ports: readonly number[];
}

/** Destinations that a report names at most. */
export const MAX_BUSIEST = 16;
