/** What is read of whatever carries the traffic of a host, in one process or in several. [LV7] [LV8] */
import type { TakenDecisions } from "../../core/live-view.ts";

/** What was counted since a process began; it is counted anyway. */
export interface PlaneCounts {
  /** Requests whose answer has begun. */
  readonly answeredCount: number;
  /** Tunnels, WebSockets and associations that were admitted. */
  readonly flowCount: number;
  readonly refusals: Readonly<Record<string, number>>;
  /** Requests and WebSockets under way now. */
  readonly runningCount: number;
}

/** What carries traffic. */
export interface WatchedPlane {
  counts(): PlaneCounts;
  /** Ports of an address that are in use, by their unit of 64 ports, each port counted once. */
  usedPorts(ip: string): ReadonlyMap<number, number>;
  /** Somebody looks: at most so many decisions are noted until they are taken. Null when nobody does any more. */
  watch(decisionCount: number | null): void;
  takeDecisions(): TakenDecisions;
}

/** All ports that are in use of an address. */
export function usedCount(used: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const count of used.values()) sum += count;
  return sum;
}

/** Of a process that has not begun. */
export const NO_COUNTS: PlaneCounts = { answeredCount: 0, flowCount: 0, refusals: {}, runningCount: 0 };

/** The counts of several processes together. */
export function sumOfPlanes(all: Iterable<PlaneCounts>): PlaneCounts {
  const sum = { answeredCount: 0, flowCount: 0, runningCount: 0 };
  const refusals = new Map<string, number>();
  for (const counts of all) {
    sum.answeredCount += counts.answeredCount;
    sum.flowCount += counts.flowCount;
    sum.runningCount += counts.runningCount;
    for (const [code, count] of Object.entries(counts.refusals)) {
      refusals.set(code, (refusals.get(code) ?? 0) + count);
    }
  }
  return { ...sum, refusals: Object.fromEntries(refusals) };
}
