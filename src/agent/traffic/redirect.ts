/** Where a redirect leads and what goes there: the rules of `fetch`, one hop at a time. [GW6] */
import { grant, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import { checkDestination } from "../ports/destination-url.ts";
import type { RawHeaders } from "./forwarded-headers.ts";

/** Hops that are followed, as in `fetch`. */
export const MAX_REDIRECTS = 20;

/** One request on its way: what a redirect changes. */
export interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: RawHeaders;
  /** The body is a stream and can be sent once only. */
  readonly hasBody: boolean;
}

const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const CREDENTIALS: ReadonlySet<string> = new Set(["authorization", "cookie"]);

/** Whether a response is a redirect that can be followed. */
export function isRedirect(status: number, location: string | null): location is string {
  return location !== null && STATUSES.has(status);
}

/** The request that a redirect asks for. */
export function nextHop(hop: Hop, status: number, location: string): Outcome<Hop, Problem> {
  const destination = checkDestination(location, hop.url);
  if (!destination.ok) {
    // The client's URL was good: it is the origin that sent nonsense.
    return refuse({
      code: "response-malformed",
      detail: `The redirect is no destination: ${destination.refusal.code}`,
    });
  }
  const url = destination.value;
  const becomesGet =
    status === 303 ? hop.method !== "GET" && hop.method !== "HEAD" : status <= 302 && hop.method === "POST";
  if (hop.hasBody && !becomesGet) {
    return refuse({ code: "redirect-not-replayable", location: url.href });
  }
  const isCrossOrigin = url.origin !== hop.url.origin;
  const headers: RawHeaders = [];
  for (let at = 0; at < hop.headers.length; at += 2) {
    const name = hop.headers[at]!;
    if (isCrossOrigin && CREDENTIALS.has(name)) continue;
    if (becomesGet && name.startsWith("content-")) continue;
    headers.push(name, hop.headers[at + 1]!);
  }
  return grant({
    url,
    method: becomesGet ? "GET" : hop.method,
    headers,
    hasBody: hop.hasBody && !becomesGet,
  });
}
