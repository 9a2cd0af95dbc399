/**
 * Connections that end at every moment and in every way, on every path through a host: by the
 * client or by the origin, after each byte of what they send or some time after it.
 */
import { Chance } from "./chance.ts";
import { type Fate, runPlan } from "./reset-client.ts";
import { startResetOrigin } from "./reset-origin.ts";
import { drawPlan, type ResetPlan } from "./reset-plan.ts";
import type { Target } from "./target.ts";

/** Connections under way at once. */
const LANES = 96;

/** What a run came to. */
export interface ResetTally {
  connectionCount: number;
  /** Requests that the origins saw. */
  arrivedCount: number;
  readonly fates: Record<Fate, number>;
  /** Plans whose client was still waiting when everything should have been over. */
  readonly stuck: ResetPlan[];
}

/** Runs connections until time is up or there were enough of them. */
export async function runResets(
  target: Target,
  seed: number,
  durationMs: number,
  mostConnections = Infinity,
): Promise<ResetTally> {
  const chance = new Chance(seed);
  const origin = await startResetOrigin();
  const tally: ResetTally = {
    connectionCount: 0,
    arrivedCount: 0,
    fates: { answered: 0, ended: 0, stuck: 0 },
    stuck: [],
  };
  const ports = target.gatewayPorts();
  const endMs = performance.now() + durationMs;
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs && tally.connectionCount < mostConnections && target.isAlive()) {
      tally.connectionCount += 1;
      const plan = drawPlan(tally.connectionCount, chance);
      origin.plans.set(plan.id, plan);
      const fate = await runPlan(plan, chance.of(ports), await target.gatewayToken(), origin);
      origin.plans.delete(plan.id);
      tally.fates[fate] += 1;
      if (fate === "stuck") tally.stuck.push(plan);
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
    tally.arrivedCount = origin.arrivedCount;
  } finally {
    origin.close();
  }
  return tally;
}
