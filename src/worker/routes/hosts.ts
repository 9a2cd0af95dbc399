/** `/v1/hosts/{host}`: a host in every pool that knows it. For administrators. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import { permitsPool } from "../../core/identity.ts";
import { answerOf, nameSchema, poolHostSchema, refusals, refused } from "../api-schemas.ts";
import { askControlPlane } from "../control-plane.ts";
import { authenticate, type EdgeContext } from "../middleware/authenticate.ts";

const hostSchema = z
  .object({ host: z.string(), pools: z.array(poolHostSchema.extend({ pool: z.string() })) })
  .openapi("Host");

const getHost = createRoute({
  method: "get",
  path: "/v1/hosts/{host}",
  middleware: authenticate("admin"),
  security: [{ bearer: [] }],
  summary: "Shows a host in every pool that knows it and that the token is good for",
  request: { params: z.object({ host: nameSchema }) },
  responses: { 200: answerOf("The host.", hostSchema), ...refusals },
});

/** Serves the routes of hosts. */
export function serveHosts(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(getHost, async (context) => {
    const { host } = context.req.valid("param");
    const { env } = context;
    const listed = await askControlPlane(async () => env.POOL_CATALOGUE.getByName(CATALOGUE_NAME).list());
    if (!listed.ok) return refused({ code: listed.refusal });
    const identity = context.get("identity");
    const permitted = listed.value.filter((pool) => permitsPool(identity, pool));
    const asked = await Promise.all(
      permitted.map(async (pool) => ({
        pool,
        answer: await askControlPlane(async () => env.EGRESS_POOL.getByName(pool).hosts()),
      })),
    );
    const pools: z.infer<typeof hostSchema>["pools"] = [];
    for (const { pool, answer } of asked) {
      if (!answer.ok) return refused({ code: answer.refusal });
      if (!answer.value.ok) continue;
      for (const known of answer.value.value) {
        if (known.host === host) pools.push({ pool, ...known, rooms: [...known.rooms] });
      }
    }
    return pools.length > 0 ? context.json({ host, pools }, 200) : refused({ code: "host-unknown" });
  });
}
