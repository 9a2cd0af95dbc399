/**
 * What somebody who stands outside could have seen: packets on the wire, and what the edge told
 * its hosts. It names no class, table or state of ours, so that `second-opinion.ts` can judge a
 * run from it without knowing how ipshard works.
 *
 * Times are true time in milliseconds since the start of the run, whatever any clock showed, and
 * never fall from one sighting to the next.
 */

/** Aligned run of 2^order ports from `base` on. */
export interface SeenBlock {
  readonly base: number;
  readonly order: number;
  readonly epoch: number;
}

/** One thing seen. `machine` is a physical machine, whatever host it says it is. */
export type Sighting = { readonly atMs: number } &
  /** What the operator has promised of this address from now on. */
  (
    | {
        readonly type: "promised";
        readonly ip: string;
        readonly leaseDurationMs: number;
        readonly quarantineMs: number;
      }
    /** A packet left a machine with this source address and port. */
    | { readonly type: "sent"; readonly machine: string; readonly ip: string; readonly port: number }
    /**
     * A packet for this address and port reached a router, which handed it to a machine, or dropped
     * it (null). `isAttentive`: the router's process ran and could speak with the edge, both ways,
     * for the whole of the last few seconds.
     */
    | {
        readonly type: "steered";
        readonly router: string;
        readonly isAttentive: boolean;
        readonly ip: string;
        readonly port: number;
        readonly machine: string | null;
      }
    /** A machine sent a request, for the first time or again. `requestId` is unique to a request. */
    | { readonly type: "asked"; readonly machine: string; readonly ip: string; readonly requestId: string }
    /**
     * The edge's answer to a request was read by the machine's agent: all blocks that it holds now,
     * and for how long from the sending of the request on; null extends nothing. `granted` is what was
     * granted to this very request: new, or the same as before when its answer was repeated.
     */
    | {
        readonly type: "told";
        readonly machine: string;
        readonly ip: string;
        readonly requestId: string;
        readonly leaseDurationMs: number | null;
        readonly blocks: readonly SeenBlock[];
        readonly granted: SeenBlock | null;
      }
    /** The agent of a machine was started (anew), or has ended, or its machine has. */
    | { readonly type: "started" | "ended"; readonly machine: string }
    /** The clock by which this address judges was set, or runs elsewhere: it shows that much more or less. */
    | { readonly type: "clock-set"; readonly ip: string; readonly byMs: number }
    /**
     * No faults from now on. `machines` are those that want to send, and can: each does from some
     * address, and from each address so many of them, or all.
     */
    | {
        readonly type: "calm";
        readonly machines: readonly string[];
        readonly leastHosts: number;
        readonly boundMs: number;
      }
    /** The run is over. */
    | { readonly type: "over" }
  );

/** What a run left behind, in the order in which it was seen. */
export type History = readonly Sighting[];

/** A sighting, but for its time. */
export type Unseen = Sighting extends infer Each
  ? Each extends Sighting
    ? Omit<Each, "atMs">
    : never
  : never;
