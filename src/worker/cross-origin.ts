/**
 * Browsers: the SDK is called from pages of any origin. Bearer tokens are all that counts and
 * no ambient credentials are ever looked at, so every origin may read. [WK14]
 */
import { EGRESS_AUTHORIZATION } from "../wire/header-names.ts";

/** How long a browser may remember that it was let through. */
const REMEMBERED_S = "86400";

/** Whether this asks leave for a page, rather than being an OPTIONS to the destination. */
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
  if (response.status === 101) return response;
  const shared = new Response(response.body, response);
  shared.headers.set("access-control-allow-origin", "*");
  shared.headers.set("access-control-expose-headers", "*");
  shared.headers.delete("access-control-allow-credentials");
  return shared;
}
