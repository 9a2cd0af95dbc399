/** Tokens, keys and joins with real processes: the command line, the edge, agents, and clients that go on. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodeJwt } from "jose";
import { WebSocket } from "ws";
import { edgeApi } from "../../src/api/edge-api.ts";
import { Cluster, delay, freePort, POOL, until } from "./cluster.ts";
import { testedProgram } from "../runner/tested-program.ts";

const CLI = testedProgram("cli");
/** What is promised. */
const EVERYWHERE_MS = 10_000;
const run = promisify(execFile);

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
});
afterAll(async () => {
  await cluster.stop();
});

/** Runs a verb in the state directory of the cluster. */
async function ipshard(...args: string[]): Promise<string> {
  const ofEdge = ["list", "revoke", "rotate", "retire", "add"].includes(args[1]!)
    ? [`--edge=${cluster.edgeUrl}`]
    : [];
  const { stdout } = await run(process.execPath, [CLI, ...args, `--state=${cluster.directory}`, ...ofEdge]);
  return stdout.trim();
}

async function clientToken(name: string, ...more: string[]): Promise<string> {
  return ipshard("token", "--role=client", `--name=${name}`, `--pool=${POOL}`, ...more);
}

async function statusOf(token: string): Promise<number> {
  const headers = { "egress-authorization": `Bearer ${token}` };
  const response = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
  await response.arrayBuffer();
  return response.status;
}

/** Asks on and on with a token, and notes when what was answered. */
function load(token: () => string) {
  const seen: { atMs: number; status: number; token: string }[] = [];
  const over = new AbortController();
  const clients = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) {
      const [used, atMs] = [token(), Date.now()];
      seen.push({ atMs, status: await statusOf(used), token: used });
    }
  });
  const end = async () => {
    over.abort();
    await Promise.all(clients);
    return seen;
  };
  return { seen, end };
}

/** How often each status was answered. */
function tally(seen: readonly { status: number }[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of seen) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

test("[TK11] a token is registered where there is an edge, listed, and revoked by what is known of it", async () => {
  const registered = await clientToken("registered", `--edge=${cluster.edgeUrl}`, "--tenant=shop");
  const alone = await clientToken("alone");
  const { jti: id } = decodeJwt(registered);
  const list = await ipshard("token", "list");
  expect(list).toMatch(new RegExp(`^${id} +client +registered +shop +${POOL} `, "m"));
  expect(list).not.toContain("alone");
  expect([await statusOf(registered), await statusOf(alone)]).toEqual([200, 200]);
  expect(await ipshard("token", "revoke", "--tenant=shop")).toBe(id);
  expect(await ipshard("token", "revoke", decodeJwt(alone).jti!)).toBe(decodeJwt(alone).jti);
  await until(
    "both are refused",
    async () => (await statusOf(registered)) === 401 && (await statusOf(alone)) === 401,
  );
  expect(await ipshard("token", "list")).toContain("revoked 20");
});

test("[TK11] a token that could not be registered is good all the same, and it is said so", async () => {
  const args = [
    "token",
    "--role=client",
    "--name=a",
    `--state=${cluster.directory}`,
    "--edge=http://127.0.0.1:1",
  ];
  const { stdout, stderr } = await run(process.execPath, [CLI, ...args]);
  expect(stderr).toContain(`it can be revoked by its id, ${decodeJwt(stdout.trim()).jti}.`);
  expect(await statusOf(stdout.trim())).toBe(200);
});

/** The status of a request through a proxy. */
async function statusThrough(proxyPort: number, token: string): Promise<number> {
  const asked = request({
    host: "127.0.0.1",
    port: proxyPort,
    path: cluster.originUrl("/seen"),
    headers: { host: "origin", "proxy-authorization": `Bearer ${token}` },
    agent: false,
  });
  asked.end();
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  answer.resume();
  return answer.statusCode!;
}

test("[TK6] [PY1] a revoked token opens no proxy and no gateway of a host, and no other one is touched", async () => {
  const proxyPort = await freePort();
  await cluster.startHost("h2", [`--proxy=127.0.0.1:${proxyPort}`, "--proxy-source=none"]);
  await cluster.untilServing(["h1", "h2"]);
  const [good, bad] = [await clientToken("proxied"), await clientToken("revoked-at-proxy")];
  const { token: gatewayToken } = await edgeApi({
    edge: cluster.edgeUrl,
    token: () => bad,
  }).makeGatewayToken();
  const atGateway = async (): Promise<number> => {
    const headers = { "egress-authorization": `Bearer ${gatewayToken}` };
    const response = await fetch(cluster.through(cluster.originUrl("/seen"), cluster.gatewayOf("h2")), {
      headers,
    });
    await response.arrayBuffer();
    return response.status;
  };
  expect([
    await statusThrough(proxyPort, good),
    await statusThrough(proxyPort, bad),
    await atGateway(),
  ]).toEqual([200, 200, 200]);
  await ipshard("token", "revoke", decodeJwt(bad).jti!);
  await until(
    "the host has heard of it",
    async () => (await statusThrough(proxyPort, bad)) !== 200 && (await atGateway()) === 401,
    EVERYWHERE_MS,
  );
  expect(await statusThrough(proxyPort, good)).toBe(200);
  await cluster.stopHost("h2", "SIGTERM");
  cluster.hosts.delete("h2");
  await cluster.untilServing(["h1"]);
});

test("[TK9] [TK12] [TK6] a machine becomes a host by one command, starts again without it, and is cut off", async () => {
  const command = await ipshard("host", "add", "h9", `--pool=${POOL}`);
  const [, token, args] = /^printf %s (\S+) \| npx --no -- ipshard (agent .* --join -)$/.exec(command)!;
  const state = join(cluster.directory, "hosts", "h9");
  await mkdir(state, { recursive: true });
  const words = [...args!.split(" "), `--state=${state}`, "--listen=127.0.0.1:0", "--processes=1"];
  const start = (input: string) => {
    const child = spawn(process.execPath, [CLI, ...words], { stdio: ["pipe", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (piece: Buffer) => (said += piece.toString()));
    child.stdin.end(input);
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    return { child, ended, said: () => said };
  };
  const agent = start(token!);
  await until("h9 serves", () => cluster.untilServing(["h1", "h9"]).then(() => true));
  const commandLine = await readFile(`/proc/${agent.child.pid}/cmdline`, "utf8");
  expect(commandLine).not.toContain(token!.slice(-40));
  expect((await readdir(state)).toSorted()).toEqual(
    expect.arrayContaining(["join-proof", "joined-by", "token"]),
  );
  agent.child.kill("SIGTERM");
  await agent.ended;
  // Another machine with the same join token is refused.
  const thief = spawn(process.execPath, [CLI, ...words.map((word) => word.replace(state, `${state}-thief`))]);
  let said = "";
  thief.stderr.on("data", (piece: Buffer) => (said += piece.toString()));
  thief.stdin.end(token!);
  await new Promise((resolve) => thief.once("exit", resolve));
  expect(said).toContain("join-used");
  const again = start("");
  await until("h9 serves again", () => cluster.untilServing(["h1", "h9"]).then(() => true));
  await ipshard("token", "revoke", "--name=h9");
  await until("h9 is out", () => cluster.untilServing(["h1"]).then(() => true));
  await until("h9 is told why", async () => {
    const { hosts } = await cluster.api.getPool({ pool: POOL });
    return hosts.find(({ host }) => host === "h9")?.live === false;
  });
  again.child.kill("SIGKILL");
  await again.ended;
});

test("[TK6] [TK7] [EL5] [WK2] under load keys are rotated and tokens revoked: no good request is refused, no bad one taken", async () => {
  const bad = await clientToken("bad");
  const first = await clientToken("good");
  const stolenToken = await ipshard("token", "--role=host", "--name=thief", `--pool=${POOL}`);
  let good = first;
  const goods = load(() => good);
  const bads = load(() => bad);
  await until("there is load", () => goods.seen.length > 50 && bads.seen.length > 50);
  const revokedAtMs = Date.now();
  await ipshard("token", "revoke", decodeJwt(bad).jti!);
  // A new key, a token that it signed, and the end of the former key.
  const kid = await ipshard("keys", "rotate");
  good = await clientToken("good");
  expect(JSON.parse(atob(good.split(".")[0]!))).toMatchObject({ kid });
  // Requests with the former token that are under way were good when they were sent.
  await delay(1_000);
  await cluster.api.rotateEdgeKey({ signsInMs: 0 });
  // Somebody who has a token of the former key, and a connection.
  const stolen = new WebSocket(`${cluster.edgeUrl.replace("http", "ws")}/v1/pools/${POOL}/connect`, {
    headers: { authorization: `Bearer ${stolenToken}` },
  });
  await once(stolen, "open");
  // Hosts look for another token, and connect by it before they leave the connection by the former one.
  const ofHost = await ipshard("token", "--role=host", "--name=h1", `--pool=${POOL}`);
  await writeFile(join(cluster.directory, "h1.token"), ofHost);
  await until("h1 is connected by its new token", async () => {
    const log = await readFile(join(cluster.directory, "h1.log"), "utf8");
    return log.match(/connected by another token/g)?.length === 2;
  });
  await delay(6_000);
  const former = JSON.parse(atob(first.split(".")[0]!)).kid as string;
  expect(await ipshard("keys", "retire", former)).toBe(former);
  const retiredAtMs = Date.now();
  await until("the thief is cut off", () => stolen.readyState !== WebSocket.OPEN, EVERYWHERE_MS);
  await until(
    "it is everywhere",
    () => Date.now() > Math.max(revokedAtMs, retiredAtMs) + EVERYWHERE_MS,
    60_000,
  );
  const [answeredGood, answeredBad] = [await goods.end(), await bads.end()];
  expect(answeredGood.length).toBeGreaterThan(500);
  expect(tally(answeredGood)).toEqual({ 200: answeredGood.length });
  const late = answeredBad.filter(({ atMs }) => atMs > revokedAtMs + EVERYWHERE_MS);
  expect(late.length).toBeGreaterThan(10);
  expect(tally(late)).toEqual({ 401: late.length });
  expect(await statusOf(first)).toBe(401);
  // An edge that is started again goes by the same keys.
  await cluster.killEdge();
  await cluster.startEdge();
  await until("the host is back", async () => (await statusOf(good)) === 200);
  expect([await statusOf(first), await statusOf(bad)]).toEqual([401, 401]);
});
