/** `/v1/ips/{ip}`: the table of an address. For administrators. */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import { permitsPool } from "../../core/identity.ts";
import { administration, type EdgeContext } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { refused } from "../runtime/problem.ts";

const getIp = createRoute({
  ...ROUTES.getIp,
  middleware: administration(),
  security: [{ bearer: [] }],
});

/** Serves the routes of addresses. */
export function serveIps(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(getIp, async (context) => {
    const stub = context.env.EGRESS_IP.getByName(context.req.valid("param").ip);
    const answer = await askControlPlane(async () => stub.describe());
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    const table = answer.value.value;
    if (!permitsPool(context.get("identity"), table.pool)) return refused({ code: "pool-denied" });
    return context.json(table, 200);
  });
}
