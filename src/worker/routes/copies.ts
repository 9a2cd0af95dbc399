/**
 * `/v1/edge/copy`: the databases of an edge on a machine of its own, for a standby. The process beside workerd
 * has them; here it is decided who may ask. For administrators of every pool. [OC9] [OC10]
 */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import { edgeListingSchema } from "../../api/copy-schemas.ts";
import { EVERY_POOL, type Identity, permitsPool, poolsAllowed } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { authenticateByToken, type EdgeContext } from "../identity/authenticate.ts";
import type { Environment } from "../runtime/environment.ts";
import { problem, refused } from "../runtime/problem.ts";

const listEdgeFiles = createRoute({
  ...ROUTES.listEdgeFiles,
  // By no session: a browser shows that to whatever asks it to read, and what is read here is everything.
  middleware: authenticateByToken("admin"),
  security: [{ bearer: [] }],
});

/** Serves the routes of copies. */
export function serveCopies(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listEdgeFiles, async (context) => {
    const { heldAtMs } = context.req.valid("query");
    const allowed = allows(context.get("identity"));
    if (!allowed.ok) return refused(allowed.refusal);
    const answer = await askCopies(context.env, `/files${heldAtMs === undefined ? "" : `?held=${heldAtMs}`}`);
    if (!answer.ok) return refused(answer.refusal);
    if (answer.value.status !== 200) return passedOn(answer.value) as ReturnType<typeof refused>;
    return context.json(edgeListingSchema.parse(await answer.value.json()), 200);
  });
  app.get("/v1/edge/copy/database", authenticateByToken("admin"), async (context) => {
    const allowed = allows(context.get("identity"));
    if (!allowed.ok) return problem(allowed.refusal);
    const path = context.req.query("path") ?? "";
    const answer = await askCopies(context.env, `/database?path=${encodeURIComponent(path)}`);
    return answer.ok ? passedOn(answer.value) : problem(answer.refusal);
  });
}

/** Since when a standby has all of this edge, in milliseconds; null if none ever had. */
export async function standbyAgeMs(env: Environment): Promise<number | null> {
  const answer = await askCopies(env, "/age");
  if (!answer.ok || answer.value.status !== 200) return null;
  return (await answer.value.json<{ ageMs: number | null }>()).ageMs;
}

/** What is in a copy is of all pools. */
function allows(identity: Identity): Outcome<null, Problem> {
  if (permitsPool(identity, EVERY_POOL)) return ok(null);
  return refuse({ code: "pool-denied", detail: poolsAllowed(identity) });
}

async function askCopies(env: Environment, target: string): Promise<Outcome<Response, Problem>> {
  const { COPIES, COPIES_KEY = "" } = env;
  if (COPIES === undefined)
    return refuse({ code: "route-unknown", detail: "Only an edge on a machine of its own can be copied." });
  try {
    const headers = { authorization: `Bearer ${COPIES_KEY}` };
    return ok(await COPIES.fetch(`http://copies${target}`, { headers }));
  } catch {
    // The process beside this one is gone, or is being started.
    return refuse({ code: "control-plane-unavailable" });
  }
}

/** As it comes, with nothing of it kept here. */
function passedOn({ status, headers, body }: Response): Response {
  const kept = ["content-type", "cache-control", "proxy-status", "retry-after"];
  const passed = kept.flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  return new Response(body, { status, headers: Object.fromEntries(passed) });
}
