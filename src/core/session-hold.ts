/**
 * For how long a session keeps its address, though addresses are added, without anybody
 * remembering sessions. [PL10]
 *
 * An address counts for a session only once it has been in the pool as long as the session's `ttl`.
 * So what is added now can move the session that much later at the earliest, and what was added
 * lately moves it at a time that is known. Addresses of the pool's first minutes count at once: else a
 * new pool would have all its sessions on one.
 */
import { rendezvousWeight } from "./rendezvous.ts";
import type { PlacedIp } from "./placement.ts";

/** Longest `ttl`, in seconds. An address that has been there for so long counts for everybody. */
export const LONGEST_TTL_S = 86_400;
/** Addresses that are added within this time after the pool was made count at once. */
export const SETTING_UP_MS = 600_000;

/** The addresses that count for a session now (Unix milliseconds); where none does yet, the oldest. */
export function countingIps(ips: readonly PlacedIp[], ttlS: number, nowMs: number): readonly PlacedIp[] {
  const counting = ips.filter((placed) => countsFromMs(placed, ttlS) <= nowMs);
  if (counting.length > 0) return counting;
  const firstMs = Math.min(...ips.map((placed) => countsFromMs(placed, ttlS)));
  return ips.filter((placed) => countsFromMs(placed, ttlS) === firstMs);
}

/**
 * Until when (Unix milliseconds) a session that is on an address now stays there, as long as a host
 * serves it and it is not removed. `ips` are all that could be its own.
 */
export function heldUntilMs(
  session: string,
  ttlS: number,
  ip: string,
  ips: readonly PlacedIp[],
  settingUpUntilMs: number | null,
  nowMs: number,
): number {
  const own = rendezvousWeight(session, ip);
  let untilMs = nowMs + ttlS * 1_000;
  if (settingUpUntilMs !== null && settingUpUntilMs > nowMs) untilMs = Math.min(untilMs, settingUpUntilMs);
  for (const placed of ips) {
    const fromMs = countsFromMs(placed, ttlS);
    if (fromMs > nowMs && rendezvousWeight(session, placed.ip) > own) untilMs = Math.min(untilMs, fromMs);
  }
  return untilMs;
}

function countsFromMs({ sinceMs }: PlacedIp, ttlS: number): number {
  return sinceMs === undefined ? -Infinity : sinceMs + ttlS * 1_000;
}
