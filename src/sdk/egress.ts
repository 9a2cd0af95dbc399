/**
 * `fetch` with an egress: the same call, the same answer, from an address of the pool.
 *
 *     const egress = createEgress({ endpoint, token, pool: "default" });
 *     const response = await egress.fetch("https://api.example.com/", { egress: { session: "cart-42" } });
 *
 * Needs nothing but `fetch` itself, so it runs in Node 18.17 and later, in browsers and in Workers.
 *
 *     const socket = egress.connect("db.example.com:5432");
 *
 * is a TCP connection, in Workers and in Node.
 */
import { isPlainElsewhere, plainHttpFault } from "../core/plain-http.ts";
import { type Selection, toSelection } from "../core/selection.ts";
import type { ConnectTarget } from "../wire/connect-target.ts";
import { formatSelection } from "../wire/selection-header.ts";
import { CARRIER_PROTOCOL } from "../wire/tcp-carrier.ts";
import {
  CONNECT_PATH,
  EGRESS,
  EGRESS_AUTHORIZATION,
  EGRESS_CONNECT,
  EGRESS_LOCATION,
  EGRESS_REDIRECT,
  FETCH_PATH,
} from "../wire/header-names.ts";
import { type ConnectOptions, openByFetch, openSocket, type OpenWebSocket } from "./connect.ts";
import { type DestinationRequest, readRequest } from "./destination-request.ts";
import { asDestination } from "./destination-response.ts";
import { refusalOf, strangersAnswer } from "./egress-error.ts";
import type { EgressSocket } from "./egress-socket.ts";
import { replayed } from "./redirect-replay.ts";

export { egressOf, type EgressSource } from "./destination-response.ts";
export { EgressError, type EgressErrorCode } from "./egress-error.ts";
export type { ConnectOptions, OpenWebSocket, UpgradeAnswer } from "./connect.ts";
export type { EgressSocket, EgressSocketInfo, EgressTlsOptions, SecureTransport } from "./egress-socket.ts";

/** Where the egress is and who asks; the selection here holds for every call that says nothing else. */
export type EgressOptions = EdgeOptions | BindingOptions;

/** An egress that is reached by its URL. */
export interface EdgeOptions extends Selection {
  /** URL of the edge, or of a host's gateway. */
  readonly endpoint: string | URL;
  /** A client token, or a function that is asked for one at every call. */
  readonly token: string | (() => string | Promise<string>);
  /** In place of the global `fetch`: one with an agent, a test's. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /**
   * Lets the token travel over plain HTTP beyond this machine: for a network that is yours alone. Without
   * it such an endpoint is a TypeError with the code `plain-http-refused`.
   */
  readonly allowPlainHttp?: boolean;
  /** For `connect`, where `fetch` gives no WebSocket: in Node. */
  readonly openWebSocket?: OpenWebSocket;
}

/** An egress that is bound to a Worker as a service: it needs no token. */
export interface BindingOptions extends Selection {
  readonly binding: { fetch(url: string, init: RequestInit): Promise<Response> };
}

/** What `fetch` takes, and which egress this one call wants. */
export interface EgressRequestInit extends RequestInit {
  readonly egress?: Selection;
  /** Required by Node for a streamed body. */
  readonly duplex?: "half";
}

/** An egress to fetch through. */
export interface Egress {
  /**
   * Does what `fetch` does. Rejects with EgressError when ipshard refuses; resolves with
   * whatever the destination answers, 4xx and 5xx included. With `redirect: "manual"` the
   * redirect itself is returned (in browsers filtered, as theirs are).
   */
  readonly fetch: (input: string | URL | Request, init?: EgressRequestInit | null) => Promise<Response>;
  /**
   * Does what `connect` of `cloudflare:sockets` does. When ipshard refuses, `opened` rejects with an
   * EgressError, and so do reading, writing and `closed`; when the connection breaks off, the latter do.
   */
  readonly connect: (to: string | ConnectTarget, options?: ConnectOptions) => EgressSocket;
}

/** The way to the edge: who sends, and what is said with every call. */
interface Caller {
  readonly selection: Selection;
  readonly authorize: (headers: Headers) => Promise<void>;
  /** Sends a request to its destination. */
  readonly fetch: (destination: string, init: RequestInit) => Promise<Response>;
  /** Asks for a TCP connection; the query is that of `/v1/connect`. */
  readonly upgrade: (
    query: string,
    init: { headers: Headers; signal: AbortSignal },
  ) => ReturnType<OpenWebSocket>;
}

/** The URL of a request whose destination is elsewhere. */
const BOUND_URL = "http://egress.invalid/";
/** As many as `fetch` follows. */
const MAX_REDIRECTS = 20;

/** An egress; throws a TypeError for options that make no sense. */
export function createEgress(options: EgressOptions): Egress {
  const caller = "binding" in options ? throughBinding(options) : throughEdge(options);
  const { selection } = caller;
  checked(selection);

  const say = async (headers: Headers, chosen: Selection): Promise<void> => {
    await caller.authorize(headers);
    const header = formatSelection(chosen);
    if (header === "") headers.delete(EGRESS);
    else headers.set(EGRESS, header);
  };
  const send = async (request: DestinationRequest, chosen: Selection): Promise<Response> => {
    const headers = new Headers(request.headers);
    await say(headers, chosen);
    headers.set(EGRESS_REDIRECT, request.redirect === "follow" ? "follow" : "manual");
    return caller.fetch(request.url, { ...request.init, method: request.method, headers });
  };

  return {
    connect(to, connectOptions = {}) {
      const chosen = checked({ ...selection, ...connectOptions.egress });
      const ask = async (query: string, signal: AbortSignal): ReturnType<OpenWebSocket> => {
        const { traceparent } = connectOptions;
        const headers = new Headers(traceparent === undefined ? {} : { traceparent });
        await say(headers, chosen);
        return caller.upgrade(query, { headers, signal });
      };
      return openSocket(ask, to, connectOptions);
    },
    async fetch(input, init) {
      const { egress, ...rest } = asInit(init);
      const chosen = checked({ ...selection, ...egress });
      let request = await readRequest(input, rest);
      for (let redirectCount = 0; ; redirectCount += 1) {
        const response = await send(request, chosen);
        const refusal = (await refusalOf(response)) ?? strangersAnswer(response);
        if (refusal === null) {
          refuseRedirect(request, response);
          return asDestination(response, request.url, redirectCount > 0);
        }
        // The hosts stream bodies and keep none, so what is to be sent again is sent from here. [CL4]
        const next =
          refusal.code === "redirect-not-replayable" && redirectCount < MAX_REDIRECTS
            ? replayed(request, response.headers.get(EGRESS_LOCATION))
            : null;
        if (next === null) throw refusal;
        request = next;
      }
    },
  };
}

function throughEdge(options: EdgeOptions): Caller {
  const { endpoint, token, fetch: custom, openWebSocket, allowPlainHttp = false, ...selection } = options;
  const edge = String(endpoint).replace(/\/+$/, "");
  if (!URL.canParse(edge)) throw new TypeError(`The endpoint ${String(endpoint)} is not an absolute URL.`);
  if (!allowPlainHttp && isPlainElsewhere(new URL(edge))) throw plainHttpFault(edge, "allowPlainHttp");
  // Called without `this`: a `fetch` that is called as a method of another object throws.
  const fetchEdge = (url: string, init: RequestInit): Promise<Response> =>
    (custom ?? globalThis.fetch)(url, init);
  return {
    selection,
    authorize: async (headers) => {
      headers.set(EGRESS_AUTHORIZATION, `Bearer ${typeof token === "string" ? token : await token()}`);
    },
    fetch: (destination, init) =>
      fetchEdge(`${edge}${FETCH_PATH}?url=${encodeURIComponent(destination)}`, init),
    upgrade: (query, init) => {
      const canUpgrade = custom !== undefined || "WebSocketPair" in globalThis;
      if (openWebSocket === undefined && !canUpgrade) {
        throw new TypeError(
          "Here fetch gives no WebSocket: openWebSocket is needed. In Node the package has its own (from sources, sdk/node/open-websocket.ts).",
        );
      }
      const open = openWebSocket ?? openByFetch(fetchEdge);
      return open(`${edge}${CONNECT_PATH}?${query}`, { ...init, protocol: CARRIER_PROTOCOL });
    },
  };
}

/** A binding takes the destination for the URL, and what is no URL in a field. */
function throughBinding({ binding, ...selection }: BindingOptions): Caller {
  const open = openByFetch((url, init) => binding.fetch(url, init));
  return {
    selection,
    authorize: async () => {},
    fetch: (destination, init) => binding.fetch(destination, init),
    upgrade: (query, { headers, signal }) => {
      headers.set(EGRESS_CONNECT, query);
      return open(BOUND_URL, { headers, signal, protocol: CARRIER_PROTOCOL });
    },
  };
}

/** The second argument, of which `fetch` takes no other kinds either. */
function asInit(init: unknown): EgressRequestInit {
  if (init === undefined || init === null) return {};
  if (typeof init === "object" || typeof init === "function") return init;
  throw new TypeError("The second argument of fetch is an object.");
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

function refuseRedirect(request: DestinationRequest, response: Response): void {
  if (request.redirect !== "error") return;
  if (response.type !== "opaqueredirect" && !REDIRECTS.has(response.status)) return;
  // Nobody will read this body; unread, it would hold its connection.
  void response.body?.cancel();
  throw new TypeError(`${request.url} redirects, and the redirect mode is "error".`);
}

/** A selection with nothing undefined in it; what the edge would refuse is refused here. */
function checked(selection: Selection): Selection {
  const members = Object.entries(selection).filter((member) => member[1] !== undefined);
  const outcome = toSelection(members);
  if (outcome.ok) return outcome.value;
  const { code, member } = outcome.refusal;
  throw new TypeError(`The egress selection's ${JSON.stringify(member)} is refused: ${code}`);
}
