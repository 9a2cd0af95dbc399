/** A static pool of the real processes: its hosts send from the same ports, whatever becomes of the edge and of them. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";

let cluster: Cluster;

afterEach(() => cluster?.stop());

/** What one request, straight to a gateway, said of its way out. */
async function leftFrom(host: string, token: string): Promise<{ ip: string | null; port: number }> {
  const url = cluster.through(cluster.originUrl("/seen"), cluster.gatewayOf(host));
  const answer = await fetch(url, { headers: { "egress-authorization": `Bearer ${token}` } });
  await answer.arrayBuffer();
  expect(answer.status).toBe(200);
  expect(answer.headers.get("egress-host")).toBe(host);
  return { ip: answer.headers.get("egress-ip"), port: Number(answer.headers.get("egress-port")) };
}

test("a static pool serves from the same ports with the edge gone, an agent restarted meanwhile, and after", async () => {
  const hosts = ["h1", "h2"];
  cluster = await Cluster.start({ hosts, settings: { staticPortsPerHost: 2_048, quarantineMs: 1_000 } });
  const { slots, hosts: described } = await cluster.api.getPool({ pool: POOL });
  expect(slots).toEqual({
    portsPerSlot: 2_048,
    slotsPerIp: 31,
    lostPortsPerIp: 1_024,
    slotCount: 31,
    takenCount: 2,
  });
  const slotOf = new Map(described.map((host) => [host.host, host.slots[0]!]));
  expect([...slotOf.values()].map(({ slot }) => slot).toSorted((a, b) => a - b)).toEqual([0, 1]);
  const expectOwnPort = ({ ip, port }: { ip: string | null; port: number }, host: string): void => {
    const { firstPort, lastPort } = slotOf.get(host)!;
    expect(ip).toBe(EGRESS_IP);
    expect(port).toBeGreaterThanOrEqual(firstPort);
    expect(port).toBeLessThanOrEqual(lastPort);
  };
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  for (const host of hosts) expectOwnPort(await leftFrom(host, token), host);

  await cluster.killEdge();
  // One is killed, the other ends as it should: neither gives its slot back, and both begin without the edge.
  await cluster.stopHost("h1", "SIGKILL");
  expect(await cluster.stopHost("h2", "SIGTERM")).toBe(0);
  for (const host of hosts) {
    await cluster.startHost(host);
    const health = `${cluster.gatewayOf(host)}/health`;
    await until(`${host} serves`, async () => (await fetch(health)).status === 200);
    expectOwnPort(await leftFrom(host, token), host);
  }

  await cluster.startEdge();
  await cluster.untilServing(hosts);
  const after = await cluster.api.getPool({ pool: POOL });
  expect(new Map(after.hosts.map((host) => [host.host, host.slots[0]]))).toEqual(slotOf);
  const headers = await cluster.clientHeaders();
  for (let time = 0; time < 20; time += 1) {
    const answer = await fetch(cluster.through(cluster.originUrl("/seen")), { headers });
    await answer.arrayBuffer();
    const { headers: told } = answer;
    expectOwnPort(
      { ip: told.get("egress-ip"), port: Number(told.get("egress-port")) },
      told.get("egress-host")!,
    );
  }
}, 60_000);

test("a host whose file of slots is damaged says so and does not start; removed by its operator it stops sending", async () => {
  cluster = await Cluster.start({
    hosts: ["h1"],
    settings: { staticPortsPerHost: 4_096, quarantineMs: 1_000, hostSilenceMs: 2_000 },
  });
  const [before] = (await cluster.api.getPool({ pool: POOL })).hosts[0]!.slots;
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  await expect(cluster.api.deleteHost({ pool: POOL, host: "h1" })).rejects.toMatchObject({
    code: "host-in-use",
  });
  await cluster.stopHost("h1", "SIGKILL");
  const file = join(cluster.directory, "hosts", "h1", "static-slots.json");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace("4096", "8192"));
  await cluster.startHost("h1");
  expect(await cluster.hosts.get("h1")!.running!.exited).not.toBe(0);
  expect(await readFile(join(cluster.directory, "h1.log"), "utf8")).toContain("static-slots.json is damaged");
  await writeFile(file, text);

  // Its operator is wrong: the machine is there, and only the edge was not.
  await until("its silence is noticed", async () => {
    const pool = await cluster.api.deleteHost({ pool: POOL, host: "h1" });
    return pool.hosts.length === 0;
  });
  await cluster.killEdge();
  await cluster.startHost("h1");
  await until(
    "it serves from what it knows",
    async () => (await fetch(`${cluster.gatewayOf("h1")}/health`)).ok,
  );
  expect((await leftFrom("h1", token)).port).toBeGreaterThanOrEqual(before!.firstPort);
  await cluster.startEdge();
  await cluster.untilServing(["h1"]);
  const [block] = await cluster.blocksOf("h1");
  expect(block!.epoch).toBeGreaterThan(1);
  expect(await readFile(join(cluster.directory, "h1.log"), "utf8")).toContain(
    "the edge no longer lists these leases",
  );
}, 60_000);
