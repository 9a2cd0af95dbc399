/** What time it is, by both clocks of a machine. */
import type { ClockReading } from "../core/lease-term.ts";

/** Reads both clocks. A simulation, which has a time of its own, brings its own. */
export type Clock = () => ClockReading;

/** `performance.now` counts from the start of its process; the machine's own clock does not. */
const PROCESS_START_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Reads both clocks of this machine. What one process has read, another can compare with. */
export function readClock(): ClockReading {
  return { monotonicMs: PROCESS_START_MS + performance.now(), wallMs: Date.now() };
}
