/** A pool's policy among real processes: who is served by it, everywhere, whatever becomes of the edge. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { afterEach, expect, test } from "vitest";
import { Cluster, POOL, until } from "./cluster.ts";

let cluster: Cluster;
/** Each request on a connection of its own, so that it comes to any data process. */
const client = new Agent({ pipelining: 0, connections: null, keepAliveTimeout: 1 });

afterEach(async () => {
  await cluster?.stop();
});

/** What becomes of a request straight to a gateway: `served`, or the code of its refusal. */
async function outcomeAt(host: string, token: string): Promise<string> {
  const url = cluster.through(cluster.originUrl("/seen"), cluster.gatewayOf(host));
  return outcomeOf(url, token);
}

async function outcomeOf(url: string, token: string): Promise<string> {
  const headers = { "egress-authorization": `Bearer ${token}`, connection: "close" };
  const { statusCode, body } = await request(url, { headers, dispatcher: client });
  const text = await body.text();
  return statusCode === 200 ? "served" : (JSON.parse(text) as { code: string }).code;
}

async function tokenOf(subject: string): Promise<string> {
  return (await cluster.apiAs("client", subject).makeGatewayToken()).token;
}

/** Waits until each host has said that it decides by the pool's own version. */
async function untilDelivered(): Promise<number> {
  let delivered = -1;
  await until("every host has the policy", async () => {
    const { policyVersion, hosts } = await cluster.api.getPool({ pool: POOL });
    delivered = policyVersion;
    return hosts.every((host) => host.policyVersion === policyVersion);
  });
  return delivered;
}

/** So many that every data process of the host has answered some. */
async function outcomesAt(host: string, token: string, count = 24): Promise<string[]> {
  const outcomes = await Promise.all(Array.from({ length: count }, () => outcomeAt(host, token)));
  return [...new Set(outcomes)];
}

test("a change of the policy holds at every host and in each of its processes, while requests run", async () => {
  const hosts = ["h1", "h2"];
  cluster = await Cluster.start({ hosts: ["h1"] });
  await cluster.startHost("h2", ["--processes=2"]);
  await cluster.untilServing(hosts);
  const [shop, office] = [await tokenOf("shop"), await tokenOf("office")];
  expect(await untilDelivered()).toBe(0);
  const ended = new AbortController();
  const seen = new Set<string>();
  const running = (async () => {
    while (!ended.signal.aborted) for (const host of hosts) seen.add(await outcomeAt(host, shop));
  })();
  // Naming one serves the others on; that is said by itself.
  await cluster.api.putTenant({ pool: POOL, tenant: "shop" });
  await untilDelivered();
  for (const host of hosts) expect(await outcomesAt(host, office)).toEqual(["served"]);
  for (let round = 0; round < 3; round += 1) {
    const { version } = await cluster.api.putPolicy({ pool: POOL, anyTenant: null });
    expect(await untilDelivered()).toBe(version);
    for (const host of hosts) expect(await outcomesAt(host, office)).toEqual(["tenant-denied"]);
    await cluster.api.putPolicy({ pool: POOL, anyTenant: {} });
    await untilDelivered();
    for (const host of hosts) expect(await outcomesAt(host, office)).toEqual(["served"]);
  }
  ended.abort();
  await running;
  // Of the tenant that was served all the time no request was refused.
  expect([...seen]).toEqual(["served"]);
  const { policyVersion } = await cluster.api.getPool({ pool: POOL });
  for (const host of hosts) expect(await cluster.status(host)).toMatchObject({ policyVersion });
});

test("without the edge a host goes on by the policy that it kept; with none it serves nobody, and says why", async () => {
  const hosts = ["h1"];
  cluster = await Cluster.start({ hosts, settings: { staticPortsPerHost: 2_048, quarantineMs: 1_000 } });
  const [shop, office] = [await tokenOf("shop"), await tokenOf("office")];
  await cluster.api.putTenant({ pool: POOL, tenant: "shop" });
  await cluster.api.putPolicy({ pool: POOL, anyTenant: null });
  await untilDelivered();
  await cluster.killEdge();
  const outcomes = async () => [await outcomeAt("h1", shop), await outcomeAt("h1", office)];
  const restarted = async (): Promise<void> => {
    await cluster.stopHost("h1", "SIGTERM");
    await cluster.startHost("h1");
    await until("it listens", async () => (await fetch(`${cluster.gatewayOf("h1")}/health`)).status > 0);
  };
  const file = join(cluster.directory, "hosts", "h1", "pool-policy.json");
  for (const args of [["--processes=1"], ["--processes=2"]]) {
    cluster.hosts.set("h1", { ...cluster.hosts.get("h1")!, args });
    await restarted();
    await until("it serves", async () => (await outcomeAt("h1", shop)) === "served");
    expect(await outcomes()).toEqual(["served", "tenant-denied"]);
  }
  // One byte of it is another.
  const kept = await readFile(file, "utf8");
  const damaged = kept.replace(String.raw`\"anyTenant\":null`, String.raw`\"anyTenant\":nill`);
  expect(damaged).not.toBe(kept);
  await writeFile(file, damaged);
  await restarted();
  expect(await outcomes()).toEqual(["policy-missing", "policy-missing"]);
  await until("it has its slot, and lacks the policy alone", async () => {
    const health = await fetch(`${cluster.gatewayOf("h1")}/health`);
    return ((await health.json()) as { code?: string }).code === "policy-missing";
  });
  expect(await readFile(join(cluster.directory, "h1.log"), "utf8")).toContain("pool-policy.json is damaged");
  await cluster.startEdge();
  await until("it serves again", async () => (await outcomeAt("h1", shop)) === "served");
  expect(await outcomes()).toEqual(["served", "tenant-denied"]);
});

test("a request that meets a host without the policy goes to another", async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"], settings: { staticPortsPerHost: 2_048 } });
  const token = await cluster.token("client", "shop");
  await cluster.api.putTenant({ pool: POOL, tenant: "shop" });
  await untilDelivered();
  await cluster.stopHost("h1", "SIGTERM");
  await writeFile(join(cluster.directory, "hosts", "h1", "pool-policy.json"), "{}");
  await cluster.startHost("h1");
  const url = cluster.through(cluster.originUrl("/seen"));
  for (let time = 0; time < 50; time += 1) expect(await outcomeOf(url, token)).toBe("served");
});
