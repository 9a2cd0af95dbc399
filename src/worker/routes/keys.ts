/** `/v1/keys` and `/v1/edge-keys`: by which keys tokens count. For administrators of every pool. [TK7] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { JWK } from "jose";
import type { z } from "zod";
import type { ListedKey } from "../../../durable-objects/register/key-store.ts";
import type { keysSchema } from "../../api/access-schemas.ts";
import { ROUTES } from "../../api/routes.ts";
import { EVERY_POOL, poolsAllowed } from "../../core/identity.ts";
import { kindOf } from "../../wire/keys.ts";
import { kidOf } from "../../wire/tokens.ts";
import { accessCopy, registerStub, USABLE_MS } from "../identity/access-copy.ts";
import { administration, type EdgeContext } from "../identity/authenticate.ts";
import { edgeKeysOf } from "../identity/edge-keys.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { problem, refused } from "../runtime/problem.ts";

/** Hosts fetch keys every five minutes; one that just missed a key fetches it again by then. */
const DEFAULT_SIGNS_IN_MS = 600_000;
/** Until what was asked with an old copy has been answered. */
const IN_FLIGHT_MS = 1_000;

/** Keys are of all pools alike. */
const ofEveryPool: MiddlewareHandler<EdgeContext> = async (context, next) => {
  const identity = context.get("identity");
  if (!identity.pools.includes(EVERY_POOL)) {
    return problem({ code: "pool-denied", detail: `Keys are of every pool. ${poolsAllowed(identity)}` });
  }
  await next();
};

const ofOperator = { middleware: [administration(), ofEveryPool], security: [{ bearer: [] }] };
const listKeys = createRoute({ ...ROUTES.listKeys, ...ofOperator });
const addIssuerKey = createRoute({ ...ROUTES.addIssuerKey, ...ofOperator });
const rotateEdgeKey = createRoute({ ...ROUTES.rotateEdgeKey, ...ofOperator });
const retireKey = createRoute({ ...ROUTES.retireKey, ...ofOperator });

/** Serves the routes of keys. */
export function serveKeys(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listKeys, async (context) => {
    const { env, executionCtx } = context;
    const keys = await askControlPlane(async () => registerStub(env).keys());
    if (!keys.ok) return refused({ code: keys.refusal });
    return context.json(await keysNow(keys.value, env, executionCtx), 200);
  });

  app.openapi(addIssuerKey, async (context) => {
    const { env, executionCtx } = context;
    const { key } = context.req.valid("json");
    const by = context.get("identity").subject;
    if (!(await isKey(key as JWK)))
      return refused({ code: "input-invalid", detail: "That is no point of Ed25519." });
    const author = changeAuthor(context, "addIssuerKey", { key });
    const keys = await askControlPlane(async () => registerStub(env).addIssuer(key as JWK, by, author));
    if (!keys.ok) return refused({ code: keys.refusal });
    if (!keys.value.ok) return refused({ code: keys.value.refusal });
    return context.json(await keysNow(keys.value.value, env, executionCtx), 200);
  });

  app.openapi(rotateEdgeKey, async (context) => {
    const { env, executionCtx } = context;
    const { signsInMs = DEFAULT_SIGNS_IN_MS } = context.req.valid("json");
    const by = context.get("identity").subject;
    const author = changeAuthor(context, "rotateEdgeKey", { signsInMs });
    const keys = await askControlPlane(async () => registerStub(env).rotateEdge(signsInMs, by, author));
    if (!keys.ok) return refused({ code: keys.refusal });
    if (!keys.value.ok) return refused({ code: keys.value.refusal });
    return context.json(await keysNow(keys.value.value, env, executionCtx), 200);
  });

  app.openapi(retireKey, async (context) => {
    const { env, executionCtx } = context;
    const { kid } = context.req.valid("param");
    const { published, signingKey } = edgeKeysOf(env);
    const kind = kindOf(kid);
    if (kind === null || !published.keys.some((key) => key.kid === kid))
      return refused({ code: "key-unknown" });
    // Whoever asks for this must not be locked out by it, nor the edge be left without a key.
    const own = kidOf(context.get("token"));
    if (kid === own || kid === signingKey(Date.now())?.kid) return refused({ code: "key-in-use" });
    const by = context.get("identity").subject;
    const author = changeAuthor(context, "retireKey", { kid });
    const keys = await askControlPlane(async () => registerStub(env).retireKey(kid, kind, by, author));
    if (!keys.ok) return refused({ code: keys.refusal });
    return context.json(await keysNow(keys.value, env, executionCtx), 200);
  });
}

async function isKey({ kty, crv, x }: JWK): Promise<boolean> {
  try {
    // Platforms disagree on what else may be said of it.
    const key = { kty, crv, x } as JsonWebKey;
    await crypto.subtle.importKey("jwk", key, "Ed25519", false, ["verify"]);
    return true;
  } catch {
    return false;
  }
}

/** All keys as this isolate has them, after it has asked anew. */
async function keysNow(
  listed: readonly ListedKey[],
  env: Environment,
  background: Background,
): Promise<z.infer<typeof keysSchema>> {
  accessCopy.forget();
  await accessCopy.ensure(env, background);
  const { published, signingKey } = edgeKeysOf(env);
  const nowMs = Date.now();
  const signing = signingKey(nowMs)?.kid;
  const kids = [...new Set([...published.keys.map(({ kid }) => kid!), ...listed.map(({ kid }) => kid)])];
  const keys = kids.map((kid) => {
    const known = listed.find((key) => key.kid === kid);
    return {
      kid,
      kind: kindOf(kid)!,
      isTrusted: published.keys.some((key) => key.kid === kid),
      isSigning: kid === signing,
      source:
        known === undefined || known.addedAtMs === null ? ("environment" as const) : ("register" as const),
      addedAtMs: known?.addedAtMs ?? null,
      addedBy: known?.addedBy ?? null,
      signsFromMs: known?.signsFromMs ?? null,
      retiredAtMs: known?.retiredAtMs ?? null,
      retiredBy: known?.retiredBy ?? null,
    };
  });
  return { keys, everywhereAtMs: nowMs + USABLE_MS + IN_FLIGHT_MS };
}
