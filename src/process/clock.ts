/** What time it is, by both clocks of a machine. */
import type { ClockReading } from "../core/lease-term.ts";

/** Reads both clocks. A simulation, which has a time of its own, brings its own. */
export type Clock = () => ClockReading;

/** Reads both clocks of this machine. */
export function readClock(): ClockReading {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}
