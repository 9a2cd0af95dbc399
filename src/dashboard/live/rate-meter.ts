/** How many requests a second a pool answers and refuses now, from the minute that each host tells again and again. */
import type { CountSlot, WatchedHost } from "../../core/live-view.ts";

/** Over how long rates are told. */
const SPAN_MS = 15_000;

/** What was counted between one message and the next. */
interface Step {
  readonly atMs: number;
  requestCount: number;
  flowCount: number;
  readonly refusals: Map<string, number>;
}

/** Rates of the last seconds. */
export interface Rates {
  readonly requestsPerSecond: number;
  readonly flowsPerSecond: number;
  readonly refusalsPerSecond: number;
  /** Of these seconds, by codes. */
  readonly refusals: ReadonlyMap<string, number>;
}

/** The meter. */
export class RateMeter {
  readonly #last = new Map<string, CountSlot>();
  #steps: Step[] = [];
  #sinceMs: number | null = null;

  /** What hosts told just now. */
  take(hosts: Readonly<Record<string, WatchedHost>>, nowMs: number): void {
    this.#sinceMs ??= nowMs;
    const step: Step = { atMs: nowMs, requestCount: 0, flowCount: 0, refusals: new Map() };
    for (const [host, { minute }] of Object.entries(hosts)) {
      const before = this.#last.get(host);
      this.#last.set(host, minute);
      // The first word of a host is of a time of which nobody knows how much has passed.
      if (before !== undefined) add(step, minute.atMs === before.atMs ? before : null, minute);
    }
    this.#steps.push(step);
    this.#steps = this.#steps.filter(({ atMs }) => atMs > nowMs - SPAN_MS);
  }

  /** Null while nothing is known. */
  rates(nowMs: number): Rates | null {
    if (this.#sinceMs === null || nowMs <= this.#sinceMs) return null;
    const seconds = Math.max(1, Math.min(SPAN_MS, nowMs - this.#sinceMs) / 1000);
    const steps = this.#steps.filter(({ atMs }) => atMs > nowMs - SPAN_MS);
    const refusals = new Map<string, number>();
    for (const step of steps) {
      for (const [code, count] of step.refusals) refusals.set(code, (refusals.get(code) ?? 0) + count);
    }
    return {
      requestsPerSecond: sumOf(steps, ({ requestCount }) => requestCount) / seconds,
      flowsPerSecond: sumOf(steps, ({ flowCount }) => flowCount) / seconds,
      refusalsPerSecond: [...refusals.values()].reduce((sum, count) => sum + count, 0) / seconds,
      refusals,
    };
  }
}

function add(step: Step, before: CountSlot | null, now: CountSlot): void {
  step.requestCount += more(now.requestCount, before?.requestCount);
  step.flowCount += more(now.flowCount, before?.flowCount);
  for (const [code, count] of Object.entries(now.refusals)) {
    // A code may be named as what every object has.
    const isKnown = before !== null && Object.hasOwn(before.refusals, code);
    const grown = more(count, isKnown ? before.refusals[code] : 0);
    if (grown > 0) step.refusals.set(code, (step.refusals.get(code) ?? 0) + grown);
  }
}

function more(count: number, counted: number | undefined): number {
  return Math.max(0, count - (counted ?? 0));
}

function sumOf(steps: readonly Step[], countOf: (step: Step) => number): number {
  return steps.reduce((sum, step) => sum + countOf(step), 0);
}
