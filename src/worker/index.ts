/** The edge as a Worker: what the runtime calls. */
import { app } from "./app.ts";
import { fetchByGatewayNetwork } from "./gateway-network.ts";
import { answerFetch, egressTarget } from "./routes/fetch.ts";
import type { Environment } from "./runtime/environment.ts";

export { EgressIp } from "../../durable-objects/address/egress-ip.ts";
export { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
export { PoolCatalogue } from "../../durable-objects/catalogue/pool-catalogue.ts";
export { AccessRegister } from "../../durable-objects/register/access-register.ts";
export { Egress } from "./service-binding.ts";

fetchByGatewayNetwork();

export default {
  /** The egress API is answered ahead of the router, which would wrap what must pass as it is. */
  fetch(request, env, context) {
    const target = egressTarget(request.url);
    if (target !== null) return answerFetch(request, target, env, context);
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Environment>;
