/** Work that grows with the square of what a peer sends would halt everybody else: long tests, were it so. */
import { expect, it } from "vitest";
import { trimmed } from "../../src/agent/traffic/http/field-value.ts";
import type { RawHeaders } from "../../src/agent/traffic/http/forwarded-headers.ts";
import { ResponseReader } from "../../src/agent/traffic/http1/http1-response.ts";
import { Http2Response } from "../../src/agent/traffic/http2/http2-response.ts";
import { requestFields } from "../../src/agent/traffic/http2/http2-request.ts";

const MANY = 1_000_000;
const BLANKS = " ".repeat(MANY);

it.each([
  ["", ""],
  [" \t ", ""],
  ["\t a \t b\t ", "a \t b"],
  ["\xa0a\v", "\xa0a\v"],
])("[GW21] %j without the blanks around it is %j", (value, expected) => {
  expect(trimmed(value)).toBe(expected);
});

it("[GW21] a value with a million blanks within costs a request over HTTP/2 no more than any other", () => {
  const value = `a${BLANKS}b`;
  const headers = ["x", ` ${value} `];
  const request = { method: "GET", path: "/", headers, body: null, takesTrailers: false, trailers: null };
  expect(requestFields(request, "origin.test", Number.POSITIVE_INFINITY).at(-1)).toBe(value);
});

it("[GW21] nor does a value that is folded into a million lines cost a response", () => {
  const heads: RawHeaders[] = [];
  const reader = new ResponseReader("GET", 16 * MANY, {
    onHead: (_status, _phrase, headers) => heads.push([...headers]),
    onBody: () => {},
  });
  reader.read(Buffer.from(`HTTP/1.1 204 X\r\nx: a\r\n${" \r\n b\r\n".repeat(MANY / 2)}\r\n`));
  expect(heads[0]![1]!.length).toBe(1 + MANY);
  expect(heads[0]![1]!.slice(0, 5)).toBe("a b b");
});

it("[GW21] nor do ten million fields of a head over HTTP/2 that is too large", () => {
  const response = new Http2Response("GET", 100);
  for (let count = 0; count < 10 * MANY; count += 1) response.onField("x", "y");
  expect(() => response.endHead(true)).toThrow("response-headers-too-large");
});
