/**
 * The WebSockets of hosts and routers. The Worker decides who connects and to which object; the
 * rest is between the two. [WK17]
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import {
  HOST_HEADER,
  KEY_HEADER,
  PEER_HEADERS,
  ROUTER_HEADER,
  TOKEN_HEADER,
} from "../../../durable-objects/calls/peer-headers.ts";
import { ipSchema, nameSchema } from "../../api/schemas.ts";
import { permitsPool } from "../../core/identity.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { kidOf } from "../../wire/tokens.ts";
import { authenticate, type EdgeContext, tokenOf } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { problem } from "../runtime/problem.ts";

/** Serves the connections of hosts to pools and addresses, and of routers to pools. */
export function servePeerWebSockets(app: OpenAPIHono<EdgeContext>): void {
  app.get("/v1/pools/:pool/connect", authenticate("host"), async (context) =>
    connectToPool(context, context.req.param("pool"), HOST_HEADER),
  );

  app.get("/v1/pools/:pool/steering", authenticate("router"), async (context) =>
    connectToPool(context, context.req.param("pool"), ROUTER_HEADER),
  );

  app.get("/v1/ips/:ip/connect", authenticate("host"), async (context) => {
    const ip = ipSchema.safeParse(context.req.param("ip"));
    if (!ip.success) return problem({ code: "input-invalid", detail: "That is no address." });
    if (!isUpgrade(context)) return problem({ code: "upgrade-required" }, { upgrade: "websocket" });
    const stub = context.env.EGRESS_IP.getByName(ip.data);
    const described = await askControlPlane(async () => stub.describe());
    if (!described.ok) return problem({ code: described.refusal });
    if (!described.value.ok) return problem({ code: described.value.refusal });
    if (!permitsPool(context.get("identity"), described.value.value.pool))
      return problem({ code: "pool-denied" });
    return connect(context, HOST_HEADER, async (request) => stub.fetch(request));
  });
}

async function connectToPool(context: Context<EdgeContext>, name: string, header: string): Promise<Response> {
  const pool = nameSchema.safeParse(name);
  if (!pool.success) return problem({ code: "input-invalid", detail: "That is no name of a pool." });
  if (!isUpgrade(context)) return problem({ code: "upgrade-required" }, { upgrade: "websocket" });
  if (!permitsPool(context.get("identity"), pool.data)) return problem({ code: "pool-denied" });
  const stub = context.env.EGRESS_POOL.getByName(pool.data);
  return connect(context, header, async (request) => stub.fetch(request));
}

function isUpgrade(context: Context<EdgeContext>): boolean {
  return context.req.header("upgrade")?.toLowerCase() === "websocket";
}

async function connect(
  context: Context<EdgeContext>,
  header: string,
  fetchObject: (request: Request) => Promise<Response>,
): Promise<Response> {
  const request = new Request(context.req.raw);
  // The object trusts these headers, so a client's own values are removed.
  for (const name of PEER_HEADERS) request.headers.delete(name);
  const { subject, tokenId } = context.get("identity");
  request.headers.set(header, subject);
  if (tokenId !== undefined) request.headers.set(TOKEN_HEADER, tokenId);
  request.headers.set(KEY_HEADER, kidOf(tokenOf(context.req.raw.headers) ?? "") ?? "");
  request.headers.delete("authorization");
  request.headers.delete(EGRESS_AUTHORIZATION);
  const connected = await askControlPlane(async () => fetchObject(request));
  return connected.ok ? connected.value : problem({ code: connected.refusal });
}
