/** Where faults happen, and how long they last. */
import type { Chance } from "./chance.ts";
import type { Edge } from "./edge.ts";
import type { Host } from "./host.ts";
import type { Network } from "./network.ts";
import type { SimulatedRouter } from "./router.ts";
import type { Scenario } from "./scenario.ts";

/** What a nemesis may touch. */
export interface Arena {
  readonly network: Network;
  readonly chance: Chance;
  readonly scenario: Scenario;
  readonly edge: Edge;
  /** Machines that have a host each; duplicate instances of them at the end. */
  readonly hosts: readonly Host[];
  readonly routers: readonly SimulatedRouter[];
  /** May the clock of this address leap forward by this much? Notes it if so. */
  readonly mayLeap: (ip: string, byMs: number) => boolean;
  readonly count: (what: string) => void;
  /** The pool's clock was set: until their next heartbeats it takes hosts and routers for silent. */
  readonly poolClockSet: () => void;
}

/** How long faults last. */
export interface Spells {
  /** Ends a fault after this time, or when calm comes. */
  during(lastsMs: number, end: () => void): void;
  /** Mostly short; up to twice what a lease lasts. */
  anyTimeMs(): number;
  /** Whether calm has come. */
  readonly areOver: boolean;
}
