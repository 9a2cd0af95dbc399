/** `/dashboard/edge-past`: what the edge itself has answered of late, where one isolate is the whole edge. [DA11] */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { READING_ROLES } from "../../core/identity.ts";
import { edgePast } from "../egress/edge-past.ts";
import { authenticate, type EdgeContext } from "../identity/authenticate.ts";

/** Serves the route. */
export function serveDashboardPast(app: OpenAPIHono<EdgeContext>): void {
  app.get("/dashboard/edge-past", authenticate(...READING_ROLES), (context) => {
    const isWhole = context.env.SELF_HOSTED !== undefined;
    const past = isWhole ? edgePast.past(Date.now()) : null;
    return context.json({ past }, 200, { "cache-control": "no-store" });
  });
}
