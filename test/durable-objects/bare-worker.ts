/** A Worker that only carries the objects, so that their tests need no other. */
export { EgressIp } from "../../durable-objects/egress-ip.ts";
export { EgressPool } from "../../durable-objects/egress-pool.ts";
export { PoolCatalogue } from "../../durable-objects/pool-catalogue.ts";

export default {} satisfies ExportedHandler;
