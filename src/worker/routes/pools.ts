/** `/v1/pools`: what pools there are, their settings, addresses and hosts. For administrators. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import type { EgressPool } from "../../../durable-objects/pool/egress-pool.ts";
import { permitsPool } from "../../core/identity.ts";
import {
  answerOf,
  ipSchema,
  nameSchema,
  poolHostSchema,
  poolIpSchema,
  poolSchema,
  refusals,
  refused,
  settingsSchema,
} from "../api-schemas.ts";
import { askControlPlane } from "../control-plane.ts";
import { placements } from "../edge-state.ts";
import type { Environment } from "../environment.ts";
import { authenticate, type EdgeContext, heldToPools } from "../middleware/authenticate.ts";

const security = [{ bearer: [] }];
const shared = { middleware: [authenticate("admin"), heldToPools], security };
const inPool = z.object({ pool: nameSchema });

const listPools = createRoute({
  middleware: authenticate("admin"),
  security,
  method: "get",
  path: "/v1/pools",
  summary: "Lists the pools that the token is good for",
  responses: {
    200: answerOf("Their names.", z.object({ pools: z.array(z.string()) })),
    ...refusals,
  },
});

const putPool = createRoute({
  ...shared,
  method: "put",
  path: "/v1/pools/{pool}",
  summary: "Makes a pool, or changes the settings that are given",
  request: {
    params: inPool,
    body: {
      content: {
        "application/json": { schema: z.strictObject({ settings: settingsSchema.partial().optional() }) },
      },
    },
  },
  responses: { 200: answerOf("The pool.", poolSchema), ...refusals },
});

const getPool = createRoute({
  ...shared,
  method: "get",
  path: "/v1/pools/{pool}",
  summary: "Shows a pool",
  request: { params: inPool },
  responses: { 200: answerOf("The pool.", poolSchema), ...refusals },
});

const listIps = createRoute({
  ...shared,
  method: "get",
  path: "/v1/pools/{pool}/ips",
  summary: "Lists the addresses of a pool",
  request: { params: inPool },
  responses: {
    200: answerOf("All its addresses.", z.object({ ips: z.array(poolIpSchema).readonly() })),
    ...refusals,
  },
});

const putIp = createRoute({
  ...shared,
  method: "put",
  path: "/v1/pools/{pool}/ips/{ip}",
  summary: "Adds an address to a pool, changes what it is advertised as, or takes its removal back",
  request: {
    params: z.object({ pool: nameSchema, ip: ipSchema }),
    body: {
      content: { "application/json": { schema: z.strictObject({ advertised: ipSchema.nullish() }) } },
    },
  },
  responses: { 200: answerOf("The pool.", poolSchema), ...refusals },
});

const deleteIp = createRoute({
  ...shared,
  method: "delete",
  path: "/v1/pools/{pool}/ips/{ip}",
  summary: "Removes an address from a pool: at once from use, and for good when no port of it is held",
  request: { params: z.object({ pool: nameSchema, ip: ipSchema }) },
  responses: {
    200: answerOf("The pool, in which the address is retiring or gone.", poolSchema),
    ...refusals,
  },
});

const listHosts = createRoute({
  ...shared,
  method: "get",
  path: "/v1/pools/{pool}/hosts",
  summary: "Lists the hosts of a pool",
  request: { params: inPool },
  responses: {
    200: answerOf("Every host that ever enlisted.", z.object({ hosts: z.array(poolHostSchema).readonly() })),
    ...refusals,
  },
});

/** Serves the routes of pools. */
export function servePools(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listPools, async (context) => {
    const catalogue = context.env.POOL_CATALOGUE.getByName(CATALOGUE_NAME);
    const pools = await askControlPlane(async () => catalogue.list());
    if (!pools.ok) return refused({ code: pools.refusal });
    const identity = context.get("identity");
    return context.json({ pools: pools.value.filter((pool) => permitsPool(identity, pool)) }, 200);
  });

  app.openapi(putPool, async (context) => {
    const { pool } = context.req.valid("param");
    const { settings } = context.req.valid("json");
    // In the catalogue first: a pool that is listed and not there yet does no harm.
    const catalogue = context.env.POOL_CATALOGUE.getByName(CATALOGUE_NAME);
    const added = await askControlPlane(async () => catalogue.add(pool));
    if (!added.ok) return refused({ code: added.refusal });
    const stub = poolStub(context.env, pool);
    const configured = await askControlPlane(async () => stub.configure(definedOnly(settings ?? {})));
    return configured.ok ? context.json(configured.value, 200) : refused({ code: configured.refusal });
  });

  app.openapi(getPool, async (context) => {
    const stub = poolStub(context.env, context.req.valid("param").pool);
    const answer = await askControlPlane(async () => stub.describe());
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });

  app.openapi(listIps, async (context) => {
    const stub = poolStub(context.env, context.req.valid("param").pool);
    const answer = await askControlPlane(async () => stub.describe());
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    return context.json({ ips: answer.value.value.ips }, 200);
  });

  app.openapi(putIp, async (context) => {
    const { pool, ip } = context.req.valid("param");
    const { advertised } = context.req.valid("json");
    const stub = poolStub(context.env, pool);
    const answer = await askControlPlane(async () => stub.addIp(ip, advertised ?? null));
    placements.doubt(pool);
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });

  app.openapi(deleteIp, async (context) => {
    const { pool, ip } = context.req.valid("param");
    const stub = poolStub(context.env, pool);
    const answer = await askControlPlane(async () => stub.removeIp(ip));
    placements.doubt(pool);
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });

  app.openapi(listHosts, async (context) => {
    const stub = poolStub(context.env, context.req.valid("param").pool);
    const answer = await askControlPlane(async () => stub.hosts());
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    return context.json({ hosts: answer.value.value }, 200);
  });
}

function poolStub(env: Environment, pool: string): DurableObjectStub<EgressPool> {
  return env.EGRESS_POOL.getByName(pool);
}

/** A member that is absent must stay absent: it says nothing, rather than "undefined". */
function definedOnly<Fields extends object>(
  fields: Fields,
): { [Key in keyof Fields]?: NonNullable<Fields[Key]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Fields]?: NonNullable<Fields[Key]>;
  };
}
