/** The verbs of an operator, as processes, against a whole ipshard: each as it is typed. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, EGRESS_IP, freePort, POOL, until } from "./cluster.ts";
import { personEnvironment } from "../runner/person-environment.ts";
import { testedProgram } from "../runner/tested-program.ts";

const PROGRAM = testedProgram("cli");
const SECOND_IP = "127.0.0.11";

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let cluster: Cluster;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  cluster = await Cluster.start({
    hosts: ["h1", "h2"],
    settings: { quarantineMs: 1_000, firstBlockOrder: 6, minPortsPerHost: 64 },
  });
  const config = join(cluster.directory, "config");
  await mkdir(config);
  environment = { ...personEnvironment(), XDG_CONFIG_HOME: config, NO_COLOR: "1" };
});
afterAll(() => cluster?.stop());

/** Runs one verb in the directory of this cluster's state, with nothing of a context but what is given. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = environment): Promise<Said> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [PROGRAM, ...args], { env }, (_fault, stdout, stderr) =>
      resolve({ code: child.exitCode!, stdout, stderr }),
    );
  });
}

async function done(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args);
  expect([code, stderr], args.join(" ")).toEqual([0, expect.any(String)]);
  return stdout;
}

async function answerOf(...args: readonly string[]): Promise<any> {
  return JSON.parse(await done(...args, "--json"));
}

test("[OV1] [OV2] a login is remembered for this user alone, and verbs need neither edge nor token after it", async () => {
  const before = await run(["pool", "list", "--state", cluster.directory]);
  // Nothing listens where the edge of this machine would be, or what does knows another key.
  expect(before.code).toBe(1);
  const tokenFile = join(cluster.directory, "admin.token");
  await writeFile(tokenFile, await cluster.token("admin", "operator", ["*"]));
  const refused = await run(["login", "--edge", cluster.edgeUrl, "--token-file", PROGRAM]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("[token-unreadable]")]);
  const said = await done("login", "--edge", cluster.edgeUrl, "--token-file", tokenFile, "--pool", POOL);
  expect(said).toContain(`Context default is the current one: ${cluster.edgeUrl}/ (pools: ${POOL})`);
  const file = join(environment["XDG_CONFIG_HOME"]!, "ipshard", "contexts.json");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const [pool] = await answerOf("pool", "list");
  expect(pool).toMatchObject({ pool: POOL, ips: [{ ip: EGRESS_IP }] });
  expect(await done("context", "list")).toMatch(/^ {3}NAME.*\n\* {2}default +http:.*default\n$/);
  expect(await done("context", "list", "--json")).not.toContain(await readFile(tokenFile, "utf8"));
  expect((await run(["pool", "list", "--context", "nowhere"])).stderr).toContain(
    "There is no context nowhere; there are: default. [context-unusable]",
  );
});

test("[OV1] options say it before the environment, that before the context; a context's token goes to its own edge alone", async () => {
  const elsewhere = { ...environment, IPSHARD_EDGE: "http://127.0.0.1:1" };
  // No key is where this runs, so a token could only come from the context.
  const unkept = await run(["pool", "list", "--state", join(cluster.directory, "empty")], elsewhere);
  expect([unkept.code, unkept.stderr]).toEqual([1, expect.stringContaining("[key-missing]")]);
  const named = ["pool", "list", "--state", cluster.directory];
  expect((await run(named, elsewhere)).stderr).toContain("The edge at http://127.0.0.1:1/ cannot be reached");
  const byOption = await run([...named, "--edge", cluster.edgeUrl], elsewhere);
  expect([byOption.code, byOption.stdout]).toEqual([0, expect.stringContaining(POOL)]);
});

test("[OV3] [OV5] [ME9] pools are made, changed and shown; a slip of the pen makes none", async () => {
  await done("pool", "add", "us", "--set", "minHostsPerIp=1");
  const changed = await answerOf("pool", "set", "us", "quarantineMs=90s", "published=true");
  expect(changed.settings).toMatchObject({ minHostsPerIp: 1, quarantineMs: 90_000, published: true });
  const slip = await run(["pool", "set", "uss", "quarantineMs=90s"]);
  expect([slip.code, slip.stderr]).toEqual([1, expect.stringContaining("pool-unknown")]);
  const key = await run(["pool", "set", "us", "quarantinMs=90s"]);
  expect(key.stderr).toContain(
    "There is no setting quarantinMs. Did you mean quarantineMs? [option-invalid]",
  );
  expect((await run(["pool", "set", "us", "quarantineMs=soon"])).stderr).toContain("[option-invalid]");
  const slips = await run(["pool", "set", "us", "quarantineMs=1ms"]);
  expect([slips.code, slips.stdout]).toEqual([1, ""]);
  expect(slips.stderr).toMatch(/quarantineMs=1: .*RFC 6888[^]*give --yes to do it[^]*\[not-confirmed\]/);
  const untold = await run(["pool", "add", "us", "--set", "leaseDurationMs=1s"]);
  expect(untold.stderr).toMatch(/leaseDurationMs=1000: [^]*\[not-confirmed\]/);
  const senseless = await run(["pool", "set", "us", "maxPortsPerHost=256", "--yes"]);
  expect(senseless.stderr).toContain("minPortsPerHost=512 is more than maxPortsPerHost=256");
  expect(await answerOf("pool", "show", "us")).toEqual(changed);
  const meant = await answerOf("pool", "set", "us", "quarantineMs=10s", "--yes");
  expect(meant.settings).toEqual({ ...changed.settings, quarantineMs: 10_000 });
  expect(await done("pool", "show", "us")).toMatch(/minHostsPerIp +1[^]*No address yet: ipshard ip add/);
  // Without a context's pool, the only one there is would be meant; there are two.
  const { XDG_CONFIG_HOME: _, ...bare } = environment;
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory];
  const unsaid = await run(["ip", "list", ...by], { ...bare, XDG_CONFIG_HOME: cluster.directory });
  expect(unsaid.stderr).toContain("Say which pool by --pool. There are: default, us.");
});

test("[OV5] an address is added with what is said of it, and one that serves is not removed by the way", async () => {
  const added = await answerOf("ip", "add", SECOND_IP, "--country", "DE", "--tag", "spare");
  expect(added).toMatchObject({ ip: SECOND_IP, country: "de", tags: ["spare"], retiring: null });
  expect(await answerOf("ip", "add", SECOND_IP, "--tag", "none")).toMatchObject({ country: "de", tags: [] });
  const kept = await run(["ip", "remove", SECOND_IP]);
  expect([kept.code, kept.stdout]).toEqual([1, ""]);
  expect(kept.stderr).toContain(`Empty it first: ipshard ip drain ${SECOND_IP} --pool default`);
  expect(kept.stderr).toContain("[flows-at-risk]");
  const drained = await run(["ip", "drain", SECOND_IP, "--json"]);
  expect(drained.stderr).toContain(`${SECOND_IP}: drained`);
  expect(JSON.parse(drained.stdout)).toMatchObject({ drain: { state: "drained" } });
  await done("ip", "remove", SECOND_IP);
  await until("the address is gone", async () => !(await done("ip", "list")).includes(SECOND_IP));
  expect((await run(["ip", "add", "192.0.2.256"])).stderr).toContain("is no IP address");
});

test("[OV5] a host is drained with its progress told, and resumed", async () => {
  expect(await done("host", "list")).toMatch(/h1 +serving[^]*h2 +serving/);
  const { code, stdout, stderr } = await run(["host", "drain", "h1"]);
  expect([code, stderr]).toEqual([0, expect.stringMatching(/(h1: draining, .*\n)*h1: drained\n$/)]);
  expect(stdout).toMatch(/h1 +drained/);
  expect(await answerOf("host", "resume", "h1")).toMatchObject({ host: "h1", drain: null });
  await until("it serves again", async () => /h1 +serving/.test(await done("host", "list")));
  expect(await answerOf("host", "show", "h1")).toMatchObject({ host: "h1", pools: [{ pool: POOL }] });
  expect((await run(["host", "drain", "h9"])).stderr).toContain("host-unknown");
  const command = await answerOf("host", "add", "h3");
  expect(command.command).toContain("npx --no -- ipshard agent --edge");
});

test("[CI17] completion offers the pools, hosts, addresses and contexts that there are, where one is wanted", async () => {
  const offered = async (...words: readonly string[]): Promise<string[]> => {
    const lines = (await done("complete", "--", ...words)).trim().split("\n");
    return lines.slice(0, -1).map((line) => line.split("\t")[0]!);
  };
  expect(await offered("host", "drain", "")).toEqual(["h1", "h2"]);
  expect(await offered("lease", "list", "--host", "h2")).toEqual(["h2"]);
  expect(await offered("map", "")).toEqual([EGRESS_IP]);
  expect(await offered("pool", "show", "")).toEqual([POOL, "us"]);
  expect(await offered("top", "--pool", "u")).toEqual(["us"]);
  expect(await offered("host", "show", "--pool", "us", "")).toEqual([]);
  expect(await offered("context", "use", "")).toEqual(["default"]);
  // What is to be made is not there yet.
  expect([await offered("pool", "add", ""), await offered("ip", "add", "")]).toEqual([[], []]);
  const elsewhere = { ...environment, IPSHARD_EDGE: "http://127.0.0.1:1" };
  const words = ["complete", "--", "host", "drain", "--state", cluster.directory, ""];
  expect(await run(words, elsewhere)).toEqual({ code: 0, stdout: ":4\n", stderr: "" });
});

test("[OV5] routers are listed", async () => {
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory, "--pool", POOL];
  expect(await done("router", "list", ...by)).toBe("No router has come yet.\n");
  expect(await answerOf("router", "list", ...by)).toEqual([]);
});

test("[OV6] leases are listed, drawn as a map, and followed back", async () => {
  const blocks = await answerOf("lease", "list", EGRESS_IP, "--host", "h2");
  expect(blocks.length).toBeGreaterThan(0);
  const { base, order } = blocks[0];
  expect(await done("lease", "list")).toMatch(
    new RegExp(`${EGRESS_IP} +${base}-${base + 2 ** order - 1} +h2 +leased`),
  );
  const drawn = await done("map", EGRESS_IP);
  const rows = drawn.split("\n").slice(1, 17);
  expect(rows.every((row) => /^ *\d+ [#.~AB]{64}$/.test(row))).toBe(true);
  const mark = /([AB]) h2: \d+ ports/.exec(drawn)![1]!;
  expect(rows[Math.floor(base / 4_096)]!.slice(6)[(base % 4_096) / 64]).toBe(mark);
  const past = await answerOf("lease", "history", `${EGRESS_IP}:${base}`);
  expect(past[0]).toMatchObject({ host: "h2", firstPort: base, end: null });
  expect(await answerOf("lease", "history", `${EGRESS_IP}:${base}`, "--limit", "1")).toEqual(
    past.slice(0, 1),
  );
  expect(await done("lease", "history", `${EGRESS_IP}:80`)).toContain("Nobody had");
});

test("[EV6] [EV7] what happened is told, of the pool and of the address, and goes on with --follow", async () => {
  const said = await done("events");
  expect(said).toMatch(/^\S+Z {2}host-draining {2}host h1 {2}by operator/m);
  expect(said.indexOf("host-drained")).toBeGreaterThan(said.indexOf("host-draining"));
  const granted = await answerOf("events", EGRESS_IP, "--kind", "block-granted", "--host", "h2");
  const held = (await answerOf("lease", "list", EGRESS_IP, "--host", "h2")).map(({ epoch }: any) => epoch);
  expect(granted.map(({ epoch }: any) => epoch)).toEqual(expect.arrayContaining(held));
  expect(granted.map(({ at }: any) => at)).toEqual(granted.map(({ at }: any) => at).toSorted());
  expect(await done("events", EGRESS_IP, "--limit", "1", "--kind", "block-granted")).toMatch(
    new RegExp(`^\\S+Z {2}block-granted {2}${EGRESS_IP} {2}ports \\d+-\\d+ {2}epoch \\d+ {2}host h\\d\n$`),
  );
  expect(await answerOf("events", "--since", "1ms")).toEqual([]);
  for (const slip of [
    ["--kind", "lease-loss"],
    ["--since", "soon"],
    ["--limit", "0"],
    [EGRESS_IP, "--pool", POOL],
  ])
    expect((await run(["events", ...slip])).stderr, slip.join(" ")).toContain("[option-invalid]");
  const child = spawn(process.execPath, [PROGRAM, "events", "--follow", "--json", "--limit", "1"], {
    env: environment,
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  const ended = once(child, "exit");
  await until("it has begun", async () => text.endsWith("\n"));
  await done("pool", "set", POOL, "historyDays=89", "--yes");
  await until("it has gone on", async () => text.includes("settings-changed"));
  child.kill("SIGKILL");
  await ended;
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.at(-1)).toMatchObject({ before: { historyDays: 90 }, after: { historyDays: 89 } });
  expect(new Set(lines.map(({ id }) => id)).size).toBe(lines.length);
});

test("[OV7] fetch sends from the pool's address, says from where, and fails by name", async () => {
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory];
  const body = await done("fetch", cluster.originUrl("/seen"), ...by, "-v");
  expect(JSON.parse(body)).toMatchObject({ address: EGRESS_IP, method: "GET" });
  const { status, egress } = await answerOf(
    "fetch",
    cluster.originUrl("/seen"),
    ...by,
    "--session",
    "cart-42",
  );
  expect([status, egress.ip]).toEqual([200, EGRESS_IP]);
  const file = join(cluster.directory, "body");
  const shown = await done("fetch", "-i", "-d", "some=body", "-o", file, cluster.originUrl("/seen"), ...by);
  expect(shown).toMatch(/^HTTP 200/);
  expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ address: EGRESS_IP, method: "POST" });
  const denied = await run(["fetch", "http://10.0.0.1/", ...by]);
  expect([denied.code, denied.stderr]).toEqual([
    1,
    expect.stringMatching(/\[destination-prohibited\] \[edge-refused\]/),
  ]);
  const wrong = await run(["fetch", cluster.originUrl("/seen"), ...by, "--country", "Germany"]);
  expect(wrong.stderr).toContain("[option-invalid]");
  expect((await run(["fetch", "::", ...by])).stderr).toContain("[option-invalid]");
  const fileless = await run(["fetch", cluster.originUrl("/seen"), ...by, "-d", "@/nowhere"]);
  expect(fileless.stderr).toMatch(/^ipshard: --data @\/nowhere cannot be used: .*\[option-invalid\]\n$/);
  const nowhere = await run(["fetch", cluster.originUrl("/seen"), ...by, "--edge", "http://127.0.0.1:1"]);
  expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining("[edge-not-answering]")]);
  const found = await run(["fetch", "-f", cluster.originUrl("/nothing"), ...by]);
  expect(found.code).toBe(1);
  const bare = ["--edge", cluster.edgeUrl, "--state", join(cluster.directory, "none")];
  const unmade = await run(["fetch", cluster.originUrl("/seen"), ...bare]);
  expect(unmade.stderr).toContain("ipshard login --client-token-file");
});

test("[OV4] colours are for terminals", async () => {
  const { NO_COLOR: _, ...env } = environment;
  const args = ["host", "list", "--edge", cluster.edgeUrl, "--state", cluster.directory, "--pool", POOL];
  expect((await run(args, { ...env, TERM: "xterm-256color" })).stdout).not.toContain("\u001b");
  // As on a terminal that shows them.
  expect((await run(args, { ...env, FORCE_COLOR: "1" })).stdout).toContain("\u001b[32mserving");
});

test("[OV8] a policy is changed by a file, one with a mistake changes nothing, and what is shown can be given back", async () => {
  const file = join(cluster.directory, "policy.yaml");
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory, "--pool", POOL];
  await writeFile(file, "destinations:\n  denny: ['*:25']\n");
  const refused = await run(["policy", "set", file, ...by]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    `ipshard: ${file}:2:3: destinations.denny: There is no denny here. Did you mean deny? [file-invalid]\n`,
  ]);
  await writeFile(file, "destinations:\n  deny: ['*:25']\n");
  expect(await done("policy", "set", file, ...by)).toContain('deny:\n    - "*:25"');
  await writeFile(file, '{"limits": {"tunnels": 7}}');
  expect(await answerOf("policy", "set", file, "--tenant", "shop", ...by)).toMatchObject({ named: true });
  await writeFile(file, await done("policy", "show", "--tenant", "shop", ...by));
  expect(await readFile(file, "utf8")).toMatch(/tunnels: 7/);
  await done("policy", "set", file, "--tenant", "shop", ...by);
  // It names the version that it was made from.
  const outdated = await run(["policy", "set", file, "--tenant", "shop", ...by]);
  expect([outdated.code, outdated.stderr]).toEqual([1, expect.stringContaining("policy-changed")]);
  expect((await run(["policy", "test", "8.8.8.8:25", "--as", "shop", ...by])).stdout).toContain("denied");
  expect(await answerOf("policy", "forget", "shop", ...by)).toMatchObject({ named: false });
});

test("[OV9] top shows hosts, rates and the hottest destinations, as often as it is told", async () => {
  const by = ["--edge", cluster.edgeUrl, "--state", cluster.directory, "--pool", POOL];
  const headers = await cluster.clientHeaders();
  const held = new AbortController();
  // Of few ports a host tells nobody: they decide nothing.
  const sent = Array.from({ length: 100 }, () =>
    fetch(cluster.through(cluster.originUrl("/hold")), { headers, signal: held.signal }).catch(() => null),
  );
  const destination = `tcp ${cluster.origin.addresses[0]}:${cluster.origin.port}`;
  await until(
    "the pool knows of them",
    async () => {
      const { hosts } = await cluster.api.getPool({ pool: POOL });
      return hosts.some(({ rooms }) => rooms.some(({ busiestDestination }) => busiestDestination !== null));
    },
    60_000,
  );
  const lines = (await done("top", ...by, "--count", "2", "--every", "500ms", "--json")).trim().split("\n");
  const [first, second] = lines.map((line) => JSON.parse(line));
  expect(first).toMatchObject({ pool: POOL, requestsPerSecond: null, destinations: [{ destination }] });
  expect(second).toMatchObject({
    requestsPerSecond: expect.any(Number),
    isWholeEdge: true,
    hosts: [{ host: "h1" }, { host: "h2" }],
  });
  expect(second.hosts[0].inUsePerSecond).toEqual(expect.any(Number));
  const text = await done("top", ...by);
  expect(text).toMatch(/^Pool default, .*: 2 of 2 hosts serve\n\nHOST +STATE/);
  expect(text).toContain(destination);
  expect((await run(["top", ...by, "--every", "1ms"])).stderr).toContain("[option-invalid]");
  held.abort();
  await Promise.all(sent);
});

test("[CF2] an agent serves by a file alone, and what is wrong with it is said before it starts", async () => {
  const file = join(cluster.directory, "h3.yaml");
  const tokenFile = join(cluster.directory, "h3.token");
  await writeFile(tokenFile, await cluster.token("host", "h3"));
  const options = {
    edge: cluster.edgeUrl,
    pool: POOL,
    "token-file": tokenFile,
    state: join(cluster.directory, "hosts", "h3"),
    listen: `127.0.0.1:${await freePort()}`,
    processes: 1,
  };
  await writeFile(file, JSON.stringify({ agent: { ...options, procesess: 1 } }));
  const refused = await run(["agent", "--config", file]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining("Did you mean processes? [file-invalid]"),
  ]);
  await writeFile(file, JSON.stringify({ agent: options }));
  const agent = spawn(process.execPath, [PROGRAM, "agent", "--config", file], {
    env: environment,
    stdio: "ignore",
  });
  await cluster.untilServing(["h1", "h2", "h3"]);
  agent.kill("SIGTERM");
  expect(await once(agent, "exit")).toEqual([0, null]);
});

test("[CF2] an edge is told by a file, too", async () => {
  const port = await freePort();
  const file = join(cluster.directory, "edge.yaml");
  await writeFile(file, `edge:\n  port: ${port}\n  state: ${join(cluster.directory, "second")}\n`);
  const edge = spawn(process.execPath, [PROGRAM, "edge", "--config", file], {
    env: environment,
    stdio: "ignore",
  });
  await until("it answers", async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok);
  edge.kill("SIGTERM");
  expect(await once(edge, "exit")).toEqual([0, null]);
});

test("[DA4] [DA9] [DA10] dashboard prints a link by which a browser signs in once, and tries a request", async () => {
  const tokenFile = join(cluster.directory, "dashboard.token");
  await writeFile(tokenFile, await cluster.token("admin", "ada", ["*"]));
  const { url } = await answerOf("dashboard", "--edge", cluster.edgeUrl, "--token-file", tokenFile);
  const { origin, hash } = new URL(url);
  const code = hash.replace("#sign-in=", "");
  const json = { "content-type": "application/json", origin };
  const signIn = () =>
    fetch(`${origin}/dashboard/session`, { method: "POST", headers: json, body: JSON.stringify({ code }) });
  const signedIn = await signIn();
  const { csrf, role } = (await signedIn.json()) as { csrf: string; role: string };
  expect(role).toBe("admin");
  expect(await (await signIn()).json()).toMatchObject({ code: "sign-in-code-invalid" });
  const cookie = signedIn.headers.get("set-cookie")!.split(";")[0]!;
  const listed = await fetch(`${origin}/v1/pools`, { headers: { cookie } });
  expect(await listed.json()).toEqual({ pools: expect.arrayContaining([POOL]) });
  const { addresses, port } = cluster.origin;
  const tried = await fetch(`${origin}/dashboard/try`, {
    method: "POST",
    headers: { ...json, cookie, "ipshard-csrf": csrf },
    body: JSON.stringify({ pool: POOL, url: `http://${addresses[0]}:${port}/` }),
  });
  const told = (await tried.json()) as any;
  expect(told).toMatchObject({
    answered: true,
    refusal: null,
    egress: { ip: EGRESS_IP, host: expect.stringMatching(/^h[12]$/) },
    block: { epoch: expect.any(Number) },
    timings: {
      resolveMs: expect.any(Number),
      dialMs: expect.any(Number),
      tlsMs: null,
      firstByteMs: expect.any(Number),
    },
  });
  expect(told.egress.port).toBeGreaterThanOrEqual(told.block.firstPort);
  expect(told.egress.port).toBeLessThanOrEqual(told.block.lastPort);
  const past = await fetch(`${origin}/dashboard/edge-past`, { headers: { cookie } });
  expect(await past.json()).toMatchObject({ past: { minutes: expect.arrayContaining([expect.anything()]) } });
});
