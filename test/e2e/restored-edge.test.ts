/** An edge that is gone, and made anew from a standby's copy that is older than what its hosts hold. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { Cluster, EGRESS_IP, until } from "./cluster.ts";
import { testedProgram } from "../runner/tested-program.ts";

const CLI = testedProgram("cli");
const run = promisify(execFile);
/** Longer than the edge is away, on a machine that has much else to do as well. */
const LEASE_MS = 15_000;
const QUARANTINE_MS = 2_000;

let cluster: Cluster;
let restored: string;
let standby: ChildProcess | null = null;

afterEach(async () => {
  standby?.kill("SIGKILL");
  await cluster?.stop();
  await rm(restored, { recursive: true, force: true });
});

async function ipshard(...args: string[]): Promise<string> {
  return (await run(process.execPath, [CLI, ...args])).stdout;
}

/** Starts a standby, and waits until it has a whole copy of its own. */
async function follow(file: string): Promise<ChildProcess> {
  const tokenFile = `${file}.token`;
  await writeFile(tokenFile, await cluster.token("admin", "operator", ["*"]));
  const beganMs = Date.now();
  const where = ["--edge", cluster.edgeUrl, "--token-file", tokenFile];
  const child = spawn(process.execPath, [CLI, "edge", "standby", "--to", file, "--every", "1", ...where], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await until("the standby has a copy", async () => {
    const { takenAt, source } = JSON.parse(await ipshard("edge", "copy", file, "--json"));
    return source === `${cluster.edgeUrl}/` && Date.parse(takenAt) > beganMs;
  });
  return child;
}

async function statusOfCopy(path: string, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${cluster.edgeUrl}${path}`, { headers })).status;
}

test("[OC2] [OC3] [OC7] [OC8] [OC9] [OC10] an edge restored from an older copy of a standby is taken by all, and grants nothing too soon", async () => {
  restored = join(await mkdtemp(join(tmpdir(), "ipshard-restored-")), "state");
  const file = `${restored}.backup`;
  const settings = { leaseDurationMs: LEASE_MS, quarantineMs: QUARANTINE_MS, minHostsPerIp: 3 };
  cluster = await Cluster.start({ hosts: ["h1"], settings });
  expect(await ipshard("edge", "backup", "--to", file, "--state", cluster.directory)).toContain("sha256");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  for (const path of ["/v1/edge/copy", "/v1/edge/copy/database?path=x"]) {
    expect(await statusOfCopy(path, await cluster.token("host", "h1"))).toBe(403);
    expect(await statusOfCopy(path, await cluster.token("admin", "of-one-pool"))).toBe(403);
  }
  await chmod(file, 0o644);
  standby = await follow(file);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  // Killed in whatever it did, it goes on where it was.
  standby.kill("SIGKILL");
  await once(standby, "exit");
  standby = await follow(file);
  const admin = await cluster.token("admin", "operator", ["*"]);
  const metrics = async (): Promise<string> => {
    const response = await fetch(`${cluster.edgeUrl}/metrics`, {
      headers: { authorization: `Bearer ${admin}` },
    });
    return response.text();
  };
  // What it holds it says with its next question.
  await until("the edge knows the age", async () =>
    /^ipshard_edge_standby_age_seconds \d/m.test(await metrics()),
  );
  standby.kill("SIGTERM");
  expect(await once(standby, "exit")).toEqual([0, null]);
  await expect(ipshard("edge", "restore", file, "--state", restored)).rejects.toThrow("edge-still-runs");
  // The copy knows nothing of this host, nor of what it is granted.
  await cluster.startHost("h2");
  await cluster.untilServing(["h1", "h2"]);
  const heldBefore = await cluster.blocksOf("h2");
  expect(heldBefore.length).toBeGreaterThan(0);
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  const url = cluster.through(cluster.originUrl("/events"), cluster.gatewayOf("h2"));
  const flow = await fetch(url, { headers: { "egress-authorization": `Bearer ${token}` } });
  const reader = flow.body!.getReader();
  await reader.read();

  await cluster.killEdge();
  const said = await ipshard("edge", "restore", file, "--state", restored);
  expect(said).toContain("must never start again");
  const restoredAtMs = Date.now();
  await expect(ipshard("edge", "restore", file, "--state", restored)).rejects.toThrow("state-unusable");
  await cluster.startEdge(restored);
  await cluster.untilServing(["h1", "h2"]);
  const epochs = new Set((await cluster.blocksOf("h2")).map(({ epoch }) => epoch));
  for (const { epoch } of heldBefore) expect(epochs).toContain(epoch);
  expect((await cluster.blocksOf("h1")).length).toBeGreaterThan(0);
  expect((await reader.read()).done).toBe(false);
  await reader.cancel();

  await cluster.startHost("h3");
  await until("h3 has ports", async () => (await cluster.blocksOf("h3")).length > 0, 3 * LEASE_MS);
  const [first] = await cluster.blocksOf("h3");
  expect(first!.epoch).toBeGreaterThanOrEqual(restoredAtMs - LEASE_MS);
  expect(first!.grantedAtMs).toBeGreaterThanOrEqual(restoredAtMs + LEASE_MS + QUARANTINE_MS - 1_000);
  const { blocks } = await cluster.api.getIp({ ip: EGRESS_IP });
  const taken = blocks.flatMap(({ base, order }) =>
    Array.from({ length: 2 ** (order - 6) }, (_, at) => base + 64 * at),
  );
  expect(new Set(taken).size).toBe(taken.length);
});
