/** What only bytes can ask of the self-hosted edge: every answer has a name, and nobody else suffers. */
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createEgress } from "../../src/sdk/egress.ts";
import { Cluster, POOL } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;
let authorization: string;

beforeAll(async () => {
  names = await startNameServer({});
  cluster = await Cluster.start({
    hosts: ["h1"],
    agentArgs: ["--dns", names.address, "--response-timeout=3000"],
  });
  authorization = `egress-authorization: ${(await cluster.clientHeaders())["egress-authorization"]}\r\n`;
});
afterAll(async () => {
  names?.close();
  await cluster?.stop();
});
afterEach(async () => {
  // The only host was not blamed, so this is answered at once.
  const response = await fetch(cluster.through(cluster.originUrl("/seen")), {
    headers: await cluster.clientHeaders(),
  });
  expect(response.status).toBe(200);
});

/** Says these bytes to the edge and returns all that it answers. */
function say(text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(cluster.edgePort, "127.0.0.1", () => socket.write(Buffer.from(text, "latin1")));
    socket.setTimeout(6_000, () => socket.destroy());
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

function request(method: string, fields = "", body = "", place = "/seen"): string {
  const target = `/v1/fetch?url=${encodeURIComponent(cluster.originUrl(place))}`;
  return `${method} ${target} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n${authorization}${fields}\r\n${body}`;
}

/** Status and code of a refusal, or of the origin's answer. */
function summaryOf(answer: string): [number, string | null] {
  const code = /\r\nproxy-status: ipshard;(?:error=\w+;)?details="([a-z-]+)"\r\n/i.exec(answer)?.[1] ?? null;
  return [Number(answer.split(" ")[1]), code];
}

/** What the origin saw of a request, as its answer tells. */
function seenIn(answer: string): { method: string; headers: Record<string, string[]> } {
  const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  return JSON.parse(Buffer.from(body, "latin1").toString());
}

test.each(["", "yes"])("[WK41] CONNECT is refused by name, with %j for a token", async (token) => {
  const fields = token === "" ? "" : authorization;
  for (const target of ["a:1", "127.0.0.20:80", "edge:443", "[::1]:22", "a", "a:99999"]) {
    const answer = await say(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${fields}\r\n`);
    const [status, code] = summaryOf(answer);
    expect([target, status, code]).toEqual([target, 405, "method-unsupported"]);
    expect(answer).toMatch(/\r\nallow: GET, HEAD, POST/i);
    // It may have been taken for a proxy. [TR7]
    expect(answer).toContain("--proxy");
  }
  expect(await readFile(join(cluster.directory, "edge.log"), "utf8")).not.toMatch(/exception/i);
  expect(await readFile(join(cluster.directory, "logs", "edge.log"), "utf8")).not.toMatch(/exception/i);
});

test("[WK37] an upgrade that is no WebSocket handshake is refused, and no body lost", async () => {
  const cases: [string, string, string][] = [
    ["POST", "upgrade: websocket\r\ncontent-length: 3\r\n", "abc"],
    ["PUT", "upgrade: websocket\r\ntransfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"],
    ["GET", "upgrade: websocket\r\ncontent-length: 3\r\n", "abc"],
    ["GET", "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n", ""],
    ["GET", "upgrade: h2c, websocket\r\n", ""],
    ["GET", "upgrade: TLS/1.0\r\n", ""],
  ];
  for (const [method, fields, body] of cases) {
    const answer = await say(request(method, `connection: upgrade\r\n${fields}`, body));
    expect([fields, ...summaryOf(answer)]).toEqual([fields, 501, "upgrade-unsupported"]);
  }
});

test("[WK35] fields of one connection reach no destination", async () => {
  const fields =
    "connection: x-hop, X-Other\r\nx-hop: 1\r\nx-other: 2\r\nx-stays: 3\r\nte: trailers\r\nkeep-alive: 5\r\n" +
    "trailer: x\r\nhttp2-settings: AAMAAABk\r\nproxy-authorization: Basic x\r\nproxy-connection: close\r\n";
  const { headers } = seenIn(await say(request("GET", fields)));
  expect(headers["x-stays"]).toEqual(["3"]);
  const gone = ["x-hop", "x-other", "te", "keep-alive", "trailer", "http2-settings"];
  for (const name of [...gone, "proxy-authorization", "proxy-connection"]) {
    expect([name, headers[name]]).toEqual([name, undefined]);
  }
});

test("[WK35] bytes of fields from 0x80 on reach the destination as they came", async () => {
  const { headers } = seenIn(await say(request("GET", "x-latin: caf\xe9\r\nx-utf: caf\xc3\xa9\r\n")));
  expect([headers["x-latin"], headers["x-utf"]]).toEqual([["caf\xe9"], ["caf\xc3\xa9"]]);
  const listed = await say(request("GET", "connection: x-hop\r\nx-hop: 1\r\nx-latin: caf\xe9\r\n"));
  expect(seenIn(listed).headers["x-latin"]).toEqual(["caf\xe9"]);
});

test("[WK36] a length or a coding that cannot be carried is refused by name", async () => {
  const cases: [string, number, string][] = [
    ["content-length: 9007199254740992\r\n", 413, "body-too-large"],
    ["content-length: 9007199254740993\r\n", 413, "body-too-large"],
    ["content-length: 18446744073709551615\r\n", 413, "body-too-large"],
    ["transfer-encoding: gzip, chunked\r\n", 501, "request-coding-unsupported"],
    ["transfer-encoding: chunked, chunked\r\n", 501, "request-coding-unsupported"],
  ];
  for (const [fields, status, code] of cases) {
    for (const method of ["POST", "GET"]) {
      const answer = await say(request(method, fields, "3\r\nabc\r\n0\r\n\r\n", "/upload"));
      if (isWorkerds(answer)) continue;
      expect([method, fields, ...summaryOf(answer)]).toEqual([method, fields, status, code]);
    }
  }
});

test("[WK40] a status that is none is refused by name, to a page and to others", async () => {
  for (const status of [600, 999]) {
    for (const fields of ["origin: http://page.example\r\n", "sec-fetch-site: same-origin\r\n", ""]) {
      const answer = await say(request("GET", fields, "", `/status?code=${status}`));
      expect([fields, ...summaryOf(answer)]).toEqual([fields, 502, "response-malformed"]);
    }
  }
});

test("[CL9] what workerd answers by itself is no answer of the destination", async () => {
  const token = await cluster.token("client", "tester");
  const { fetch: viaEgress } = createEgress({ endpoint: cluster.edgeUrl, token, pool: POOL });
  for (const method of ["FOO", "M-SEARCH", "get-all"]) {
    await expect(viaEgress(cluster.originUrl("/seen"), { method })).rejects.toMatchObject({
      name: "EgressError",
      code: "answer-foreign",
      status: 501,
    });
  }
});

test("whatever is asked, no answer of the edge is without a name", async () => {
  const targets = [
    "/v1/fetch",
    "/v1/fetch?",
    "/v1/fetch/",
    "/v1/fetch/?url=x",
    "//v1/fetch?url=x",
    "/v1/fetch?url=x&url=y",
    "/v1/fetch?URL=x",
    "/v1/fetch?url=%",
    "/v1/fetch?url=%ff",
    "/v1/fetch?url=%00",
    "/v1/fetch?url=http%3A%2F%2Fa%0d%0ax%3A1",
    "/v1/fetch?url=http://[::1]:80/",
    "/v1/fetch?url=http%3A%2F%2Fu%3Ap%40127.0.0.20%2F",
    "/v1/fetch?url=http://127.0.0.20%2500/",
    "/v1/fetch?url=http://[fe80::1%25eth0]/",
    "/v1/fetch?url=http://127.0.0.20:99999/",
    "/v1/fetch?url=" + "a".repeat(20_000),
    "/v1/fetch?url=http://127.0.0.20/" + "%41".repeat(5_000),
    "/v1/pools/%",
    "/v1/pools/%ff",
    "/v1/pools/%00/ips",
    "/v1/ips/%",
    "/v1/ips/[::1]",
    "/v1/hosts/%2e%2e",
    "/openapi.json?x=%",
    "/%",
    "/?%",
    "*",
    "http://edge/v1/fetch?url=x",
    "http://[/",
    "ftp://x/v1/fetch",
    "/v1/fetch#?url=x",
    "/v1/fetch?url=http://x#y",
    "/\xff\xfe",
    "/v1/edge\x80",
  ];
  for (const method of ["GET", "POST", "OPTIONS", "HEAD", "DELETE", "PUT"]) {
    for (const target of targets) {
      const answer = await say(
        `${method} ${target} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n${authorization}content-length: 0\r\n\r\n`,
      );
      const [status, code] = summaryOf(answer);
      const what = `${method} ${target.slice(0, 60)}: ${answer.slice(0, 200)}`;
      expect([what, status >= 200 && status !== 500]).toEqual([what, true]);
      // What workerd itself cannot read it turns away by itself.
      if (status >= 400 && !answer.includes("\r\negress-ip:") && !isWorkerds(answer)) {
        expect(code, what).not.toBeNull();
      }
    }
  }
});

/** Whether workerd gave this answer to what it could not read; the Worker never heard of it. */
function isWorkerds(answer: string): boolean {
  return /^HTTP\/1\.1 4(00|31) /.test(answer) && !/\r\nproxy-status: /i.test(answer);
}
