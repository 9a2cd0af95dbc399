/** `/v1/tokens` and `/v1/revocations`: tokens that were issued, and their end before time. [TK4] [TK5] */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { ROUTES } from "../../api/routes.ts";
import { arePermitted } from "../../core/revocation.ts";
import { accessCopy, registerStub } from "../identity/access-copy.ts";
import { administration, type EdgeContext, identify } from "../identity/authenticate.ts";
import { ISSUED_ROLES, poolsAllowed } from "../../core/identity.ts";
import { kidOf } from "../../wire/tokens.ts";
import { changeAuthor } from "./change-author.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { refused } from "../runtime/problem.ts";

const ofAdministrator = { middleware: administration(), security: [{ bearer: [] }] };
const listTokens = createRoute({ ...ROUTES.listTokens, ...ofAdministrator });
const registerToken = createRoute({ ...ROUTES.registerToken, ...ofAdministrator });
const revokeTokens = createRoute({ ...ROUTES.revokeTokens, ...ofAdministrator });

const PAGE = 500;

/** Serves the routes of tokens. */
export function serveTokens(app: OpenAPIHono<EdgeContext>): void {
  app.openapi(listTokens, async (context) => {
    const { pools } = context.get("identity");
    const { after = "" } = context.req.valid("query");
    const listed = await askControlPlane(async () => registerStub(context.env).list(pools, after, PAGE));
    if (!listed.ok) return refused({ code: listed.refusal });
    const next = listed.value.length < PAGE ? null : (listed.value.at(-1)?.id ?? null);
    return context.json({ tokens: listed.value, next }, 200);
  });

  app.openapi(registerToken, async (context) => {
    const { env, executionCtx } = context;
    const administrator = context.get("identity");
    // What a token says is believed only if the token itself would be.
    const known = await identify(context.req.valid("json").token, ISSUED_ROLES, env, executionCtx);
    if (!known.ok) {
      const detail = `The token that is to be registered is refused: ${known.refusal}.`;
      return refused({ code: "input-invalid", detail });
    }
    const { role, subject, tenant, tokenId, pools, restrictions, expiresAtMs } = known.value;
    if (tokenId === undefined)
      return refused({ code: "input-invalid", detail: "The token has no id, by which it would be known." });
    if (!arePermitted(pools, administrator.pools))
      return refused({ code: "pool-denied", detail: poolsAllowed(administrator) });
    const token = {
      id: tokenId,
      role,
      name: subject,
      tenant: tenant ?? null,
      pools,
      restrictions: restrictions ?? null,
      endsAtMs: expiresAtMs,
      registeredBy: administrator.subject,
      kid: kidOf(context.req.valid("json").token),
    };
    // The token itself is nobody's to read.
    const author = changeAuthor(context, "registerToken", { id: tokenId });
    const noted = await askControlPlane(async () => registerStub(env).register(token, author));
    if (!noted.ok) return refused({ code: noted.refusal });
    return noted.value.ok ? context.json(noted.value.value, 200) : refused({ code: noted.value.refusal });
  });

  app.openapi(revokeTokens, async (context) => {
    const { subject, pools } = context.get("identity");
    const wish = context.req.valid("json");
    // Seconds instead of milliseconds, say: who is told that a token is revoked must be able to rely on it.
    if (wish.endsAtMs !== undefined && wish.endsAtMs <= Date.now()) {
      const detail =
        "endsAtMs is in the past: it is the end of the token in Unix milliseconds, or not given.";
      return refused({ code: "input-invalid", detail });
    }
    const by = { name: subject, pools };
    const author = changeAuthor(context, "revokeTokens", wish);
    const revoked = await askControlPlane(async () => registerStub(context.env).revoke(by, wish, author));
    accessCopy.forget();
    if (!revoked.ok) return refused({ code: revoked.refusal });
    if (!revoked.value.ok) return refused({ code: revoked.value.refusal });
    return context.json(revoked.value.value, 200);
  });
}
