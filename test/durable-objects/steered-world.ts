/** A pool with one address, one joined host, and routers that have applied the whole table. */
import { expect, vi } from "vitest";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { HostConnection, objects, type Reply, RouterConnection } from "./objects.ts";

export const FIRST = "first-instance";
export const DUPLICATE = "other-instance";
/** Longer than any test: what happens sooner did not happen by a deadline. */
const NEVER_MS = 60_000;

let worldCount = 0;

/** A pool with one address and one joined host. */
export async function world(settings: Partial<PoolSettings> = {}) {
  worldCount += 1;
  const name = `steered-${worldCount}`;
  const pool = objects.EGRESS_POOL.getByName(name);
  const ip = `198.51.100.${worldCount}`;
  await pool.configure({
    steeringDeadlineMs: NEVER_MS,
    routerSilenceMs: NEVER_MS,
    hostSilenceMs: NEVER_MS,
    ...settings,
  });
  expect(await pool.addIp(ip, null)).toMatchObject({ ok: true });
  const address = objects.EGRESS_IP.getByName(ip);
  const host = await HostConnection.open(address, "h1");
  await host.join(FIRST);
  return { name, pool, ip, address, host };
}

type World = Awaited<ReturnType<typeof world>>;

/** A router that has applied the whole table. */
export async function readyRouter({ pool }: Pick<World, "pool">, name = "r1") {
  const router = await RouterConnection.open(pool, name);
  const table = await router.enroll(FIRST);
  router.acknowledge(table.sequence);
  await vi.waitFor(async () => expect(await statusOf({ pool }, name)).toMatchObject({ ready: true }));
  return { router, table };
}

/** How the pool sees a router. */
export async function statusOf({ pool }: Pick<World, "pool">, name: string): Promise<Reply> {
  const described = await pool.describe();
  if (!described.ok) throw new Error(described.refusal);
  return described.value.routers.find(({ router }) => router === name)!;
}

/** Leased and quarantined. */
export async function blocksOf({ address }: World): Promise<readonly Reply[]> {
  const described = await address.describe();
  if (!described.ok) throw new Error(described.refusal);
  return described.value.blocks;
}

/** Sends an acquire without waiting for its answer. */
export function acquireSoon(host: HostConnection, requestId: string): void {
  host.send({ type: "acquire", requestId, order: 8 });
}
