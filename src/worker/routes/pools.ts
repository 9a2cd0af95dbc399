/** `/v1/pools`: what pools there are, their settings, addresses and hosts. For administrators. */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { CATALOGUE_NAME } from "../../../durable-objects/bindings.ts";
import type { EgressPool } from "../../../durable-objects/pool/egress-pool.ts";
import { ROUTES } from "../../api/routes.ts";
import { permitsPool } from "../../core/identity.ts";
import { facts, placements } from "../hosts/edge-state.ts";
import { registerStub } from "../identity/access-copy.ts";
import { administration, type EdgeContext, heldToPools } from "../identity/authenticate.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { refused } from "../runtime/problem.ts";

const security = [{ bearer: [] }];
const ofPool = { middleware: [administration(), heldToPools], security };

const listPools = createRoute({ ...ROUTES.listPools, middleware: administration(), security });
const putPool = createRoute({ ...ROUTES.putPool, ...ofPool });
const getPool = createRoute({ ...ROUTES.getPool, ...ofPool });
const listIps = createRoute({ ...ROUTES.listIps, ...ofPool });
const putIp = createRoute({ ...ROUTES.putIp, ...ofPool });
const deleteIp = createRoute({ ...ROUTES.deleteIp, ...ofPool });
const listHosts = createRoute({ ...ROUTES.listHosts, ...ofPool });

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
    const stub = poolStub(context.env, pool);
    const changes = definedOnly(settings ?? {});
    const by = changeAuthor(context, "putPool", { pool, settings: changes });
    // Before anything is made: a pool that is listed and can never be would be in everybody's way. [ME8]
    const sense = await askControlPlane(async () => stub.settingsRefusal(changes, by));
    if (!sense.ok) return refused({ code: sense.refusal });
    if (sense.value !== null) return refused(sense.value);
    // In the catalogue first: a pool that is listed and not there yet does no harm. Of what is published
    // it may list more than is, for the pool itself decides. [PF1]
    const catalogue = context.env.POOL_CATALOGUE.getByName(CATALOGUE_NAME);
    const added = await askControlPlane(async () => catalogue.add(pool, settings?.published === true));
    if (!added.ok) return refused({ code: added.refusal });
    const configured = await askControlPlane(async () => stub.configure(changes, by));
    facts.doubt();
    if (!configured.ok) return refused({ code: configured.refusal });
    const outcome = configured.value;
    if (settings?.published === false) await askControlPlane(async () => catalogue.unpublish(pool));
    // What was revoked before there was the pool. It is told of all that comes later by itself.
    if (outcome.ok) context.executionCtx.waitUntil(tellRevocations(context.env, pool));
    if (outcome.ok) return context.json(outcome.value, 200);
    const { refusal } = outcome;
    return refused(typeof refusal === "string" ? { code: refusal } : refusal);
  });

  app.openapi(getPool, async (context) => {
    const stub = poolStub(context.env, context.req.valid("param").pool);
    const answer = await askControlPlane(async () => stub.describe());
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });

  serveIpsOfPools(app);

  app.openapi(listHosts, async (context) => {
    const stub = poolStub(context.env, context.req.valid("param").pool);
    const answer = await askControlPlane(async () => stub.hosts());
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    return context.json({ hosts: answer.value.value }, 200);
  });
}

function serveIpsOfPools(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listIps, async (context) => {
    const stub = poolStub(context.env, context.req.valid("param").pool);
    const answer = await askControlPlane(async () => stub.describe());
    if (!answer.ok) return refused({ code: answer.refusal });
    if (!answer.value.ok) return refused({ code: answer.value.refusal });
    return context.json({ ips: answer.value.value.ips }, 200);
  });

  app.openapi(putIp, async (context) => {
    const { pool, ip } = context.req.valid("param");
    const changes = context.req.valid("json");
    const stub = poolStub(context.env, pool);
    const by = changeAuthor(context, "putIp", { pool, ip, ...changes });
    const answer = await askControlPlane(async () => stub.addIp(ip, changes, by));
    placements.doubt(pool);
    facts.doubt();
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });

  app.openapi(deleteIp, async (context) => {
    const { pool, ip } = context.req.valid("param");
    const stub = poolStub(context.env, pool);
    const by = changeAuthor(context, "deleteIp", { pool, ip });
    const answer = await askControlPlane(async () => stub.removeIp(ip, by));
    placements.doubt(pool);
    facts.doubt();
    if (!answer.ok) return refused({ code: answer.refusal });
    return answer.value.ok ? context.json(answer.value.value, 200) : refused({ code: answer.value.refusal });
  });
}

function poolStub(env: Environment, pool: string): DurableObjectStub<EgressPool> {
  return env.EGRESS_POOL.getByName(pool);
}

async function tellRevocations(env: Environment, pool: string): Promise<void> {
  await askControlPlane(async () => registerStub(env).poolMade(pool));
}

/** Drops members that are undefined: an absent member must stay absent. */
function definedOnly<Fields extends object>(
  fields: Fields,
): { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Fields]?: Exclude<Fields[Key], undefined>;
  };
}
