/**
 * The edge as its clients see it, with nothing behind it: who may ask and what is refused is decided by
 * the edge's and the gateway's own code, and the destination's part is told. One for each platform. [TE1]
 */
import { EVERY_POOL, type Identity } from "../../core/identity.ts";
import type { Problem } from "../../core/problems.ts";
import type { Selection } from "../../core/selection.ts";
import type { CarrierWebSocket } from "../../sdk/carrier-end.ts";
import {
  CONNECT_PATH,
  EGRESS,
  EGRESS_CONNECT,
  EGRESS_REQUEST_ID,
  FETCH_PATH,
  PROXY_NAME,
  PROXY_STATUS,
} from "../../wire/header-names.ts";
import { newRequestId } from "../../wire/request-id.ts";
import { formatSelection } from "../../wire/selection-header.ts";
import {
  answerPreflight,
  isFromPage,
  isPreflight,
  readableByPages,
} from "../../worker/egress/cross-origin.ts";
import { objectionTo, objectionToConnect } from "../../worker/egress/request-head.ts";
import { poolOf, selectionOf } from "../../worker/identity/pool-choice.ts";
import { problem } from "../../worker/runtime/problem.ts";
import { clientOf, identityOf } from "./client-token.ts";
import { DEFAULT_POOLS, type Departure, EgressAddresses, type StandInPools } from "./egress-addresses.ts";
import { commandResponse } from "./remote-command.ts";
import { Script, type StandInCall } from "./script.ts";
import { type Asked, departureFields, Gateway, type Origin } from "./gateway.ts";
import type { StandInAnswer } from "./stand-in-answer.ts";

/** How the stand-in begins. */
export interface StandInOptions {
  /** Pools and their addresses: one, `default`, with two addresses for documentation. */
  readonly pools?: StandInPools;
  /** Tokens that are believed, with the pools that they are for; all pools where only the token is given. */
  readonly token?: string;
  readonly tokens?: Readonly<Record<string, readonly string[]>>;
  /** Special ranges that are no refusal, as an agent's `--allow`. */
  readonly allow?: readonly string[];
  /** What destinations answer until something else is said: by a URL, or by its beginning and `*`. */
  readonly answers?: Readonly<Record<string, StandInAnswer>>;
}

/** What a request came with besides itself. */
export interface Arrival {
  /** Of a service binding, which needs no token; null for the edge's own URL. */
  readonly bound: { readonly pool?: string } | null;
  /** Agrees to carry a connection on this platform; null where it cannot. */
  readonly upgrade: ((fields: Headers, serve: (webSocket: CarrierWebSocket) => void) => Response) | null;
}

/** The token of a stand-in that was told none. */
export const DEFAULT_TOKEN = "stand-in-token";

/** One stand-in. */
export class StandInEdge {
  readonly script: Script;
  readonly #addresses: EgressAddresses;
  readonly #tokens: Readonly<Record<string, readonly string[]>>;
  readonly #gateway: Gateway;

  constructor(options: StandInOptions, origin: Origin | null) {
    const { pools = DEFAULT_POOLS, token, tokens, allow = [], answers = {} } = options;
    this.script = new Script(answers);
    this.#addresses = new EgressAddresses(pools);
    const single = { [token ?? DEFAULT_TOKEN]: this.#addresses.names };
    this.#tokens = token === undefined && tokens !== undefined ? tokens : { ...tokens, ...single };
    this.#gateway = new Gateway(this.script, allow, origin);
  }

  /** Answers what comes to the edge, or through a service binding. */
  async answer(request: Request, arrival: Arrival): Promise<Response> {
    const url = new URL(request.url);
    const command = commandResponse(request, url, this.script, arrival.bound !== null);
    if (command !== null) return command;
    if (arrival.bound !== null) return named(await this.#answerBound(request, arrival, arrival.bound.pool));
    if (url.pathname === "/health") return Response.json({ status: "ok" });
    if (url.pathname !== FETCH_PATH && url.pathname !== CONNECT_PATH) return this.#answerElsewhere(request);
    const fromPage = isFromPage(request);
    if (fromPage && isPreflight(request)) return answerPreflight(request);
    const response = named(await this.#answerClient(request, url, arrival));
    return fromPage ? readableByPages(response) : response;
  }

  #answerElsewhere(request: Request): Response {
    const identity = identityOf(request.headers, this.#tokens);
    if (!identity.ok) return problem({ code: identity.refusal.code });
    return problem({ code: "route-unknown", detail: "The stand-in has the egress API alone." });
  }

  async #answerClient(request: Request, url: URL, arrival: Arrival): Promise<Response> {
    const identity = identityOf(request.headers, this.#tokens);
    if (!identity.ok) return problem(identity.refusal);
    const objection = objectionTo(request);
    if (objection !== null) return problem(objection);
    const isConnect = url.pathname === CONNECT_PATH;
    const refusal = isConnect ? objectionToConnect(request) : null;
    if (refusal !== null) return refusal;
    return this.#relay(request, { isConnect, query: url.search.slice(1) }, identity.value, arrival);
  }

  async #answerBound(request: Request, arrival: Arrival, pool: string | undefined): Promise<Response> {
    const objection = objectionTo(request);
    if (objection !== null) return problem(objection);
    const connect = request.headers.get(EGRESS_CONNECT);
    const refusal = connect === null ? null : objectionToConnect(request);
    if (refusal !== null) return refusal;
    const query = connect ?? `url=${encodeURIComponent(request.url)}`;
    return this.#relay(
      request,
      { isConnect: connect !== null, query },
      clientOf([pool ?? EVERY_POOL]),
      arrival,
    );
  }

  async #relay(
    request: Request,
    { isConnect, query }: { readonly isConnect: boolean; readonly query: string },
    identity: Identity,
    { upgrade }: Arrival,
  ): Promise<Response> {
    const selection = selectionOf(request.headers.get(EGRESS));
    if (!selection.ok) return this.#refused(request, query, null, selection.refusal);
    const choice = poolOf(identity, selection.value);
    if (!choice.ok) return this.#refused(request, query, null, choice.refusal);
    const departure = this.#addresses.choose(choice.value, selection.value);
    if (!departure.ok) return this.#refused(request, query, choice.value, departure.refusal);
    const asked = askedBy(request, query, choice.value, selection.value, departure.value);
    if (!isConnect) return this.#gateway.fetch(asked);
    const agreed = await this.#gateway.connect(asked);
    if (agreed instanceof Response) return agreed;
    if (upgrade === null) return problem({ code: "upgrade-unsupported" });
    return upgrade(agreementFields(departure.value), agreed);
  }

  #refused(request: Request, query: string, pool: string | null, refusal: Problem): Response {
    const call: StandInCall = {
      method: request.method,
      url: new URLSearchParams(query).get("url") ?? query,
      headers: {},
      body: "",
      selection: request.headers.get(EGRESS) ?? "",
      pool,
      source: null,
      refusal: refusal.code,
    };
    this.script.note(call);
    return problem(refusal);
  }
}

function askedBy(
  request: Request,
  query: string,
  pool: string,
  selection: Selection,
  departure: Departure,
): Asked {
  return { request, query, pool, selection, written: formatSelection(selection), departure };
}

function agreementFields(departure: Departure): Headers {
  return new Headers({
    ...departureFields(departure),
    [EGRESS_REQUEST_ID]: newRequestId(),
    [PROXY_STATUS]: PROXY_NAME,
  });
}

/** With the name of the request, as every answer of the egress API has it; an agreement came with it. [MT9] */
function named(response: Response): Response {
  if (response.status !== 101) response.headers.set(EGRESS_REQUEST_ID, newRequestId());
  return response;
}
