/**
 * How far the routers have followed, and whom a grant waits for [LAW4].
 *
 * Acknowledgements are cumulative, so a lost or late one costs time and nothing else. A grant
 * waits for every live router, ready or not: one that came back may be forwarding by the rules
 * it left behind. [ST2] [ST7]
 */
import { grant, type Outcome, refuse } from "./outcome.ts";
import type { PoolSettings } from "./pool-settings.ts";

/** How far one router has followed since it was sent a whole table. */
export interface Progress {
  /** Sequence of that table. */
  readonly tableSequence: number;
  /** The last change its kernel has followed; null until the table itself is in force. */
  readonly acknowledged: number | null;
}

/** A router as a grant sees it. */
export interface RouterStanding extends Progress {
  readonly router: string;
  readonly isLive: boolean;
}

/** A router that has just been sent the table. */
export function beginning(tableSequence: number): Progress {
  return { tableSequence, acknowledged: null };
}

/**
 * Progress after an acknowledgement. One from before the table, or below another, changes
 * nothing; one of a change that there has not been is refused. `newest` is the last change.
 */
export function acknowledge(
  progress: Progress,
  sequence: number,
  newest: number,
): Outcome<Progress, "sequence-unknown"> {
  if (sequence > newest) return refuse("sequence-unknown");
  const { tableSequence, acknowledged } = progress;
  if (sequence < Math.max(tableSequence, acknowledged ?? 0)) return grant(progress);
  return grant({ tableSequence, acknowledged: sequence });
}

/**
 * How long a grant waits for routers. A host has one request outstanding and renews every third
 * of its lease, so however short leases are, a wait must not cost it the blocks it holds.
 */
export function steeringPatienceMs({ steeringDeadlineMs, leaseDurationMs }: PoolSettings): number {
  return Math.min(steeringDeadlineMs, Math.floor(leaseDurationMs / 8));
}

/** Whether a router has followed this change. */
export function hasFollowed({ acknowledged }: Progress, sequence: number): boolean {
  return acknowledged !== null && acknowledged >= sequence;
}

/** The live routers that have not followed this change on each of their connections, by name. */
export function laggardsOf(routers: Iterable<RouterStanding>, sequence: number): string[] {
  const names = new Set<string>();
  for (const standing of routers) {
    if (standing.isLive && !hasFollowed(standing, sequence)) names.add(standing.router);
  }
  return [...names].toSorted();
}
