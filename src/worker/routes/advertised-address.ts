/** An address as the Internet sees it, found in the pools: those who complain know no other. [AT10] */
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import { type Identity, permitsPool } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";

/** An address of hosts, and its pool. */
export interface WireAddress {
  readonly ip: string;
  readonly pool: string;
}

/** The addresses that are seen as this one now, in pools of which the asker may know. */
export async function advertisedAs(
  name: string,
  identity: Identity,
  env: Environment,
): Promise<Outcome<readonly WireAddress[], "control-plane-unavailable">> {
  const listed = await askControlPlane(async () => env.POOL_CATALOGUE.getByName(CATALOGUE_NAME).list());
  if (!listed.ok) return listed;
  const permitted = listed.value.filter((pool) => permitsPool(identity, pool));
  const asked = await Promise.all(
    permitted.map(async (pool) => ({
      pool,
      answer: await askControlPlane(async () => env.EGRESS_POOL.getByName(pool).placement()),
    })),
  );
  const found: WireAddress[] = [];
  for (const { pool, answer } of asked) {
    // A pool that is not heard may be the one: to say that there is no such address would be a guess.
    if (!answer.ok) return refuse(answer.refusal);
    if (!answer.value.ok) continue;
    const { ips, retiring = [] } = answer.value.value;
    for (const { ip, advertised } of [...ips, ...retiring]) if (advertised === name) found.push({ ip, pool });
  }
  return ok(found);
}
