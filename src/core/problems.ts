/**
 * Every refusal that a client can get, in one table: the stable code, the HTTP status, the
 * RFC 9209 error type for `proxy-status`, and a title for people. [ER1]
 *
 * A code never changes its meaning. Each edge renders from this table and invents nothing.
 */

interface ProblemKind {
  readonly status: number;
  /** RFC 9209 section 2.3; null where no registered type fits. */
  readonly proxyError: string | null;
  readonly title: string;
}

const CATALOGUE = {
  // What the client sent.
  "url-missing": {
    status: 400,
    proxyError: "http_request_error",
    title: "The url parameter is missing. Add it, for example ?url=https://example.com/.",
  },
  "url-malformed": {
    status: 400,
    proxyError: "http_request_error",
    title: "The url parameter is not a complete URL such as https://example.com/.",
  },
  "url-scheme-unsupported": {
    status: 400,
    proxyError: "http_request_error",
    title: "Only http and https destinations can be reached.",
  },
  "url-credentials": {
    status: 400,
    proxyError: "http_request_error",
    title: "Credentials in the URL are not sent; use an authorization header.",
  },
  "url-port-invalid": {
    status: 400,
    proxyError: "http_request_error",
    title: "The destination port must be from 1 to 65535.",
  },
  "selection-malformed": {
    status: 400,
    proxyError: "http_request_error",
    title: 'The egress field is malformed. Write it like pool=eu, ip="192.0.2.1", with each key once.',
  },
  "selection-key-unknown": {
    status: 400,
    proxyError: "http_request_error",
    title:
      "The egress field has an unknown key. The keys are pool, ip, country, site, session, sticky and ttl.",
  },
  "selection-value-invalid": {
    status: 400,
    proxyError: "http_request_error",
    title: "A value in the egress field is not valid.",
  },
  "redirect-mode-invalid": {
    status: 400,
    proxyError: "http_request_error",
    title: "egress-redirect must be manual or follow.",
  },
  "request-malformed": {
    status: 400,
    proxyError: "http_request_error",
    title: "The request is not valid HTTP.",
  },
  "body-length-mismatch": {
    status: 400,
    proxyError: "http_request_error",
    title: "The body is longer or shorter than its content-length.",
  },
  "body-too-large": {
    status: 413,
    proxyError: "http_request_error",
    title: "The content-length is too large a number.",
  },
  "request-coding-unsupported": {
    status: 501,
    proxyError: "http_request_error",
    title: "The request has a transfer coding other than chunked.",
  },
  "input-invalid": {
    status: 400,
    proxyError: "http_request_error",
    title: "The input does not have the documented form.",
  },
  "headers-too-large": {
    status: 431,
    proxyError: "http_request_error",
    title: "The request headers are too large.",
  },
  "route-unknown": { status: 404, proxyError: null, title: "There is nothing at this path." },
  "method-unsupported": { status: 405, proxyError: null, title: "This path does not support the method." },
  "upgrade-required": { status: 426, proxyError: null, title: "This path speaks WebSocket only." },
  "upgrade-unsupported": {
    status: 501,
    proxyError: "http_upgrade_failed",
    title: "Only upgrades to websocket are supported.",
  },

  // Who the client is.
  "token-missing": { status: 401, proxyError: "http_request_denied", title: "A token is required." },
  "token-malformed": {
    status: 401,
    proxyError: "http_request_denied",
    title: "The token cannot be read: send Bearer, a space, and a token that ipshard has made.",
  },
  "token-signature-invalid": {
    status: 401,
    proxyError: "http_request_denied",
    title: "The token is not signed by a known key.",
  },
  "token-expired": { status: 401, proxyError: "http_request_denied", title: "The token has expired." },
  "token-not-yet-valid": {
    status: 401,
    proxyError: "http_request_denied",
    title: "The token is not valid yet.",
  },
  "role-denied": {
    status: 403,
    proxyError: "http_request_denied",
    title: "The token's role does not permit this.",
  },
  "pool-denied": {
    status: 403,
    proxyError: "http_request_denied",
    title: "The token does not permit this pool.",
  },

  // Where it may leave from.
  "pool-unknown": { status: 404, proxyError: "http_request_error", title: "There is no such pool." },
  "ip-unknown": { status: 404, proxyError: "http_request_error", title: "The pool has no such address." },
  "selection-unserved": {
    status: 404,
    proxyError: "http_request_error",
    title: "The pool has no address that is in this country and at this site.",
  },
  "pool-in-use": {
    status: 409,
    proxyError: null,
    title:
      "Ports of the pool are leased: whether it is static, and how large its slots are, can be changed once none is.",
  },
  "host-in-use": {
    status: 409,
    proxyError: null,
    title: "The host is heard, or leases of it may not be over. End its agent first, or wait until they are.",
  },
  "host-unknown": { status: 404, proxyError: null, title: "There is no such host." },
  "ip-elsewhere": { status: 409, proxyError: null, title: "The address belongs to another pool." },
  "pool-empty": {
    status: 503,
    proxyError: "destination_unavailable",
    title: "The pool has no address in use.",
  },
  "no-host": {
    status: 503,
    proxyError: "destination_unavailable",
    title: "No host of the pool can serve this request now.",
  },
  "lease-lost": {
    status: 503,
    proxyError: "destination_unavailable",
    title: "The host holds no valid lease on the address.",
  },
  draining: { status: 503, proxyError: "destination_unavailable", title: "The host takes no new requests." },
  "port-block-exhausted": {
    status: 503,
    proxyError: "connection_limit_reached",
    title: "Every leased port is in use towards this destination.",
  },
  "connections-exhausted": {
    status: 503,
    proxyError: "connection_limit_reached",
    title: "The host has as many connections as its process may have.",
  },
  "control-plane-unavailable": {
    status: 503,
    proxyError: "proxy_internal_error",
    title: "The control plane does not answer.",
  },

  // What the destination did.
  "destination-prohibited": {
    status: 403,
    proxyError: "destination_ip_prohibited",
    title: "Private and special destinations are refused.",
  },
  "dns-error": { status: 502, proxyError: "dns_error", title: "The destination's name does not resolve." },
  "dns-timeout": {
    status: 504,
    proxyError: "dns_timeout",
    title: "The destination's name servers do not answer.",
  },
  "connection-refused": {
    status: 502,
    proxyError: "connection_refused",
    title: "The destination refused the connection.",
  },
  "connection-timeout": {
    status: 504,
    proxyError: "connection_timeout",
    title: "The destination did not accept the connection in time.",
  },
  "connection-terminated": {
    status: 502,
    proxyError: "connection_terminated",
    title: "The destination ended the connection before it answered.",
  },
  "destination-unroutable": {
    status: 502,
    proxyError: "destination_ip_unroutable",
    title: "There is no route to the destination.",
  },
  "address-family-mismatch": {
    status: 502,
    proxyError: "destination_ip_unroutable",
    title: "The destination has no address of the same IP family as the egress address.",
  },
  "tls-error": {
    status: 502,
    proxyError: "tls_protocol_error",
    title: "The TLS handshake with the destination failed.",
  },
  "tls-certificate-invalid": {
    status: 502,
    proxyError: "tls_certificate_error",
    title: "The destination's certificate is not valid.",
  },
  "response-malformed": {
    status: 502,
    proxyError: "http_protocol_error",
    title: "The destination did not answer in valid HTTP.",
  },
  "response-coding-unsupported": {
    status: 502,
    proxyError: "http_response_transfer_coding",
    title: "The destination's response has a transfer coding other than chunked.",
  },
  "response-headers-too-large": {
    status: 502,
    proxyError: "http_response_header_section_size",
    title: "The destination's response headers are too large.",
  },
  "response-timeout": {
    status: 504,
    proxyError: "http_response_timeout",
    title: "The destination did not begin to answer in time.",
  },
  "redirect-loop": { status: 502, proxyError: "proxy_loop_detected", title: "Too many redirects." },
  "redirect-not-replayable": {
    status: 502,
    proxyError: "http_protocol_error",
    title: "The redirect asks for the body again, but the body was streamed and was not kept.",
  },
  "redirect-unfollowed": {
    status: 502,
    proxyError: "destination_unavailable",
    title: "The destination answered with a redirect that this host cannot follow.",
  },

  // What broke on our side.
  "host-lost": {
    status: 502,
    proxyError: "connection_terminated",
    title: "The host was lost while it served the request.",
  },
  "internal-fault": {
    status: 500,
    proxyError: "proxy_internal_error",
    title: "ipshard failed; the fault is logged.",
  },
} as const satisfies Record<string, ProblemKind>;

/** The stable code of a refusal, as in the `code` member of the problem document. */
export type ProblemCode = keyof typeof CATALOGUE;

/** All codes, for documents and tests. */
export const PROBLEM_CODES = Object.keys(CATALOGUE) as readonly ProblemCode[];

/** A refusal on its way to a client. `detail` is for people and never parsed. */
export interface Problem {
  readonly code: ProblemCode;
  readonly detail?: string;
  /** Where a redirect leads that only the client can follow; sent as `egress-location`. */
  readonly location?: string;
}

/** What the catalogue says of a code. */
export function problemKind(code: ProblemCode): ProblemKind {
  return CATALOGUE[code];
}

/** The RFC 9457 document of a problem. */
export function problemDocument(problem: Problem): Record<string, string | number> {
  const { status, title } = CATALOGUE[problem.code];
  return {
    type: `urn:ipshard:problem:${problem.code}`,
    title,
    status,
    code: problem.code,
    ...(problem.detail === undefined ? {} : { detail: problem.detail }),
  };
}

const HOST_REFUSALS = [
  "lease-lost",
  "draining",
  "port-block-exhausted",
  "connections-exhausted",
  "address-family-mismatch",
] as const satisfies readonly ProblemCode[];

/** A refusal that concerns the host or its address, not the request. */
export type HostRefusal = (typeof HOST_REFUSALS)[number];

/**
 * Whether another host may be asked after this refusal: nothing of the request has reached the
 * destination. [PL4]
 */
export function isHostRefusal(code: string): code is HostRefusal {
  return (HOST_REFUSALS as readonly string[]).includes(code);
}
