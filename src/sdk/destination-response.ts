/** The edge's response, made to look like the destination's own. [CL2] */
import { EGRESS_HOST, EGRESS_IP, EGRESS_KEPT, EGRESS_LOCATION, EGRESS_PORT } from "../wire/header-names.ts";

/** Where a request left from. */
export interface EgressSource {
  readonly ip: string;
  readonly port: number;
  readonly host: string;
}

/** Where the request of this response left from; null for a response that came by no egress. */
export function egressOf(response: Response): EgressSource | null {
  const ip = response.headers.get(EGRESS_IP);
  const host = response.headers.get(EGRESS_HOST);
  // Not zero, which is what Number returns for an empty text.
  const port = Number(response.headers.get(EGRESS_PORT) ?? "none");
  return ip === null || host === null || !Number.isInteger(port) ? null : { ip, port, host };
}

/**
 * Gives a response the URL of the destination in place of the edge's. The response itself is
 * kept, so its body goes on streaming; its own getters are shadowed, and its clones' too.
 */
export function asDestination(response: Response, requestedUrl: string, wasRedirected: boolean): Response {
  const followedTo = response.headers.get(EGRESS_LOCATION);
  const url = withoutFragment(followedTo ?? requestedUrl);
  return disguise(response, url, wasRedirected || followedTo !== null);
}

/**
 * The fields of a response with those that the edge kept from the browser under their own names
 * again; null when there are none. [CL6]
 */
function withKeptFields(headers: Headers): Headers | null {
  let restored: Headers | null = null;
  for (const [name, value] of headers) {
    if (!name.startsWith(EGRESS_KEPT)) continue;
    restored ??= new Headers(headers);
    restored.delete(name);
    // Cookies are numbered, since values joined by commas could not be told apart.
    const original = name.slice(EGRESS_KEPT.length).replace(/^set-cookie-\d+$/, "set-cookie");
    restored.append(original, value);
  }
  return restored;
}

/** A URL as `response.url` and a request line have it. */
export function withoutFragment(url: string): string {
  const at = url.indexOf("#");
  return at === -1 ? url : url.slice(0, at);
}

function disguise(response: Response, url: string, redirected: boolean): Response {
  // Taken from the response, which need not be of the global class: `fetch` may be another's.
  const cloneAsIs = response.clone.bind(response);
  const clone = (): Response => disguise(cloneAsIs(), url, redirected);
  const headers = withKeptFields(response.headers);
  return Object.defineProperties(response, {
    ...(headers === null ? {} : { headers: { value: headers, configurable: true } }),
    url: { value: url, configurable: true },
    redirected: { value: redirected, configurable: true },
    clone: { value: clone, configurable: true, writable: true },
  });
}
