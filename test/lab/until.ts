/** Waiting for something to come about, in tests and outside of them. */
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 50;
const LONGEST_MS = 30_000;

/** Resolves once `holds` answers true. A question that fails, or that nobody says yes to in time, is thrown. */
export async function until(holds: () => boolean | Promise<boolean>, timeoutMs = LONGEST_MS): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > endMs)
      throw new Error(`it has not come about within ${timeoutMs} ms: ${holds.toString()}`);
    await delay(POLL_MS);
  }
}
