/** The reader of responses by itself: every response of the suite, whole and cut at each byte. */
import { describe, expect, it } from "vitest";
import { problemOf } from "../../src/agent/egress/faults.ts";
import { ResponseReader } from "../../src/agent/traffic/http1/http1-response.ts";
import { type ResponseCase, RESPONSES, type RightValue } from "./responses.ts";

const MAX_HEAD_BYTES = 4 * 1024;

interface Reading {
  readonly value: RightValue;
  readonly heads: string;
  readonly keptAliveMs: number | null;
}

/** What a reader makes of segments, the end of the connection after them. */
function read(segments: readonly string[], method = "GET"): Reading {
  let status = 0;
  let heads = "";
  let body = "";
  const reader = new ResponseReader(method, MAX_HEAD_BYTES, {
    onHead: (told, phrase, headers) => {
      status = told;
      heads += `${told} ${phrase} ${headers.join("|")}\n`;
    },
    onBody: (chunk) => {
      expect(chunk.length).toBeGreaterThan(0);
      body += chunk.toString("latin1");
    },
  });
  try {
    for (const segment of segments) {
      if (segment !== "") reader.read(Buffer.from(segment, "latin1"));
      if (reader.isOver) break;
    }
    reader.end(true);
    heads += `behind ${reader.trailers.join("|")}\n`;
  } catch (fault) {
    const { code } = problemOf(fault);
    if (status < 200) return { value: { status: 502, code }, heads, keptAliveMs: null };
    return { value: { status, body, isBroken: true }, heads, keptAliveMs: null };
  }
  return { value: { status, body }, heads, keptAliveMs: reader.keptAliveMs };
}

describe("each response has its value, and the same however it is cut", () => {
  it.each(RESPONSES.map((one): [string, ResponseCase] => [one.name, one]))("[OR20] %s", (_name, one) => {
    const { bytes, method, right } = one;
    const { value, heads } = read([bytes], method);
    expect(value).toEqual(right);
    expect(read(bytes.split(""), method)).toMatchObject({ value, heads });
    for (let at = 1; at < bytes.length; at += 1) {
      expect(read([bytes.slice(0, at), bytes.slice(at)], method)).toMatchObject({ value, heads });
    }
  });
});

it("[OR21] passes the bytes of a field as they came, and puts a folded one in a line", () => {
  const { heads } = read(["HTTP/1.1 200 \x80\xe9\r\nX-Y: \t\x80\xa0 b\xff \r\n \t c\r\n\r\n"]);
  expect(heads).toBe("200 \x80\xe9 X-Y|\x80\xa0 b\xff c\nbehind \n");
});

it("[OR21] reads the fields behind a body as those of a head, and puts them into none", () => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
  const { heads, value } = read([`${chunked}X-Y: \x80 \r\n\tb\r\nx-y:\r\nTransfer-Encoding: a\r\n\r\n`]);
  expect(value).toEqual({ status: 200, body: "x" });
  expect(heads).toBe("200 OK Transfer-Encoding|chunked\nbehind X-Y|\x80 b|x-y||Transfer-Encoding|a\n");
  for (const bad of [" b", "Content-Length: 1\r\n 2", "x y: 1", "x: \0"]) {
    expect(read([`${chunked}${bad}\r\n\r\n`]).value.isBroken).toBe(true);
  }
});

it("[OR21] bounds heads, interim ones and trailers together by bytes, however many fields they are", () => {
  const many = "a:\r\n".repeat(1_000);
  expect(read([`HTTP/1.1 200 OK\r\n${many}\r\n`]).value.status).toBe(200);
  const refusal = { status: 502, code: "response-headers-too-large" };
  expect(read([`HTTP/1.1 200 OK\r\n${many}${many}\r\n`]).value).toEqual(refusal);
  expect(read(["HTTP/1.1 103 Early\r\n\r\n".repeat(1_000)]).value).toEqual(refusal);
  expect(read([`HTTP/1.1 200 ${"x".repeat(5_000)}`]).value).toEqual(refusal);
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
  expect(read([`${chunked}0\r\n${many}${many}\r\n`]).value.isBroken).toBe(true);
  expect(read([`${chunked}1;${"x".repeat(20_000)}\r\nx\r\n0\r\n\r\n`]).value.isBroken).toBe(true);
});

describe("whether a connection is good for another request", () => {
  it.each([
    ["HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", Infinity],
    ["chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Infinity],
    ["close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx", 0],
    [
      "close and keep-alive",
      "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      0,
    ],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 0],
    [
      "HTTP/1.0 kept alive",
      "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
      Infinity,
    ],
    [
      "HTTP/1.0 in chunks",
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      0,
    ],
    ["a hint", "HTTP/1.1 200 OK\r\nKeep-Alive: max=9, timeout=5\r\nContent-Length: 1\r\n\r\nx", 4_000],
    ["a hint of a second", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 1\r\n\r\nx", 0],
    ["an end of the connection", "HTTP/1.1 200 OK\r\n\r\nx", 0],
    ["204", "HTTP/1.1 204 No\r\n\r\n", Infinity],
    ["204 with a length", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", 0],
    ["304 with a length", "HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", 0],
    ["bytes after it", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", 0],
    ["an empty line after it", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx\r\n", 0],
  ])("[OR24] %s", (_name, bytes, keptAliveMs) => {
    expect(read([bytes]).keptAliveMs).toBe(keptAliveMs);
  });
  it("[OR24] never after HEAD", () => {
    expect(read(["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"], "HEAD").keptAliveMs).toBe(0);
  });
});
