/** Drains of hosts and addresses by the operator, and their ends. For administrators. [DR1] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { PoolDescription } from "../../../durable-objects/pool/pool-view.ts";
import { ROUTES } from "../../api/routes.ts";
import type { Outcome } from "../../core/outcome.ts";
import { facts, placements } from "../hosts/edge-state.ts";
import { administration, type EdgeContext, heldToPools } from "../identity/authenticate.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { refused } from "../runtime/problem.ts";

const ofPool = { middleware: [administration(), heldToPools], security: [{ bearer: [] }] };

const drainHost = createRoute({ ...ROUTES.drainHost, ...ofPool });
const resumeHost = createRoute({ ...ROUTES.resumeHost, ...ofPool });
const drainIp = createRoute({ ...ROUTES.drainIp, ...ofPool });
const resumeIp = createRoute({ ...ROUTES.resumeIp, ...ofPool });

/** Serves the routes of drains. */
export function serveDrains(app: OpenAPIHono<EdgeContext>): void {
  for (const [route, name] of [
    [drainHost, "drainHost"],
    [resumeHost, "resumeHost"],
  ] as const) {
    app.openapi(route, async (context) => {
      const { pool, host } = context.req.valid("param");
      const by = changeAuthor(context, name, { pool, host });
      const isDrained = name === "drainHost";
      const answer = await drain(context.env, pool, (stub) => stub.drainHost(host, isDrained, by));
      return answer.ok ? context.json(answer.value, 200) : refused({ code: answer.refusal });
    });
  }
  for (const [route, name] of [
    [drainIp, "drainIp"],
    [resumeIp, "resumeIp"],
  ] as const) {
    app.openapi(route, async (context) => {
      const { pool, ip } = context.req.valid("param");
      const by = changeAuthor(context, name, { pool, ip });
      const isDrained = name === "drainIp";
      const answer = await drain(context.env, pool, (stub) => stub.drainIp(ip, isDrained, by));
      return answer.ok ? context.json(answer.value, 200) : refused({ code: answer.refusal });
    });
  }
}

type PoolStub = ReturnType<Environment["EGRESS_POOL"]["getByName"]>;
type DrainRefusal = "pool-unknown" | "host-unknown" | "ip-unknown";

/** Other hosts may be asked from now on, so the next request looks anew. */
async function drain(
  env: Environment,
  pool: string,
  change: (stub: PoolStub) => Promise<Outcome<PoolDescription, DrainRefusal>>,
) {
  const answer = await askControlPlane(() => change(env.EGRESS_POOL.getByName(pool)));
  placements.doubt(pool);
  facts.doubt();
  return answer.ok ? answer.value : answer;
}
