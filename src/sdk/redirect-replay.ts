/**
 * Redirects that a host does not follow, since it keeps no body: what is to be sent again is sent from
 * here. All others are followed by the host. [CL4]
 */
import { isStream } from "./destination-body.ts";
import type { DestinationRequest } from "./destination-request.ts";
import { withoutFragment } from "./destination-response.ts";

/**
 * The same request, to where a redirect that keeps method and body leads; null if the place
 * is unknown or the body is gone.
 */
export function replayed(request: DestinationRequest, location: string | null): DestinationRequest | null {
  if (location === null || !URL.canParse(location) || isStream(request.init.body)) return null;
  const headers = new Headers(request.headers);
  if (new URL(location).origin !== new URL(request.url).origin) {
    // Credentials are for the origin that they were given for.
    headers.delete("authorization");
    headers.delete("cookie");
  }
  return { ...request, url: withoutFragment(location), headers };
}
