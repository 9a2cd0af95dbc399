/** What CONNECT may be asked for, and heads that are read at once. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parsePlace } from "../../src/agent/egress/destination-place.ts";
import { readConnectHead } from "../../src/agent/traffic/proxy/connect-head.ts";

test.each([
  ["example.com:443", { hostname: "example.com", port: 443 }],
  ["EXAMPLE.com.:443", { hostname: "example.com.", port: 443 }],
  ["_srv.example.com:1", { hostname: "_srv.example.com", port: 1 }],
  ["localhost:65535", { hostname: "localhost", port: 65_535 }],
  ["192.0.2.1:80", { hostname: "192.0.2.1", port: 80 }],
  ["[2001:DB8::1]:443", { hostname: "[2001:db8::1]", port: 443 }],
  ["[::ffff:127.0.0.1]:443", { hostname: "[::ffff:127.0.0.1]", port: 443 }],
  ["example.com:0", "url-port-invalid"],
  ["example.com:65536", "url-port-invalid"],
])("[PX5] %s is a destination or has a wrong port", (text, expected) => {
  const parsed = parsePlace(text);
  expect(parsed.ok ? parsed.value : parsed.refusal.code).toEqual(expected);
});

test.each([
  "example.com",
  "example.com:",
  ":443",
  "2001:db8::1:443",
  "[2001:db8::1]",
  "[2001:db8::1%eth0]:443",
  "[example.com]:443",
  "http://example.com:443",
  "example.com:443/",
  "user@example.com:443",
  "example.com:443:443",
  "exa mple.com:443",
  "example..com:443",
  ".example.com:443",
  "127.1:80",
  "2130706433:80",
  "0x7f000001:80",
  "0x7f.0.0.1:80",
  "127.0.0.01:80",
  "256.0.0.1:80",
  "example.com:+443",
  "example.com:4 43",
  `${"a".repeat(64)}.com:443`,
  "*:443",
  "%31.example.com:80",
])("[PX5] %s is no destination", (text) => {
  const parsed = parsePlace(text);
  expect(parsed.ok ? parsed.value : parsed.refusal.code).toBe("connect-target-invalid");
});

function head(text: string): unknown {
  const read = readConnectHead(Buffer.from(text, "latin1"));
  return read === null ? null : { ...read, rest: read.rest.toString("latin1") };
}

test("[PX5] a clean head is read, with what follows it", () => {
  expect(head("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nX: \t1 2 \r\n\r\nearly")).toEqual({
    target: "a.test:443",
    fields: ["Host", "a.test:443", "X", "1 2"],
    rest: "early",
  });
});

test.each([
  "",
  "CONNECT",
  "CONNECT a.test:443 HTTP/1.1\r\n",
  "CONNECT a.test:443 HTTP/1.0\r\n\r\n",
  "CONNECT  a.test:443 HTTP/1.1\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1 \r\n\r\n",
  "connect a.test:443 HTTP/1.1\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1\r\nHost : a\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1\r\nHost\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1\r\n folded: a\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
  "CONNECT a.test:443 HTTP/1.1\r\nHost: a\0\r\n\r\n",
  "GET http://a.test/ HTTP/1.1\r\n\r\n",
])("[PX10] %j is left to the full reader", (text) => {
  expect(head(text)).toBeNull();
});

test("[PX10] whatever is read has no line within a line", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii", maxLength: 100 }), (noise) => {
      const read = readConnectHead(Buffer.from(`CONNECT a:1 HTTP/1.1\r\nhost: ${noise}\r\n\r\n`, "latin1"));
      // oxlint-disable-next-line no-control-regex
      for (const value of read?.fields ?? []) expect(value).not.toMatch(/[\r\n\0]/);
    }),
  );
});
