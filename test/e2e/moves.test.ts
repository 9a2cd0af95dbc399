/** Hosts and addresses come and go under load: what moves breaks nothing. */
import { afterEach, expect, test } from "vitest";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";
import { load } from "./unpinned-load.ts";

const IPS = [EGRESS_IP, "127.0.0.11", "127.0.0.12", "127.0.0.13"] as const;

let cluster: Cluster;

afterEach(() => cluster?.stop());

/** What each host that runs serves or still has ports of. */
async function addressesOf(host: string): Promise<string[]> {
  return (await cluster.status(host)).addresses.map(({ ip }) => ip).toSorted();
}

async function untilSpread(hosts: readonly string[], ips: readonly string[]): Promise<void> {
  await until("each host has one address, and each address a host", async () => {
    const all = await Promise.all(hosts.map(addressesOf));
    return all.every(({ length }) => length === 1) && ips.every((ip) => all.flat().includes(ip));
  });
}

test("[AS3] [AS4] [AG8] [LAW7] addresses and hosts are added and taken away, and no request fails", async () => {
  const hosts = ["h1", "h2", "h3", "h4"];
  cluster = await Cluster.start({
    hosts,
    settings: { minHostsPerIp: 1, quarantineMs: 1_000 },
    agentArgs: ["--drain-deadline=60000"],
  });
  const headers = await cluster.clientHeaders();
  // So many that none of four hosts is left out, over the whole test.
  const held = Array.from({ length: 48 }, () =>
    fetch(cluster.through(cluster.originUrl("/hold")), { headers }),
  );
  await until("requests are in flight", async () => (await cluster.askOrigin("held")) === held.length);

  const unpinned = load(cluster);
  for (const ip of IPS.slice(1)) await cluster.api.putIp({ pool: POOL, ip });
  await until("each address is served", async () => {
    const placed = (await cluster.apiAs("client", "tester").makeGatewayToken()).hosts;
    return IPS.every((ip) => placed.some((host) => host.ips.includes(ip)));
  });
  // Nothing was let go of under a request.
  const still = (await Promise.all(hosts.map(addressesOf))).flat().filter((ip) => ip === EGRESS_IP);
  expect(still).toHaveLength(hosts.length);
  expect(await cluster.askOrigin("held")).toBe(held.length);
  await cluster.askOrigin("release");
  for (const reply of await Promise.all(held)) expect(await reply.text()).toBe("released");
  await untilSpread(hosts, IPS);

  // A session that asks for it is told until when it keeps its address. [PL10]
  const kept = { ...headers, egress: "session=cart, ttl=600" };
  const answer = await fetch(cluster.through(cluster.originUrl("/seen")), { headers: kept });
  const until10Minutes =
    Number(/^@(\d+)$/.exec(answer.headers.get("egress-session-until") ?? "")?.[1]) * 1_000;
  expect(until10Minutes).toBeGreaterThan(Date.now());
  expect(until10Minutes).toBeLessThanOrEqual(Date.now() + 600_000);
  await answer.arrayBuffer();

  await cluster.startHost("h5");
  await until("the newcomer serves", async () => (await cluster.status("h5")).addresses.length > 0);
  expect(await cluster.stopHost("h1", "SIGTERM")).toBe(0);
  await cluster.api.deleteIp({ pool: POOL, ip: IPS[3] });
  await until("it is gone", async () => (await cluster.api.listIps({ pool: POOL })).ips.length === 3);
  const { sentCount, failed } = await unpinned.stop();
  expect(failed).toEqual([]);
  expect(sentCount).toBeGreaterThan(100);
}, 120_000);
