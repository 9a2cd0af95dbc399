/** The HTTP header fields that are ours, and those that never cross a proxy. */

/** Request: which egress the client wants. */
export const EGRESS = "egress";
/** Request: our bearer token, so that the destination's `authorization` stays untouched. */
export const EGRESS_AUTHORIZATION = "egress-authorization";
/** Request: `manual` (default) or `follow`. */
export const EGRESS_REDIRECT = "egress-redirect";
/**
 * Request, from the edge to a gateway: the name of an upload, under which the gateway can be asked
 * for it. Response to that question: how it stands.
 */
export const EGRESS_UPLOAD = "egress-upload";
/**
 * Request, from the edge to a gateway, and response: the name of the request in all logs. [MT9]
 */
export const EGRESS_REQUEST_ID = "egress-request-id";
/** Response: the source address of the request, as advertised. */
export const EGRESS_IP = "egress-ip";
/** Response: its source port. */
export const EGRESS_PORT = "egress-port";
/** Response: the host that sent it. */
export const EGRESS_HOST = "egress-host";
/**
 * Response, to a session with a `ttl`: until when it keeps the address, as a date of RFC 9651
 * (`@` and Unix seconds). [PL10]
 */
export const EGRESS_SESSION_UNTIL = "egress-session-until";
/** Response, to the edge alone and where it asked by its token: how long which step took, as `server-timing` says it. [DA10] */
export const EGRESS_TIMING = "egress-timing";
/** Response: where the followed redirects ended. */
export const EGRESS_LOCATION = "egress-location";
/**
 * Response: begins the name under which a page gets a field of the destination that its browser
 * would have taken for the edge's own.
 */
export const EGRESS_KEPT = "egress-kept-";
/** Response: RFC 9209. */
export const PROXY_STATUS = "proxy-status";
/** How this proxy names itself in `proxy-status`. */
export const PROXY_NAME = "ipshard";

/** Request of the dashboard: proves that the page itself asks, not another one in the same browser. [DA5] */
export const CSRF_HEADER = "ipshard-csrf";

/** Path of the egress API, on the edge and on every host's gateway. */
export const FETCH_PATH = "/v1/fetch";

/** Path of TCP connections, at both as well. */
export const CONNECT_PATH = "/v1/connect";

/** Request over a service binding: a TCP connection to `host:port` is wanted, whatever the URL is. */
export const EGRESS_CONNECT = "egress-connect";

/** At a gateway: begins the path under which an upload is asked for by its name. */
export const UPLOADS_PATH = "/v1/uploads/";

/** Connection-specific fields (RFC 9110 section 7.6.1), not to be forwarded. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  // RFC 7540 section 3.2.1; it belongs to an upgrade that is never made.
  "http2-settings",
]);

/** Whether a field belongs to ipshard: dropped from what an origin sends and from what it gets. */
export function isOwnHeader(name: string): boolean {
  return name === EGRESS || name.startsWith("egress-");
}
