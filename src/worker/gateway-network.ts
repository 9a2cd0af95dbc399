/**
 * Which network `fetch` means here: that of the gateways, for the Worker calls nobody else. At the
 * self-hosted edge it is one that has a name. The nameless one, which `fetch` means otherwise, is
 * where workerd passes on what clients want to CONNECT to, so there it leads nowhere. [WK41]
 */
import { env } from "cloudflare:workers";
import type { Environment } from "./runtime/environment.ts";

/** Lets `fetch` mean the network of the gateways, where that is another one. */
export function fetchByGatewayNetwork(): void {
  const { GATEWAYS } = env as unknown as Environment;
  if (GATEWAYS !== undefined) globalThis.fetch = (input, init) => GATEWAYS.fetch(input, init);
}
