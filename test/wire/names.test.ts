/** Names that clients, hosts and edges of other versions know us by: none changes by accident. */
import { expect, test } from "vitest";
import * as names from "../../src/wire/header-names.ts";
import { generateKey, kindOf } from "../../src/wire/keys.ts";
import { UPLOAD_NAME } from "../../src/wire/upload-status.ts";

test("[GW3] [WK18] the fields and paths that are ours keep their names", () => {
  const { HOP_BY_HOP: _sets, isOwnHeader: _functions, ...own } = names;
  expect(own).toEqual({
    CSRF_HEADER: "ipshard-csrf",
    EGRESS_TIMING: "egress-timing",
    EGRESS: "egress",
    EGRESS_AUTHORIZATION: "egress-authorization",
    EGRESS_CONNECT: "egress-connect",
    EGRESS_REDIRECT: "egress-redirect",
    EGRESS_REQUEST_ID: "egress-request-id",
    EGRESS_SESSION_UNTIL: "egress-session-until",
    EGRESS_UPLOAD: "egress-upload",
    EGRESS_IP: "egress-ip",
    EGRESS_PORT: "egress-port",
    EGRESS_HOST: "egress-host",
    EGRESS_LOCATION: "egress-location",
    EGRESS_KEPT: "egress-kept-",
    PROXY_STATUS: "proxy-status",
    PROXY_NAME: "ipshard",
    FETCH_PATH: "/v1/fetch",
    CONNECT_PATH: "/v1/connect",
    UPLOADS_PATH: "/v1/uploads/",
  });
});

test("[GW3] a field is ours by its first word alone", () => {
  for (const name of ["egress", "egress-ip", "egress-whatever"]) expect(names.isOwnHeader(name)).toBe(true);
  for (const name of ["egresses", "x-egress-ip", "", "ip"]) expect(names.isOwnHeader(name)).toBe(false);
});

test("[GW3] the fields of one connection cross no proxy", () => {
  expect([...names.HOP_BY_HOP].toSorted()).toEqual([
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
  ]);
});

test("[GW24] an upload is named by 16 to 64 letters, digits, dashes and underlines", () => {
  for (const name of ["a".repeat(16), "Z-9_".repeat(16)]) expect(name).toMatch(UPLOAD_NAME);
  for (const name of ["", "a".repeat(15), "a".repeat(65), `${"a".repeat(16)}/`, `/${"a".repeat(16)}`]) {
    expect(name).not.toMatch(UPLOAD_NAME);
  }
});

test("[ID1] a key is named by its kind and sixteen characters of its thumbprint", async () => {
  for (const kind of ["issuer", "edge"] as const) {
    const key = await generateKey(kind);
    expect(key.kid).toMatch(new RegExp(`^${kind}:[\\w-]{16}$`));
    expect(key).toMatchObject({ kty: "OKP", crv: "Ed25519", alg: "Ed25519", use: "sig" });
    expect(kindOf(key.kid)).toBe(kind);
  }
});
