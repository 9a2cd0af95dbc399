/**
 * The egress for other Workers: `env.EGRESS.fetch(request)` on a service binding, where the
 * request's URL is the destination; or, for TCP, a field that the SDK sets. The binding itself is
 * the permission to use it, so there is no token; its `props` say which pool and in whose name.
 * [WK15] [RC7]
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { EVERY_POOL, type Identity } from "../core/identity.ts";
import { CONNECT_PATH, EGRESS_CONNECT, FETCH_PATH } from "../wire/header-names.ts";
import { finish, receive, type Received } from "./egress/finish.ts";
import { relay } from "./egress/relay.ts";
import { objectionTo, objectionToConnect } from "./egress/request-head.ts";
import type { Environment } from "./runtime/environment.ts";
import { faultProblem, problem } from "./runtime/problem.ts";

/** What the operator may write beside the binding. */
export interface EgressProps {
  /** The only pool that may be used; every pool when absent. */
  readonly pool?: string;
  /** In whose name requests are sent. */
  readonly client?: string;
}

/** In whose name requests of a nameless binding are sent. */
const NAMELESS_CLIENT = "service-binding";

/** The entrypoint to be bound. */
export class Egress extends WorkerEntrypoint<Environment, EgressProps | undefined> {
  override async fetch(request: Request): Promise<Response> {
    const received = receive(request, this.env);
    return finish(await this.#answer(request, received), received, this.env, this.ctx);
  }

  async #answer(request: Request, { requestId, trace }: Received): Promise<Response> {
    try {
      const objection = objectionTo(request);
      if (objection !== null) return problem(objection);
      const connect = request.headers.get(EGRESS_CONNECT);
      const refusal = connect === null ? null : objectionToConnect(request);
      if (refusal !== null) return refusal;
      const target =
        connect === null
          ? `${FETCH_PATH}?url=${encodeURIComponent(request.url)}`
          : `${CONNECT_PATH}?${connect}`;
      return await relay(
        request,
        { target, requestId, trace },
        identityOf(this.ctx.props),
        this.env,
        this.ctx,
      );
    } catch (fault) {
      return faultProblem(fault, requestId);
    }
  }
}

function identityOf(props: EgressProps | undefined): Identity {
  return {
    role: "client",
    subject: props?.client ?? NAMELESS_CLIENT,
    pools: [props?.pool ?? EVERY_POOL],
    expiresAtMs: Infinity,
  };
}
