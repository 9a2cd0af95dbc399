/** Files by which programs and pools are configured: what is wrong with one is said with its line and the remedy. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { agentCommand, parseConfig } from "../../src/agent/command-line.ts";
import { namedFilesOf } from "../../src/agent/named-files.ts";
import { readContexts } from "../../src/cli/contexts/context-file.ts";
import { desiredSchema } from "../../src/cli/desired/desired-file.ts";
import { generateKey } from "../../src/wire/keys.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { authorityFile, checkNamedFiles, pemFiles } from "../../src/process/named-files.ts";
import { CERTIFICATE, KEY } from "../agent/tls-origin.ts";
import { configured, readConfigured } from "../../src/process/configuration.ts";
import { WrittenFile } from "../../src/process/written-file.ts";
import { parseCommandLine, routerCommand } from "../../src/router/command-line.ts";
import { configSchema, SCHEMA_FILE } from "../reference/config-schema.ts";
import { temporaryDirectory } from "./processes.ts";
import { testedProgram } from "../runner/tested-program.ts";

const PROGRAM = testedProgram("cli");
const GOOD = `# What runs here.
agent:
  edge: https://edge.example.com
  pool: eu
  token-file: /etc/ipshard/h1.token
  state: /var/lib/ipshard
  listen: 127.0.0.1:8443
  gateway: https://h1.example.com
  proxy: [127.0.0.1:3128, "[::1]:3128"]
  proxy-forwarded: true
  drain-deadline: 5000
router:
  edge: https://edge.example.com
  pool: eu
  token-file: /etc/ipshard/r1.token
  state: /var/lib/ipshard-router
  ingress: eth0
  via: [h1=self, "h2=neighbour:eth1,10.0.0.2"]
pools:
  eu:
    settings: { quarantineMs: 60000, published: true }
    ips:
      192.0.2.1: { country: de, tags: [main] }
      2001:db8::1:
    hosts:
      h1: { drained: false }
    policy:
      destinations: { mode: enforce, deny: ["*:25"] }
      tenants:
        shop: { limits: { tunnels: 200 } }
`;

function nowhere(): void {}

/** Where a program is started, with this file and nothing else. */
async function surroundings(text: string, environment: Record<string, string> = {}) {
  const directory = await temporaryDirectory();
  await writeFile(join(directory, "c.yaml"), text);
  return { directory, environment };
}

/** What the agent, the router and the pools of a file are refused with; empty if with nothing. */
async function refusals(text: string): Promise<string> {
  const at = await surroundings(text);
  const args = ["--config=c.yaml", "--check-config"];
  const asked: readonly (() => Promise<unknown>)[] = [
    async () => WrittenFile.of("c.yaml", text).as(desiredSchema.loose()),
    async () => {
      const said = await configured("agent", agentCommand(nowhere), args, at);
      return readConfigured(said, () => parseConfig(said.args, nowhere));
    },
    async () => {
      const said = await configured("router", routerCommand(nowhere), args, at);
      return readConfigured(said, () => parseCommandLine(said.args, nowhere));
    },
  ];
  const ends = await Promise.allSettled(asked.map((ask) => ask()));
  return ends
    .filter((end) => end.status === "rejected")
    .map(({ reason }) => (reason as Error).message.replaceAll(`${at.directory}/`, ""))
    .join("\n");
}

test("[CF1] [CF2] a file without a mistake is refused by nobody, in YAML or in JSON", async () => {
  expect(await refusals(GOOD)).toBe("");
  expect(await refusals(JSON.stringify(WrittenFile.of("c.yaml", GOOD).value, null, "\t"))).toBe("");
});

test.each([
  [
    "quarantineMs: 60000,",
    "maxPortsPerHost: 256, minPortsPerHost: 512,",
    21,
    "512 does not fit: minPortsPerHost=512 is more than maxPortsPerHost=256",
  ],
  [
    "pool: eu\n  token-file: /etc/ipshard/h1",
    "pol: eu\n  token-file: /etc/ipshard/h1",
    4,
    "There is no pol here. Did you mean pool?",
  ],
  [
    "proxy-forwarded: true",
    "proxy-forwarded: yes",
    10,
    '"yes" does not fit: true or false is expected. Write true.',
  ],
  [
    "proxy-forwarded: true",
    "proxyforwarded: true",
    10,
    "There is no proxyforwarded here. Did you mean proxy-forwarded?",
  ],
  ["listen: 127.0.0.1:8443", "listen: 127.0.0.1", 7, "is not of the form host:port, such as 127.0.0.1:8443"],
  ["https://h1.example.com", "h1.example.com", 8, "is no http or https URL, such as https://h1.example.com"],
  [
    "edge: https://edge.example.com\n  pool: eu\n  token-file: /etc/ipshard/h1",
    "edge: http://edge.example.com\n  pool: eu\n  token-file: /etc/ipshard/h1",
    3,
    "--allow-plain-http",
  ],
  [
    "  gateway: https",
    "  gateway : https://a.example.com\n  gateway: https",
    9,
    "Map keys must be unique. Say everything of it in one place.",
  ],
  ["  state: /var/lib/ipshard\n", "", 2, "required option '--state <directory>' not specified"],
  [
    "drain-deadline: 5000",
    "drain-deadline: soon",
    11,
    "it must be a time such as 45s, 10m, 12h or 30d, at most 1d",
  ],
  [
    "proxy: [127.0.0.1:3128, ",
    "proxy: [127.0.0.1:3128 ",
    9,
    "A quote or a bracket is not closed, or a comma is missing.",
  ],
  [
    "  pool: eu\n  token-file: /etc/ipshard/r1",
    "\tpool: eu\n  token-file: /etc/ipshard/r1",
    14,
    "Indent with blanks.",
  ],
  ["h1=self", "h1=itself", 18, "--via h1=itself is not one of host=self"],
  ["ingress: eth0", "ingres: eth0", 17, "Did you mean ingress?"],
  ["router:", "routers:", 12, "There is no routers here. Did you mean router?"],
  [
    "quarantineMs: 60000",
    "quarantineMs: 60s",
    21,
    "a number is expected. Times are in milliseconds, as in 120000.",
  ],
  ["quarantineMs: 60000", 'quarantineMs: "60000"', 21, "Write 60000 without quotes."],
  ["quarantineMs: 60000", "quarantineMs: -1", 21, "-1 does not fit: at least 0"],
  [
    "quarantineMs: 60000",
    "quarantineMS: 60000",
    21,
    "There is no quarantineMS here. Did you mean quarantineMs?",
  ],
  ["published: true", "published: on", 21, "Write true."],
  ["192.0.2.1: {", "192.0.2.256: {", 23, "an IPv4 or IPv6 address is expected"],
  ["2001:db8::1", "2001:db8:0::1", 24, "the address must be in its canonical form"],
  ["country: de", "country: Germany", 23, "a code of two letters is expected, such as de"],
  ["tags: [main]", "tags: main", 23, '"main" does not fit: a list is expected. Write [main].'],
  [
    "h1: { drained: false }",
    "H1: { drained: false }",
    26,
    "lower-case letters, digits, dots, dashes and underscores",
  ],
  ["drained: false", "drain: true", 26, "There is no drain here. Did you mean drained?"],
  ["mode: enforce", "mode: enforced", 28, "one of enforce, report, open is expected. Did you mean enforce?"],
  ['deny: ["*:25"]', "deny: [*:25]", 28, 'put it in quotes: "*:25".'],
  ['deny: ["*:25"]', 'deny: ["a b"]', 28, "a name, address or network is expected, with or without ports"],
  ["limits: { tunnels: 200 }", "limit: { tunnels: 200 }", 30, "There is no limit here. Did you mean limits?"],
  ["tunnels: 200", "tunnels: 2.5", 30, "2.5 does not fit: a whole number is expected"],
  ["policy:", "polices:", 27, "There is no polices here. Did you mean policy?"],
  ["    ips:", "   ips:", 22, "Lines of one list or map begin below each other."],
])("[CF1] [CF2] with %j as %j it is said at line %i: %s", async (right, wrong, line, advice) => {
  expect(GOOD).toContain(right);
  const said = await refusals(GOOD.replace(right, wrong));
  expect(said).toMatch(new RegExp(`(^|\\n)c\\.yaml:${line}:\\d+: `));
  expect(said).toContain(advice);
});

test.each([
  ["without end", "agent: &a {pool: *a}", "1:18: *a refers to what it stands in itself"],
  [
    "of more than can be meant",
    `a: &x 1\nb: [${"*x,".repeat(50_000)}]`,
    "2:305: There are more than 100 references",
  ],
  ["to what comes later", "a: *x\nb: &x 1", "1:4: *x refers to nothing"],
])("[CF1] references %s are refused at once", (_, text, why) => {
  expect(() => WrittenFile.of("c.yaml", text)).toThrow(`c.yaml:${why}`);
});

test("[CF1] names that are given twice are found, of many as of few, and however they are written", () => {
  const many = Array.from({ length: 20_000 }, (_, at) => `h${at}: {}\n`).join("");
  expect(Object.keys(WrittenFile.of("c.yaml", many).value as object)).toHaveLength(20_000);
  expect(() => WrittenFile.of("c.yaml", `${many}h7: {}`)).toThrow("c.yaml:20001:1: Map keys must be unique.");
  expect(() => WrittenFile.of("c.yaml", '{ 1: a, "1": b }')).toThrow("c.yaml:1:9: Map keys must be unique.");
});

test("[CF1] a file that never ends is refused, and what is in one cannot control the terminal", async () => {
  const endless = await run("apply", "/dev/zero");
  expect([endless.code, endless.stderr]).toEqual([
    1,
    "ipshard: /dev/zero cannot be read: it has more than 16777216 bytes. [file-invalid]\n",
  ]);
  const file = join(await temporaryDirectory(), "c.yaml");
  await writeFile(file, '"\\e]0;owned\\a": 1\n');
  expect((await run("config", "check", file)).stderr).toContain(
    ":1:1: ?]0;owned?: There is no ?]0;owned? here.",
  );
});

test("[CF3] config check reads nothing that is gone once it was read, and waits for nobody", async () => {
  const pipe = join(await temporaryDirectory(), "pipe");
  await promisify(execFile)("mkfifo", [pipe]);
  for (const [file, said] of [
    [pipe, `${pipe} is a pipe or a device, which cannot be read several times: put it into a file.`],
    ["-", "Standard input cannot be read several times: put it into a file."],
  ] as const) {
    const { code, stderr } = await run("config", "check", file);
    expect([code, stderr]).toEqual([1, `ipshard: ${said} [file-invalid]\n`]);
  }
});

test("[CF5] tokens, keys, contexts, policies and certificates are read up to a bound", async () => {
  const directory = await temporaryDirectory();
  const large = join(directory, "large");
  await writeFile(large, "a".repeat(1024 * 1024 + 1));
  await chmod(large, 0o600);
  const why = "it has more than 1048576 bytes";
  const noEdge = "http://127.0.0.1:9";
  const state = join(directory, "state");
  await mkdir(join(state, "keys"), { recursive: true });
  await mkdir(join(directory, "config", "ipshard"), { recursive: true });
  for (const name of ["issuer.json", "edge.json"]) await symlink("/dev/zero", join(state, "keys", name));
  const asked: readonly [words: readonly string[], code: string][] = [
    [["policy", "test", "example.com:443", "--as", "a", "--file", "/dev/zero"], "file-invalid"],
    [["pool", "list", "--edge", noEdge, "--token-file", large], "token-unreadable"],
    [["pool", "list", "--edge", noEdge, "--token-file", "/dev/zero"], "token-unreadable"],
    [["fetch", "http://example.com", "--edge", noEdge, "--token-file", large], "token-unreadable"],
    [["token", "--role", "admin", "--name", "me", "--state", state], "key-malformed"],
  ];
  const ends = await Promise.all(asked.map(([words]) => run(...words)));
  expect(ends.map(({ code, stderr }) => [code === 0, stderr.includes(why), stderr])).toEqual(
    asked.map(([, code]) => [false, true, expect.stringContaining(`[${code}]`)]),
  );
  const contexts = join(directory, "contexts.json");
  await writeFile(contexts, "[".repeat(1024 * 1024 + 1), { mode: 0o600 });
  await expect(readContexts(contexts)).rejects.toMatchObject({
    code: "context-unusable",
    message: expect.stringContaining(why),
  });
  await expect(checkNamedFiles([authorityFile("--gateway-ca", large)])).rejects.toThrow(why);
});

test("[CF2] the command line is stronger than the environment, and that than the file; lists are taken whole", async () => {
  const environment = {
    IPSHARD_POOL: "us",
    IPSHARD_PROXY: "127.0.0.1:1 127.0.0.1:2",
    IPSHARD_PROXY_FORWARDED: "false",
  };
  const at = await surroundings(GOOD, { ...environment, IPSHARD_CONFIG: "c.yaml" });
  const said = await configured("agent", agentCommand(nowhere), ["--drain-deadline", "7", "--pool=de"], at);
  expect(parseConfig(said.args, nowhere)).toMatchObject({
    pool: "de",
    drainDeadlineMs: 7,
    proxies: [{ port: 1 }, { port: 2 }],
    proxyMarks: { isForwardedTold: false },
    gateway: "https://h1.example.com",
  });
});

test("[CF2] what the environment says wrong is said with its variable", async () => {
  const read = async (environment: Record<string, string>): Promise<unknown> => {
    const at = await surroundings(GOOD, environment);
    const said = await configured("agent", agentCommand(nowhere), ["--config", "c.yaml"], at);
    return readConfigured(said, () => parseConfig(said.args, nowhere));
  };
  await expect(read({ IPSHARD_LISTEN: "here" })).rejects.toThrow(
    "IPSHARD_LISTEN: --listen here is not of the form",
  );
  await expect(read({ IPSHARD_LISTN: "here" })).rejects.toThrow(
    "There is no variable IPSHARD_LISTN. Did you mean IPSHARD_LISTEN?",
  );
  await expect(read({ IPSHARD_PROXY_FORWARDED: "1" })).rejects.toThrow(
    "IPSHARD_PROXY_FORWARDED is true or false, not 1.",
  );
  // Those of other programs are nothing to an agent.
  await expect(read({ IPSHARD_INGRESS: "eth0", IPSHARD_LAUNCHER: "1" })).resolves.toMatchObject({
    pool: "eu",
  });
});

function run(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [PROGRAM, ...args], (_fault, stdout, stderr) =>
      resolve({ code: child.exitCode!, stdout, stderr }),
    );
  });
}

test("[CF3] config check asks each program whose part a file has", async () => {
  const file = join(await temporaryDirectory(), "ipshard.yaml");
  await writeFile(file, `${GOOD}edge:\n  port: 8787\n`);
  expect(await run("config", "check", "--files-elsewhere", file)).toEqual({
    code: 0,
    stdout: `Nothing is wrong with ${file}. Read: agent, router, pools, edge.\n`,
    stderr: "",
  });
  await writeFile(
    file,
    `${GOOD.replace("h1=self", "h1=me").replace("drain-deadline", "drain-dedline")}edge:\n  port: http\n`,
  );
  const { code, stdout, stderr } = await run("config", "check", file);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr.split("\n")).toEqual([
    expect.stringMatching(/^ipshard: .*:11:3: agent\.drain-dedline: .*Did you mean drain-deadline\?$/),
    expect.stringMatching(/:18:8: --via h1=me is not one of/),
    expect.stringMatching(/:32:9: option '--port <number>' argument 'http' is invalid.*\[file-invalid\]$/),
    "",
  ]);
  await writeFile(file, "pool: {}\n");
  expect((await run("config", "check", file)).stderr).toContain(
    ":1:1: pool: There is no pool here. Did you mean pools?",
  );
  expect((await run("config", "check", `${file}.gone`)).stderr).toContain("cannot be read: ENOENT");
});

/** A token of this role that nobody has to believe. */
async function tokenOf(role: "host" | "join"): Promise<string> {
  const identity = { role, subject: "h1", pools: ["eu"], expiresAtMs: Date.now() + 60_000 };
  return signToken(identity, await generateKey("issuer"));
}

test("[CF4] a file that is named and cannot be used is said with its line, each of them", async () => {
  const directory = await temporaryDirectory();
  const at = (name: string): string => join(directory, name);
  await Promise.all([
    writeFile(at("host.token"), await tokenOf("host")),
    writeFile(at("cert.pem"), CERTIFICATE),
    writeFile(at("key.pem"), KEY),
    writeFile(at("short"), "short"),
    promisify(execFile)("mkfifo", [at("pipe")]),
    mkdir(at("directory")),
  ]);
  const good = {
    "token-file": "host.token",
    "gateway-certificate": "cert.pem",
    "gateway-key": "key.pem",
    "gateway-client-ca": "cert.pem",
    "metrics-token-file": "host.token",
  };
  const text = (files: Readonly<Record<string, string>>): string => `agent:
  edge: https://edge.example.com
  pool: eu
  state: ${at("state")}
  listen: 127.0.0.1:8443
  metrics: 127.0.0.1:9464
${Object.entries({ ...good, ...files })
  .map(([option, name]) => `  ${option}: ${at(name)}\n`)
  .join("")}edge:
  certificate: ${at("cert.pem")}
  key: ${at("key.pem")}
`;
  await writeFile(at("good.yaml"), text({}));
  const surrounded = { environment: {}, directory };
  const args = ["--config=good.yaml", "--check-config"];
  const readGood = await configured("agent", agentCommand(nowhere), args, surrounded);
  await checkNamedFiles(namedFilesOf(parseConfig(readGood.args, nowhere)!, false));
  const wrong = {
    "token-file": "gone.token",
    "gateway-certificate": "key.pem",
    "gateway-key": "cert.pem",
    "gateway-client-ca": "directory",
    "metrics-token-file": "short",
  };
  await writeFile(at("wrong.yaml"), text(wrong).replace(/ {2}key: .*/, `  key: ${at("gone.pem")}`));
  const { code, stderr } = await run("config", "check", at("wrong.yaml"));
  expect(code).toBe(1);
  await writeFile(at("pipe.yaml"), text({ "gateway-client-ca": "pipe" }));
  expect((await run("config", "check", at("pipe.yaml"))).stderr).toContain(
    `pipe.yaml:10:22: --gateway-client-ca ${at("pipe")} is a pipe or a device, not a file.`,
  );
  expect(stderr.replaceAll(`${directory}/`, "").trim().split("\n")).toEqual([
    expect.stringMatching(
      /^ipshard: wrong\.yaml:7:15: --token-file gone\.token cannot be read: there is none\.$/,
    ),
    "wrong.yaml:8:24: --gateway-certificate key.pem holds no certificate in PEM form: it is a private key.",
    "wrong.yaml:9:16: --gateway-key cert.pem holds no private key in PEM form: it is a certificate.",
    "wrong.yaml:10:22: --gateway-client-ca directory is a directory, not a file.",
    expect.stringMatching(
      /^wrong\.yaml:11:23: --metrics-token-file: short holds no token of 16 characters or more/,
    ),
    "wrong.yaml:14:8: --key gone.pem cannot be read: there is none. [file-invalid]",
  ]);
});

test("[CF4] a key belongs to its certificate, and what is no PEM is none, whatever it is called", async () => {
  const directory = await temporaryDirectory();
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const contents = {
    certificate: CERTIFICATE,
    key: KEY,
    other: other.export({ type: "pkcs8", format: "pem" }).toString(),
    encrypted: privateKey,
    broken: CERTIFICATE.replace(/\n[^]{40}/, "\n"),
    text: "no PEM at all",
  };
  for (const [name, text] of Object.entries(contents)) await writeFile(join(directory, name), text);
  const said = async (certificate: string, key: string): Promise<string> => {
    const files = pemFiles({
      certificate: ["--certificate", join(directory, certificate)],
      key: ["--key", join(directory, key)],
    });
    const fault = await checkNamedFiles(files).catch((reason: unknown) => reason);
    return fault === undefined ? "" : (fault as Error).message.replaceAll(`${directory}/`, "");
  };
  expect(await said("certificate", "key")).toBe("");
  expect(await said("certificate", "other")).toBe(
    "--key other is not the key of the certificate certificate.",
  );
  expect(await said("certificate", "encrypted")).toContain(
    "--key encrypted holds no private key that can be read: it is",
  );
  expect(await said("broken", "key")).toContain("--certificate broken holds no certificate that can be read");
  expect(await said("text", "text")).toBe(
    "--certificate text holds no certificate in PEM form.\n--key text holds no private key in PEM form.",
  );
});

test("[CF3] with a join token nothing is asked for that the join makes known, and nobody is asked", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "join.token");
  await writeFile(file, await tokenOf("join"));
  // Nobody listens there.
  const args = ["--edge=https://127.0.0.1:1", `--join=${file}`, `--state=${directory}`, "--check-config"];
  expect(await run("agent", "--listen=127.0.0.1:8443", ...args)).toEqual({
    code: 0,
    stdout: "All that is configured can be used.\n",
    stderr: "",
  });
});

test("[CF3] the files in the documentation have no mistakes", async () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/CLI.md"), "utf8");
  const files = [...text.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, file]) => file!);
  expect(files).toHaveLength(2);
  const whole = files.join("");
  expect(await refusals(`${whole}${GOOD.slice(GOOD.indexOf("router:"), GOOD.indexOf("pools:"))}`)).toBe("");
});

test("[CF3] the schema that is published is that of the options and of pools", async () => {
  const published = readFileSync(SCHEMA_FILE, "utf8");
  expect(JSON.parse(published), "npm run docs").toEqual(JSON.parse(configSchema()));
  expect((await run("config", "schema")).stdout).toBe(published);
});
