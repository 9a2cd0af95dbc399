/** What the gateway refuses, each by its name, and that it goes on serving afterwards. */
import { once } from "node:events";
import type { Server } from "node:http";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  exchangeBytes,
  fetchHead,
  type Origin,
  type Rig,
  startByteOrigin,
  startOrigin,
  startRig,
} from "./gateway-rig.ts";
import { startSecureOrigin } from "./tls-origin.ts";

let rig: Rig;
let good: Origin;

beforeAll(async () => {
  rig = await startRig({
    allow: ["127.0.0.0/30"],
    records: {
      "inside.test": ["10.1.2.3"],
      "mixed.test": ["127.0.0.1", "192.168.1.1"],
      "good.test": ["127.0.0.1"],
    },
    connectTimeoutMs: 300,
    responseTimeoutMs: 1_000,
    idleTimeoutMs: 300,
    dnsTimeoutMs: 50,
  });
  good = await startOrigin((request, response) => {
    response.end(`${request.headers.host} ${request.url}`);
  });
});
afterAll(async () => {
  good.close();
  await rig.close();
});
afterEach(async () => {
  const response = await rig.fetch(good.url);
  expect(response.status).toBe(200);
  await response.text();
  await eventually(() => rig.ports.heldCounts().inUse <= 1, "no port but the idle connection's");
  expect(rig.faults.splice(0)).toEqual([]);
});

/** Said to those who have shown no valid token yet, too. */
const STRANGERS_HEAR: ReadonlySet<string> = new Set([
  "token-missing",
  "token-malformed",
  "token-expired",
  "token-signature-invalid",
  "request-malformed",
  "route-unknown",
  "method-unsupported",
]);

async function expectProblem(
  response: Response,
  status: number,
  code: string,
  proxyError = "",
  isToldTheHost = !STRANGERS_HEAR.has(code),
): Promise<void> {
  const text = await response.text();
  expect({ status: response.status, code: (JSON.parse(text) as { code: string }).code }).toEqual({
    status,
    code,
  });
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  // Whoever has shown no token does not hear it. [TR6]
  if (isToldTheHost) expect(response.headers.get("egress-host")).toBe("h1");
  else expect(response.headers.has("egress-host")).toBe(false);
  expect(response.headers.get("proxy-status")).toContain(`ipshard;${proxyError}`);
}

const withHeaders = (
  headers: Record<string, string>,
  query = `?url=${encodeURIComponent(good.url)}`,
): Promise<Response> => fetch(`${rig.url}/v1/fetch${query}`, { headers });

describe("tokens", () => {
  it("[GW7] refuses each by its name", async () => {
    await expectProblem(await withHeaders({}), 401, "token-missing", "error=http_request_denied");
    await expectProblem(await withHeaders({ "egress-authorization": "Basic x" }), 401, "token-malformed");
    await expectProblem(await withHeaders({ "egress-authorization": "Bearer x" }), 401, "token-malformed");
    const bearing = async (...parameters: Parameters<Rig["tokenFor"]>): Promise<Response> =>
      withHeaders({ "egress-authorization": `Bearer ${await rig.tokenFor(...parameters)}` });
    for (const others of [
      [],
      ["other"],
      ["mai", "main2", "main-private"],
      ["my-main", "Main", "other,main"],
    ]) {
      await expectProblem(await bearing("gateway", others), 403, "pool-denied");
    }
    expect((await bearing("gateway", ["other", "main"])).status).toBe(200);
    await expectProblem(await bearing("gateway", ["main"], -10_000), 401, "token-expired");
    await expectProblem(await bearing("client"), 403, "role-denied");
    await expectProblem(await bearing("admin"), 403, "role-denied");
    expect((await bearing("gateway", ["*"])).status).toBe(200);
    const forged = `${rig.token.slice(0, rig.token.lastIndexOf(".") + 1)}${"A".repeat(86)}`;
    await expectProblem(
      await withHeaders({ "egress-authorization": `Bearer ${forged}` }),
      401,
      "token-signature-invalid",
    );
  });

  it("[GW7] shows its status to an administrator of its pool only", async () => {
    const status = async (token: string | null): Promise<Response> =>
      fetch(`${rig.url}/v1/status`, { headers: token === null ? {} : { authorization: `Bearer ${token}` } });
    await expectProblem(await status(null), 401, "token-missing");
    await expectProblem(await status(rig.token), 403, "role-denied");
    for (const others of [[], ["other"], ["mai", "main2"]]) {
      await expectProblem(await status(await rig.tokenFor("admin", others)), 403, "pool-denied");
    }
    expect((await status(await rig.tokenFor("admin", ["*"]))).status).toBe(200);
    const response = await status(await rig.tokenFor("admin", ["other", "main"]));
    expect(await response.json()).toMatchObject({
      host: "h1",
      addresses: [{ ip: "127.0.0.10", portCount: 256, blocks: [{ first: 20_480, last: 20_735, epoch: 1 }] }],
    });
  });
});

describe("routes", () => {
  it("[GW1] health needs no token; what is not there is named", async () => {
    expect(await (await fetch(`${rig.url}/health`)).json()).toEqual({ status: "ok" });
    await expectProblem(await fetch(`${rig.url}/v1/nothing`), 404, "route-unknown");
    await expectProblem(await fetch(`${rig.url}/health`, { method: "POST" }), 405, "method-unsupported");
  });
});

describe("health", () => {
  it("[GW15] says what keeps the host from serving, and does not count it", async () => {
    const health = (): Promise<Response> => fetch(`${rig.url}/health`);
    rig.admission.isDraining = true;
    await expectProblem(await health(), 503, "draining", "", false);
    rig.admission.isDraining = false;
    rig.ports.setTerm(null);
    const lost = await health();
    expect(await lost.clone().text()).toContain("127.0.0.10");
    await expectProblem(lost, 503, "lease-lost", "", false);
    rig.ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
    expect(await (await health()).json()).toEqual({ status: "ok" });
    const empty = await startRig();
    empty.binder.removeAddress("127.0.0.10");
    await expectProblem(await fetch(`${empty.url}/health`), 503, "pool-empty", "", false);
    await empty.close();
  });
});

describe("selection", () => {
  it.each([
    ["contry=de", 400, "selection-key-unknown"],
    ["pool=main, pool=main", 400, "selection-malformed"],
    ["==", 400, "selection-malformed"],
    ['pool="NO NAME"', 400, "selection-value-invalid"],
    ["pool=other", 404, "pool-unknown"],
    ['ip="127.0.0.11"', 503, "lease-lost"],
  ])("[GW8] refuses %s", async (egress, status, code) => {
    await expectProblem(await rig.fetch(good.url, { headers: { egress } }), status, code);
  });

  it("[GW8] takes the address that is named, and another of its own when none is", async () => {
    const second = rig.binder.addAddress("127.0.0.12");
    second.addBlock({ base: 30_720, order: 6, epoch: 1 });
    second.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
    const seen = new Set<string>();
    for (let round = 0; round < 40; round += 1) {
      const named = await rig.fetch(good.url, { headers: { egress: 'ip="127.0.0.12"' } });
      expect(named.headers.get("egress-ip")).toBe("127.0.0.12");
      await named.text();
      const any = await rig.fetch(good.url);
      seen.add(any.headers.get("egress-ip")!);
      await any.text();
      const kept = await rig.fetch(good.url, { headers: { egress: "session=s1" } });
      await kept.text();
      expect(kept.headers.get("egress-ip")).toBe(
        (await rig.fetch(good.url, { headers: { egress: "session=s1" } })).headers.get("egress-ip"),
      );
    }
    expect(seen).toEqual(new Set(["127.0.0.10", "127.0.0.12"]));
    rig.binder.removeAddress("127.0.0.12");
  });

  it("[BI4] refuses when the term is over, and never uses another address", async () => {
    rig.ports.setTerm(null);
    await expectProblem(await rig.fetch(good.url), 503, "lease-lost");
    rig.ports.setTerm({ monotonicEndMs: Infinity, wallEndMs: Infinity });
  });

  it("[GW8] refuses new requests while it drains", async () => {
    rig.admission.isDraining = true;
    await expectProblem(await rig.fetch(good.url), 503, "draining");
    rig.admission.isDraining = false;
  });
});

describe("destinations", () => {
  it.each([
    "http://10.0.0.1/",
    "http://2130706690/",
    "http://0x7f.0.0.9/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://inside.test/",
    "http://mixed.test/",
  ])("[DE4] refuses %s", async (url) => {
    await expectProblem(
      await rig.fetch(url),
      403,
      "destination-prohibited",
      "error=destination_ip_prohibited",
    );
  });

  it("[DE4] reaches a name by the address that was checked", async () => {
    const response = await rig.fetch(`http://good.test:${good.port}/path?q=1`);
    expect(await response.text()).toBe(`good.test:${good.port} /path?q=1`);
  });

  it("[GW1] an address of the other family has a refusal of its own, which names both", async () => {
    const response = await rig.fetch("http://[2a00::1]/");
    expect(await response.clone().text()).toContain("IPv6 address; the egress address 127.0.0.10 is IPv4");
    await expectProblem(response, 502, "address-family-mismatch", "error=destination_ip_unroutable");
  });

  it("[GW2] refuses what is no destination", async () => {
    await expectProblem(
      await rig.fetch("ftp://a.test/"),
      400,
      "url-scheme-unsupported",
      "error=http_request_error",
    );
    const headers = { "egress-redirect": "maybe" };
    await expectProblem(await rig.fetch(good.url, { headers }), 400, "redirect-mode-invalid");
  });
});

describe("faults of destinations", () => {
  const others: Origin[] = [];
  afterEach(() => {
    for (const origin of others.splice(0)) origin.close();
  });
  const byteOrigin = async (onConnection: Parameters<typeof startByteOrigin>[0]): Promise<string> => {
    const origin = await startByteOrigin(onConnection);
    others.push(origin);
    return origin.url;
  };

  it("[GW1] refused", async () => {
    const { port, close } = await startByteOrigin(() => {});
    close();
    await expectProblem(
      await rig.fetch(`http://127.0.0.1:${port}/`),
      502,
      "connection-refused",
      "error=connection_refused",
    );
  });

  it("[GW1] not accepted in time", async () => {
    const { port, close } = await deafServer();
    await expectProblem(
      await rig.fetch(`http://127.0.0.1:${port}/`),
      504,
      "connection-timeout",
      "error=connection_timeout",
    );
    await close();
  });

  it("[GW1] no such name, and no answer from the name server", async () => {
    await expectProblem(await rig.fetch("http://absent.test/"), 502, "dns-error", "error=dns_error");
    await expectProblem(await rig.fetch("http://silent.test/"), 504, "dns-timeout", "error=dns_timeout");
  });

  it.each([
    ["ended without an answer", (): string => "", 502, "connection-terminated"],
    ["garbage", (): string => "garbage in\r\n\r\n", 502, "response-malformed"],
    ["another protocol", (): string => "220 mail.test ESMTP\r\n", 502, "response-malformed"],
    [
      "ambiguous length",
      (): string => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      502,
      "response-malformed",
    ],
    [
      "a head that never ends",
      (): string => `HTTP/1.1 200 OK\r\nX: ${"x".repeat(200_000)}`,
      502,
      "response-headers-too-large",
    ],
    [
      "an upgrade nobody asked for",
      (): string => "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
      502,
      "response-malformed",
    ],
    ["status 0", (): string => "HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", 502, "response-malformed"],
    ["status 99", (): string => "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", 502, "response-malformed"],
    [
      "half an upgrade",
      (): string => "HTTP/1.1 101 No\r\nContent-Length: 0\r\n\r\n",
      502,
      "response-malformed",
    ],
    [
      "controls in a value",
      (): string => "HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 0\r\n\r\n",
      502,
      "response-malformed",
    ],
    [
      "a DEL in a value",
      (): string => "HTTP/1.1 200 OK\r\nX: \x7f\r\nContent-Length: 0\r\n\r\n",
      502,
      "response-malformed",
    ],
    [
      "no name",
      (): string => "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
      502,
      "response-malformed",
    ],
  ])("[GW1] %s", async (_name, bytes, status, code) => {
    const url = await byteOrigin((socket) => {
      socket.once("data", () => socket.end(bytes()));
    });
    await expectProblem(await rig.fetch(url), status, code);
  });

  it("[GW1] reset before the answer", async () => {
    const url = await byteOrigin((socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    await expectProblem(await rig.fetch(url), 502, "connection-terminated", "error=connection_terminated");
  });

  it("[GW1] silent", async () => {
    const url = await byteOrigin((socket) => {
      socket.resume();
    });
    await expectProblem(await rig.fetch(url), 504, "response-timeout", "error=http_response_timeout");
  });

  it("[GW1] no TLS, and TLS that nobody vouches for", async () => {
    await expectProblem(
      await rig.fetch(`https://127.0.0.1:${good.port}/`),
      502,
      "tls-error",
      "error=tls_protocol_error",
    );
    const origin = await startSecureOrigin("h1", () => {});
    others.push(origin);
    await expectProblem(
      await rig.fetch(origin.url),
      502,
      "tls-certificate-invalid",
      "error=tls_certificate_error",
    );
  });
});

describe("requests that are none", () => {
  it("[GW10] garbage, and two lengths", async () => {
    expect(await exchangeBytes(rig.port, "THIS IS NOT HTTP\r\n\r\n")).toContain('"code":"request-malformed"');
    const both = fetchHead(rig, "POST", good.url, "content-length: 5", "transfer-encoding: chunked");
    expect(await exchangeBytes(rig.port, `${both}hello`)).toContain('"code":"request-malformed"');
  });

  it("[GW10] headers beyond 32 KiB, however they are cut", async () => {
    const oversized = fetchHead(rig, "GET", good.url, `x-big: ${"x".repeat(40_000)}`);
    const answer = await exchangeBytes(rig.port, oversized);
    expect(answer).toContain("HTTP/1.1 431");
    expect(answer).toContain('"code":"headers-too-large"');
    expect(answer).toContain('proxy-status: ipshard;error=http_request_error;details="headers-too-large"');
    const many = fetchHead(rig, "GET", good.url, ...Array.from({ length: 4000 }, (_, at) => `x${at}: yyyyy`));
    expect(await exchangeBytes(rig.port, many)).toContain('"code":"headers-too-large"');
  });

  it("[GW3] thousands of small fields are all forwarded", async () => {
    const origin = await startOrigin(
      (request, response) => response.end(String(request.rawHeaders.length)),
      "127.0.0.2",
    );
    (origin.server as Server).maxHeadersCount = 0;
    const head = fetchHead(
      rig,
      "GET",
      origin.url,
      "connection: close",
      ...Array.from({ length: 2400 }, () => "a: b"),
    );
    expect(await exchangeBytes(rig.port, head)).toMatch(/\r\n480[0-9]$/);
    origin.close();
  });

  it("[GW1] [TR7] CONNECT is not for here, and whoever asks is told where proxies are", async () => {
    const answer = await exchangeBytes(rig.port, "CONNECT a.test:443 HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(answer).toContain('"code":"method-unsupported"');
    expect(answer).toContain("--proxy");
    expect(answer).not.toContain("egress-host");
  });

  it("[TR7] a whole URL of another host is told where proxies are; a path of ours is served in that form", async () => {
    const ask = (target: string): Promise<string> =>
      exchangeBytes(rig.port, `GET ${target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    expect(await ask("http://a.test/page")).toMatch(/"code":"route-unknown".*--proxy/);
    expect(await ask("/page")).not.toContain("--proxy");
    expect(await ask("http://a.test/health")).toContain('{"status":"ok"}');
  });

  it("[TR6] who shows no valid token does not hear the name of the host, whatever is refused", async () => {
    const forged = { "egress-authorization": "Bearer a.b.c" };
    for (const [path, init] of [
      ["/v1/fetch?url=x", {}],
      ["/v1/fetch?url=x", { headers: forged }],
      ["/v1/status", {}],
      ["/v1/uploads/0123456789abcdef", { headers: forged }],
      ["/v1/connect?to=a:1", {}],
      ["/v1/nothing", {}],
      ["/health", { method: "POST" }],
    ] as const) {
      const response = await fetch(`${rig.url}${path}`, init);
      expect(response.status).toBeGreaterThan(399);
      expect(response.headers.get("proxy-status")).toContain("ipshard");
      expect([...response.headers.keys()]).not.toContain("egress-host");
    }
    expect(await exchangeBytes(rig.port, "nonsense\r\n\r\n")).not.toContain("egress-host");
    const upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    const asked = `GET /v1/connect?to=a:1 HTTP/1.1\r\nhost: a\r\n${upgrade}\r\n`;
    const answer = await exchangeBytes(rig.port, asked);
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).not.toContain("egress-host");
  });

  it("[GW1] what is refused is counted", async () => {
    await (await rig.fetch("ftp://a.test/")).text();
    const headers = { authorization: `Bearer ${await rig.tokenFor("admin")}` };
    const status = (await (await fetch(`${rig.url}/v1/status`, { headers })).json()) as {
      refusals: Record<string, number>;
    };
    expect(status.refusals["url-scheme-unsupported"]).toBeGreaterThan(0);
  });
});

/** A server whose queue of connections is full, so that the kernel drops what comes. */
async function deafServer(): Promise<{ readonly port: number; readonly close: () => Promise<unknown> }> {
  // A thread that listens and never comes back to its event loop accepts nobody.
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const server = require("node:net").createServer();
     server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  const [port] = (await once(worker, "message")) as [number];
  const fill = Array.from({ length: 4 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  // Two fit in a queue of one; with these the queue is full.
  await Promise.all(fill.slice(0, 2).map((socket) => once(socket, "connect")));
  return {
    port,
    close: () => {
      for (const socket of fill) socket.destroy();
      return worker.terminate();
    },
  };
}
