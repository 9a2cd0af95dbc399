/** Where a redirect leads and what goes there: the rules of `fetch`, one hop at a time. [GW6] */
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import { isHostRefusal, type Problem } from "../../../core/problems.ts";
import { checkDestination } from "../../egress/destination-url.ts";
import { EgressFault } from "../../egress/faults.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";

/** Hops that are followed, as in `fetch`. */
export const MAX_REDIRECTS = 20;

/** One request on its way: what a redirect changes. */
export interface Hop {
  readonly url: URL;
  /** Path and query as the client wrote them; absent for those of the URL. */
  readonly target?: string;
  readonly method: string;
  readonly headers: RawHeaders;
  /** The body is a stream and can be sent once only. */
  readonly hasBody: boolean;
}

const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What a request without a body has no use for (fetch, HTTP-redirect fetch), and its length. */
const OF_A_BODY: ReadonlySet<string> = new Set([
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-type",
]);
/** Methods that change nothing, so that a request may be made anew from its first hop. */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
const CREDENTIALS: ReadonlySet<string> = new Set(["authorization", "cookie"]);

/** Where a response redirects to, in UTF-8; null when it is no redirect that can be followed. */
export function locationOf(status: number, headers: RawHeaders): string | null {
  if (!STATUSES.has(status)) return null;
  let location: string | null = null;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at]!.toLowerCase() !== "location") continue;
    // Which of two is meant, each reader would know differently.
    if (location !== null && location !== headers[at + 1]) {
      throw new EgressFault("response-malformed", "There are two locations.");
    }
    location = headers[at + 1]!;
  }
  return location === null ? null : Buffer.from(location, "latin1").toString("utf8");
}

/** The request that a redirect asks for. */
export function hopAfter(hop: Hop, status: number, location: string): Outcome<Hop, Problem> {
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
    if (becomesGet && OF_A_BODY.has(name)) continue;
    headers.push(name, hop.headers[at + 1]!);
  }
  return ok({
    url,
    method: becomesGet ? "GET" : hop.method,
    headers,
    // What had one has lost it, or is not sent again.
    hasBody: false,
  });
}

/**
 * A refusal on a later hop, as the client is told it. What makes the edge ask another host says
 * that nothing was sent; here a request was, and only what changes nothing may be sent again.
 */
export function unfollowed(problem: Problem, method: string, url: URL): Problem {
  if (!isHostRefusal(problem.code)) return problem;
  if (SAFE.has(method)) return { ...problem, location: url.href };
  const detail = `${problem.code}: ${problem.detail ?? "the next hop cannot be made from here"}`;
  return { code: "redirect-unfollowed", detail, location: url.href };
}
