/** Codes of Node, OpenSSL, c-ares and llhttp, and what the client is told. */
import { expect, it } from "vitest";
import { EgressFault, isConnectFault, isStaleConnection, problemOf } from "../../src/agent/egress/faults.ts";

const withCode = (code: string): Error => Object.assign(new Error("any text"), { code });

it.each([
  ["ECONNREFUSED", "connection-refused"],
  ["ETIMEDOUT", "connection-timeout"],
  ["ECONNRESET", "connection-terminated"],
  ["EHOSTUNREACH", "destination-unroutable"],
  ["ENETUNREACH", "destination-unroutable"],
  ["ENOPROTOOPT", "destination-unroutable"],
  ["ENOTSUP", "destination-unroutable"],
  ["ENONET", "destination-unroutable"],
  ["EMFILE", "connections-exhausted"],
  ["ENOTFOUND", "dns-error"],
  ["ETIMEOUT", "dns-timeout"],
  ["EPROTO", "tls-error"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "tls-error"],
  ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "tls-error"],
  ["CERT_HAS_EXPIRED", "tls-certificate-invalid"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "tls-certificate-invalid"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "tls-certificate-invalid"],
  ["HPE_INVALID_CONSTANT", "response-malformed"],
  ["HPE_HEADER_OVERFLOW", "response-headers-too-large"],
  ["ENOMEM", "internal-fault"],
  ["constructor", "internal-fault"],
])("[GW1] %s is %s", (code, problem) => {
  expect(problemOf(withCode(code)).code).toBe(problem);
});

it("[GW1] a fault of ours keeps its code and detail; what is none is internal", () => {
  expect(problemOf(new EgressFault("lease-lost", "why"))).toEqual({ code: "lease-lost", detail: "why" });
  for (const thrown of [null, undefined, "text", new Error("x"), { code: 5 }]) {
    expect(problemOf(thrown)).toEqual({ code: "internal-fault" });
  }
});

it("[GW1] only what a connection can fail at leads to the next address, only a lost one to a repeat", () => {
  expect(isConnectFault(withCode("ECONNREFUSED"))).toBe(true);
  expect(isConnectFault(new EgressFault("port-block-exhausted"))).toBe(false);
  expect(isConnectFault(withCode("ECONNRESET"))).toBe(false);
  expect(isStaleConnection(withCode("ECONNRESET"))).toBe(true);
});
