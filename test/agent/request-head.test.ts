/** Requests as bytes: what the gateway makes of their heads, whole and cut at every byte. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startOrigin,
  startRig,
} from "./gateway-rig.ts";

let rig: Rig;
let origin: Origin;

beforeAll(async () => {
  rig = await startRig();
  origin = await startOrigin((request, response) => {
    let body = "";
    request.setEncoding("latin1").on("data", (text: string) => (body += text));
    request.once("end", () => {
      const { method, url, rawHeaders } = request;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ method, url, rawHeaders, body }), "latin1");
    });
  });
});
afterAll(async () => {
  origin.close();
  await rig.close();
});
afterEach(() => {
  expect(rig.faults.splice(0)).toEqual([]);
});

/** The request line is given, and all but the token and the end of the connection. */
function head(line: string, ...fields: string[]): string {
  const own = [`egress-authorization: Bearer ${rig.token}`, "connection: close"];
  return [line, ...own, ...fields, "", ""].join("\r\n");
}

const target = (query = ""): string => `/v1/fetch?url=${encodeURIComponent(`${origin.url}/x${query}`)}`;

interface Echo {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: string[];
  readonly body: string;
}

const bodyOf = (answer: string): string => answer.slice(answer.indexOf("\r\n\r\n") + 4);
const echoOf = (answer: string): Echo => JSON.parse(/\{.*\}/s.exec(bodyOf(answer))![0]) as Echo;
const codeOf = (answer: string): string | undefined => /"code":"([a-z-]+)"/.exec(answer)?.[1];
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]);

/** What is sent, and what comes back. */
type Case = [name: string, bytes: () => string, status: number, code?: string];

const host = "host: gateway";
const CASES: readonly Case[] = [
  ["the origin form", () => head(`GET ${target()} HTTP/1.1`, host), 200],
  ["the absolute form", () => head(`GET http://gateway:8080${target()} HTTP/1.1`, host), 200],
  ["the absolute form of another scheme", () => head(`GET HTTPS://gateway${target()} HTTP/1.1`, host), 200],
  ["another target", () => head("GET http://a.test/ HTTP/1.1", host), 404, "route-unknown"],
  ["an authority alone", () => head("GET http://a.test HTTP/1.1", host), 404, "route-unknown"],
  ["the asterisk form", () => head("OPTIONS * HTTP/1.1", host), 404, "route-unknown"],
  ["no host", () => head(`GET ${target()} HTTP/1.1`), 400, "request-malformed"],
  ["no host in HTTP/1.0", () => head(`GET ${target()} HTTP/1.0`), 200],
  ["two hosts", () => head(`GET ${target()} HTTP/1.1`, host, host), 400, "request-malformed"],
  [
    "two hosts in HTTP/1.0",
    () => head(`GET ${target()} HTTP/1.0`, host, "host: b"),
    400,
    "request-malformed",
  ],
  ["a host that is none", () => head(`GET ${target()} HTTP/1.1`, "host: a/b"), 400, "request-malformed"],
  ["a host with credentials", () => head(`GET ${target()} HTTP/1.1`, "host: u@a"), 400, "request-malformed"],
  ["a list of hosts", () => head(`GET ${target()} HTTP/1.1`, "host: a, b"), 400, "request-malformed"],
  ["an empty host", () => head(`GET ${target()} HTTP/1.1`, "host:"), 200],
  ["an address as host", () => head(`GET ${target()} HTTP/1.1`, "host: [::1]:80"), 200],
  ["no host at another route", () => head("GET /health HTTP/1.1"), 400, "request-malformed"],
  ["HTTP/2.0", () => head(`GET ${target()} HTTP/2.0`, host), 400, "request-malformed"],
  ["a header folded", () => head(`GET ${target()} HTTP/1.1`, host, "x: a\r\n b"), 400, "request-malformed"],
  ["space before the colon", () => head(`GET ${target()} HTTP/1.1`, host, "x : a"), 400, "request-malformed"],
  ["a bare CR", () => head(`GET ${target()} HTTP/1.1`, host, "x: a\rb: c"), 400, "request-malformed"],
  ["a bare LF", () => head(`GET ${target()} HTTP/1.1`, host, "x: a\nb: c"), 400, "request-malformed"],
  ["a NUL", () => head(`GET ${target()} HTTP/1.1`, host, "x: \0"), 400, "request-malformed"],
  ["a DEL", () => head(`GET ${target()} HTTP/1.1`, host, "x: \x7f"), 400, "request-malformed"],
  [
    "two tokens",
    () => head(`GET ${target()} HTTP/1.1`, host, `egress-authorization: Bearer ${rig.token}`),
    400,
    "request-malformed",
  ],
  [
    "two modes of redirects",
    () => head(`GET ${target()} HTTP/1.1`, host, "egress-redirect: follow", "egress-redirect: follow"),
    400,
    "redirect-mode-invalid",
  ],
  ["a body", () => `${head(`POST ${target()} HTTP/1.1`, host, "content-length: 5")}hello`, 200],
  [
    "a chunked body",
    () => `${head(`POST ${target()} HTTP/1.1`, host, "transfer-encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
    200,
  ],
  [
    "trailers",
    () => `${head(`POST ${target()} HTTP/1.1`, host, "transfer-encoding: chunked")}0\r\nx: y\r\n\r\n`,
    200,
  ],
  [
    "a coded body",
    () => `${head(`POST ${target()} HTTP/1.1`, host, "transfer-encoding: gzip, chunked")}1\r\nx\r\n0\r\n\r\n`,
    501,
    "request-coding-unsupported",
  ],
  [
    "a body coded in two fields",
    () =>
      `${head(`POST ${target()} HTTP/1.1`, host, "transfer-encoding: gzip", "transfer-encoding: chunked")}0\r\n\r\n`,
    501,
    "request-coding-unsupported",
  ],
  [
    "a body of no known end",
    () => head(`POST ${target()} HTTP/1.1`, host, "transfer-encoding: gzip"),
    501,
    "request-coding-unsupported",
  ],
  [
    "chunks in HTTP/1.0",
    () => `${head(`POST ${target()} HTTP/1.0`, host, "transfer-encoding: chunked")}0\r\n\r\n`,
    400,
    "request-malformed",
  ],
  [
    "two lengths",
    () => `${head(`POST ${target()} HTTP/1.1`, host, "content-length: 5", "content-length: 6")}hello`,
    400,
    "request-malformed",
  ],
  [
    "a length with a sign",
    () => `${head(`POST ${target()} HTTP/1.1`, host, "content-length: +5")}hello`,
    400,
    "request-malformed",
  ],
  [
    "a chunk that is none",
    () => `${head(`POST ${target()} HTTP/1.1`, host, "transfer-encoding: chunked")}-1\r\nhello\r\n`,
    400,
    "body-length-mismatch",
  ],
  [
    "an upgrade to h2c",
    () => head(`GET ${target()} HTTP/1.1`, host, "connection: upgrade", "upgrade: h2c"),
    200,
  ],
  [
    "an upgrade by POST",
    () =>
      `${head(`POST ${target()} HTTP/1.1`, host, "connection: upgrade", "upgrade: websocket", "content-length: 5")}hello`,
    200,
  ],
  [
    "an upgrade in HTTP/1.0",
    () => head(`GET ${target()} HTTP/1.0`, host, "connection: upgrade", "upgrade: websocket"),
    200,
  ],
  [
    "a WebSocket with a body",
    () =>
      `${head(`GET ${target()} HTTP/1.1`, host, "connection: upgrade", "upgrade: websocket", "content-length: 5")}hello`,
    400,
    "request-malformed",
  ],
  [
    "a WebSocket with chunks",
    () =>
      `${head(`GET ${target()} HTTP/1.1`, host, "connection: upgrade", "upgrade: websocket", "transfer-encoding: chunked")}0\r\n\r\n`,
    400,
    "request-malformed",
  ],
  ["CONNECT", () => head("CONNECT a.test:443 HTTP/1.1", host), 405, "method-unsupported"],
  ["no HTTP", () => "THIS IS NOT HTTP\r\n\r\n", 400, "request-malformed"],
];

describe("a head", () => {
  it.each(CASES)("[GW12] %s", async (_name, bytes, status, code) => {
    const answer = await exchangeBytes(rig.port, bytes());
    expect({ status: statusOf(answer), code: codeOf(answer) }).toEqual({ status, code });
  });

  it("[GW12] is the same however it is cut", { timeout: 120_000 }, async () => {
    const wrong: string[] = [];
    for (const [name, bytes, status, code] of CASES) {
      const whole = bytes();
      // Within the token once is enough.
      const tokenAt = name === CASES[0]![0] ? Infinity : whole.indexOf(rig.token) + 2;
      const isOutside = (cut: number): boolean => cut < tokenAt || cut > tokenAt + rig.token.length - 4;
      const cuts = Array.from({ length: whole.length - 1 }, (_, at) => at + 1).filter(isOutside);
      const lane = async (): Promise<void> => {
        for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop()) {
          const answer = await exchangeCut(whole, cut);
          if (statusOf(answer) !== status || codeOf(answer) !== code) {
            wrong.push(`${name} cut at ${cut}: ${answer.slice(0, 40)}`);
          }
        }
      };
      await Promise.all(Array.from({ length: 32 }, lane));
    }
    expect(wrong).toEqual([]);
    await eventually(() => rig.gateway.runningCount === 0, "nothing runs");
  });
});

/** Sends bytes in two segments, and gives the answer up to its end. */
async function exchangeCut(bytes: string, cut: number): Promise<string> {
  const socket = connect({ port: rig.port, host: "127.0.0.1", noDelay: true });
  let answer = "";
  socket.setEncoding("latin1");
  socket.on("data", (text: string) => (answer += text));
  socket.on("error", () => {});
  socket.write(bytes.slice(0, cut), "latin1");
  await once(socket, "connect");
  // The gateway reads the first before it gets the second.
  await new Promise((resolve) => {
    setTimeout(resolve, 2);
  });
  if (socket.writable) socket.write(bytes.slice(cut), "latin1");
  if (!socket.destroyed) await once(socket, "close");
  return answer;
}

describe("what the destination gets", () => {
  it("[GW3] is the target as it stands, with a question mark that nothing follows", async () => {
    for (const query of ["?", "?a=b?", "", "?%20"]) {
      const answer = await exchangeBytes(rig.port, head(`GET ${target(query)} HTTP/1.1`, host));
      expect(echoOf(answer).url).toBe(`/x${query}`);
    }
    const answer = await exchangeBytes(rig.port, head(`GET ${target("?#part?")} HTTP/1.1`, host));
    expect(echoOf(answer).url).toBe("/x?");
  });

  it("[GW3] is nothing of the connection, named as such or not", async () => {
    const fields = [
      "connection: x-hop,  Keep-Alive ,",
      "connection: X-Other",
      "x-hop: gone",
      "x-other: gone",
      "keep-alive: timeout=5",
      "proxy-connection: keep-alive",
      "proxy-authorization: Basic eDp5",
      "http2-settings: AAMAAABkAAQAAP__",
      "te: trailers",
      "trailer: x",
      "upgrade: h2c",
    ];
    const answer = await exchangeBytes(
      rig.port,
      head(`GET ${target()} HTTP/1.1`, host, ...fields, "x-kept: 1"),
    );
    const names = echoOf(answer).rawHeaders.filter((_, at) => at % 2 === 0);
    expect(names.map((name) => name.toLowerCase()).toSorted()).toEqual(["connection", "host", "x-kept"]);
  });

  it.each(["GET", "POST"])("[GW3] is each byte of a field from 0x80 up, by %s", async (method) => {
    const value = Array.from({ length: 128 }, (_, at) => String.fromCharCode(at + 128)).join("");
    const length = method === "POST" ? ["content-length: 5"] : [];
    const bytes = head(`${method} ${target()} HTTP/1.1`, host, ...length, `x-bytes: ${value}`);
    const body = method === "POST" ? "h\xe9llo" : "";
    const echo = echoOf(await exchangeBytes(rig.port, bytes + body));
    const at = echo.rawHeaders.indexOf("x-bytes");
    expect(Buffer.from(echo.rawHeaders[at + 1]!, "latin1").equals(Buffer.from(value, "latin1"))).toBe(true);
    expect(echo.body).toBe(body);
  });
});

describe("what a refusal tells", () => {
  it("[GW19] a challenge with every 401", async () => {
    for (const fields of [[host], [host, "egress-authorization: Bearer x"]]) {
      const answer = await exchangeBytes(
        rig.port,
        [`GET ${target()} HTTP/1.1`, "connection: close", ...fields, "", ""].join("\r\n"),
      );
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
      expect(answer).toContain("\r\nwww-authenticate: Bearer\r\n");
    }
  });

  it("[GW19] the methods with every 405", async () => {
    for (const line of ["POST /health HTTP/1.1", "DELETE /v1/status HTTP/1.1", "CONNECT a:1 HTTP/1.1"]) {
      const answer = await exchangeBytes(rig.port, head(line, host));
      expect(answer).toMatch(/^HTTP\/1\.1 405 /);
      expect(answer).toContain("\r\nallow: GET, HEAD\r\n");
    }
  });

  it("[GW19] where gateway tokens come from, and which field takes them", async () => {
    const fetchWith = (headers: Record<string, string>): Promise<Response> =>
      fetch(`${rig.url}${target()}`, { headers });
    const bearing = async (name: string): Promise<string> =>
      (await fetchWith({ [name]: `Bearer ${await rig.tokenFor("client")}` })).text();
    expect(await bearing("egress-authorization")).toContain("POST /v1/gateway-tokens");
    const misplaced = await bearing("authorization");
    expect(codeOf(misplaced)).toBe("token-missing");
    expect(misplaced).toContain("egress-authorization");
  });
});

describe("100 Continue", () => {
  it("[GW12] is told when it is asked for, and never in HTTP/1.0", async () => {
    const asking = (version: string): string =>
      `${head(`POST ${target()} HTTP/${version}`, host, "expect: 100-continue", "content-length: 5")}hello`;
    expect(await exchangeBytes(rig.port, asking("1.1"))).toMatch(
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /,
    );
    expect(await exchangeBytes(rig.port, asking("1.0"))).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("[GW12] is nothing that another expectation asks for", async () => {
    const other = fetchHead(rig, "POST", origin.url, "expect: tea", "content-length: 5", "connection: close");
    expect(await exchangeBytes(rig.port, `${other}hello`)).toMatch(/^HTTP\/1\.1 200 /);
  });
});
