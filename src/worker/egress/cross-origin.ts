/**
 * Browsers: the SDK is called from pages of any origin. Bearer tokens are all that counts and
 * no ambient credentials are ever looked at, so every origin may read. [WK14]
 *
 * To a browser every answer comes from the edge's origin. What a destination says there of its
 * own origin would be remembered of the edge's, for all destinations and users, so it is kept
 * from the browser, though not from the page. [WK38]
 */
import { EGRESS_AUTHORIZATION, EGRESS_KEPT, PROXY_STATUS } from "../../wire/header-names.ts";
import { problemCodeOf } from "../../wire/problem-response.ts";
import { problem } from "../runtime/problem.ts";

/** How long a browser may remember that it was let through. */
const REMEMBERED_S = "86400";

/** Fields that change what a browser does with the answer's origin, or make it ask its user. */
const SPEAKS_FOR_ORIGIN: readonly string[] = [
  // Transport and trust.
  "strict-transport-security",
  "alt-svc",
  "public-key-pins",
  "public-key-pins-report-only",
  "expect-ct",
  // What is stored, and who is logged in.
  "clear-site-data",
  "set-login",
  "www-authenticate",
  "secure-session-registration",
  "secure-session-challenge",
  "sec-session-registration",
  "sec-session-challenge",
  // Whom the browser tells about its visits.
  "nel",
  "report-to",
  "reporting-endpoints",
  "attribution-reporting-register-source",
  "attribution-reporting-register-trigger",
  "attribution-reporting-register-os-source",
  "attribution-reporting-register-os-trigger",
  "observe-browsing-topics",
  "shared-storage-write",
  // Answers to other requests of the origin.
  "service-worker-allowed",
  "use-as-dictionary",
  "no-vary-search",
  "accept-ch",
  "critical-ch",
  "origin-agent-cluster",
];

/**
 * Whether a page in a browser sends this. Every browser names the page's origin when it is not
 * the edge's own, and the relation of the two when it may; nothing else has reason to.
 */
export function isFromPage({ headers }: Request): boolean {
  return headers.has("origin") || headers.has("sec-fetch-site");
}

/** Whether this is a browser's preflight, and not an OPTIONS to the destination. */
export function isPreflight(request: Request): boolean {
  const { headers } = request;
  return (
    request.method === "OPTIONS" &&
    headers.has("access-control-request-method") &&
    !headers.has(EGRESS_AUTHORIZATION)
  );
}

/** The leave. */
export function answerPreflight(request: Request): Response {
  const { headers } = request;
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods": headers.get("access-control-request-method") ?? "*",
      // A wildcard would not cover `authorization`, so what is asked for is allowed by name.
      "access-control-allow-headers": headers.get("access-control-request-headers") ?? "*",
      "access-control-max-age": REMEMBERED_S,
      vary: "access-control-request-headers, access-control-request-method",
    },
  });
}

/** The response, for any page to read. */
export function readableByPages(response: Response): Response {
  const { status } = response;
  if (status === 101) return response;
  if (status < 200 || status > 599) {
    // No Response can be made with it, so its fields could not be kept from the browser.
    void response.body?.cancel();
    return readableByPages(problem({ code: "response-malformed", detail: `The status is ${status}.` }));
  }
  const shared = new Response(response.body, response);
  // A refusal comes from the edge alone.
  if (problemCodeOf(shared.headers.get(PROXY_STATUS)) === null) keepFromBrowser(shared.headers);
  shared.headers.set("access-control-allow-origin", "*");
  shared.headers.set("access-control-expose-headers", "*");
  // A browser may keep the answer; for another egress, or another's token, it is not the answer.
  shared.headers.append("vary", "egress, egress-authorization, egress-redirect");
  shared.headers.delete("access-control-allow-credentials");
  return shared;
}

function keepFromBrowser(headers: Headers): void {
  for (const name of SPEAKS_FOR_ORIGIN) {
    const value = headers.get(name);
    if (value === null) continue;
    headers.set(EGRESS_KEPT + name, value);
    headers.delete(name);
  }
  if (!headers.has("set-cookie")) return;
  // One field each: joined by commas they could not be told apart again.
  for (const [index, cookie] of headers.getSetCookie().entries()) {
    headers.set(`${EGRESS_KEPT}set-cookie-${index}`, cookie);
  }
  headers.delete("set-cookie");
}
