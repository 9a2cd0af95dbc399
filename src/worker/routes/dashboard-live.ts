/** `/dashboard/live/…`: the WebSockets by which the page sees a pool or an address as it changes. [DA7] */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import {
  SESSION_END_HEADER,
  SESSION_HEADER,
  VIEWER_HEADER,
} from "../../../durable-objects/calls/peer-headers.ts";
import { READING_ROLES } from "../../core/identity.ts";
import { newTokenId } from "../../wire/tokens.ts";
import { authenticate, type EdgeContext } from "../identity/authenticate.ts";
import { SESSION_MS } from "../identity/sessions.ts";
import { connectToIp, connectToPool, type Told } from "./object-websocket.ts";

/** Serves them. */
export function serveDashboardLive(app: OpenAPIHono<EdgeContext>): void {
  app.get("/dashboard/live/pools/:pool", authenticate(...READING_ROLES), async (context) =>
    connectToPool(context, context.req.param("pool"), viewerOf(context)),
  );

  app.get("/dashboard/live/ips/:ip", authenticate(...READING_ROLES), async (context) =>
    connectToIp(context, context.req.param("ip"), viewerOf(context)),
  );
}

/** Who looks, and until when: a program that shows a token looks no longer than a session would. */
function viewerOf(context: Context<EdgeContext>): Told {
  const { identity, session } = context.var;
  const endsAtMs = session?.endsAtMs ?? Math.min(identity.expiresAtMs, Date.now() + SESSION_MS);
  return {
    [VIEWER_HEADER]: identity.subject,
    [SESSION_HEADER]: session?.id ?? newTokenId(),
    [SESSION_END_HEADER]: String(Math.floor(endsAtMs)),
  };
}
