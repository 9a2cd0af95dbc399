/**
 * How often a host lets its pool hear of it.
 *
 * A pool tells each host after how much silence it counts as gone; the host beats several times
 * within that. Where many hosts come together the pool tells a longer time, so that all their
 * heartbeats together stay few. A host that is gone is found sooner than by silence: whoever
 * misses it says so, and the pool asks it. [DO10] [DO20] [PM10]
 */

/** Heartbeats of a host within the silence after which it counts as gone: one may get lost. */
export const BEATS_PER_SILENCE = 2.5;
/** All heartbeats of a pool, as far as `LONGEST_SCALED_SILENCE_MS` permits: an object takes some hundreds. */
const MOST_BEATS_PER_SECOND = 150;
/** What lies on the way forgets connections that are quiet for longer, often after 100 s. */
const LONGEST_HEARTBEAT_MS = 80_000;
/** The longest silence that the number of hosts alone leads to. */
const LONGEST_SCALED_SILENCE_MS = BEATS_PER_SILENCE * LONGEST_HEARTBEAT_MS;
/** The least time between two reports of what need not be known at once, in a pool that is not large. */
const REPORT_INTERVAL_MS = 2_000;
const REPORTS_PER_SILENCE = 25;
/** Hosts come and go: a longer silence is kept until so many more would fit into a shorter one. */
const SLACK = 4 / 3;

/** Time between two heartbeats of a host that counts as gone after this silence, in milliseconds. */
export function heartbeatMsFor(silenceMs: number): number {
  return Math.min(Math.floor(silenceMs / BEATS_PER_SILENCE), LONGEST_HEARTBEAT_MS);
}

/** The least time between two reports of a host about what need not be known at once, in milliseconds. [PM3] */
export function reportIntervalMsFor(silenceMs: number): number {
  const scaledMs = Math.min(silenceMs, LONGEST_SCALED_SILENCE_MS);
  return Math.max(REPORT_INTERVAL_MS, Math.floor(scaledMs / REPORTS_PER_SILENCE));
}

/**
 * The silence that a pool of so many hosts tells them: what is set, doubled as often as needed.
 * `presentMs` is what it told last, null for nothing: a host is told anew only when there is need.
 */
export function silenceMsFor(hostSilenceMs: number, hostCount: number, presentMs: number | null): number {
  const roomy = doubled(hostSilenceMs, hostCount * SLACK);
  return presentMs === roomy ? roomy : doubled(hostSilenceMs, hostCount);
}

function doubled(hostSilenceMs: number, hostCount: number): number {
  let silenceMs = hostSilenceMs;
  while (2 * silenceMs <= LONGEST_SCALED_SILENCE_MS && isTooOften(silenceMs, hostCount)) silenceMs *= 2;
  return silenceMs;
}

function isTooOften(silenceMs: number, hostCount: number): boolean {
  return (hostCount * 1_000) / heartbeatMsFor(silenceMs) > MOST_BEATS_PER_SECOND;
}
