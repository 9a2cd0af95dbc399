/** `/dashboard/session`: signing in to the dashboard, asking who one is, and signing out. [DA3] [DA4] [DA6] */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { base64url } from "jose";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import { type Identity, READING_ROLES } from "../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { newTokenId } from "../../wire/tokens.ts";
import { accessCopy, registerStub } from "../identity/access-copy.ts";
import { authenticate, type EdgeContext, identify, refusedIdentity } from "../identity/authenticate.ts";
import { edgeKeysOf } from "../identity/edge-keys.ts";
import { idOfCode, openByCode, sealSession, type Session } from "../identity/session-seal.ts";
import { cookieNameFor, cookieOf, isOfOwnPage, SESSION_MS, shownCookie } from "../identity/sessions.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import type { Environment } from "../runtime/environment.ts";
import { say } from "../runtime/log.ts";
import { problem } from "../runtime/problem.ts";

const PATH = "/dashboard/session";
const LONGEST_BODY = 32_768;
const signInSchema = z.union([
  z.strictObject({ token: z.string().min(1).max(16_384) }),
  z.strictObject({ code: z.string().min(1).max(256) }),
]);
const UNKEPT = { "cache-control": "no-store" };

/** Serves sessions. */
export function serveDashboardSession(app: OpenAPIHono<EdgeContext>): void {
  app.post(
    PATH,
    bodyLimit({
      maxSize: LONGEST_BODY,
      onError: () => problem({ code: "input-invalid", detail: "It is too long." }),
    }),
    async ({ req, env, executionCtx }) => {
      const request = req.raw;
      // Else another page could sign its visitors in as somebody else.
      if (!isOfOwnPage(request)) return problem({ code: "csrf-refused" });
      const wish = signInSchema.safeParse(await readJson(request));
      if (!wish.success) return problem({ code: "input-invalid", detail: "A token or a code is expected." });
      const token = "code" in wish.data ? await tokenUnder(wish.data.code, env) : ok(wish.data.token);
      if (!token.ok) return problem(token.refusal);
      const identity = await identify(token.value, READING_ROLES, env, executionCtx);
      if (!identity.ok) return problem(refusedIdentity(identity.refusal, READING_ROLES));
      const by = "code" in wish.data ? "code" : "token";
      return signedIn(request, token.value, identity.value, by, env);
    },
  );

  app.get(PATH, authenticate(...READING_ROLES), (context) => {
    const { session, identity } = context.var;
    const { csrf, endsAtMs } = session ?? { csrf: "", endsAtMs: identity.expiresAtMs };
    return context.json(shown(identity, { csrf, endsAtMs }), 200, UNKEPT);
  });

  app.delete(PATH, authenticate(...READING_ROLES), async (context) => {
    const { session, identity } = context.var;
    if (session === null) return problem({ code: "session-ended", detail: "A token has no session." });
    const { subject, pools } = identity;
    const ended = await askControlPlane(async () =>
      registerStub(context.env).endSession({ name: subject, pools }, session.id, session.endsAtMs),
    );
    accessCopy.forget();
    say("info", "somebody signed out of the dashboard", { subject, session: session.id });
    // This browser forgets it in any case.
    const name = shownCookie(context.req.raw)?.name ?? cookieNameFor(context.req.raw);
    const headers = { ...UNKEPT, "set-cookie": cookieOf(name, null) };
    if (!ended.ok) return problem({ code: ended.refusal }, headers);
    return ended.value.ok ? context.json({}, 200, headers) : problem({ code: ended.value.refusal }, headers);
  });
}

async function signedIn(
  request: Request,
  token: string,
  identity: Identity,
  by: "code" | "token",
  env: Environment,
): Promise<Response> {
  const nowMs = Date.now();
  const key = edgeKeysOf(env).signingKey(nowMs);
  if (key === null) throw new Error("EDGE_KEY is not set");
  // A cookie and a token end on full seconds.
  const endsAtMs = Math.floor(Math.min(nowMs + SESSION_MS, identity.expiresAtMs) / 1_000) * 1_000;
  const csrf = base64url.encode(crypto.getRandomValues(new Uint8Array(18)));
  const session: Session = { id: newTokenId(), token, csrf, endsAtMs };
  const name = cookieNameFor(request);
  const sealed = await sealSession(session, name, key);
  if (sealed === null) {
    const detail =
      "The token names too much to fit into a cookie: make one for fewer pools, or for every pool.";
    return problem({ code: "input-invalid", detail });
  }
  const { subject, role } = identity;
  say("info", "somebody signed in to the dashboard", { subject, role, session: session.id, by });
  const cookie = cookieOf(name, sealed, endsAtMs - nowMs);
  return Response.json(shown(identity, session), { headers: { ...UNKEPT, "set-cookie": cookie } });
}

function shown({ subject, role, pools }: Identity, { csrf, endsAtMs }: Pick<Session, "csrf" | "endsAtMs">) {
  return { subject, role, pools, endsAt: new Date(endsAtMs).toISOString(), csrf };
}

/** What was sealed under a code; the register gives it away once. */
async function tokenUnder(code: string, env: Environment): Promise<Outcome<string, Problem>> {
  const id = await idOfCode(code);
  const taken = await askControlPlane(async () => registerStub(env).takeSignIn(id));
  if (!taken.ok) return refuse({ code: taken.refusal });
  const token = taken.value === null ? null : await openByCode(code, taken.value);
  return token === null ? refuse({ code: "sign-in-code-invalid" }) : ok(token);
}

async function readJson(request: Request): Promise<unknown> {
  if (request.headers.get("content-type")?.split(";")[0] !== "application/json") return null;
  try {
    return await request.json();
  } catch {
    return null;
  }
}
