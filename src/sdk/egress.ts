/**
 * `fetch` with an egress: the same call, the same answer, from an address of the pool.
 *
 *     const egress = createEgress({ endpoint, token, pool: "default" });
 *     const response = await egress.fetch("https://api.example.com/", { egress: { session: "cart-42" } });
 *
 * Needs nothing but `fetch` itself, so it runs in Node 18.17 and later, in browsers and in Workers.
 */
import { type Selection, toSelection } from "../core/selection.ts";
import { formatSelection } from "../wire/selection-header.ts";
import {
  EGRESS,
  EGRESS_AUTHORIZATION,
  EGRESS_LOCATION,
  EGRESS_REDIRECT,
  FETCH_PATH,
} from "../wire/header-names.ts";
import { type DestinationRequest, readRequest } from "./destination-request.ts";
import { asDestination } from "./destination-response.ts";
import { refusalOf, strangersAnswer } from "./egress-error.ts";
import { replayed } from "./redirect-replay.ts";

export { egressOf, type EgressSource } from "./destination-response.ts";
export { EgressError, type EgressErrorCode } from "./egress-error.ts";

/** Where the egress is and who asks; the selection here holds for every call that says nothing else. */
export interface EgressOptions extends Selection {
  /** URL of the edge, or of a host's gateway. */
  readonly endpoint: string | URL;
  /** A client token, or a function that is asked for one at every call. */
  readonly token: string | (() => string | Promise<string>);
  /** In place of the global `fetch`: a service binding's, one with an agent, a test's. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
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
}

/** As many as `fetch` follows. */
const MAX_REDIRECTS = 20;

/** An egress; throws a TypeError for options that make no sense. */
export function createEgress(options: EgressOptions): Egress {
  const { endpoint, token, fetch: customFetch, ...selection } = options;
  const base = String(endpoint).replace(/\/+$/, "") + FETCH_PATH;
  if (!URL.canParse(base)) throw new TypeError(`The endpoint ${String(endpoint)} is not an absolute URL.`);
  checked(selection);

  const send = async (request: DestinationRequest, chosen: Selection): Promise<Response> => {
    const headers = new Headers(request.headers);
    headers.set(EGRESS_AUTHORIZATION, `Bearer ${typeof token === "string" ? token : await token()}`);
    headers.set(EGRESS_REDIRECT, request.redirect === "follow" ? "follow" : "manual");
    const header = formatSelection(chosen);
    if (header === "") headers.delete(EGRESS);
    else headers.set(EGRESS, header);
    const url = `${base}?url=${encodeURIComponent(request.url)}`;
    // Called without `this`: a `fetch` that is called as a method of another object throws.
    const fetchEdge = customFetch ?? globalThis.fetch;
    return fetchEdge(url, { ...request.init, method: request.method, headers });
  };

  return {
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
