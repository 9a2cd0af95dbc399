/**
 * `ipshard/testing`: an egress without one, for who calls it from Node or from a Worker.
 *
 *     const egress = await startEgress();
 *     await egress.next(TROUBLE.exhausted);
 *     await expect(shop.order(egress.url, egress.token)).rejects.toThrow("try again later");
 */
export { type EgressControl, egressControl, type StandInAnswer, TROUBLE } from "../edge/control.ts";
export type { StandInAddress, StandInPools } from "../edge/egress-addresses.ts";
export type { StandInCall } from "../edge/script.ts";
export type { StandInOptions } from "../edge/stand-in-edge.ts";
export { type EgressServer, type EgressServerOptions, startEgress } from "./egress-server.ts";
export {
  type EgressBinding,
  egressBinding,
  egressForVitest,
  type EgressWorker,
  egressWorker,
  type EgressWorkerOptions,
} from "./egress-worker.ts";
