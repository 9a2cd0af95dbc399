/**
 * The placement as the pool gives it after a host has said that it does not serve an address.
 *
 * A pool takes an address from a host when others serve it, so it knows by then who does. But the
 * copy at hand may be older, and yet too young to be asked for again [WK4]: then a request waits, for
 * there is a host that serves it. [WK45]
 */
import { placements } from "../hosts/edge-state.ts";
import { type Found, type LoadPlacement, RENEWAL_INTERVAL_MS } from "../hosts/placement-cache.ts";

const POLL_MS = 50;
/** Counted, not timed: a Worker's clock may stand still. Twice the interval, for a slow answer. */
const MOST_POLLS = (2 * RENEWAL_INTERVAL_MS) / POLL_MS;

/** A placement that was asked for from now on, or after a second the latest that there is. */
export async function newerPlacement(pool: string, load: LoadPlacement): Promise<Found> {
  const sinceMs = Date.now();
  for (let count = 1; ; count += 1) {
    const found = await placements.reconsider(pool, Date.now(), load);
    if (count === MOST_POLLS || placements.isAsOf(pool, sinceMs)) return found;
    await new Promise((resolve) => {
      setTimeout(resolve, POLL_MS);
    });
  }
}
