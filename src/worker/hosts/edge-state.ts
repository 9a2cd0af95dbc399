/**
 * What one isolate remembers between requests. Plain data, all of it may be lost at any time,
 * and nothing in it is right by being here: hosts judge by leases of their own.
 */
import { refuse } from "../../core/outcome.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { FactsCache } from "./facts-cache.ts";
import { HostDoubts } from "./host-doubts.ts";
import { HostHealth } from "./host-health.ts";
import { LongWaits } from "./long-waits.ts";
import { PassingMarks } from "./passing-marks.ts";
import { PolicyCopies } from "./policy-copies.ts";
import { type Found, type LoadPlacement, PlacementCache } from "./placement-cache.ts";

/** Cooldown: how long a host that failed is avoided, altogether or on one address. [WK8] */
export const COOLDOWN_MS = 5_000;
/** How long a host that had no port free towards a destination is asked after the others. [WK22] */
export const FULL_MS = 2_000;
/** How long a name is taken to have no address of a family. [WK21] */
export const FAMILY_MS = 60_000;
/** How long nothing is repeated to a destination for which a request lost two hosts. [WK12] */
export const SUSPECT_MS = 60_000;

/** Copies of placements, by pool. */
export const placements = new PlacementCache();
/** Copies of policies, by pool, as hosts fetch them. */
export const policyCopies = new PolicyCopies();
/** What all pools publish. */
export const facts = new FactsCache();
/** Hosts that failed a moment ago, and hosts on an address that they lost. */
export const cooldowns = new PassingMarks(COOLDOWN_MS, 4_096);
/** Hosts on an address from which all ports are in use towards a destination. */
export const fullHosts = new PassingMarks(FULL_MS, 4_096);
/** Names to which requests cannot go from the addresses of a family. */
export const wrongFamilies = new PassingMarks(FAMILY_MS, 4_096);
/** Destinations for which a request lost two hosts, one after the other. */
export const suspects = new PassingMarks(SUSPECT_MS, 1_024);
/** What gateways said when they were asked whether they are there. */
export const health = new HostHealth();

/** Hosts that their pools are to look after. */
export const hostDoubts = new HostDoubts();

/** The gateway of a host does not answer: it is passed over, and its pool is to look after it. */
export function missHost(pool: string, host: string): void {
  const nowMs = Date.now();
  cooldowns.add(host, nowMs);
  hostDoubts.add(pool, host, nowMs);
}

/** Requests whose answer has not come yet. */
export const longWaits = new LongWaits();

/** How to ask a pool's object for its placement. */
export function placementLoader(env: Environment): LoadPlacement {
  return async (pool): Promise<Found> => {
    const missed = hostDoubts.tell(pool, Date.now());
    const answer = await askControlPlane(async () => env.EGRESS_POOL.getByName(pool).placement(missed));
    return answer.ok ? answer.value : refuse(answer.refusal);
  };
}
