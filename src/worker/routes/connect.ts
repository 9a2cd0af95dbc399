/**
 * The WebSockets of hosts. The Worker settles who the host is and where it may go; the rest
 * is between the host and the object. [WK17]
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { HOST_HEADER } from "../../../durable-objects/host-socket.ts";
import { permitsPool } from "../../core/identity.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { ipSchema, nameSchema } from "../api-schemas.ts";
import { askControlPlane } from "../control-plane.ts";
import { authenticate, type EdgeContext } from "../middleware/authenticate.ts";
import { problem } from "../problem.ts";

/** Serves the connections of hosts to pools and addresses. */
export function serveConnections(app: OpenAPIHono<EdgeContext>): void {
  app.get("/v1/pools/:pool/connect", authenticate("host"), async (context) => {
    const pool = nameSchema.safeParse(context.req.param("pool"));
    if (!pool.success) return problem({ code: "input-invalid", detail: "That is no name of a pool." });
    if (!isUpgrade(context)) return problem({ code: "upgrade-required" }, { upgrade: "websocket" });
    if (!permitsPool(context.get("identity"), pool.data)) return problem({ code: "pool-denied" });
    const stub = context.env.EGRESS_POOL.getByName(pool.data);
    return connect(context, async (request) => stub.fetch(request));
  });

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
    return connect(context, async (request) => stub.fetch(request));
  });
}

function isUpgrade(context: Context<EdgeContext>): boolean {
  return context.req.header("upgrade")?.toLowerCase() === "websocket";
}

async function connect(
  context: Context<EdgeContext>,
  fetchObject: (request: Request) => Promise<Response>,
): Promise<Response> {
  const request = new Request(context.req.raw);
  // The object believes this header, so what the client may have put there is overwritten.
  request.headers.set(HOST_HEADER, context.get("identity").subject);
  request.headers.delete("authorization");
  request.headers.delete(EGRESS_AUTHORIZATION);
  const connected = await askControlPlane(async () => fetchObject(request));
  return connected.ok ? connected.value : problem({ code: connected.refusal });
}
