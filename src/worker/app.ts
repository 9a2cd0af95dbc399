/**
 * Everything the edge serves besides the egress API: health, public keys, administration,
 * gateway tokens and the connections of hosts. Whatever goes wrong is a problem document.
 */
import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import { HTTPException } from "hono/http-exception";
import type { Context } from "hono";
import { ROUTES } from "../api/routes.ts";
import { permitsPool, type Role } from "../core/identity.ts";
import { accessCopy } from "./identity/access-copy.ts";
import {
  administration,
  authenticate,
  type EdgeContext,
  identify,
  refusedIdentity,
  tokenOf,
} from "./identity/authenticate.ts";
import { edgeKeysOf } from "./identity/edge-keys.ts";
import { serveAudit } from "./routes/audit.ts";
import { serveCopies } from "./routes/copies.ts";
import { serveDashboardLive } from "./routes/dashboard-live.ts";
import { serveDashboardPast } from "./routes/dashboard-past.ts";
import { serveDashboardPage } from "./routes/dashboard-page.ts";
import { serveDashboardSession } from "./routes/dashboard-session.ts";
import { serveDashboardTry } from "./routes/dashboard-try.ts";
import { serveDrains } from "./routes/drains.ts";
import { serveEgressFacts } from "./routes/egress-facts.ts";
import { serveEvents } from "./routes/events.ts";
import { serveGatewayTokens } from "./routes/gateway-tokens.ts";
import { serveHolders } from "./routes/holders.ts";
import { serveHosts } from "./routes/hosts.ts";
import { serveIps } from "./routes/ips.ts";
import { serveMetrics } from "./routes/metrics.ts";
import { servePeerWebSockets } from "./routes/peer-websockets.ts";
import { serveJoins } from "./routes/joins.ts";
import { serveKeys } from "./routes/keys.ts";
import { servePolicies } from "./routes/policies.ts";
import { servePools } from "./routes/pools.ts";
import { serveSignInCodes } from "./routes/sign-in-codes.ts";
import { serveTokens } from "./routes/tokens.ts";
import { edgeCounters, handedOverOf } from "./runtime/control-plane.ts";
import { faultProblem, problem } from "./runtime/problem.ts";

const EVERYBODY: readonly Role[] = ["client", "host", "router", "admin", "viewer"];
const METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE"] as const;

const getEdge = createRoute({
  ...ROUTES.getEdge,
  middleware: administration(),
  security: [{ bearer: [] }],
});

/** The router of the edge. */
export const app = new OpenAPIHono<EdgeContext>({
  defaultHook: (result) => {
    if (result.success) return;
    const [issue] = result.error.issues;
    const at = issue?.path.join(".") ?? "";
    return problem({
      code: "input-invalid",
      detail: at === "" ? (issue?.message ?? "") : `${at}: ${issue?.message}`,
    });
  },
});

app.get("/health", (context) => context.json({ status: "ok" }));
app.get("/.well-known/jwks.json", async (context) => {
  if (!(await accessCopy.ensure(context.env, context.executionCtx))) {
    return problem({ code: "control-plane-unavailable" });
  }
  const { published } = edgeKeysOf(context.env);
  return context.json(published, 200, { "cache-control": "public, max-age=60" });
});
app.openapi(getEdge, (context) => {
  const identity = context.get("identity");
  const own = [...handedOverOf].filter(([pool]) => permitsPool(identity, pool));
  const isWhole = context.env.SELF_HOSTED !== undefined;
  return context.json({ ...edgeCounters, handedOverOf: Object.fromEntries(own), isWhole }, 200);
});
serveEgressFacts(app);
servePools(app);
servePolicies(app);
serveIps(app);
serveHolders(app);
serveHosts(app);
serveDrains(app);
serveAudit(app);
serveEvents(app);
serveCopies(app);
serveGatewayTokens(app);
serveTokens(app);
serveKeys(app);
serveJoins(app);
serveMetrics(app);
servePeerWebSockets(app);
serveSignInCodes(app);
serveDashboardPage(app);
serveDashboardSession(app);
serveDashboardLive(app);
serveDashboardTry(app);
serveDashboardPast(app);

app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
app.use("/openapi.json", authenticate(...EVERYBODY));
app.doc31("/openapi.json", { openapi: "3.1.0", info: { title: "ipshard edge", version: "1" } });

// Without a valid token a client does not learn which paths exist. [WK1]
app.notFound(async (context) => {
  const identity = await identify(
    tokenOf(context.req.raw.headers),
    EVERYBODY,
    context.env,
    context.executionCtx,
  );
  if (!identity.ok) return problem(refusedIdentity(identity.refusal, EVERYBODY));
  const allowed = METHODS.filter((method) => isServed(context, method));
  if (allowed.length === 0) {
    return problem({
      code: "route-unknown",
      detail: "Requests go to /v1/fetch; all else is in /openapi.json.",
    });
  }
  return problem({ code: "method-unsupported" }, { allow: allowed.join(", ") });
});

app.onError((fault) => {
  // The validator throws on JSON it cannot read, and on a body that calls itself something else;
  // that is the client's doing.
  if (fault instanceof HTTPException && fault.status < 500) {
    const detail = fault.status === 415 ? "Send it with content-type: application/json." : fault.message;
    return problem({ code: "input-invalid", detail });
  }
  return faultProblem(fault);
});

/** Whether a path is served with this method; middleware for all methods does not count. */
function isServed(context: Context<EdgeContext>, method: string): boolean {
  const [handlers] = app.router.match(method, context.req.path);
  return handlers.some(([[, route]]) => route.method === method);
}
