/**
 * Keeps the counts of the last hour and day: reads now and then what is counted anyway, in memory, and
 * writes it down rarely, so that a restart does not forget it. [LV8]
 */
import type { CountSlot, PastCounts } from "../../core/live-view.ts";
import { PastRings } from "../../core/past-counts.ts";
import type { CancelTimer, Timers } from "../../process/timers.ts";
import { NO_COUNTS, type PlaneCounts } from "./plane-watch.ts";

/** What the past is made of. */
export interface PastRecorderOptions {
  readonly counts: () => PlaneCounts;
  /** Ports in use now. */
  readonly portCount: () => number;
  /** Of an earlier run; null for none. */
  readonly kept: PastCounts | null;
  readonly keep: (past: PastCounts) => void;
  readonly timers: Timers;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

const SAMPLE_MS = 5_000;
/** What a machine that loses its power loses of the past, at most. */
const SAMPLES_PER_WRITE = 60;

/** From `start` to `stop`. */
export class PastRecorder {
  readonly #options: PastRecorderOptions;
  readonly #rings: PastRings;
  #before: PlaneCounts = NO_COUNTS;
  #sampleCount = 0;
  #cancel: CancelTimer | null = null;

  constructor(options: PastRecorderOptions) {
    this.#options = options;
    this.#rings = new PastRings(options.kept);
  }

  /** Begins to record. */
  start(): void {
    const { timers } = this.#options;
    const next = (): void => {
      this.#cancel = timers.after(
        SAMPLE_MS,
        () => {
          this.sample();
          this.#sampleCount += 1;
          if (this.#sampleCount % SAMPLES_PER_WRITE === 0) this.#keep();
          next();
        },
        "idle",
      );
    };
    next();
  }

  /** Writes down what there is, and ends. */
  stop(): void {
    if (this.#cancel === null) return;
    this.#cancel();
    this.#cancel = null;
    this.sample();
    this.#keep();
  }

  /** Counts what has come since the last time. */
  sample(): void {
    const { counts, portCount, nowMs } = this.#options;
    const now = counts();
    const before = this.#before;
    this.#before = now;
    this.#rings.add(nowMs(), {
      requestCount: risen(before.answeredCount, now.answeredCount),
      flowCount: risen(before.flowCount, now.flowCount),
      refusals: risenRefusals(before.refusals, now.refusals),
      portCount: portCount(),
    });
  }

  /** All that is known, up to now. */
  past(): PastCounts {
    this.sample();
    return this.#rings.past(this.#options.nowMs());
  }

  /** The minute that runs, up to now. */
  minute(): CountSlot {
    this.sample();
    return this.#rings.minute(this.#options.nowMs());
  }

  #keep(): void {
    this.#options.keep(this.#rings.past(this.#options.nowMs()));
  }
}

function risen(before: number, now: number): number {
  return Math.max(0, now - before);
}

/** Those that have not risen are left out. */
function risenRefusals(
  before: PlaneCounts["refusals"],
  now: PlaneCounts["refusals"],
): Record<string, number> {
  const all = Object.entries(now).map(([code, count]) => [code, risen(before[code] ?? 0, count)] as const);
  return Object.fromEntries(all.filter(([, count]) => count > 0));
}
