/** `/v1/audit`: what was changed in a pool, or in the register, by whom. For administrators. [AU5] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import type { AuditEntry } from "../../core/audit.ts";
import { EVERY_POOL, permitsPool, poolsAllowed } from "../../core/identity.ts";
import { administration, type EdgeContext } from "../identity/authenticate.ts";
import { registerStub } from "../identity/access-copy.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { refused } from "../runtime/problem.ts";

const listChanges = createRoute({
  ...ROUTES.listChanges,
  middleware: administration(),
  security: [{ bearer: [] }],
});

/** Serves the route of the audit. */
export function serveAudit(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listChanges, async (context) => {
    const { pool, ...page } = context.req.valid("query");
    const identity = context.get("identity");
    if (!permitsPool(identity, pool ?? EVERY_POOL)) {
      return refused({ code: "pool-denied", detail: poolsAllowed(identity) });
    }
    if (pool === undefined) {
      const entries = await askControlPlane(async () => registerStub(context.env).audit(page));
      if (!entries.ok) return refused({ code: entries.refusal });
      return context.json({ entries: entries.value.map(shown) }, 200);
    }
    const stub = context.env.EGRESS_POOL.getByName(pool);
    const answer = await askControlPlane(async () => stub.audit(page));
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    return context.json({ entries: answer.value.value.map(shown) }, 200);
  });
}

function shown({ atMs, given, before, after, ...entry }: AuditEntry) {
  return {
    ...entry,
    at: new Date(atMs).toISOString(),
    given: JSON.parse(given) as unknown,
    before: JSON.parse(before) as unknown,
    after: JSON.parse(after) as unknown,
  };
}
