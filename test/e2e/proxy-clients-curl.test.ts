/** curl through a proxy, in all the ways it has, and what it is told. */
import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { EGRESS_IP, freePort } from "./cluster.ts";
import {
  DIRECT,
  FROM_H1,
  FROM_H2,
  ProxiedCluster,
  type RunOptions,
  SECURE_NAME,
  SERVER_IP,
} from "./proxied-cluster.ts";

/** What curl ends with when a proxy says no: of CONNECT, and of SOCKS. */
const CONNECT_REFUSED = 56;
const SOCKS_REFUSED = 97;
const QUIET = ["-sS", "--max-time", "60"];
const UPLOAD = randomBytes(3_000_000);

let rig: ProxiedCluster;

beforeAll(async () => {
  rig = await ProxiedCluster.start();
});
afterAll(async () => {
  await rig?.stop();
});

/** What curl printed; it has to succeed. */
function curl(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return rig.output("curl", [...QUIET, ...args], options);
}

/** The last problem document and how curl ended. */
async function problemOf(args: readonly string[], options: RunOptions = {}): Promise<unknown> {
  const { code, stdout } = await rig.run("curl", [...QUIET, ...args], options);
  return { code, problem: /"code":"([^"]+)"/.exec(stdout)?.[1] ?? null };
}

test("HTTP: a name that curl cannot resolve, and no traces of the proxy", async () => {
  const told = JSON.parse(await curl(["-x", rig.proxyUrl("http"), rig.named("/seen")]));
  expect(told).toMatchObject({ address: EGRESS_IP, method: "GET" });
  expect(Object.keys(told.headers).toSorted()).toEqual(["accept", "connection", "host", "user-agent"]);
  expect(told.headers.host).toEqual([`${rig.originName}:${rig.cluster.origin.port}`]);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("HTTP: one connection for many requests to two destinations, each with its own answer", async () => {
  const local = rig.cluster.originUrl("/status?code=204", 1);
  const out = ["-o", "/dev/null", "-w", "%{http_code} %{num_connects} %{remote_port}\n"];
  const urls = [rig.named("/seen"), local, rig.named("/cookies"), rig.named("/nothing"), local];
  const told = await curl(["-x", rig.proxyUrl("http"), ...urls.flatMap((url) => out.concat(url))]);
  const { port } = new URL(rig.proxyUrl("http"));
  expect(told.trim().split("\n")).toEqual([
    `200 1 ${port}`,
    `204 0 ${port}`,
    `200 0 ${port}`,
    `404 0 ${port}`,
    `204 0 ${port}`,
  ]);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("HTTP: what is compressed, has trailers or no body arrives as from the origin itself", async () => {
  const proxy = ["-x", rig.proxyUrl("http")];
  expect(await curl([...proxy, "--compressed", rig.named("/gzip")])).toMatch(/^the same bytes, untouched /);
  expect(await curl([...proxy, "-H", "te: trailers", rig.named("/trailers")])).toBe("body before trailers");
  expect(await curl([...proxy, "-I", rig.named("/seen")])).toMatch(/^HTTP\/1.1 200 .*content-type/is);
  expect(await curl([...proxy, "-i", rig.named("/status?code=304")])).toContain('etag: "v1"');
  expect(await curl([...proxy, "-0", rig.named("/trickle")])).toMatch(/^first\n.*last\n$/s);
  const deleted = JSON.parse(await curl([...proxy, "-X", "DELETE", rig.named("/seen")]));
  expect(deleted.method).toBe("DELETE");
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("CONNECT: the answer says where the tunnel leaves from, and the destination sees just that", async () => {
  const told = await curl(["-i", "-p", "-x", rig.proxyUrl("http"), rig.named("/seen")]);
  const seen = JSON.parse(told.slice(told.indexOf("{")));
  const [agreement] = told.split("\r\n\r\n");
  expect(agreement!.split("\r\n")).toEqual([
    "HTTP/1.1 200 Connection established",
    `egress-ip: ${seen.address}`,
    `egress-port: ${seen.port}`,
    "egress-host: h1",
    expect.stringMatching(/^egress-request-id: [0-9a-f-]{36}$/),
    "proxy-status: ipshard",
  ]);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each(["http", "socks5h"])("%s: TLS from end to end, HTTP/2 and HTTP/1.1", async (scheme) => {
  const args = ["-x", rig.proxyUrl(scheme), "--cacert", rig.certificateFile, rig.secure("/")];
  expect(JSON.parse(await curl(args))).toMatchObject({ address: EGRESS_IP, httpVersion: "2.0" });
  expect(JSON.parse(await curl(["--http1.1", ...args]))).toMatchObject({ httpVersion: "1.1" });
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("CONNECT of HTTP/1.0", async () => {
  const { host } = new URL(rig.proxyUrl("http"));
  const told = await curl(["--proxy1.0", host, "-p", rig.named("/seen")]);
  expect(JSON.parse(told)).toMatchObject({ address: EGRESS_IP });
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("SOCKS5: an address, and with SOCKS5h a name", async () => {
  const resolved = ["--resolve", `${rig.originName}:${rig.cluster.origin.port}:127.0.0.22`];
  const byAddress = await curl(["-x", rig.proxyUrl("socks5"), ...resolved, rig.named("/seen")]);
  const byName = await curl(["-x", rig.proxyUrl("socks5h"), rig.named("/seen")]);
  expect(JSON.parse(byAddress)).toMatchObject({ address: EGRESS_IP });
  expect(JSON.parse(byName)).toMatchObject({ address: EGRESS_IP });
  const locals = (await rig.cluster.seen()).map(({ local }) => local.split(":").at(-2));
  expect(locals).toEqual(["127.0.0.22", "127.0.0.20"]);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("SOCKS4 and SOCKS4a are refused in words that curl understands", async () => {
  for (const scheme of ["socks4a", "socks4"]) {
    const url = rig.cluster.originUrl("/seen");
    const { code, stderr } = await rig.run("curl", [...QUIET, "-x", rig.proxyUrl(scheme), url]);
    expect({ scheme, code }).toEqual({ scheme, code: SOCKS_REFUSED });
    expect(stderr).toContain("request rejected or failed");
  }
  expect(await rig.egresses()).toEqual([]);
});

test("whoever has no token hears 407, and nothing leaves", async () => {
  const proxy = ["-x", rig.proxyUrl("http", "", "h2")];
  expect(await problemOf([...proxy, rig.named("/seen")])).toEqual({ code: 0, problem: "token-missing" });
  expect(await problemOf([...proxy, "-U", "any:wrong", rig.named("/seen")])).toMatchObject({ code: 0 });
  expect(await problemOf([...proxy, rig.secure("/")])).toMatchObject({ code: CONNECT_REFUSED });
  for (const user of ["", "any:wrong@"]) {
    const url = rig.proxyUrl("socks5h", user.slice(0, -1), "h2");
    expect(await problemOf(["-x", url, rig.named("/seen")])).toMatchObject({ code: SOCKS_REFUSED });
  }
  expect(await rig.egresses()).toEqual([]);
});

test("token and selection: as an option, in a URL, in the environment, percent-encoded or not", async () => {
  const selection = "pool=default,session=cart-42;sticky=strict";
  const plain = `${selection}:${rig.token}`;
  const encoded = `${encodeURIComponent(selection)}:${rig.token}`;
  const url = rig.named("/seen");
  const bare = rig.proxyUrl("http", "", "h2");
  const told = [
    await curl(["-x", bare, "-U", plain, url]),
    await curl(["-x", bare, "-U", encoded, url]),
    await curl(["-x", bare, "-U", plain, "--proxy-anyauth", url]),
    await curl(["-x", rig.proxyUrl("http", plain, "h2"), url]),
    await curl(["-x", rig.proxyUrl("http", encoded, "h2"), url]),
    await curl([url], { env: { http_proxy: rig.proxyUrl("http", plain, "h2") } }),
    await curl([url], { env: { ALL_PROXY: rig.proxyUrl("http", encoded, "h2") } }),
    await curl(["-p", "-x", bare, "-U", plain, url]),
    await curl(["-p", "-x", bare, "-U", plain, "--proxy-anyauth", url]),
    await curl(["-x", bare, "--proxy-header", `proxy-authorization: Bearer ${rig.token}`, url]),
  ];
  for (const each of told) {
    const { address, headers } = JSON.parse(each);
    expect(address).toBe(EGRESS_IP);
    expect(headers).not.toHaveProperty("proxy-authorization");
  }
  expect(await rig.egresses()).toEqual(FROM_H2);
});

test("by SOCKS, too: the token's beginning is in the user name", async () => {
  for (const scheme of ["socks5h", "socks5"]) {
    const { userName, password } = rig.login("pool=default;session=cart-42");
    const url = scheme === "socks5" ? rig.cluster.originUrl("/seen") : rig.named("/seen");
    const bare = rig.proxyUrl(scheme, "", "h2");
    expect(JSON.parse(await curl(["-x", bare, "-U", `${userName}:${password}`, url]))).toMatchObject({
      address: EGRESS_IP,
    });
    const whole = rig.proxyUrl(scheme, rig.loginInUrl("pool=default,session=cart-42"), "h2");
    expect(JSON.parse(await curl(["-x", whole, url]))).toMatchObject({ address: EGRESS_IP });
  }
  expect(await rig.egresses()).toEqual(FROM_H2);
  // curl sends no more than the protocol has room for.
  const { code, stderr } = await rig.run("curl", [
    ...QUIET,
    "-x",
    rig.proxyUrl("socks5h", "", "h2"),
    "-U",
    `pool=default:${rig.token}`,
    rig.named("/seen"),
  ]);
  expect(code).toBe(SOCKS_REFUSED);
  expect(stderr).toContain("Excessive password length");
});

test("a selection counts wherever it comes from: one that cannot be served is refused by name", async () => {
  const user = `ip=127.0.0.99:${rig.token}`;
  const url = rig.named("/seen");
  const [proxy, whole] = [rig.proxyUrl("http"), rig.proxyUrl("http", user)];
  const refused = { code: 0, problem: "lease-lost" };
  expect(await problemOf(["-x", proxy, "-U", user, url])).toEqual(refused);
  expect(await problemOf(["-x", whole, url])).toEqual(refused);
  expect(await problemOf([url], { env: { http_proxy: whole } })).toEqual(refused);
  expect(await problemOf(["-x", proxy, "--proxy-header", 'egress: ip="127.0.0.99"', url])).toEqual(refused);
  expect(await problemOf(["-x", proxy, "-U", `nonsense:${rig.token}`, url])).toEqual({
    code: 0,
    problem: "selection-malformed",
  });
  expect(await problemOf(["-p", "-x", proxy, "-U", user, url])).toMatchObject({ code: CONNECT_REFUSED });
  const { userName, password } = rig.login("ip=127.0.0.99");
  const socks = ["-x", rig.proxyUrl("socks5h"), "-U", `${userName}:${password}`, url];
  expect(await problemOf(socks)).toMatchObject({ code: SOCKS_REFUSED });
  expect(await rig.egresses()).toEqual([]);
});

test("what cannot be reached has a status, and a reply code of SOCKS", async () => {
  const closed = `http://127.0.0.20:${await freePort()}/`;
  const cases: readonly (readonly [url: string, status: number, problem: string, reply: number])[] = [
    [closed, 502, "connection-refused", 5],
    ["http://no-such.test/", 502, "dns-error", 4],
    ["http://10.1.2.3/", 403, "destination-prohibited", 2],
  ];
  for (const [url, status, problem, reply] of cases) {
    const http = await curl(["-x", rig.proxyUrl("http"), "-w", "\n%{http_code}", url]);
    expect(http).toMatch(new RegExp(`"code":"${problem}".*\n${status}$`, "s"));
    const tunnel = await rig.run("curl", [...QUIET, "-p", "-x", rig.proxyUrl("http"), url]);
    expect(tunnel.stderr).toContain(`CONNECT tunnel failed, response ${status}`);
    const socks = await rig.run("curl", [...QUIET, "-x", rig.proxyUrl("socks5h"), url]);
    expect(socks.code).toBe(SOCKS_REFUSED);
    expect(socks.stderr).toContain(`(${reply})`);
  }
  const ftp = await problemOf(["-x", rig.proxyUrl("http"), `ftp://${rig.originName}/file`]);
  expect(ftp).toEqual({ code: 0, problem: "url-scheme-unsupported" });
  expect(await rig.egresses()).toEqual([]);
});

test("environment: which variables curl reads", async () => {
  const http = rig.proxyUrl("http");
  const ours = ["--cacert", rig.certificateFile, rig.secure("/")];
  const cases: readonly (readonly [args: readonly string[], env: Record<string, string>])[] = [
    [[rig.named("/seen")], { http_proxy: http }],
    [[rig.named("/seen")], { all_proxy: rig.proxyUrl("socks5h") }],
    [[rig.named("/seen")], { ALL_PROXY: http }],
    [ours, { https_proxy: http }],
    [ours, { HTTPS_PROXY: http }],
  ];
  for (const [args, env] of cases) {
    expect(JSON.parse(await curl(args, { env }))).toMatchObject({ address: EGRESS_IP });
  }
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("environment: what makes curl go past the proxy without a word", async () => {
  const http_proxy = rig.proxyUrl("http");
  const url = rig.cluster.originUrl("/seen");
  await curl([url], { env: { HTTP_PROXY: http_proxy } });
  await curl([url], { env: { https_proxy: http_proxy } });
  for (const no_proxy of ["*", "127.0.0.20", "127.0.0.0/24"]) {
    await curl([url], { env: { http_proxy, no_proxy } });
    // It counts even for a proxy that is given as an option.
    await curl(["-x", http_proxy, url], { env: { no_proxy } });
  }
  expect(await rig.egresses()).toEqual(DIRECT);
  const resolved = ["--resolve", `${rig.originName}:${rig.cluster.origin.port}:127.0.0.20`];
  for (const no_proxy of [rig.originName, "test", ".test"]) {
    await curl([...resolved, rig.named("/seen")], { env: { http_proxy, no_proxy } });
  }
  expect(await rig.egresses()).toEqual(DIRECT);
  // Neither a star before a name nor a port behind it is understood.
  for (const no_proxy of ["*.test", `${rig.originName}:${rig.cluster.origin.port}`]) {
    await curl([rig.named("/seen")], { env: { http_proxy, no_proxy } });
  }
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each([
  ["HTTP", ["-x", "http"]],
  ["CONNECT", ["-p", "-x", "http"]],
  ["SOCKS5h", ["-x", "socks5h"]],
])("%s: uploads arrive whole, in chunks or not, with or without asking first", async (_name, args) => {
  const file = join(rig.cluster.directory, "upload");
  await writeFile(file, UPLOAD);
  const sha256 = createHash("sha256").update(UPLOAD).digest("hex");
  const proxy = [...args.slice(0, -1), rig.proxyUrl(args.at(-1)!)];
  for (const expectation of ["expect: 100-continue", "expect:"]) {
    const post = [...proxy, "-X", "POST", "-H", expectation, rig.named("/upload")];
    const sized = JSON.parse(await curl([...post, "-T", file]));
    expect(sized).toEqual({ byteCount: UPLOAD.length, framing: "length", sha256 });
    const chunked = JSON.parse(await curl([...post, "-T", "-"], { input: UPLOAD }));
    expect(chunked).toEqual({ byteCount: UPLOAD.length, framing: "chunked", sha256 });
  }
  const form = JSON.parse(await curl([...proxy, "-F", `file=@${file}`, rig.named("/upload")]));
  expect(form.byteCount).toBeGreaterThan(UPLOAD.length);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("100 Continue: curl is told to wait, and told to go on, and hears a refusal instead", async () => {
  const file = join(rig.cluster.directory, "awaited");
  await writeFile(file, UPLOAD);
  const proxy = ["-x", rig.proxyUrl("http"), "-T", file];
  const asking = await rig.run("curl", [...QUIET, "-v", ...proxy, "-X", "POST", rig.named("/upload")]);
  expect(asking.stderr).toMatch(
    /> Expect: 100-continue[\s\S]*< HTTP\/1\.1 100 Continue[\s\S]*< HTTP\/1\.1 200/,
  );
  const closed = `http://127.0.0.20:${await freePort()}/`;
  const refused = await rig.run("curl", [...QUIET, "-v", ...proxy, "--expect100-timeout", "60", closed]);
  expect(refused.stderr).not.toContain("100 Continue");
  expect(refused.stderr).toContain("< HTTP/1.1 502");
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("a WebSocket by the forward proxy: the handshake and what the server says", async () => {
  const server = createServer();
  new WebSocketServer({ server }).on("connection", (socket) => {
    socket.send("hello from the other side", () => socket.terminate());
  });
  const port = await rig.serve(server);
  const key = "dGhlIHNhbXBsZSBub25jZQ==";
  const fields = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
  ];
  const told = await curl([
    "-i",
    "-N",
    "-x",
    rig.proxyUrl("http"),
    ...fields.flatMap((field) => ["-H", field]),
    `http://${SERVER_IP}:${port}/`,
  ]);
  expect(told).toMatch(/^HTTP\/1\.1 101 /);
  expect(told).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  expect(told).toContain("hello from the other side");
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test.each(["http", "socks5h"])("%s: a hundred at once, and large answers", async (scheme) => {
  const urls = Array.from({ length: 100 }, (_, at) => [
    "-o",
    "/dev/null",
    "-w",
    "%{http_code} %{size_download}\n",
    rig.named(`/download?bytes=${100_000 + at}&framing=${at % 2 === 0 ? "length" : "chunked"}`),
  ]);
  const told = await curl(["-Z", "--parallel-max", "100", "-x", rig.proxyUrl(scheme), ...urls.flat()]);
  const wanted = urls.map((_, at) => `200 ${100_000 + at}`).toSorted();
  expect(told.trim().split("\n").toSorted()).toEqual(wanted);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("answers that break off are broken for curl, too, and curl that goes away leaves nothing", async () => {
  for (const args of [
    ["-x", rig.proxyUrl("http")],
    ["-x", rig.proxyUrl("socks5h")],
  ]) {
    const chunked = await rig.run("curl", [...QUIET, ...args, rig.named("/reset")]);
    const sized = await rig.run("curl", [...QUIET, ...args, rig.named("/reset?framing=length")]);
    expect([chunked.code, sized.code].every((code) => code === 18 || code === 56)).toBe(true);
    // It has enough after a while: its time is over, or its disk is full.
    const held = rig.named("/events");
    const gone = await rig.run("curl", ["-sS", "--max-time", "1", ...args, held]);
    expect(gone.code).toBe(28);
  }
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("TLS to the proxy, and HTTP/2 in it where this curl can", async () => {
  const help = await rig.output("curl", ["--help", "all"]);
  const versions = help.includes("--proxy-http2") ? [[], ["--proxy-http2"]] : [[]];
  const file = join(rig.cluster.directory, "secret");
  await writeFile(file, UPLOAD);
  const certificates = ["--proxy-cacert", rig.certificateFile, "--cacert", rig.certificateFile];
  const url = rig.proxyUrl("https", `pool=default,session=cart-42:${rig.token}`, "h2");
  for (const version of versions) {
    const proxy = ["-x", url, ...certificates, ...version];
    const plain = await curl([...proxy, rig.named("/seen")]);
    const tunnel = await curl([...proxy, "-p", rig.named("/seen")]);
    const secure = await curl([...proxy, rig.secure("/")]);
    for (const told of [plain, tunnel, secure]) {
      expect(JSON.parse(told)).toMatchObject({ address: EGRESS_IP });
    }
    for (const args of [[], ["-p"]]) {
      const sent = await curl([...proxy, ...args, "-T", file, "-X", "POST", rig.named("/upload")]);
      expect(JSON.parse(sent)).toMatchObject({ byteCount: UPLOAD.length });
      const broken = await rig.run("curl", [...QUIET, ...proxy, ...args, rig.named("/reset")]);
      expect([18, 56, 92]).toContain(broken.code);
    }
    expect(await rig.egresses()).toEqual(FROM_H2);
    const stranger = ["-x", rig.proxyUrl("https", "", "h2"), ...certificates, ...version];
    expect(await problemOf([...stranger, rig.named("/seen")])).toEqual({ code: 0, problem: "token-missing" });
    const { code, stderr } = await rig.run("curl", [...QUIET, "-v", ...stranger, rig.secure("/")]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(version.length === 0 ? /HTTP\/1\.[01] 407/ : /HTTP\/2.*407|h2[\s\S]*407/);
    expect(await rig.egresses()).toEqual([]);
  }
});

test("a name of the certificate is checked by curl, not by the proxy", async () => {
  const other = `https://${rig.originName}:${rig.securePort}/`;
  const resolved = ["--connect-to", `${rig.originName}:${rig.securePort}:${SECURE_NAME}:${rig.securePort}`];
  const args = [...QUIET, "-x", rig.proxyUrl("http"), "--cacert", rig.certificateFile, ...resolved, other];
  expect((await rig.run("curl", args)).code).toBe(60);
  expect(await rig.egresses()).toEqual(FROM_H1);
});

test("at the end nothing is held", async () => {
  const closing = createServer();
  const port = await rig.serve(closing);
  closing.on("request", (_request, response) => response.end("bye"));
  expect(await curl(["-x", rig.proxyUrl("http"), `http://${SERVER_IP}:${port}/`])).toBe("bye");
  await rig.untilNothingIsHeld();
  expect(await rig.egresses()).toEqual(FROM_H1);
});
