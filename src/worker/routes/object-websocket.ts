/** A WebSocket between somebody who was verified and an object: the Worker says who it is, and is out of it then. [WK17] */
import type { Context } from "hono";
import { KEY_HEADER, PEER_HEADERS, TOKEN_HEADER } from "../../../durable-objects/calls/peer-headers.ts";
import { ipSchema, nameSchema } from "../../api/schemas.ts";
import { permitsPool } from "../../core/identity.ts";
import { EGRESS_AUTHORIZATION } from "../../wire/header-names.ts";
import { kidOf } from "../../wire/tokens.ts";
import type { EdgeContext } from "../identity/authenticate.ts";
import { askControlPlane } from "../runtime/control-plane.ts";
import { problem } from "../runtime/problem.ts";

/** What an object is told of who connects, by the names of its headers. */
export type Told = Readonly<Record<string, string>>;

/** What must not come to an object: it would be a secret in one place more. */
const SECRETS = ["authorization", EGRESS_AUTHORIZATION, "cookie"];

/** Connects to a pool, if it may be used. */
export async function connectToPool(
  context: Context<EdgeContext>,
  name: string,
  told: Told,
): Promise<Response> {
  const pool = nameSchema.safeParse(name);
  if (!pool.success) return problem({ code: "input-invalid", detail: "That is no name of a pool." });
  if (!isUpgrade(context)) return problem({ code: "upgrade-required" }, { upgrade: "websocket" });
  if (!permitsPool(context.get("identity"), pool.data)) return problem({ code: "pool-denied" });
  const stub = context.env.EGRESS_POOL.getByName(pool.data);
  return connect(context, told, async (request) => stub.fetch(request));
}

/** Connects to an address, if the pool to which it belongs may be used. */
export async function connectToIp(
  context: Context<EdgeContext>,
  name: string,
  told: Told,
): Promise<Response> {
  const ip = ipSchema.safeParse(name);
  if (!ip.success) return problem({ code: "input-invalid", detail: "That is no address." });
  if (!isUpgrade(context)) return problem({ code: "upgrade-required" }, { upgrade: "websocket" });
  const stub = context.env.EGRESS_IP.getByName(ip.data);
  const described = await askControlPlane(async () => stub.describe());
  if (!described.ok) return problem({ code: described.refusal });
  if (!described.value.ok) return problem({ code: described.value.refusal });
  if (!permitsPool(context.get("identity"), described.value.value.pool))
    return problem({ code: "pool-denied" });
  return connect(context, told, async (request) => stub.fetch(request));
}

function isUpgrade(context: Context<EdgeContext>): boolean {
  return context.req.header("upgrade")?.toLowerCase() === "websocket";
}

async function connect(
  context: Context<EdgeContext>,
  told: Told,
  fetchObject: (request: Request) => Promise<Response>,
): Promise<Response> {
  const request = new Request(context.req.raw);
  // The object trusts these headers, so a client's own values are removed.
  for (const name of [...PEER_HEADERS, ...SECRETS]) request.headers.delete(name);
  for (const [name, value] of Object.entries(told)) request.headers.set(name, value);
  const { tokenId } = context.get("identity");
  if (tokenId !== undefined) request.headers.set(TOKEN_HEADER, tokenId);
  request.headers.set(KEY_HEADER, kidOf(context.get("token")) ?? "");
  const connected = await askControlPlane(async () => fetchObject(request));
  return connected.ok ? connected.value : problem({ code: connected.refusal });
}
