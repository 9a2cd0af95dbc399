/** Waiting for something outside to come about, by asking again and again. */
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 50;

/**
 * Resolves when `holds` first answers true; false if it does not in time, or when aborted. A
 * question that fails counts as a no.
 */
export async function waitUntil(
  holds: (signal: AbortSignal) => Promise<boolean>,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<boolean> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]);
  while (!signal.aborted) {
    try {
      if (await holds(signal)) return true;
    } catch {
      // Not yet.
    }
    await delay(POLL_MS, null, { signal }).catch(() => {});
  }
  return false;
}
