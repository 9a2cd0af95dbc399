/** `/v1/hosts/{host}`, a host in every pool that knows it, and its removal from one. For administrators. */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { z } from "zod";
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import { ROUTES } from "../../api/routes.ts";
import type { hostSchema } from "../../api/schemas.ts";
import { permitsPool } from "../../core/identity.ts";
import { placements } from "../hosts/edge-state.ts";
import { administration, type EdgeContext, heldToPools } from "../identity/authenticate.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { refused } from "../runtime/problem.ts";

const getHost = createRoute({
  ...ROUTES.getHost,
  middleware: administration(),
  security: [{ bearer: [] }],
});

const deleteHost = createRoute({
  ...ROUTES.deleteHost,
  middleware: [administration(), heldToPools],
  security: [{ bearer: [] }],
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
        if (known.host === host)
          pools.push({ pool, ...known, rooms: [...known.rooms], leaving: [...known.leaving] });
      }
    }
    return pools.length > 0 ? context.json({ host, pools }, 200) : refused({ code: "host-unknown" });
  });

  app.openapi(deleteHost, async (context) => {
    const { pool, host } = context.req.valid("param");
    const stub = context.env.EGRESS_POOL.getByName(pool);
    const by = changeAuthor(context, "deleteHost", { pool, host });
    const answer = await askControlPlane(async () => stub.removeHost(host, by));
    placements.doubt(pool);
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });
}
