/** The stand-in as a Worker: bound as a service it needs no token, at its URL it does. [TE4] */
import { WorkerEntrypoint } from "cloudflare:workers";
import type { CarrierWebSocket } from "../../sdk/carrier-end.ts";
import { CARRIER_PROTOCOL } from "../../wire/tcp-carrier.ts";
import { type Arrival, StandInEdge, type StandInOptions } from "../edge/stand-in-edge.ts";

interface Environment {
  readonly STAND_IN?: StandInOptions;
  readonly DESTINATION?: Fetcher;
}

/** All that are bound to it share what it was told, so that a test can tell it for another. */
let standIn: StandInEdge | null = null;

function answer(request: Request, env: Environment, bound: Arrival["bound"]): Promise<Response> {
  const { STAND_IN = {}, DESTINATION } = env;
  const origin = DESTINATION === undefined ? null : (asked: Request) => DESTINATION.fetch(asked);
  standIn ??= new StandInEdge(STAND_IN, origin);
  return standIn.answer(request, { bound, upgrade });
}

function upgrade(headers: Headers, serve: (webSocket: CarrierWebSocket) => void): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  headers.set("sec-websocket-protocol", CARRIER_PROTOCOL);
  serve(server);
  return new Response(null, { status: 101, webSocket: client, headers });
}

/** The entrypoint to be bound, with the same `props` as the edge's. */
export class Egress extends WorkerEntrypoint<Environment, { readonly pool?: string } | undefined> {
  override fetch(request: Request): Promise<Response> {
    const pool = this.ctx.props?.pool;
    return answer(request, this.env, pool === undefined ? {} : { pool });
  }
}

export default {
  fetch: (request, env) => answer(request, env, null),
} satisfies ExportedHandler<Environment>;
