/** `/v1/pools/{pool}/policy` and its tenants. For administrators; its hosts read it. [PY2] [PY3] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { z } from "zod";
import { ROUTES } from "../../api/routes.ts";
import type { tenantSchema } from "../../api/policy-schemas.ts";
import type { Outcome } from "../../core/outcome.ts";
import { type PoolPolicy, tenantPolicyOf } from "../../core/pool-policy.ts";
import type { ProblemCode } from "../../core/problems.ts";
import { policyCopies } from "../hosts/edge-state.ts";
import { administration, type EdgeContext, heldToPools } from "../identity/authenticate.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { refused } from "../runtime/problem.ts";

const security = [{ bearer: [] }];
const ofPool = { middleware: [administration(), heldToPools], security };
const ofHosts = { middleware: [administration("host"), heldToPools], security };

const getPolicy = createRoute({ ...ROUTES.getPolicy, ...ofHosts });
const putPolicy = createRoute({ ...ROUTES.putPolicy, ...ofPool });
const listTenants = createRoute({ ...ROUTES.listTenants, ...ofPool });
const getTenant = createRoute({ ...ROUTES.getTenant, ...ofPool });
const putTenant = createRoute({ ...ROUTES.putTenant, ...ofPool });
const deleteTenant = createRoute({ ...ROUTES.deleteTenant, ...ofPool });

/** Serves the routes of policies. */
export function servePolicies(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(getPolicy, async (context) => {
    const { pool } = context.req.valid("param");
    const { version } = context.req.valid("query");
    const known = version === undefined ? undefined : policyCopies.recall(pool, version);
    if (known !== undefined) return policyReply(known);
    const policy = await of(context.env, pool, (stub) => stub.policy());
    if (!policy.ok) return refused({ code: policy.refusal });
    const text = JSON.stringify(policy.value);
    policyCopies.keep(pool, policy.value.version, text);
    return policyReply(text);
  });

  app.openapi(putPolicy, async (context) => {
    const { pool } = context.req.valid("param");
    const { version = null, ...changes } = context.req.valid("json");
    const by = changeAuthor(context, "putPolicy", { pool, ...context.req.valid("json") });
    const policy = await of(context.env, pool, (stub) => stub.changePolicy(changes, version, by));
    return policy.ok ? policyReply(JSON.stringify(policy.value)) : refused({ code: policy.refusal });
  });

  app.openapi(listTenants, async (context) => {
    const answer = await of(context.env, context.req.valid("param").pool, (stub) => stub.policy());
    if (!answer.ok) return refused({ code: answer.refusal });
    const { version, anyTenant, tenants } = answer.value;
    const named = Object.entries(tenants).map(([tenant, policy]) => ({ tenant, policy }));
    return context.json({ version, anyTenant, tenants: named.toSorted(byName) }, 200);
  });

  app.openapi(getTenant, async (context) => {
    const { pool, tenant } = context.req.valid("param");
    const policy = await of(context.env, pool, (stub) => stub.policy());
    return policy.ok ? context.json(shown(policy.value, tenant), 200) : refused({ code: policy.refusal });
  });

  app.openapi(putTenant, async (context) => {
    const { pool, tenant } = context.req.valid("param");
    const { version = null, ...changes } = context.req.valid("json");
    const by = changeAuthor(context, "putTenant", { pool, tenant, ...context.req.valid("json") });
    const policy = await of(context.env, pool, (stub) => stub.putTenant(tenant, changes, version, by));
    return policy.ok ? context.json(shown(policy.value, tenant), 200) : refused({ code: policy.refusal });
  });

  app.openapi(deleteTenant, async (context) => {
    const { pool, tenant } = context.req.valid("param");
    const by = changeAuthor(context, "deleteTenant", { pool, tenant });
    const policy = await of(context.env, pool, (stub) => stub.removeTenant(tenant, by));
    return policy.ok ? context.json(shown(policy.value, tenant), 200) : refused({ code: policy.refusal });
  });
}

type PoolStub = ReturnType<Environment["EGRESS_POOL"]["getByName"]>;

async function of<Refusal extends ProblemCode>(
  env: Environment,
  pool: string,
  ask: (stub: PoolStub) => Promise<Outcome<PoolPolicy, Refusal>>,
): Promise<Outcome<PoolPolicy, Refusal | "control-plane-unavailable">> {
  const answer = await askControlPlane(() => ask(env.EGRESS_POOL.getByName(pool)));
  return answer.ok ? answer.value : answer;
}

/** As text: a thousand hosts that come for one policy do not have it made a thousand times. */
function policyReply(text: string): ReturnType<typeof refused> {
  const headers = { "content-type": "application/json" };
  return new Response(text, { headers }) as ReturnType<typeof refused>;
}

function shown(policy: PoolPolicy, tenant: string): z.infer<typeof tenantSchema> {
  const named = Object.hasOwn(policy.tenants, tenant);
  return { tenant, version: policy.version, policy: tenantPolicyOf(policy, tenant), named };
}

function byName(a: { readonly tenant: string }, b: { readonly tenant: string }): number {
  return a.tenant < b.tenant ? -1 : 1;
}
