/** Tunnels that end in every way, by CONNECT and SOCKS5, with slow readers on either side. */
import { Chance } from "./chance.ts";
import { type ProxyPlace, runTunnel, type TunnelFate } from "./tunnel-client.ts";
import { startTunnelOrigin } from "./tunnel-origin.ts";
import { drawTunnel, type TunnelPlan } from "./tunnel-plan.ts";

const LANES = 96;

/** What a run came to. */
export interface TunnelTally {
  tunnelCount: number;
  readonly fates: Record<TunnelFate, number>;
  /** Plans of those that hung, or were not what they should have been. */
  readonly findings: TunnelPlan[];
  /** Connections that its origins still had when all tunnels had ended. */
  openAtOrigins: number;
  /** Where those listened. */
  readonly ports: readonly number[];
}

/** Makes tunnels, so many or until time is up. */
export async function runTunnels(
  proxies: readonly ProxyPlace[],
  seed: number,
  mostCount: number,
  durationMs = Infinity,
): Promise<TunnelTally> {
  const chance = new Chance(seed);
  const origin = await startTunnelOrigin();
  const tally: TunnelTally = {
    tunnelCount: 0,
    fates: { whole: 0, cut: 0, refused: 0, stuck: 0, wrong: 0 },
    findings: [],
    openAtOrigins: 0,
    ports: [...origin.places.map(({ port }) => port), origin.resettingPort],
  };
  const endMs = performance.now() + durationMs;
  const lane = async (): Promise<void> => {
    while (tally.tunnelCount < mostCount && performance.now() < endMs && tally.findings.length < LANES) {
      tally.tunnelCount += 1;
      const plan = drawTunnel(tally.tunnelCount, chance);
      origin.plans.set(plan.id, plan);
      const fate = await runTunnel(plan, chance.of(proxies), origin);
      origin.plans.delete(plan.id);
      origin.sides.delete(plan.id);
      tally.fates[fate] += 1;
      if (fate === "stuck" || fate === "wrong") tally.findings.push(plan);
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
    for (let turn = 0; turn < 100 && origin.openCount() > 0; turn += 1) {
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
    tally.openAtOrigins = origin.openCount();
  } finally {
    origin.close();
  }
  return tally;
}
