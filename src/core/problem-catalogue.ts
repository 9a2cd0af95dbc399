/**
 * Every refusal that a client can get, in one table: the stable code, the HTTP status, the
 * RFC 9209 error type for `proxy-status`, the SOCKS5 reply, and a title for people. [ER1]
 *
 * A code never changes its meaning.
 */

/** 1 general, 2 not allowed, 3 network unreachable, 4 host unreachable, 5 refused, 6 timed out, 7 command, 8 address type. */
export type SocksReply = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** What is said of a code. */
export interface ProblemKind {
  readonly status: number;
  /** RFC 9209 section 2.3; null where no registered type fits. */
  readonly proxyError: string | null;
  /** The REP field of a SOCKS5 reply, RFC 1928 section 6. */
  readonly socksReply: SocksReply;
  readonly title: string;
}

// Whoever needs no more than the types does not carry the table: bundlers leave it out.
/* @__NO_SIDE_EFFECTS__ */
function kind(status: number, proxyError: string | null, socksReply: SocksReply, title: string): ProblemKind {
  return { status, proxyError, socksReply, title };
}

/** By code. */
export const CATALOGUE = {
  // What the client sent.
  "url-missing": kind(
    400,
    "http_request_error",
    1,
    "The url parameter is missing. Add it, for example ?url=https://example.com/.",
  ),
  "url-malformed": kind(
    400,
    "http_request_error",
    1,
    "The url parameter is not a complete URL such as https://example.com/.",
  ),
  "url-scheme-unsupported": kind(
    400,
    "http_request_error",
    1,
    "Only http and https destinations can be reached.",
  ),
  "url-credentials": kind(
    400,
    "http_request_error",
    1,
    "Credentials in the URL are not sent; use an authorization header.",
  ),
  "url-port-invalid": kind(400, "http_request_error", 1, "The destination port must be from 1 to 65535."),
  "proxy-target-invalid": kind(
    400,
    "http_request_error",
    1,
    "A proxy is asked for the whole URL, as in GET http://example.com/, or to CONNECT to host:port.",
  ),
  "connect-target-invalid": kind(
    400,
    "http_request_error",
    8,
    "The destination is not of the form host:port, such as db.example.com:5432 or [2001:db8::1]:443.",
  ),
  "subprotocol-missing": kind(
    400,
    "http_request_error",
    1,
    "TCP is carried by a WebSocket with the subprotocol ipshard.tcp.v1; offer it.",
  ),
  "carrier-malformed": kind(
    400,
    "http_request_error",
    1,
    "What came over the WebSocket that carries the connection breaks the rules of its subprotocol.",
  ),
  "socks-malformed": kind(
    400,
    "http_request_error",
    1,
    "What came is not SOCKS5 as RFC 1928 and RFC 1929 have it.",
  ),
  "address-type-unsupported": kind(
    400,
    "http_request_error",
    8,
    "SOCKS5 has IPv4 addresses, IPv6 addresses and names, and no other kind.",
  ),
  "selection-malformed": kind(
    400,
    "http_request_error",
    1,
    'The egress field is malformed. Write it like pool=eu, ip="192.0.2.1", with each key once.',
  ),
  "selection-key-unknown": kind(
    400,
    "http_request_error",
    1,
    "The egress field has an unknown key. The keys are pool, ip, country, site, session, sticky and ttl.",
  ),
  "selection-value-invalid": kind(400, "http_request_error", 1, "A value in the egress field is not valid."),
  "redirect-mode-invalid": kind(400, "http_request_error", 1, "egress-redirect must be manual or follow."),
  "request-malformed": kind(400, "http_request_error", 1, "The request is not valid HTTP."),
  "body-length-mismatch": kind(
    400,
    "http_request_error",
    1,
    "The body is longer or shorter than its content-length.",
  ),
  "body-too-large": kind(413, "http_request_error", 1, "The content-length is too large a number."),
  "request-coding-unsupported": kind(
    501,
    "http_request_error",
    1,
    "The request has a transfer coding other than chunked.",
  ),
  "input-invalid": kind(400, "http_request_error", 1, "The input does not have the documented form."),
  "headers-too-large": kind(431, "http_request_error", 1, "The request headers are too large."),
  "route-unknown": kind(404, null, 1, "There is nothing at this path."),
  "copy-under-way": kind(429, null, 1, "Another copy of the edge is being made."),
  "viewers-exhausted": kind(
    429,
    null,
    1,
    "As many pages show this pool or address as may; it can be seen again when one is closed.",
  ),
  "method-unsupported": kind(405, null, 7, "This path does not support the method."),
  "upgrade-required": kind(426, null, 1, "This path speaks WebSocket only."),
  "upgrade-unsupported": kind(501, "http_upgrade_failed", 1, "Only upgrades to websocket are supported."),

  // Who the client is.
  "token-missing": kind(401, "http_request_denied", 2, "A token is required."),
  "token-malformed": kind(
    401,
    "http_request_denied",
    2,
    "The token cannot be read: send Bearer, a space, and a token that ipshard has made.",
  ),
  "token-signature-invalid": kind(401, "http_request_denied", 2, "The token is not signed by a known key."),
  "token-expired": kind(401, "http_request_denied", 2, "The token has expired."),
  "token-not-yet-valid": kind(401, "http_request_denied", 2, "The token is not valid yet."),
  "token-revoked": kind(401, "http_request_denied", 2, "The token was revoked."),
  "join-used": kind(
    401,
    "http_request_denied",
    2,
    "The join token was used. If not by this machine, revoke what it made: ipshard token revoke --name NAME.",
  ),
  "session-ended": kind(401, "http_request_denied", 2, "The session is over. Sign in again."),
  "sign-in-code-invalid": kind(
    401,
    "http_request_denied",
    2,
    "The sign-in code was used, has ended, or never was. Ask for another: ipshard dashboard.",
  ),
  "csrf-refused": kind(
    403,
    "http_request_denied",
    2,
    "With a session only the edge's own page is heard: it says so by its origin and by ipshard-csrf.",
  ),
  "role-denied": kind(403, "http_request_denied", 2, "The token's role does not permit this."),
  "pool-denied": kind(403, "http_request_denied", 2, "The token does not permit this pool."),
  "tls-required": kind(
    403,
    "http_request_denied",
    2,
    "Tokens are not taken in plain text from another machine. Use TLS (https), or a tunnel.",
  ),
  "client-certificate-invalid": kind(
    403,
    "http_request_denied",
    2,
    "A certificate of the client's own is required here, signed by an authority that the operator trusts.",
  ),

  "ip-denied": kind(403, "http_request_denied", 2, "The token does not permit this egress address."),
  "tenant-denied": kind(403, "http_request_denied", 2, "The pool does not serve the token's tenant."),

  // What is in the register.
  "token-unknown": kind(404, null, 1, "The register has no such token."),
  "token-id-taken": kind(409, null, 1, "The register has another token of this id."),
  "key-unknown": kind(404, null, 1, "There is no such key."),
  "key-in-use": kind(
    409,
    null,
    1,
    "The key is needed: it signed the token that asks for this, or is the only one that the edge signs with.",
  ),
  "register-full": kind(
    409,
    null,
    1,
    "The register is full: revoked and ended tokens and retired keys leave it in time.",
  ),

  // How much a tenant may have.
  "requests-limited": kind(
    429,
    "http_request_denied",
    2,
    "More requests came in a second than the tenant, or the token, may send.",
  ),
  "in-flight-limited": kind(
    429,
    "connection_limit_reached",
    2,
    "The tenant has as many requests under way as it may have.",
  ),
  "tunnels-limited": kind(
    429,
    "connection_limit_reached",
    2,
    "The tenant has as many tunnels as it may have.",
  ),
  "ports-limited": kind(
    429,
    "connection_limit_reached",
    2,
    "The tenant has as many connections towards destinations as it may have.",
  ),
  "bytes-limited": kind(
    429,
    "http_request_denied",
    2,
    "The tenant has sent and received as many bytes as it may in a day.",
  ),

  // Where it may leave from.
  "pool-unknown": kind(404, "http_request_error", 1, "There is no such pool."),
  "ip-unknown": kind(404, "http_request_error", 1, "The pool has no such address."),
  "selection-unserved": kind(
    404,
    "http_request_error",
    1,
    "The pool has no address that is in this country and at this site.",
  ),
  "pool-in-use": kind(
    409,
    null,
    1,
    "Ports of the pool are leased: whether it is static, and how large its slots are, can be changed once none is.",
  ),
  "host-in-use": kind(
    409,
    null,
    1,
    "The host is heard, or leases of it may not be over. End its agent first, or wait until they are.",
  ),
  "host-unknown": kind(404, null, 1, "There is no such host."),
  "policy-changed": kind(
    409,
    null,
    1,
    "The policy is of another version than the change was made for. Read it again.",
  ),
  "policy-too-large": kind(
    413,
    null,
    1,
    "The policy would be larger than one that is delivered to hosts may be.",
  ),
  "tenant-unknown": kind(404, null, 1, "The policy says nothing of such a tenant."),
  "ip-elsewhere": kind(409, null, 1, "The address belongs to another pool."),
  "pool-empty": kind(503, "destination_unavailable", 1, "The pool has no address in use."),
  "no-host": kind(503, "destination_unavailable", 1, "No host of the pool can serve this request now."),
  "lease-lost": kind(503, "destination_unavailable", 1, "The host holds no valid lease on the address."),
  draining: kind(503, "destination_unavailable", 1, "The host takes no new requests."),
  "port-block-exhausted": kind(
    503,
    "connection_limit_reached",
    1,
    "Every leased port is in use towards this destination.",
  ),
  "connections-exhausted": kind(
    503,
    "connection_limit_reached",
    1,
    "The host has as many connections as its process may have.",
  ),
  "strangers-exhausted": kind(
    503,
    "connection_limit_reached",
    1,
    "The host has as many connections without a valid token as it may have.",
  ),
  "untaken-exhausted": kind(
    503,
    "connection_limit_reached",
    1,
    "The host keeps as much as it may of what readers do not take, and this one has taken nothing for longest.",
  ),
  "policy-missing": kind(
    503,
    "destination_unavailable",
    1,
    "The host does not have the pool's policy, by which it decides, and has not been given it yet.",
  ),
  "dashboard-missing": kind(
    404,
    null,
    1,
    "This edge has no such file of the dashboard. Build it with npm run build, and deploy it again.",
  ),
  "attribution-busy": kind(503, null, 1, "The host answers as many questions about its flows as it can."),
  "control-plane-unavailable": kind(503, "proxy_internal_error", 1, "The control plane does not answer."),

  // What the destination did.
  "destination-prohibited": kind(
    403,
    "destination_ip_prohibited",
    2,
    "Private and special destinations are refused.",
  ),
  "destination-denied": kind(403, "http_request_denied", 2, "The destination is on a list of denied ones."),
  "destination-not-allowed": kind(
    403,
    "http_request_denied",
    2,
    "The destination is not on a list of allowed ones.",
  ),
  "dns-error": kind(502, "dns_error", 4, "The destination's name does not resolve."),
  "dns-timeout": kind(504, "dns_timeout", 4, "The destination's name servers do not answer."),
  "connection-refused": kind(502, "connection_refused", 5, "The destination refused the connection."),
  "connection-timeout": kind(
    504,
    "connection_timeout",
    6,
    "The destination did not accept the connection in time.",
  ),
  "connection-terminated": kind(
    502,
    "connection_terminated",
    4,
    "The destination ended the connection before it answered.",
  ),
  "connection-idle": kind(
    504,
    "connection_read_timeout",
    1,
    "Nothing passed on the connection for longer than it may rest.",
  ),
  "destination-unroutable": kind(
    502,
    "destination_ip_unroutable",
    3,
    "There is no route to the destination.",
  ),
  "address-family-mismatch": kind(
    502,
    "destination_ip_unroutable",
    3,
    "The destination has no address of the same IP family as the egress address.",
  ),
  "tls-error": kind(502, "tls_protocol_error", 1, "The TLS handshake with the destination failed."),
  "tls-certificate-invalid": kind(
    502,
    "tls_certificate_error",
    1,
    "The destination's certificate is not valid.",
  ),
  "response-malformed": kind(502, "http_protocol_error", 1, "The destination did not answer in valid HTTP."),
  "response-coding-unsupported": kind(
    502,
    "http_response_transfer_coding",
    1,
    "The destination's response has a transfer coding other than chunked.",
  ),
  "response-headers-too-large": kind(
    502,
    "http_response_header_section_size",
    1,
    "The destination's response headers are too large.",
  ),
  "response-timeout": kind(
    504,
    "http_response_timeout",
    1,
    "The destination did not begin to answer in time.",
  ),
  "redirect-loop": kind(502, "proxy_loop_detected", 1, "Too many redirects."),
  "redirect-not-replayable": kind(
    502,
    "http_protocol_error",
    1,
    "The redirect asks for the body again, but the body was streamed and was not kept.",
  ),
  "redirect-unfollowed": kind(
    502,
    "destination_unavailable",
    1,
    "The destination answered with a redirect that this host cannot follow.",
  ),

  // What broke on our side.
  "host-lost": kind(502, "connection_terminated", 1, "The host was lost while it served the request."),
  "internal-fault": kind(500, "proxy_internal_error", 1, "ipshard failed; the fault is logged."),
} as const satisfies Readonly<Record<string, ProblemKind>>;
