/**
 * Who sends a request, and whether their role may do this. [WK1]
 *
 * Administrators and viewers may show the session of a browser instead of a token. A token that is shown counts
 * alone, whatever cookie is beside it. [DA3]
 */
import type { MiddlewareHandler } from "hono";
import {
  type Identity,
  type IdentityRefusal,
  permitsPool,
  poolsAllowed,
  READING_ROLES,
  type Role,
} from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { bearerOf } from "../../wire/tokens.ts";
import type { Background, Environment } from "../runtime/environment.ts";
import { problem } from "../runtime/problem.ts";
import { accessCopy } from "./access-copy.ts";
import { edgeKeysOf, isKnownJoin, isSessionOver, isTakenBack } from "./edge-keys.ts";
import type { Session } from "./session-seal.ts";
import {
  areForSessions,
  objectionToPage,
  readSession,
  type SessionRefusal,
  shownCookie,
} from "./sessions.ts";

/** What the routes find in their context. */
export interface EdgeContext {
  Bindings: Environment;
  Variables: {
    identity: Identity;
    /** That was verified; of a session the one that is sealed in it. */
    token: string;
    /** Null for who showed a token. */
    session: Session | null;
  };
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
export function refusedIdentity(code: IdentityRefusal | SessionRefusal, roles: readonly Role[]): Problem {
  if (code === "token-missing") return { code, detail: "Send it as authorization: Bearer TOKEN." };
  return code === "role-denied" ? { code, detail: `It takes the role ${roles.join(" or ")}.` } : { code };
}

interface Proven {
  readonly identity: Identity;
  readonly token: string;
  readonly session: Session | null;
}

/** Who asks: by the token that is shown, or else by the session, where the roles are for sessions. */
async function prove(
  request: Request,
  roles: readonly Role[],
  env: Environment,
  background: Background,
): Promise<Outcome<Proven, IdentityRefusal | SessionRefusal>> {
  const token = tokenOf(request.headers);
  if (token === null && areForSessions(roles)) {
    const cookie = shownCookie(request);
    if (cookie !== null) return proveBySession(request, cookie, roles, env, background);
  }
  const identity = await identify(token, roles, env, background);
  return identity.ok ? ok({ identity: identity.value, token: token!, session: null }) : identity;
}

async function proveBySession(
  request: Request,
  cookie: { readonly name: string; readonly sealed: string },
  roles: readonly Role[],
  env: Environment,
  background: Background,
): Promise<Outcome<Proven, IdentityRefusal | SessionRefusal>> {
  // By the keys that the register has brought in, too.
  if (!(await accessCopy.ensure(env, background))) return refuse("control-plane-unavailable");
  const session = await readSession(cookie, env);
  if (session === null) return refuse("session-ended");
  const objection = await objectionToPage(request, session, cookie.name);
  if (objection !== null) return refuse(objection);
  const identity = await identify(session.token, READING_ROLES, env, background);
  if (!identity.ok) return identity;
  if (isSessionOver(session.id, identity.value)) return refuse("session-ended");
  if (!roles.includes(identity.value.role)) return refuse("role-denied");
  return ok({ identity: identity.value, token: session.token, session });
}

/** Lets only these roles pass. */
export function authenticate(...roles: readonly Role[]): MiddlewareHandler<EdgeContext> {
  return letPass(() => roles, prove);
}

/** Lets only these roles pass, by a token that is shown and by no session. [DA4] */
export function authenticateByToken(...roles: readonly Role[]): MiddlewareHandler<EdgeContext> {
  return letPass(
    () => roles,
    async ({ headers }, wanted, env, background) => {
      const token = tokenOf(headers);
      const identity = await identify(token, wanted, env, background);
      return identity.ok ? ok({ identity: identity.value, token: token!, session: null }) : identity;
    },
  );
}

/** Lets administrators pass, these others, and whoever only reads if nothing else is asked for. [DA2] */
export function administration(...others: readonly Role[]): MiddlewareHandler<EdgeContext> {
  const changing: readonly Role[] = ["admin", ...others];
  const reading: readonly Role[] = [...READING_ROLES, ...others];
  return letPass((method) => (method === "GET" || method === "HEAD" ? reading : changing), prove);
}

function letPass(
  rolesFor: (method: string) => readonly Role[],
  how: typeof prove,
): MiddlewareHandler<EdgeContext> {
  return async (context, next) => {
    const request = context.req.raw;
    const roles = rolesFor(request.method);
    const proven = await how(request, roles, context.env, context.executionCtx);
    if (!proven.ok) return problem(refusedIdentity(proven.refusal, roles));
    const { identity, token, session } = proven.value;
    context.set("identity", identity);
    context.set("token", token);
    context.set("session", session);
    await next();
    // A browser may keep what nothing is said of; and of an upgrade nothing can be said any more.
    const { status, headers } = context.res;
    if (session !== null && status !== 101 && !headers.has("cache-control"))
      headers.set("cache-control", "no-store");
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
