/**
 * `/v1/joins`, `/v1/join` and `/v1/renewals`: how a machine becomes a host or a router by one command, and
 * stays one. What it gets is signed by the edge, and counts only while the register knows it. [TK9] [TK10]
 */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { JWK } from "jose";
import type { z } from "zod";
import type { Joined } from "../../../durable-objects/register/register-service.ts";
import { DEFAULT_JOIN_MS, type joinedSchema } from "../../api/access-schemas.ts";
import { ROUTES } from "../../api/routes.ts";
import { poolsAllowed } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { arePermitted } from "../../core/revocation.ts";
import { signToken } from "../../wire/tokens.ts";
import { accessCopy, registerStub } from "../identity/access-copy.ts";
import { administration, authenticate, type EdgeContext } from "../identity/authenticate.ts";
import { edgeKeysOf } from "../identity/edge-keys.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { refused } from "../runtime/problem.ts";

const security = [{ bearer: [] }];
const listJoins = createRoute({ ...ROUTES.listJoins, middleware: administration(), security });
const offerJoin = createRoute({ ...ROUTES.offerJoin, middleware: administration(), security });
const join = createRoute({ ...ROUTES.join, middleware: authenticate("join"), security });
const renewJoined = createRoute({
  ...ROUTES.renewJoined,
  middleware: authenticate("host", "router"),
  security,
});

/** Serves the routes of joins. */
export function serveJoins(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listJoins, async (context) => {
    const { pools } = context.get("identity");
    const joins = await askControlPlane(async () => registerStub(context.env).joins(pools));
    return joins.ok ? context.json({ joins: joins.value }, 200) : refused({ code: joins.refusal });
  });

  app.openapi(offerJoin, async (context) => {
    const { env } = context;
    const administrator = context.get("identity");
    const { role, name, pools, ttlMs = DEFAULT_JOIN_MS } = context.req.valid("json");
    if (!arePermitted(pools, administrator.pools))
      return refused({ code: "pool-denied", detail: poolsAllowed(administrator) });
    const key = signingKey(env);
    const by = { name: administrator.subject, pools: administrator.pools };
    const author = changeAuthor(context, "offerJoin", { role, name, pools, ttlMs });
    const offered = await askControlPlane(async () =>
      registerStub(env).offerJoin(by, { role, name, pools, ttlMs }, author),
    );
    if (!offered.ok) return refused({ code: offered.refusal });
    if (!offered.value.ok) return refused({ code: offered.value.refusal });
    const made = offered.value.value;
    const identity = {
      role: "join",
      subject: name,
      pools,
      tokenId: made.id,
      expiresAtMs: made.endsAtMs,
    } as const;
    return context.json({ join: made, token: await signToken(identity, key) }, 200, {
      "cache-control": "no-store",
    });
  });

  app.openapi(join, async (context) => {
    const { env } = context;
    const { tokenId } = context.get("identity");
    const { proof } = context.req.valid("json");
    if (tokenId === undefined) return refused({ code: "token-malformed" });
    const joined = await askControlPlane(async () => registerStub(env).join(tokenId, proof));
    const answer = joined.ok ? await signed(joined.value, env) : joined;
    return answer.ok
      ? context.json(answer.value, 200, { "cache-control": "no-store" })
      : refused({ code: answer.refusal });
  });

  app.openapi(renewJoined, async (context) => {
    const { env } = context;
    const { isJoined, tokenId } = context.get("identity");
    if (isJoined === undefined || tokenId === undefined) {
      return refused({ code: "token-unknown", detail: "Only what was had by a join is renewed." });
    }
    const renewed = await askControlPlane(async () => registerStub(env).renew(tokenId));
    const answer = renewed.ok ? await signed(renewed.value, env) : renewed;
    return answer.ok
      ? context.json(answer.value, 200, { "cache-control": "no-store" })
      : refused({ code: answer.refusal });
  });
}

async function signed<Refusal>(
  joined: Outcome<Joined, Refusal>,
  env: Environment,
): Promise<Outcome<z.infer<typeof joinedSchema>, Refusal>> {
  if (!joined.ok) return refuse(joined.refusal);
  const { id, name, pools, endsAtMs } = joined.value;
  const role = joined.value.role as "host" | "router";
  const identity = { role, subject: name, pools, tokenId: id, expiresAtMs: endsAtMs };
  const token = await signToken(identity, signingKey(env));
  // Its machine uses it at once.
  accessCopy.forget();
  return ok({ token, role, name, pools, endsAtMs });
}

function signingKey(env: Environment): JWK {
  const key = edgeKeysOf(env).signingKey(Date.now());
  if (key === null) throw new Error("EDGE_KEY is not set");
  return key;
}
