/**
 * `/v1/gateway-tokens`: permission for a client to talk to the gateways of its pool directly, for
 * when the edge is away or too far. The pool is selected as for a request.
 */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import type { Placement } from "../../core/placement.ts";
import { EGRESS } from "../../wire/header-names.ts";
import { placementLoader, placements } from "../hosts/edge-state.ts";
import { authenticate, type EdgeContext } from "../identity/authenticate.ts";
import { edgeKeysOf } from "../identity/edge-keys.ts";
import { poolOf, selectionOf } from "../identity/pool-choice.ts";
import { refused } from "../runtime/problem.ts";

const makeGatewayToken = createRoute({
  ...ROUTES.makeGatewayToken,
  middleware: authenticate("client"),
  security: [{ bearer: [] }],
});

/** Serves the route of gateway tokens. */
export function serveGatewayTokens(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(makeGatewayToken, async (context) => {
    const identity = context.get("identity");
    const selection = selectionOf(context.req.header(EGRESS) ?? null);
    if (!selection.ok) return refused(selection.refusal);
    const choice = poolOf(identity, selection.value);
    if (!choice.ok) return refused(choice.refusal);
    const pool = choice.value;
    const nowMs = Date.now();
    const found = await placements.find(pool, nowMs, placementLoader(context.env), context.executionCtx);
    if (!found.ok) return refused({ code: found.refusal });
    const { gatewayTokens } = edgeKeysOf(context.env);
    const { token, expiresAtMs } = await gatewayTokens.issue(identity, pool, nowMs);
    const expiresAt = new Date(expiresAtMs).toISOString();
    return context.json({ token, expiresAt, pool, hosts: gatewaysOf(found.value) }, 200, {
      "cache-control": "no-store",
    });
  });
}

function gatewaysOf(placement: Placement): { host: string; gateway: string; ips: string[] }[] {
  const byHost = new Map<string, { host: string; gateway: string; ips: string[] }>();
  for (const { ip, hosts } of placement.ips) {
    for (const { host, gateway } of hosts) {
      const known = byHost.get(host) ?? { host, gateway, ips: [] };
      known.ips.push(ip);
      byHost.set(host, known);
    }
  }
  return [...byHost.values()];
}
