/** The Durable Object namespaces as `wrangler.toml` names them; the Worker has the same ones. */
import type { AddressBindings, EgressIp } from "./address/egress-ip.ts";
import type { PoolCatalogue } from "./catalogue/pool-catalogue.ts";
import type { EgressPool, PoolBindings } from "./pool/egress-pool.ts";
import type { AccessRegister } from "./register/access-register.ts";

/** What an object or the Worker finds in its environment to reach objects. */
export interface ObjectBindings extends AddressBindings, PoolBindings {
  /** One object per address, named as the address. */
  readonly EGRESS_IP: DurableObjectNamespace<EgressIp>;
  /** One object per pool, named as the pool. */
  readonly EGRESS_POOL: DurableObjectNamespace<EgressPool>;
  /** One object, named `CATALOGUE_NAME`. */
  readonly POOL_CATALOGUE: DurableObjectNamespace<PoolCatalogue>;
  /** One object, named `REGISTER_NAME`. */
  readonly ACCESS_REGISTER: DurableObjectNamespace<AccessRegister>;
}

/** The name of the only catalogue. */
export const CATALOGUE_NAME = "catalogue";

/** The name of the only register of tokens and keys. */
export const REGISTER_NAME = "register";
