/** Everything that can be asked wrongly: a status, a stable code, a proxy-status, and life goes on. */
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;
let headers: Record<string, string>;

beforeAll(async () => {
  names = await startNameServer({
    "good.test": ["127.0.0.20"],
    "inside.test": ["10.1.2.3"],
    "mixed.test": ["127.0.0.20", "192.168.1.1"],
  });
  cluster = await Cluster.start({
    hosts: ["h1", "h2"],
    agentArgs: ["--dns", names.address, "--connect-timeout", "1500", "--response-timeout", "2000"],
  });
  headers = await cluster.clientHeaders();
});
afterAll(async () => {
  names?.close();
  await cluster?.stop();
});

async function expectProblem(
  response: Response,
  status: number,
  code: string,
  proxyError: string | null,
): Promise<void> {
  const text = await response.text();
  expect(response.headers.get("content-type"), text).toBe("application/problem+json");
  const problem = JSON.parse(text) as { status: number; code: string; title: string; type: string };
  expect({ code: problem.code, status: response.status }).toEqual({ code, status });
  expect(problem.status).toBe(status);
  expect(problem.title.length).toBeGreaterThan(5);
  const proxyStatus = response.headers.get("proxy-status");
  if (proxyError === null) expect(proxyStatus).toMatch(/^ipshard/);
  else expect(proxyStatus).toContain(`ipshard;error=${proxyError}`);
}

const query = (destination: string): string => `?url=${encodeURIComponent(destination)}`;

test.each([
  ["no url", "", 400, "url-missing", "http_request_error"],
  ["an empty url", "?url=", 400, "url-missing", "http_request_error"],
  ["a relative url", query("/just/a/path"), 400, "url-malformed", "http_request_error"],
  ["a url that is none", query("http://"), 400, "url-malformed", "http_request_error"],
  ["another scheme", query("ftp://example.com/"), 400, "url-scheme-unsupported", "http_request_error"],
  ["a file", query("file:///etc/passwd"), 400, "url-scheme-unsupported", "http_request_error"],
  ["credentials", query("http://me:secret@127.0.0.20/"), 400, "url-credentials", "http_request_error"],
  ["port 0", query("http://127.0.0.20:0/"), 400, "url-port-invalid", "http_request_error"],
  ["port 65536", query("http://127.0.0.20:65536/"), 400, "url-port-invalid", "http_request_error"],
])("%s is refused", async (_name, search, status, code, proxyError) => {
  const response = await fetch(`${cluster.edgeUrl}/v1/fetch${search}`, { headers });
  await expectProblem(response, status, code, proxyError);
});

test.each([
  ["an unknown key", "contry=de", 400, "selection-key-unknown"],
  ["a repeated key", "pool=default, pool=default", 400, "selection-malformed"],
  ["no dictionary", "==", 400, "selection-malformed"],
  ["a value that is no name", 'pool="NOT A NAME"', 400, "selection-value-invalid"],
  ["a pool that does not exist", "pool=nowhere", 403, "pool-denied"],
  ["an address that the pool lacks", 'ip="192.0.2.77"', 404, "ip-unknown"],
])("selection: %s is refused", async (_name, egress, status, code) => {
  const response = await fetch(cluster.through(cluster.originUrl("/seen")), {
    headers: { ...headers, egress },
  });
  await expectProblem(response, status, code, null);
});

test("a pool that does not exist is unknown to a token for every pool", async () => {
  const token = await cluster.token("client", "anywhere", ["*"]);
  const response = await fetch(cluster.through(cluster.originUrl("/seen")), {
    headers: { "egress-authorization": `Bearer ${token}`, egress: "pool=nowhere" },
  });
  await expectProblem(response, 404, "pool-unknown", null);
});

test.each([
  "http://10.0.0.1/",
  "http://192.168.0.1/",
  "http://172.16.9.9/",
  "http://169.254.169.254/latest/meta-data/",
  "http://100.64.0.1/",
  "http://127.0.0.1/",
  "http://2130706433/",
  "http://017700000001/",
  "http://0x7f000001/",
  "http://0x7f.1/",
  "http://127.1/",
  "http://0/",
  "http://[::1]/",
  "http://[::ffff:10.0.0.1]/",
  "http://[::ffff:a00:1]/",
  "http://[64:ff9b::10.0.0.1]/",
  "http://[2002:a00:1::]/",
  "http://[fe80::1]/",
  "http://[fd00::1]/",
  "http://localhost/",
  "http://inside.test/",
  "http://mixed.test/",
  "http://224.0.0.1/",
  "http://255.255.255.255/",
])("the private destination %s is refused", async (destination) => {
  await expectProblem(
    await fetch(cluster.through(destination), { headers }),
    403,
    "destination-prohibited",
    "destination_ip_prohibited",
  );
});

test("a redirect to a private destination is refused when followed", async () => {
  const url = cluster.originUrl(`/redirect?to=${encodeURIComponent("http://10.0.0.1/secret")}`);
  const response = await fetch(cluster.through(url), {
    headers: { ...headers, "egress-redirect": "follow" },
  });
  await expectProblem(response, 403, "destination-prohibited", "destination_ip_prohibited");
});

test("origins that refuse, are silent, close, do not resolve or answer garbage are told apart", async () => {
  const at = (port: number): string => `http://127.0.0.20:${port}/`;
  const cases: [string, number, string, string][] = [
    [at(1), 502, "connection-refused", "connection_refused"],
    [at(cluster.origin.silentPort), 504, "response-timeout", "http_response_timeout"],
    [at(cluster.origin.closingPort), 502, "connection-terminated", "connection_terminated"],
    [at(cluster.origin.garbagePort), 502, "response-malformed", "http_protocol_error"],
    ["http://absent.test/", 502, "dns-error", "dns_error"],
    ["http://silent.test/", 504, "dns-timeout", "dns_timeout"],
    [`https://127.0.0.20:${cluster.origin.port}/`, 502, "tls-error", "tls_protocol_error"],
  ];
  for (const [destination, status, code, proxyError] of cases) {
    await expectProblem(await fetch(cluster.through(destination), { headers }), status, code, proxyError);
  }
});

test("a name of the test's own server resolves and is reached", async () => {
  const response = await fetch(cluster.through(`http://good.test:${cluster.origin.port}/seen`), { headers });
  expect(response.status).toBe(200);
});

test("tokens: missing, malformed, of another key, of another role", async () => {
  const url = cluster.through(cluster.originUrl("/seen"));
  await expectProblem(await fetch(url), 401, "token-missing", "http_request_denied");
  const bearing = (token: string): Promise<Response> =>
    fetch(url, { headers: { "egress-authorization": `Bearer ${token}` } });
  await expectProblem(await bearing("nonsense"), 401, "token-malformed", "http_request_denied");
  const good = await cluster.token("client", "tester");
  const forged = `${good.slice(0, good.lastIndexOf(".") + 1)}${"A".repeat(86)}`;
  await expectProblem(await bearing(forged), 401, "token-signature-invalid", "http_request_denied");
  await expectProblem(
    await bearing(await cluster.token("host", "h1")),
    403,
    "role-denied",
    "http_request_denied",
  );
});

/** Says this to a server byte for byte and returns all it answers. */
function converse(port: number, text: string, endAfter = false): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => {
      if (endAfter) socket.end(text);
      else socket.write(text);
    });
    socket.setTimeout(4_000, () => socket.destroy());
    socket.on("data", (chunk) => {
      answer += chunk.toString();
      if (answer.includes("\r\n\r\n") && !endAfter) socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

test("oversized headers are refused by name, at the edge and at a gateway", async () => {
  const path = `/v1/fetch${query(cluster.originUrl("/seen"))}`;
  const big = await fetch(cluster.edgeUrl + path, { headers: { ...headers, "x-big": "x".repeat(60_000) } });
  await expectProblem(big, 431, "headers-too-large", "http_request_error");
  const { port } = cluster.hosts.get("h1")!;
  const answer = await converse(
    port,
    `GET ${path} HTTP/1.1\r\nhost: x\r\nx-big: ${"x".repeat(60_000)}\r\n\r\n`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  expect(answer).toContain('"code":"headers-too-large"');
  expect(answer.toLowerCase()).toContain("proxy-status: ipshard");
});

test("what is not HTTP, or has a body of the wrong length, is refused by name at a gateway", async () => {
  const { port } = cluster.hosts.get("h1")!;
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  const head = (length: string): string =>
    `POST /v1/fetch${query(cluster.originUrl("/upload"))} HTTP/1.1\r\nhost: x\r\n` +
    `egress-authorization: Bearer ${token}\r\n${length}\r\n\r\n`;
  const nonsense = await converse(port, "THIS IS NOT HTTP\r\n\r\n");
  expect(nonsense).toContain('"code":"request-malformed"');
  const both = await converse(port, head("content-length: 5\r\ntransfer-encoding: chunked"));
  expect(both).toContain('"code":"request-malformed"');
  const short = await converse(port, `${head("content-length: 50")}only this`, true);
  expect(short).toContain('"code":"body-length-mismatch"');
});

test("a body that is shorter than its content-length never becomes a success", async () => {
  const text =
    `POST /v1/fetch${query(cluster.originUrl("/upload"))} HTTP/1.1\r\nhost: x\r\n` +
    `egress-authorization: ${headers["egress-authorization"]}\r\ncontent-length: 50\r\n\r\nonly this`;
  const answer = await converse(cluster.edgePort, text, true);
  expect(answer).not.toMatch(/^HTTP\/1\.1 2/);
});

test.each([5, 300_000])(
  "a chunked body that breaks off after %i bytes is never taken for whole",
  async (size) => {
    const text =
      `POST /v1/fetch${query(cluster.originUrl("/upload"))} HTTP/1.1\r\nhost: x\r\n` +
      `egress-authorization: ${headers["egress-authorization"]}\r\ntransfer-encoding: chunked\r\n\r\n` +
      `${size.toString(16)}\r\n${"x".repeat(size)}\r\n`;
    const answer = await converse(cluster.edgePort, text, true);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"body-length-mismatch"');
  },
);

test("after all of this, everything still serves", async () => {
  for (let count = 0; count < 20; count += 1) {
    const response = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
    expect(response.status).toBe(200);
    await response.text();
  }
});
