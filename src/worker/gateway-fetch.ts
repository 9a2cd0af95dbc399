/**
 * How the Worker reaches gateways. On Cloudflare by the plain `fetch`. At the self-hosted edge by
 * a network that it is given by name: the nameless one, to which workerd passes on what clients
 * want to CONNECT to, leads nowhere there. [WK41]
 */
import { env } from "cloudflare:workers";
import type { Environment } from "./environment.ts";

const { GATEWAYS } = env as unknown as Environment;

/** `fetch`, towards a gateway. */
export function fetchGateway(input: RequestInfo, init?: RequestInit): Promise<Response> {
  return GATEWAYS === undefined ? fetch(input, init) : GATEWAYS.fetch(input, init);
}
