/** What the data processes of a host say of themselves to who looks at it, taken together. [LV7] [LV8] */
import type { TakenDecisions } from "../../core/live-view.ts";
import { NotedDecisions } from "../watch/noted-decisions.ts";
import { NO_COUNTS, type PlaneCounts, sumOfPlanes, type WatchedPlane } from "../watch/plane-watch.ts";
import type { FromDataProcess, PartView } from "./data-messages.ts";

type Seen = Extract<FromDataProcess, { type: "seen" }>;

/** Looks at processes that come one after the other, until their ports are counted while nobody looks. */
const LOOKS_PER_COUNT = 5;

/** One per agent. */
export class SeenProcesses implements WatchedPlane {
  /** By process. */
  readonly #counts = new Map<number, PlaneCounts>();
  readonly #usedPorts = new Map<number, ReadonlyMap<string, ReadonlyMap<number, number>>>();
  readonly #decisions = new NotedDecisions();
  /** Of all that have ended. [MT4] */
  #ended = NO_COUNTS;
  #decisionCount: number | null = null;
  #lookCount = 0;

  /** What each is to show, asked for at every look at all of them. */
  next(): PartView {
    this.#lookCount += 1;
    const isDue = this.#lookCount % LOOKS_PER_COUNT === 0;
    return { ports: isDue || this.#decisionCount !== null, decisionCount: this.#decisionCount ?? 0 };
  }

  counted(process: number, counts: PlaneCounts): void {
    this.#counts.set(process, counts);
  }

  seen(process: number, { decisions, usedPorts }: Seen): void {
    this.#decisions.noteAll(decisions);
    this.#usedPorts.set(process, new Map(usedPorts.map(([ip, used]) => [ip, new Map(used)])));
  }

  /** A process has ended. What it counted has been; its ports are free. */
  forget(process: number): void {
    const last = this.#counts.get(process) ?? NO_COUNTS;
    this.#ended = sumOfPlanes([this.#ended, { ...last, runningCount: 0 }]);
    this.#counts.delete(process);
    this.#usedPorts.delete(process);
  }

  counts(): PlaneCounts {
    return sumOfPlanes([this.#ended, ...this.#counts.values()]);
  }

  /** Each unit is one process's. Single ports that one has lent to another are not counted. */
  usedPorts(ip: string): ReadonlyMap<number, number> {
    const all = new Map<number, number>();
    for (const used of this.#usedPorts.values()) {
      for (const [unit, count] of used.get(ip) ?? []) all.set(unit, (all.get(unit) ?? 0) + count);
    }
    return all;
  }

  watch(decisionCount: number | null): void {
    this.#decisionCount = decisionCount;
    this.#decisions.limit(decisionCount ?? 0);
  }

  takeDecisions(): TakenDecisions {
    return this.#decisions.take();
  }
}
