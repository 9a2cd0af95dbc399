/** A Worker that only carries the objects, so that their tests need no other. */
export { EgressIp } from "../../durable-objects/address/egress-ip.ts";
export { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
export { PoolCatalogue } from "../../durable-objects/catalogue/pool-catalogue.ts";
export { AccessRegister } from "../../durable-objects/register/access-register.ts";

export default {} satisfies ExportedHandler;
