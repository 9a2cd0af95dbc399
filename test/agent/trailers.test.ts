/** Which trailers may go on, by themselves. */
import { describe, expect, it, test } from "vitest";
import { announcedTrailers, asksForTrailers, passedTrailers } from "../../src/agent/traffic/http/trailers.ts";

describe("what a head alone may say", () => {
  it.each([
    "Content-Length",
    "transfer-encoding",
    "trailer",
    "te",
    "connection",
    "keep-alive",
    "upgrade",
    "proxy-connection",
    "host",
    "via",
    "Forwarded",
    "X-Forwarded-For",
    "x-forwarded-proto",
    "x-real-ip",
    "max-forwards",
    "expect",
    "cache-control",
    "pragma",
    "range",
    "if-match",
    "If-None-Match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
    "www-authenticate",
    "cookie",
    "Set-Cookie",
    "age",
    "date",
    "expires",
    "location",
    "retry-after",
    "vary",
    "warning",
    "content-type",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-disposition",
    "egress",
    "egress-ip",
    "Egress-Authorization",
    "proxy-status",
  ])("[PX14] %s goes no further, nor is it announced", (name) => {
    expect(passedTrailers(["a", "1", name, "2", "b", "3"], [])).toEqual(["a", "1", "b", "3"]);
    expect(announcedTrailers(["Trailer", `a, ${name},b`])).toBe("a, b");
  });
});

test("[PX14] all else passes as it was written, in order and repeated", () => {
  const fields = ["Grpc-Status", "0", "ETag", '"x"', "x", "1", "X", "2", "content-digest", "sha-256=:x:"];
  expect(passedTrailers(fields, ["x-odd", "connection"])).toEqual(fields);
});

test("[PX14] what the connection field of a head lists is of one connection behind the body, too", () => {
  const head = ["Connection", "close, X-Hop", "connection", " x-other\t"];
  expect(passedTrailers(["x-hop", "1", "X-Other", "2", "x-end", "3"], head)).toEqual(["x-end", "3"]);
});

test.each<[string[], string | null]>([
  [["trailer", "a", "x", "y", "Trailer", " B ,,c d, :e"], "a, B"],
  [["trailer", "content-length"], null],
  [["x-trailer", "a"], null],
])("[PX13] of %j is announced: %j", (head, announced) => {
  expect(announcedTrailers(head)).toBe(announced);
});

test.each([
  ["trailers", true],
  ["deflate;q=0.5,\tTrailers ", true],
  ["", false],
  ["trailers;q=1", false],
  ["x-trailers, gzip", false],
])("[PX13] te: %j asks for trailers: %s", (te, asks) => {
  expect(asksForTrailers(te)).toBe(asks);
});
