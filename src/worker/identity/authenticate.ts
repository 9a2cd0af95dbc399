/** Who sends a request, and whether their role may do this. [WK1] */
import type { MiddlewareHandler } from "hono";
import {
  type Identity,
  type IdentityRefusal,
  permitsPool,
  poolsAllowed,
  type Role,
} from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { bearerOf } from "../../wire/tokens.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { problem } from "../runtime/problem.ts";
import { accessCopy } from "./access-copy.ts";
import { edgeKeysOf, isKnownJoin, isTakenBack } from "./edge-keys.ts";

/** What the routes find in their context. */
export interface EdgeContext {
  Bindings: Environment;
  Variables: { identity: Identity };
}

/** The identity behind a token, from memory if it was verified before and nothing has changed since. */
export function identify(
  token: string | null,
  roles: readonly Role[],
  env: Environment,
  background: Background,
): Outcome<Identity, IdentityRefusal> | Promise<Outcome<Identity, IdentityRefusal>> {
  if (token === null) return refuse("token-missing");
  const isKnown = accessCopy.ensure(env, background);
  if (isKnown instanceof Promise) return isKnown.then((known) => judge(known, token, roles, env));
  return judge(isKnown, token, roles, env);
}

function judge(
  isAccessKnown: boolean,
  token: string,
  roles: readonly Role[],
  env: Environment,
): Outcome<Identity, IdentityRefusal> | Promise<Outcome<Identity, IdentityRefusal>> {
  if (!isAccessKnown) return refuse("control-plane-unavailable");
  const { verifier } = edgeKeysOf(env);
  const nowMs = Date.now();
  const recalled = verifier.recall(token, nowMs);
  if (recalled !== undefined && recalled.isJoined === undefined) return admit(recalled, roles);
  return verifier
    .verify(token, nowMs)
    .then((verified) => (verified.ok ? admitVerified(verified.value, roles, env) : verified));
}

/** A machine that has just joined may be known elsewhere already. [TK9] */
async function admitVerified(
  identity: Identity,
  roles: readonly Role[],
  env: Environment,
): Promise<Outcome<Identity, IdentityRefusal>> {
  if (identity.isJoined === undefined) return admit(identity, roles);
  if (!isKnownJoin(identity)) await accessCopy.reconsider(env);
  return isKnownJoin(identity) || isTakenBack(identity)
    ? admit(identity, roles)
    : refuse("token-signature-invalid");
}

function admit(identity: Identity, roles: readonly Role[]): Outcome<Identity, IdentityRefusal> {
  if (isTakenBack(identity)) return refuse("token-revoked");
  return roles.includes(identity.role) ? ok(identity) : refuse("role-denied");
}

/** The bearer token of a request that goes no further than the edge. */
export function tokenOf(headers: Headers): string | null {
  const own = headers.get(EGRESS_AUTHORIZATION);
  const standard = headers.get("authorization");
  if (own === null && standard === null) return null;
  // A header that is there but carries no bearer token is malformed, not missing.
  return bearerOf(own ?? standard) ?? "";
}

/** What is wrong with who asks, and what would be right. */
export function refusedIdentity(code: IdentityRefusal, roles: readonly Role[]): Problem {
  if (code === "token-missing") return { code, detail: "Send it as authorization: Bearer TOKEN." };
  return code === "role-denied" ? { code, detail: `It takes the role ${roles.join(" or ")}.` } : { code };
}

/** Lets only these roles pass. */
export function authenticate(...roles: readonly Role[]): MiddlewareHandler<EdgeContext> {
  return async (context, next) => {
    const identity = await identify(
      tokenOf(context.req.raw.headers),
      roles,
      context.env,
      context.executionCtx,
    );
    if (!identity.ok) return problem(refusedIdentity(identity.refusal, roles));
    context.set("identity", identity.value);
    await next();
  };
}

/** Lets only those pass whose token is good for the pool in the path. [ID6] */
export const heldToPools: MiddlewareHandler<EdgeContext> = async (context, next) => {
  const pool = context.req.param("pool");
  if (pool === undefined || !permitsPool(context.get("identity"), pool)) {
    return problem({ code: "pool-denied", detail: poolsAllowed(context.get("identity")) });
  }
  await next();
};
