/** Being called back later. */
import { AsyncLocalStorage } from "node:async_hooks";

/** Calls back later, once. A simulation, which has a time of its own, brings its own. */
export interface Timers {
  /**
   * Calls back after this time (milliseconds), unless the returned function withdraws the wish
   * before; later it does nothing. An idle wish does not keep the process alive.
   */
  after(delayMs: number, what: () => void, kind?: "idle"): CancelTimer;
}

/** Withdraws a wish to be called back. */
export type CancelTimer = () => void;

/** The context of no request: what a lease keeper wanted while one ran is not a part of it. [GW11] */
const outsideFlows = AsyncLocalStorage.snapshot();

/** The timers of this process. */
export const systemTimers: Timers = {
  after(delayMs, what, kind) {
    const timer = outsideFlows(() => setTimeout(what, delayMs));
    if (kind === "idle") timer.unref();
    return () => clearTimeout(timer);
  },
};
