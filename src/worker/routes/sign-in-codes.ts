/** `/v1/sign-in-codes`: a code by which a browser signs in to the dashboard, once. [DA4] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import { READING_ROLES } from "../../core/identity.ts";
import { registerStub } from "../identity/access-copy.ts";
import { authenticateByToken, type EdgeContext } from "../identity/authenticate.ts";
import { sealUnderCode } from "../identity/session-seal.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { say } from "../runtime/log.ts";
import { refused } from "../runtime/problem.ts";

/** How long a code is good for. */
export const CODE_MS = 300_000;

const makeSignInCode = createRoute({
  ...ROUTES.makeSignInCode,
  // By no session: one that is stolen must not make others, which would outlive it.
  middleware: authenticateByToken(...READING_ROLES),
  security: [{ bearer: [] }],
});

/** Serves the route. */
export function serveSignInCodes(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(makeSignInCode, async (context) => {
    const { identity, token, env } = { ...context.var, env: context.env };
    const { code, id, sealed } = await sealUnderCode(token);
    const endsAtMs = Math.min(Date.now() + CODE_MS, identity.expiresAtMs);
    const madeBy = identity.subject;
    const kept = await askControlPlane(async () =>
      registerStub(env).keepSignIn({ id, sealed, endsAtMs, madeBy }),
    );
    if (!kept.ok) return refused({ code: kept.refusal });
    if (!kept.value.ok) return refused({ code: kept.value.refusal });
    say("info", "a sign-in code was made for the dashboard", { subject: madeBy, tokenId: identity.tokenId });
    const answer = { code, endsAt: new Date(endsAtMs).toISOString() };
    return context.json(answer, 200, { "cache-control": "no-store" });
  });
}
