/** `/v1/holders`: who held a port at a time. For administrators. [AT4] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { HeldLease } from "../../api/holder-schemas.ts";
import { ROUTES } from "../../api/routes.ts";
import { permitsPool, poolsAllowed } from "../../core/identity.ts";
import { rangeOf } from "../../core/port-block.ts";
import type { KnownLease } from "../../core/port-history.ts";
import { askHost } from "../egress/flow-question.ts";
import { authenticate, type EdgeContext } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { refused } from "../runtime/problem.ts";

const findHolders = createRoute({
  ...ROUTES.findHolders,
  middleware: authenticate("admin"),
  security: [{ bearer: [] }],
});

/** Serves the route. */
export function serveHolders(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(findHolders, async (context) => {
    const { ip, port, at: atMs = Date.now(), protocol, destination = null } = context.req.valid("query");
    const { env } = context;
    const stub = env.EGRESS_IP.getByName(ip);
    const answer = await askControlPlane(async () => stub.holdersAt({ port, atMs }));
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    const { pool, history } = answer.value.value;
    const { state, reason, knownSinceMs } = history;
    const identity = context.get("identity");
    const isPermitted = (lease: KnownLease): boolean => permitsPool(identity, lease.pool);
    // Whose it was then may ask, also where the address is another pool's by now.
    const isOwn = state === "held" ? history.holders.every(isPermitted) : permitsPool(identity, pool);
    if (!isOwn) return refused({ code: "pool-denied", detail: poolsAllowed(identity) });
    const wanted = { ip, port, atMs, protocol: protocol === "icmp" ? null : (protocol ?? null), destination };
    const holders = await Promise.all(
      history.holders.map(async (lease) => ({ ...told(lease), flows: await askHost(lease, wanted, env) })),
    );
    const neighbour = (lease: KnownLease | null): HeldLease | null =>
      lease === null || !isPermitted(lease) ? null : told(lease);
    const [before, after] = [neighbour(history.before), neighbour(history.after)];
    return context.json({ ip, port, atMs, state, reason, holders, before, after, knownSinceMs }, 200, {
      "cache-control": "no-store",
    });
  });
}

function told({ pool, host, base, order, epoch, sinceMs, untilMs, end }: KnownLease): HeldLease {
  const { first: firstPort, last: lastPort } = rangeOf({ base, order });
  return { pool, host, firstPort, lastPort, epoch, sinceMs, untilMs, end };
}
