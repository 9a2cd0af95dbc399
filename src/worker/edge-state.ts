/**
 * What one isolate remembers between requests. Plain data, all of it may be lost at any time,
 * and nothing in it is right by being here: hosts judge by leases of their own.
 */
import { refuse } from "../core/outcome.ts";
import { askControlPlane } from "./control-plane.ts";
import type { Environment } from "./environment.ts";
import { PenaltyList } from "./penalty-list.ts";
import { type Found, type LoadPlacement, PlacementCache } from "./placement-cache.ts";

/** Copies of placements, by pool. */
export const placements = new PlacementCache();
/** Hosts that failed a moment ago. */
export const penalties = new PenaltyList();

/** How to ask a pool's object for its placement. */
export function placementLoader(env: Environment): LoadPlacement {
  return async (pool): Promise<Found> => {
    const answer = await askControlPlane(async () => env.EGRESS_POOL.getByName(pool).placement());
    return answer.ok ? answer.value : refuse(answer.refusal);
  };
}
