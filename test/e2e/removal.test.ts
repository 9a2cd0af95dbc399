/** An address is removed while requests leave from it, and given to another pool. */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { AnswerOf } from "../../src/api/edge-api.ts";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";
import { load } from "./unpinned-load.ts";

const LEAVING = "127.0.0.11";

let cluster: Cluster;

afterEach(() => cluster?.stop());

async function ask(path: string, egress?: string): Promise<Response> {
  const headers = { ...(await cluster.clientHeaders()), ...(egress === undefined ? {} : { egress }) };
  return fetch(cluster.through(cluster.originUrl(path)), { headers });
}

async function ipsOfPool(): Promise<AnswerOf<"listIps">["ips"]> {
  return (await cluster.api.listIps({ pool: POOL })).ips;
}

test("[RE1] [RE3] [PM1] hosts drain a removed address, what is in flight ends by itself, and another pool has it next", async () => {
  cluster = await Cluster.start({
    hosts: ["h1", "h2"],
    settings: { quarantineMs: 1_000 },
    agentArgs: ["--drain-deadline=60000"],
  });
  await cluster.api.putIp({ pool: POOL, ip: LEAVING });
  await until("it is served", async () => (await ask("/seen", `ip="${LEAVING}"`)).ok);
  const inFlight = ask("/hold", `ip="${LEAVING}"`);
  await until("a request is in flight", async () => (await cluster.askOrigin("held")) === 1);

  const unpinned = load(cluster);
  await delay(300);
  await cluster.api.deleteIp({ pool: POOL, ip: LEAVING });
  await until("requests are refused it", async () => (await ask("/seen", `ip="${LEAVING}"`)).status === 404);
  for (let count = 0; count < 20; count += 1) {
    const reply = await ask("/seen");
    expect(await reply.json()).toMatchObject({ address: EGRESS_IP });
  }
  await until("what is not in use has been given back", async () => {
    const leaving = (await ipsOfPool()).find(({ ip }) => ip === LEAVING);
    return leaving?.retiring?.leasedPortCount === 256;
  });
  const { sentCount, failed } = await unpinned.stop();
  expect(failed).toEqual([]);
  expect(sentCount).toBeGreaterThan(0);
  await cluster.askOrigin("release");
  expect(await (await inFlight).text()).toBe("released");
  await until("it is gone", async () => (await ipsOfPool()).length === 1);
  for (const host of ["h1", "h2"]) {
    await until(`${host} has forgotten it`, async () => (await cluster.status(host)).addresses.length === 1);
  }

  await cluster.api.putPool({ pool: "next" });
  expect(await cluster.api.putIp({ pool: "next", ip: LEAVING })).toMatchObject({ ips: [{ ip: LEAVING }] });
  expect((await cluster.api.getIp({ ip: LEAVING })).lastEpoch).toBeGreaterThan(0);
});

test("[RE2] [RE8] a removal that is taken back cuts nothing, over and over, and the address serves on", async () => {
  const deadlineMs = 4_000;
  cluster = await Cluster.start({ hosts: ["h1", "h2"], agentArgs: [`--drain-deadline=${deadlineMs}`] });
  const leaving = { pool: POOL, ip: LEAVING };
  await cluster.api.putIp(leaving);
  const pinned = async (): Promise<boolean> => (await ask("/seen", `ip="${LEAVING}"`)).ok;
  await until("it is served", pinned);
  const inFlight = ask("/hold", `ip="${LEAVING}"`);
  await until("a request is in flight", async () => (await cluster.askOrigin("held")) === 1);

  const unpinned = load(cluster);
  for (const pauseMs of [1_500, 50, 700, 0]) {
    await cluster.api.deleteIp(leaving);
    await delay(pauseMs);
    await cluster.api.putIp(leaving);
  }
  const putBackAtMs = Date.now();
  await until("it serves again", pinned);
  expect(Date.now() - putBackAtMs).toBeLessThan(deadlineMs);
  const { sentCount, failed } = await unpinned.stop();
  expect(failed).toEqual([]);
  expect(sentCount).toBeGreaterThan(0);
  // Past what would have been the end of every drain.
  await delay(deadlineMs + 1_000);
  expect(await cluster.askOrigin("held")).toBe(1);
  await cluster.askOrigin("release");
  expect(await (await inFlight).text()).toBe("released");
}, 60_000);
