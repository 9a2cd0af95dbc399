/** The agent's command line and its token file. */
import { availableParallelism } from "node:os";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseConfig } from "../../src/agent/command-line.ts";
import { EdgeToken } from "../../src/link/edge-token.ts";
import type { Role } from "../../src/core/identity.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";

const COMPLETE = {
  "--edge": "http://127.0.0.1:8787",
  "--pool": "default",
  "--token-file": "token",
  "--state": "state",
  "--listen": "127.0.0.1:7001",
};

function parse(changes: Record<string, string | null>, ...rest: string[]) {
  const options = Object.entries({ ...COMPLETE, ...changes });
  const args = options.flatMap(([name, value]) => (value === null ? [] : [name, value]));
  return parseConfig([...args, ...rest], () => {});
}

const GATEWAY_TLS = ["--gateway-certificate", "cert.pem", "--gateway-key", "key.pem"];
const PROXY_TLS = ["--proxy-certificate", "p.pem", "--proxy-key", "p-key.pem"];

test("[AG1] the help says what is required, and a slip is named", () => {
  let help = "";
  expect(parseConfig(["--help"], (text) => (help += text))).toBeNull();
  expect(help.replaceAll(/\s+/g, " ")).toContain("--edge <url> where the edge is (required)");
  expect(help).not.toContain("[]");
  expect(() => parseConfig(["--egde", "http://127.0.0.1:8787"], () => {})).toThrow(
    "There is no option --egde; see ipshard agent --help.",
  );
});

test("[AG1] a complete command line is a configuration", () => {
  const config = parse(
    {},
    "--allow",
    "10.0.0.0/8",
    "--allow",
    "fd00::/8",
    "--deny",
    "8.0.0.0/8",
    "--dns",
    "127.0.0.1:5353",
  );
  expect(config).toEqual({
    edge: new URL("http://127.0.0.1:8787"),
    pool: "default",
    probes: [],
    metrics: null,
    collector: null,
    tokenFile: "token",
    stateDirectory: "state",
    whenCopied: "refuse",
    listenHost: "127.0.0.1",
    listenPort: 7001,
    processes: Math.min(8, availableParallelism()),
    gateway: null,
    allowed: ["10.0.0.0/8", "fd00::/8"],
    denied: ["8.0.0.0/8"],
    nameServers: ["127.0.0.1:5353"],
    proxies: [],
    proxySources: [
      { range: "127.0.0.0/8", name: "local" },
      { range: "::1/128", name: "local" },
    ],
    proxyMarks: { via: null, isForwardedTold: false },
    gatewayCertificate: null,
    proxyCertificate: null,
    allowsPlainHttp: false,
    tunnelIdleMs: 7_440_000,
    requestIdleMs: 300_000,
    flowTotalMs: null,
    drainDeadlineMs: 30_000,
    connectTimeoutMs: 10_000,
    responseTimeoutMs: 60_000,
    restMs: 180_000,
    machine: "auto",
    reach: { ipv4: null, ipv6: null },
    site: null,
    weight: 1,
    snat: [],
    flowLog: { level: "blocks", destinations: false, maxBytes: 256 * 2 ** 20, decisions: "none" },
  });
  expect(parse({ "--listen": "[::1]:7001" })).toMatchObject({ listenHost: "::1", listenPort: 7001 });
  expect(parse({ "--processes": "4" })).toMatchObject({ processes: 4 });
  expect(
    parse({ "--listen": "0.0.0.0:7001", "--gateway": "https://h1.example" }, ...GATEWAY_TLS),
  ).toMatchObject({ gateway: "https://h1.example" });
});

test.each([
  ["--edge", null],
  ["--edge", "edge.example"],
  ["--edge", "ftp://edge.example"],
  ["--edge", "http://user:secret@edge.example"],
  ["--pool", "Not A Name"],
  ["--token-file", null],
  ["--state", null],
  ["--deny", "8.8.8.8"],
  ["--processes", "0"],
  ["--processes", "many"],
  ["--processes", "65"],
  ["--listen", "7001"],
  ["--listen", "127.0.0.1:70000"],
  ["--listen", "0.0.0.0:7001"],
  ["--gateway", "h1.example:80"],
  ["--allow", "10.0.0.0"],
  ["--dns", "dns.example:53"],
  ["--drain-deadline", "soon"],
  ["--copied-state", "perhaps"],
  ["--rest", "1w"],
  ["--rest", "86400001"],
  ["--drain-deadline", "25h"],
  ["--drain-deadline", "-1"],
  ["--site", ""],
  ["--site", " fra1"],
  ["--site", "x".repeat(64)],
  ["--weight", "0"],
  ["--weight", "much"],
  ["--weight", "1e3"],
  ["--weight", "1000001"],
  ["--proxy", "3128"],
  ["--proxy", "127.0.0.1:70000"],
  ["--proxy-source", "10.0.0.0/8"],
  ["--proxy-source", "10.0.0.1=office"],
  ["--proxy-source", "0.0.0.0/0=world"],
  ["--proxy-source", "8.0.0.0/7=half"],
  ["--proxy-source", "2000::/3=world"],
  ["--proxy-source", "10.0.0.0/8=Our Office"],
  ["--proxy-via", "two words"],
  ["--proxy-certificate", "cert.pem"],
  ["--proxy-key", "key.pem"],
  ["--proxy-client-ca", "ca.pem"],
  ["--gateway-certificate", "cert.pem"],
  ["--gateway-key", "key.pem"],
  ["--gateway-client-ca", "ca.pem"],
  ["--tunnel-idle", "2h"],
  ["--tunnel-idle", "2d"],
  ["--flow-log", "everything"],
  ["--flow-log-bytes", "512K"],
  ["--flow-log-bytes", "256"],
  ["--flow-log-bytes", "1025G"],
  ["--unheard-of", "1"],
])("[AG1] %s %s is refused by name", (name, value) => {
  expect(() => parse({ [name]: value })).toThrow(expect.objectContaining({ code: "option-invalid" }));
});

test("[TR1] [TR3] a listener has its certificate and key, and perhaps an authority for its clients", () => {
  expect(parse({}, ...GATEWAY_TLS, "--gateway-client-ca", "clients.pem", ...PROXY_TLS)).toMatchObject({
    gatewayCertificate: { certificate: "cert.pem", key: "key.pem", clientCa: "clients.pem" },
    proxyCertificate: { certificate: "p.pem", key: "p-key.pem", clientCa: null },
  });
});

test.each<[string, Record<string, string>, readonly string[]]>([
  ["an edge elsewhere", { "--edge": "http://edge.example" }, []],
  ["an edge at an address", { "--edge": "http://10.0.0.1:8787" }, []],
  ["a gateway that is announced so", { "--gateway": "http://h1.example" }, []],
  ["a gateway for other machines", { "--listen": "10.0.0.1:7001" }, []],
  [
    "a gateway for other machines, whatever is announced",
    { "--listen": "0.0.0.0:7001", "--gateway": "https://h" },
    [],
  ],
  ["a proxy for other machines", { "--proxy": "0.0.0.0:3128" }, []],
  ["a proxy for them, and a gateway with TLS", { "--proxy": "[::]:3128" }, ["gateway"]],
  ["a gateway for them, and a proxy with TLS", { "--listen": "192.0.2.1:1" }, ["proxy"]],
])("[TR4] %s is refused without TLS, unless it is forced", (_what, changes, secured) => {
  const tls = [
    ...(secured.includes("gateway") ? GATEWAY_TLS : []),
    ...(secured.includes("proxy") ? PROXY_TLS : []),
  ];
  expect(() => parse(changes, ...tls)).toThrow(
    expect.objectContaining({
      code: "plain-http-refused",
      message: expect.stringContaining("--allow-plain-http"),
    }),
  );
  expect(parse(changes, ...tls, "--allow-plain-http")).toMatchObject({ allowsPlainHttp: true });
});

test("[TR4] with TLS, and on this machine, nothing has to be forced", () => {
  const secure = {
    "--edge": "https://edge.example",
    "--listen": "10.0.0.1:7001",
    "--proxy": "10.0.0.1:3128",
  };
  expect(parse(secure, ...GATEWAY_TLS, ...PROXY_TLS)).toMatchObject({ allowsPlainHttp: false });
  for (const host of ["127.0.0.9", "[::1]", "localhost"]) {
    const here = {
      "--edge": `http://${host}:8787`,
      "--listen": `${host}:1`,
      "--proxy": `${host}:2`,
      "--gateway": `http://${host}:1`,
    };
    expect(parse(here)).toMatchObject({ allowsPlainHttp: false });
  }
});

test("[PX3] sources are given instead of this machine, each with a name", () => {
  const args = ["--proxy", "127.0.0.1:3128", "--proxy", "[::1]:3128", "--proxy-source", "10.1.0.0/16=office"];
  const config = parse({}, ...args, "--proxy-source", "fd00:1::/32=lab", "--tunnel-idle", "5h");
  expect(config).toMatchObject({
    proxies: [
      { host: "127.0.0.1", port: 3128 },
      { host: "::1", port: 3128 },
    ],
    proxySources: [
      { range: "10.1.0.0/16", name: "office" },
      { range: "fd00:1::/32", name: "lab" },
    ],
    tunnelIdleMs: 18_000_000,
  });
});

test("[PX3] it may be that no source is listed", () => {
  expect(parse({ "--proxy-source": "none" })).toMatchObject({ proxySources: [] });
  expect(() => parse({}, "--proxy-source", "none", "--proxy-source", "10.1.0.0/16=office")).toThrow(
    expect.objectContaining({ code: "option-invalid" }),
  );
});

test("[PM8] a host may have a site and a weight", () => {
  const config = parse({ "--site": "Rack 7, Frankfurt", "--weight": "2.5" });
  expect(config).toMatchObject({ site: "Rack 7, Frankfurt", weight: 2.5 });
});

test("[AG1] times have units, and a number alone is milliseconds where it always was", () => {
  const { drainDeadlineMs, connectTimeoutMs, responseTimeoutMs, restMs } = parse({})!;
  expect([drainDeadlineMs, connectTimeoutMs, responseTimeoutMs, restMs]).toEqual([
    30_000, 10_000, 60_000, 180_000,
  ]);
  expect(
    parse({
      "--drain-deadline": "5m",
      "--connect-timeout": "1500",
      "--response-timeout": "2s",
      "--rest": "0",
    }),
  ).toMatchObject({ drainDeadlineMs: 300_000, connectTimeoutMs: 1_500, responseTimeoutMs: 2_000, restMs: 0 });
  expect(() => parse({ "--drain-deadline": "25h" })).toThrow("such as 45s, 10m, 12h or 30d, at most 1d.");
});

test("[AG1] who asks for help gets help", () => {
  let written = "";
  expect(parseConfig(["--help"], (text) => (written += text))).toBe(null);
  expect(written).toContain("--drain-deadline");
});

test("[AG2] the host is the subject of its token, which may be renewed but not exchanged", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-token-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, "token");
  const key = await generateKey("issuer");
  const write = async (role: Role, subject: string, expiresAtMs: number): Promise<string> => {
    const token = await signToken({ role, subject, pools: ["default"], expiresAtMs }, key);
    await writeFile(file, `${token}\n`);
    return token;
  };
  await expect(EdgeToken.open(file, "host")).rejects.toMatchObject({ code: "token-unreadable" });
  await writeFile(file, "no token");
  await expect(EdgeToken.open(file, "host")).rejects.toMatchObject({ code: "token-unreadable" });
  await write("client", "h1", 2_000_000_000_000);
  await expect(EdgeToken.open(file, "host")).rejects.toMatchObject({ code: "token-role" });
  await write("host", "Not A Host", 2_000_000_000_000);
  await expect(EdgeToken.open(file, "host")).rejects.toMatchObject({ code: "token-unreadable" });
  const first = await write("host", "h1", 2_000_000_000_000);
  const token = await EdgeToken.open(file, "host");
  expect(token.subject).toBe("h1");
  expect(await token.read()).toBe(first);
  const second = await write("host", "h1", 2_000_000_001_000);
  expect(await token.read()).toBe(second);
  await write("host", "h2", 2_000_000_001_000);
  await expect(token.read()).rejects.toThrow("h2");
});

test("[UP8] a probe is a URL, of which the place counts, or a place", () => {
  const words = ["https://probe.example/x", "http://[2001:db8::1]/", "http://h.example:81", "[::1]:5", "a:9"];
  expect(parse({}, ...words.flatMap((word) => ["--probe", word]))).toMatchObject({
    probes: [
      { host: "probe.example", port: 443 },
      { host: "2001:db8::1", port: 80 },
      { host: "h.example", port: 81 },
      { host: "::1", port: 5 },
      { host: "a", port: 9 },
    ],
  });
  for (const word of ["a", "a:0", "a:99999", "ftp://a/", "https://", ""]) {
    expect(() => parse({}, "--probe", word)).toThrow(/--probe/);
  }
});

test("[AT5] flows are logged when that is asked for, and where they go when that is asked for besides", () => {
  const config = parse({ "--flow-log": "flows", "--flow-log-bytes": "2G" }, "--flow-log-destinations");
  expect(config).toMatchObject({ flowLog: { level: "flows", destinations: true, maxBytes: 2 ** 31 } });
  expect(() => parse({}, "--flow-log-destinations")).toThrow(
    expect.objectContaining({ code: "option-invalid" }),
  );
});
