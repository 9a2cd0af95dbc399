/**
 * How long the steps of one request took, for an administrator who tries it at the dashboard. Of no other
 * request anything is noted. [DA10]
 */
import { monotonicMs } from "../../process/clock.ts";

/** The steps, in their order, by the names that the answer has for them. */
export type TimedStep = "resolve" | "dial" | "tls" | "first-byte";

/** Of one request, from when it was admitted. */
export class RequestTiming {
  readonly #took: [step: TimedStep, tookMs: number][] = [];
  #lastAtMs = monotonicMs();

  /** A step is done: it took the time since the one before it. */
  done(step: TimedStep): void {
    const nowMs = monotonicMs();
    this.#took.push([step, nowMs - this.#lastAtMs]);
    this.#lastAtMs = nowMs;
  }

  /** The last step is done; what took how long. */
  answered(): string {
    this.done("first-byte");
    return this.field();
  }

  /** What took how long, as `server-timing` says it. Steps that were not made are left out. */
  field(): string {
    return this.#took.map(([step, tookMs]) => `${step};dur=${tookMs.toFixed(3)}`).join(", ");
  }
}
