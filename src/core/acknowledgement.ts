/**
 * How far the routers are, and whom a grant waits for [LAW4].
 *
 * Acknowledgements are cumulative, so a lost or late one costs time and nothing else. A grant
 * waits for every live router, ready or not: one that came back may be forwarding by the rules
 * it left behind. [ST2] [ST7]
 */
import { ok, type Outcome, refuse } from "./outcome.ts";
import type { PoolSettings } from "./pool-settings.ts";

/** How far one router is since it was sent a whole table. */
export interface Progress {
  /** Sequence of that table. */
  readonly tableSequence: number;
  /** The last change that its kernel has applied; null until the table itself is in force. */
  readonly acknowledged: number | null;
}

/** A router as a grant sees it. */
export interface RouterStatus extends Progress {
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
  if (sequence < Math.max(tableSequence, acknowledged ?? 0)) return ok(progress);
  return ok({ tableSequence, acknowledged: sequence });
}

/**
 * How long a grant waits for routers. A host has one request outstanding and renews every third
 * of its lease, so however short leases are, a wait must not cost it the blocks it holds.
 */
export function steeringTimeoutMs({ steeringDeadlineMs, leaseDurationMs }: PoolSettings): number {
  return Math.min(steeringDeadlineMs, Math.floor(leaseDurationMs / 8));
}

/** Whether a router has applied this change. */
export function hasApplied({ acknowledged }: Progress, sequence: number): boolean {
  return acknowledged !== null && acknowledged >= sequence;
}

/** The live routers that have not applied this change on each of their connections, by name. */
export function laggardsOf(routers: Iterable<RouterStatus>, sequence: number): string[] {
  const names = new Set<string>();
  for (const status of routers) {
    if (status.isLive && !hasApplied(status, sequence)) names.add(status.router);
  }
  return [...names].toSorted();
}
