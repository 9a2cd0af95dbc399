/**
 * `ipshard/testing`: an egress without one, for who calls it from Node or from a Worker.
 *
 *     const egress = await startEgress();
 *     await egress.next(TROUBLE.exhausted);
 *     await expect(shop.order(egress.url, egress.token)).rejects.toThrow("try again later");
 */
import { DEFAULT_POOLS } from "../edge/egress-addresses.ts";
import {
  DEFAULT_NAME,
  type EgressBinding,
  egressBinding,
  type EgressWorker,
  egressWorker,
  type EgressWorkerOptions,
} from "./egress-worker.ts";

export { type EgressControl, egressControl, type StandInAnswer, TROUBLE } from "../edge/control.ts";
export type { StandInAddress, StandInPools } from "../edge/egress-addresses.ts";
export type { StandInCall } from "../edge/script.ts";
export type { StandInOptions } from "../edge/stand-in-edge.ts";
export { type EgressServer, type EgressServerOptions, startEgress } from "./egress-server.ts";
export {
  type EgressBinding,
  egressBinding,
  type EgressWorker,
  egressWorker,
  type EgressWorkerOptions,
} from "./egress-worker.ts";

/**
 * For `cloudflareTest({ miniflare: egressForVitest() })`: the Worker beside the one that is tested, which has
 * it as `EGRESS`, or by the name that is given, for the first of the pools or the one that is named.
 */
export function egressForVitest(
  options: EgressWorkerOptions & { readonly binding?: string; readonly pool?: string } = {},
): { workers: EgressWorker[]; serviceBindings: Record<string, EgressBinding> } {
  const { binding = "EGRESS", pool, ...worker } = options;
  const { name = DEFAULT_NAME, pools = DEFAULT_POOLS } = worker;
  const bound = pool ?? Object.keys(pools)[0];
  return {
    workers: [egressWorker(worker)],
    serviceBindings: { [binding]: egressBinding({ name, ...(bound === undefined ? {} : { pool: bound }) }) },
  };
}
