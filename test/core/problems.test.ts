/** Every way to say no, and that each is said in standard terms. */
import { STATUS_CODES } from "node:http";
import { describe, expect, test } from "vitest";
import { isHostRefusal, PROBLEM_CODES, problemDocument, problemKind } from "../../src/core/problems.ts";

/** The HTTP Proxy Error Types registry as RFC 9209 section 2.3 opens it. */
const REGISTERED_PROXY_ERRORS = new Set([
  "dns_timeout",
  "dns_error",
  "destination_not_found",
  "destination_unavailable",
  "destination_ip_prohibited",
  "destination_ip_unroutable",
  "connection_refused",
  "connection_terminated",
  "connection_timeout",
  "connection_read_timeout",
  "connection_write_timeout",
  "connection_limit_reached",
  "tls_protocol_error",
  "tls_certificate_error",
  "tls_alert_received",
  "http_request_error",
  "http_request_denied",
  "http_response_incomplete",
  "http_response_header_section_size",
  "http_response_header_size",
  "http_response_body_size",
  "http_response_trailer_section_size",
  "http_response_trailer_size",
  "http_response_transfer_coding",
  "http_response_content_coding",
  "http_response_timeout",
  "http_upgrade_failed",
  "http_protocol_error",
  "proxy_internal_response",
  "proxy_internal_error",
  "proxy_configuration_error",
  "proxy_loop_detected",
]);

describe("the catalogue of problems", () => {
  test.each(PROBLEM_CODES)(
    "[LAW10] [ER1] %s has a standard status, a registered error type and a title",
    (code) => {
      const { status, proxyError, title } = problemKind(code);
      expect(STATUS_CODES[status]).toBeDefined();
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
      expect(proxyError === null || REGISTERED_PROXY_ERRORS.has(proxyError)).toBe(true);
      expect(title).toMatch(/^[\x20-\x7e]+\.$/);
      expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    },
  );

  test("[ER1] a document carries type, title, status, code, and detail only when there is one", () => {
    expect(problemDocument({ code: "no-host" })).toEqual({
      type: "urn:ipshard:problem:no-host",
      title: "No host of the pool can serve this request now.",
      status: 503,
      code: "no-host",
    });
    expect("detail" in problemDocument({ code: "no-host" })).toBe(false);
    expect(problemDocument({ code: "no-host", detail: "pool eu" })).toMatchObject({ detail: "pool eu" });
  });

  test("[PL4] six refusals say that nothing was sent and another host may be asked", () => {
    const movable = PROBLEM_CODES.filter(isHostRefusal).toSorted();
    expect(movable).toEqual([
      "address-family-mismatch",
      "connections-exhausted",
      "draining",
      "lease-lost",
      "policy-missing",
      "port-block-exhausted",
    ]);
    for (const code of movable) expect(problemKind(code).status).toBeGreaterThan(500);
    expect(isHostRefusal("constructor")).toBe(false);
  });
});
