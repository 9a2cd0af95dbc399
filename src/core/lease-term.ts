/**
 * How long a host may go on sending, by its own clocks.
 *
 * A host must stop before the object can give its blocks away [LAW3]. It therefore counts
 * from before it sent the request, takes the stricter of two clocks, and keeps a margin for
 * what is still on its way out. The monotonic clock halts while the machine is suspended and
 * the wall clock may be set back, but both at once would have to be wrong to overrun. [HO4]
 */

/** Both clocks of a machine, read at one moment, in milliseconds. */
export interface ClockReading {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** The end of a host's leases on one address, on both clocks. */
export interface LeaseTerm {
  readonly monotonicEndMs: number;
  readonly wallEndMs: number;
}

/** The part of a lease that its host leaves unused, so that it stops sending before the end. */
export const TERM_MARGIN = 1 / 50;

/** The term that an answer gives to a request sent at this reading. */
export function termFrom(sentAt: ClockReading, leaseDurationMs: number): LeaseTerm {
  const usableMs = leaseDurationMs * (1 - TERM_MARGIN);
  return { monotonicEndMs: sentAt.monotonicMs + usableMs, wallEndMs: sentAt.wallMs + usableMs };
}

/** Later than any time; unlike infinity, JSON can say it to another process. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;

/** The term of a lease that no time ends, whatever the clocks say. [SM3] */
export const ENDLESS_TERM: LeaseTerm = { monotonicEndMs: NEVER_MS, wallEndMs: NEVER_MS };

/** Whether no time ends it. */
export function isEndless(term: LeaseTerm | null): boolean {
  return term?.monotonicEndMs === NEVER_MS;
}

/** Time left by the stricter clock; zero or less when the host must not send; infinite without an end. */
export function remainingMs(term: LeaseTerm, now: ClockReading): number {
  if (isEndless(term)) return Infinity;
  return Math.min(term.monotonicEndMs - now.monotonicMs, term.wallEndMs - now.wallMs);
}
