/** What an administrator does by docs/OPERATING.md and its pages, carried out as it stands there, against a real edge and a host. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { chmod, cp, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { decodeProtectedHeader } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BookBlock, blocksUnder } from "../lab/operating-book.ts";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";
import { personEnvironment } from "../runner/person-environment.ts";
import { testedProgram } from "../runner/tested-program.ts";

const ADVERTISED = "203.0.113.77";
const run = promisify(execFile);

let cluster: Cluster;
let desk: string;
let environment: NodeJS.ProcessEnv;
/** What every block needs of the first one, as one shell would have kept it. */
let shellState = "";
const carriedOut = new Set<string>();

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1"], agentArgs: ["--flow-log=flows", "--processes=1"] });
  desk = join(cluster.directory, "desk");
  const tools = join(cluster.directory, "tools");
  await mkdir(tools);
  await mkdir(join(desk, ".ipshard"), { recursive: true });
  await cp(join(cluster.directory, "keys"), join(desk, ".ipshard", "keys"), { recursive: true });
  const npx = `#!/bin/sh\nshift; exec '${process.execPath}' '${testedProgram("cli")}' "$@"\n`;
  await writeFile(join(tools, "npx"), npx);
  await chmod(join(tools, "npx"), 0o755);
  const own = {
    PATH: `${tools}:${process.env["PATH"]}`,
    XDG_CONFIG_HOME: join(desk, "config"),
    NO_COLOR: "1",
  };
  environment = { ...personEnvironment(), ...own };
  const first = await adminBlock("Tokens and keys", "admin.header");
  shellState = first
    .split("\n")
    .filter((line) => /^(umask|export) /.test(line))
    .join("\n");
  await shell(first);
});
afterAll(() => cluster?.stop());

/** The commands of the administrator's block under this heading in which something stands. */
async function adminBlock(heading: string, mark: string): Promise<string> {
  const blocks = (await blocksUnder(heading)).filter(({ machine }) => machine === "admin");
  const found = blocks.filter(({ text }) => text.includes(mark));
  assert.equal(found.length, 1, `one block under ${heading} with ${mark}`);
  carriedOut.add(nameOf(found[0]!));
  return found[0]!.text
    .replaceAll("https://edge.example.com", cluster.edgeUrl)
    .replaceAll(/(--pool|pool set|\/v1\/pools\/|egress-ips\/)( ?)eu\b/g, `$1$2${POOL}`);
}

function nameOf({ heading, text }: BookBlock): string {
  return `${heading}: ${text.slice(0, 60)}`;
}

/** Carries commands out at the administrator's desk; gives what they printed. */
async function shell(script: string): Promise<string> {
  const { stdout } = await run("sh", ["-e", "-c", `${shellState}\n${script}`], {
    cwd: desk,
    env: environment,
  });
  return stdout;
}

/** What becomes of a request by the edge: where it left, or the code of its refusal. */
async function outcomeOf(token: string, destination = cluster.originUrl("/seen")): Promise<string> {
  const headers = { "egress-authorization": `Bearer ${token.trim()}` };
  const response = await fetch(cluster.through(destination), { headers });
  const text = await response.text();
  return response.ok ? `port ${response.headers.get("egress-port")}` : (JSON.parse(text).code as string);
}

async function tokenOf(tenant: string): Promise<string> {
  return shell(`npx ipshard token --role client --name ${tenant}-x --tenant ${tenant} --pool ${POOL}`);
}

const SERVED = /^port \d+$/;

test("[TK11] the administrator's own token is for his eyes only, and calls what has no verb", async () => {
  for (const name of ["admin.token", "admin.header"]) {
    expect((await stat(join(desk, name))).mode & 0o777, name).toBe(0o600);
  }
  expect(await shell("curl -sSf -H @admin.header $EDGE/v1/pools")).toContain(POOL);
});

test("[TK11] [OV10] tokens of a tenant are issued, listed and revoked, and one that ends soon is told apart", async () => {
  const block = await adminBlock("Tokens and keys", "token revoke");
  const [issue, list, revoke] = block.trim().split("\n") as [string, string, string];
  await shell(issue);
  const shop = await readFile(join(desk, "shop.token"), "utf8");
  expect(await outcomeOf(shop)).toMatch(SERVED);
  await shell(
    `npx ipshard token issue --role client --name brief --pool ${POOL} --ttl 1h --edge $EDGE > brief.token`,
  );
  expect(await shell(list)).toMatch(/^\S{12} +client +brief +\S+ +\S+ +\S+ +ends soon +issuer:\S+$/m);
  expect(await shell(list)).toMatch(/^\S{12} +client +shop-1 +shop +\S+ +\S+ +good +issuer:\S+$/m);
  expect(await shell(revoke)).toMatch(/^\S{12}\n$/);
  await until("the token is refused", async () => (await outcomeOf(shop)) === "token-revoked");
  const mistyped = run("sh", ["-c", `${shellState}\nnpx ipshard token revoke shop-1 --edge $EDGE`], {
    cwd: desk,
    env: environment,
  });
  await expect(mistyped).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("[option-invalid]"),
  });
});

test("[DA2] [DA4] who is only to look gets a token for that, and a link that signs in", async () => {
  const link = new URL((await shell(await adminBlock("Tokens and keys", "ipshard dashboard"))).trim());
  const signedIn = await fetch(`${link.origin}/dashboard/session`, {
    method: "POST",
    headers: { "content-type": "application/json", origin: link.origin },
    body: JSON.stringify({ code: link.hash.replace("#sign-in=", "") }),
  });
  expect(await signedIn.json()).toMatchObject({ subject: "otto", role: "viewer", pools: [POOL] });
  const drain = shell(
    `npx ipshard ip drain 127.0.0.10 --pool ${POOL} --edge $EDGE --token-file viewer.token`,
  );
  await expect(drain).rejects.toMatchObject({ stderr: expect.stringContaining("role-denied") });
});

test("[TK12] the line that makes a machine a host is printed, and for no pool that there is not", async () => {
  const block = await adminBlock("Tokens and keys", "host add");
  expect(await shell(block)).toMatch(
    /^printf %s \S+ \| npx --no -- ipshard agent --edge \S+ --join - --gateway https:\/\/h1\.example\.com\n$/,
  );
  const misplaced = shell(block.replace("-- --gateway", "--gateway"));
  await expect(misplaced).rejects.toMatchObject({
    stderr: expect.stringContaining("stand after --, as in: "),
  });
  const unknown = shell(block.replace(`--pool ${POOL}`, "--pool nosuch"));
  await expect(unknown).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("pool-unknown") });
});

test("[TR2] a certificate of one's own authority is for the name and the address of its host", async () => {
  await shell(await adminBlock("Transport", "openssl"));
  const [ca, h1] = await Promise.all(
    ["ca.pem", "h1.pem"].map(async (name) => new X509Certificate(await readFile(join(desk, name)))),
  );
  expect(h1!.verify(ca!.publicKey)).toBe(true);
  expect([h1!.checkHost("h1.example.com"), h1!.checkIP("10.0.0.11")]).toEqual([
    "h1.example.com",
    "10.0.0.11",
  ]);
  expect((await stat(join(desk, "h1-key.pem"))).mode & 0o777).toBe(0o600);
});

test("[LI2] [PY1] what is said of destinations, a tenant and its limits holds at the host", async () => {
  const [shop, other] = [await tokenOf("shop"), await tokenOf("other")];
  expect([await outcomeOf(shop), await outcomeOf(other)]).toEqual([
    expect.stringMatching(SERVED),
    expect.stringMatching(SERVED),
  ]);
  await shell(await adminBlock("Whom a pool serves", "anyTenant"));
  await until("only the tenant that is named is served", async () => {
    const outcomes = [await outcomeOf(shop), await outcomeOf(other)];
    return SERVED.test(outcomes[0]!) && outcomes[1] === "tenant-denied";
  });
  const mail = cluster.originUrl("/seen").replace(/:\d+\//, ":25/");
  expect(await outcomeOf(shop, mail)).toBe("destination-denied");
  expect(await outcomeOf(shop, "http://a.internal.example/")).toBe("destination-denied");
  await shell(await adminBlock("How much a tenant may have", "bytesPerDay"));
  const { tenants } = await cluster.api.getPolicy({ pool: POOL });
  expect(tenants["shop"]!.limits).toMatchObject({ requestsPerSecond: 200, tunnels: 100, ports: 1_000 });
  await until("the host has the limits", async () => {
    await outcomeOf(shop);
    const status = (await cluster.status("h1")) as {
      tenants?: { tenant: string; limits: { ports: number } }[];
    };
    return status.tenants?.find(({ tenant }) => tenant === "shop")?.limits.ports === 1_000;
  });
  await cluster.api.putPolicy({ pool: POOL, anyTenant: {} });
  await until("every tenant is served again", async () => SERVED.test(await outcomeOf(other)));
});

test("[AU6] the audit tells who changed what, how it was and how it is, and what was refused", async () => {
  const stale = `curl -sS -X PUT -H @admin.header --json '{"anyTenant": null, "version": 1}' $EDGE/v1/pools/${POOL}/policy`;
  expect(await shell(stale)).toContain("policy-changed");
  const lines = (await adminBlock("Who changed what", "audit")).trim().split("\n");
  const [newest, everything, register] = lines as [string, string, string];
  const said = await shell(newest);
  expect(said).toMatch(
    /^\d+ {2}\S+Z {2}\S+ \(\S{12}\) {2}putTenant {2}done\n {4}version: \d+ -> \d+\n {4}tenants\.shop\./m,
  );
  expect(said).toMatch(/^ {4}destinations\.deny: \[\] -> \["\*:25","\*\.internal\.example"\]$/m);
  expect(said).toMatch(
    /^\d+ {2}\S+Z {2}olga \(\S{12}\) {2}putPolicy {2}refused: policy-changed\n(?: {4}asked: .*\n)*? {4}asked: version = 1$/m,
  );
  await shell(everything);
  const all = JSON.parse(await readFile(join(desk, "audit.json"), "utf8")) as { sequence: number }[];
  expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, at) => at + 1));
  expect(
    (await shell(newest.replace("20", "2"))).split("\n").filter((line) => /^\d/.test(line)),
  ).toHaveLength(2);
  expect(await shell(register)).toMatch(/ {2}registerToken {2}done$/m);
  const both = shell(register.replace("--register", `--register --pool ${POOL}`));
  await expect(both).rejects.toMatchObject({ stderr: expect.stringContaining("[option-invalid]") });
});

test("[EV7] what happened is told of a pool, an address and a host", async () => {
  const block = (await adminBlock("What happened", "events")).replaceAll("192.0.2.1", EGRESS_IP);
  const [lately, lost, ofHost] = block.trim().split("\n") as [string, string, string];
  const said = await shell(lately);
  expect(said).toMatch(/^\S+Z {2}pool-made/m);
  expect(said).toMatch(/^\S+Z {2}change-refused {2}policy-changed {2}by olga \(\S{12}\)$/m);
  await shell(lost);
  expect(JSON.parse(await readFile(join(desk, "lost.json"), "utf8"))).toEqual([]);
  expect(await shell(ofHost)).toMatch(/^\S+Z {2}host-joined {2}host h1 {2}new$/m);
});

test("[OV4] [OV5] a pool with slots is made by one verb, and an address says where it is", async () => {
  await shell(await adminBlock("Static pools", "staticPortsPerHost"));
  // No host is in it, so no host loses an address by this.
  const said = await adminBlock("Sites, countries", "--site");
  await shell(said.replace(`--pool ${POOL}`, "--pool fixed"));
  const { settings, ips } = await cluster.api.getPool({ pool: "fixed" });
  expect(settings.staticPortsPerHost).toBe(2_048);
  expect(ips).toMatchObject([
    { ip: "192.0.2.8", country: null, sites: [] },
    { ip: "192.0.2.9", country: "de", sites: ["fra1", "ams1"] },
  ]);
});

test("[OV3] the first look shows a host, a router, an address and the load, and so does a look before an upgrade", async () => {
  const said = await shell(await adminBlock("Alerts", "router list"));
  for (const told of ["No router has come yet.", "ADDRESS ", "HOTTEST "]) expect(said).toContain(told);
  expect(said).toMatch(/^h1 +serving +good /m);
  const before = await adminBlock("Before", "edge backup");
  const copy = join(desk, "backup-before");
  const looked = await shell(
    before.replace("/backup/edge-before", copy).replace("/var/lib/ipshard", cluster.directory),
  );
  expect(looked).toMatch(/: \d+ databases, sha256 [0-9a-f]{64}$/m);
  expect(looked).toMatch(/^h1 +serving +good /m);
});

test("[PF1] what partners may know is published, and by the address that they see [AT9] [AT10] a sender is found", async () => {
  await cluster.api.putIp({ pool: POOL, ip: EGRESS_IP, advertised: ADVERTISED });
  const [publish, look] = (await adminBlock("Telling partners", "published")).trim().split("\n") as [
    string,
    string,
  ];
  await shell(publish);
  await until("the address is listed", async () => (await shell(look)).includes(`"${ADVERTISED}/32"`));
  const port = (await outcomeOf(await tokenOf("acme"))).replace("port ", "");
  const second = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const said = await shell(`npx ipshard who ${ADVERTISED}:${port} --at ${second} --edge $EDGE`);
  expect(said).toContain(`${EGRESS_IP}:${port} in the second from ${second}: host h1 of pool ${POOL}, `);
  expect(said).toContain("tenant acme, client acme-x");
});

test("[TK7] [TK8] keys are replaced: what a retired one signed opens nothing any more, also its administrator's", async () => {
  const lines = (await adminBlock("Tokens and keys", "keys rotate")).trim().split("\n");
  const [rotate, rotateEdge, list, retire] = lines as [string, string, string, string];
  const former = decodeProtectedHeader(await readFile(join(desk, "admin.token"), "utf8")).kid!;
  const kid = (await shell(rotate)).trim();
  expect(kid).toMatch(/^issuer:/);
  expect((await readdir(join(desk, ".ipshard", "keys", "former"))).length).toBe(1);
  const edgeKid = (await shell(rotateEdge)).trim();
  const listed = await shell(list);
  expect(listed).toMatch(new RegExp(`^${edgeKid} +edge +register +trusted \\(signs from `, "m"));
  expect(listed).toMatch(new RegExp(`^${kid} +issuer +register +trusted$`, "m"));
  await shell(retire.replace("issuer:ID", former));
  await until("the former administrator's token is refused", async () =>
    (await shell("curl -sS -H @admin.header $EDGE/v1/pools")).includes("token-signature-invalid"),
  );
  expect(await shell(list)).toMatch(new RegExp(`^${former} +issuer +environment +retired `, "m"));
  const gone = (await shell(`npx ipshard token list --key ${former} --edge $EDGE`))
    .trim()
    .split("\n")
    .slice(1);
  expect(gone.map((line) => / {2}(?:key retired|revoked) \S+Z +issuer:/.test(line))).toEqual([
    true,
    true,
    true,
    true,
  ]);
});

test("[OC7] [OC8] a running edge is copied, and a new state is made of the copy, only once", async () => {
  const copy = join(desk, "backup");
  const backup = (await adminBlock("The edge's disk", "edge backup"))
    .replace("/backup/edge", copy)
    .replace("/var/lib/ipshard", cluster.directory);
  expect(await shell(backup)).toMatch(/: \d+ databases, sha256 [0-9a-f]{64}\n$/);
  expect((await stat(copy)).mode & 0o777).toBe(0o600);
  const restore = `npx ipshard edge restore ${copy} --state ${join(desk, "restored")}`;
  expect(await shell(restore)).toContain("the old edge must be stopped");
  await expect(shell(restore)).rejects.toMatchObject({
    stderr: expect.stringContaining("[state-unusable]"),
  });
});

test("every command of the administrator in the document was carried out here", async () => {
  const all = (await blocksUnder("")).filter(({ machine }) => machine === "admin");
  expect([...carriedOut].toSorted()).toEqual(all.map(nameOf).toSorted());
});
