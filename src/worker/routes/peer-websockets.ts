/**
 * The WebSockets of hosts and routers. The Worker decides who connects and to which object; the
 * rest is between the two. [WK17]
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { HOST_HEADER, ROUTER_HEADER } from "../../../durable-objects/calls/peer-headers.ts";
import { authenticate, type EdgeContext } from "../identity/authenticate.ts";
import { connectToIp, connectToPool } from "./object-websocket.ts";

/** Serves the connections of hosts to pools and addresses, and of routers to pools. */
export function servePeerWebSockets(app: OpenAPIHono<EdgeContext>): void {
  app.get("/v1/pools/:pool/connect", authenticate("host"), async (context) =>
    connectToPool(context, context.req.param("pool"), { [HOST_HEADER]: nameIn(context) }),
  );

  app.get("/v1/pools/:pool/steering", authenticate("router"), async (context) =>
    connectToPool(context, context.req.param("pool"), { [ROUTER_HEADER]: nameIn(context) }),
  );

  app.get("/v1/ips/:ip/connect", authenticate("host"), async (context) =>
    connectToIp(context, context.req.param("ip"), { [HOST_HEADER]: nameIn(context) }),
  );
}

function nameIn(context: Context<EdgeContext>): string {
  return context.get("identity").subject;
}
