/** Of what a request left from: the block of its port, and which routers would bring a reply there. [DA9] */
import { rangeOf } from "../../core/port-block.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";

/** As the answer says it: the address as the Internet sees it. */
export interface Departed {
  readonly advertised: string;
  readonly port: number;
  readonly host: string;
}

/** What is known of it; null, and no routers, where its objects do not say. */
export async function whereabouts(departed: Departed | null, pool: string, env: Environment) {
  const described = await askControlPlane(async () => env.EGRESS_POOL.getByName(pool).describe());
  const ofPool = described.ok && described.value.ok ? described.value.value : null;
  const own = ofPool?.ips.find(({ ip, advertised }) => (advertised ?? ip) === departed?.advertised);
  const ip = own?.ip ?? departed?.advertised ?? null;
  const block = departed === null || ip === null ? null : await blockAt(ip, departed, env);
  const routers = (ofPool?.routers ?? []).map(({ router, live, acknowledged, lagging }) => {
    const isLatest = acknowledged !== null && acknowledged >= (ofPool?.steeringSequence ?? 0);
    const knows = live && block !== null && (isLatest || (block.steered && !lagging));
    return { router, live, acknowledged, knows };
  });
  return {
    egress: departed === null ? null : { ip, ...departed },
    block:
      block === null ? null : { firstPort: block.firstPort, lastPort: block.lastPort, epoch: block.epoch },
    routers,
  };
}

async function blockAt(ip: string, { port, host }: Departed, env: Environment) {
  const answer = await askControlPlane(async () => env.EGRESS_IP.getByName(ip).describe());
  if (!answer.ok || !answer.value.ok) return null;
  for (const { base, order, epoch, steered, ...block } of answer.value.value.blocks) {
    const { first: firstPort, last: lastPort } = rangeOf({ base, order });
    if (block.host === host && port >= firstPort && port <= lastPort) {
      return { firstPort, lastPort, epoch, steered };
    }
  }
  return null;
}
