/** What time it is, by both clocks of a machine. */
import type { ClockReading } from "../core/lease-term.ts";

/** Reads both clocks. A simulation, which has a time of its own, brings its own. */
export type Clock = () => ClockReading;

/** `performance.now` counts from the start of its process; the machine's own clock does not. */
const PROCESS_START_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/**
 * The monotonic clock of this machine, in milliseconds. What one process has read, another can
 * compare with; within an agent it is the only one, so that no two parts compare different clocks.
 */
export function monotonicMs(): number {
  return PROCESS_START_MS + performance.now();
}

/** Reads both clocks of this machine. */
export function readClock(): ClockReading {
  return { monotonicMs: monotonicMs(), wallMs: Date.now() };
}
