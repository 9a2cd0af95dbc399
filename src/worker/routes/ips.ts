/** `/v1/ips/{ip}`: the table of an address. For administrators. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { permitsPool } from "../../core/identity.ts";
import { addressSchema, answerOf, ipSchema, refusals, refused } from "../api-schemas.ts";
import { askControlPlane } from "../control-plane.ts";
import { authenticate, type EdgeContext } from "../middleware/authenticate.ts";

const getIp = createRoute({
  method: "get",
  path: "/v1/ips/{ip}",
  middleware: authenticate("admin"),
  security: [{ bearer: [] }],
  summary: "Shows who holds which ports of an address",
  request: { params: z.object({ ip: ipSchema }) },
  responses: { 200: answerOf("The table as it stands now.", addressSchema), ...refusals },
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
