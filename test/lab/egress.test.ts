/** Three hosts behind one address of each family, and two routers: who gets what. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import { hostOnLan, hostsOf, ORIGINS_IPV4, routersOf, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { isIn, sightingsIn } from "./sightings.ts";

const TIMEOUT = { timeout: 30_000, interval: 200 };
const SIZE = { hosts: 3, routers: 2 };
const HOSTS = hostsOf(SIZE);
const ROUTERS = routersOf(SIZE);
const FAMILIES = [
  { name: "IPv4", shared: SHARED_IPV4, tooBig: "icmp[0] == 3 and icmp[1] == 4" },
  { name: "IPv6", shared: SHARED_IPV6, tooBig: "icmp6 and ip6[40] == 2" },
] as const;
const SHARED_FILTER = SHARED.map((ip) => `host ${ip}`).join(" or ");

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start(SIZE);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** Has a machine's kernel look at connections, as a firewall on it would. */
async function trackConnections(role: (typeof ROUTERS)[number]): Promise<void> {
  const rules = [
    "add table inet tracking",
    "add chain inet tracking forward { type filter hook forward priority 0; }",
    "add rule inet tracking forward ct state new counter",
  ];
  await deployment.lab.exec(role, ["nft", "-f", "-"], rules.join("\n"));
}

test("[RT1] [RT7] hosts fetch at once by one address, all replies come home, and no router remembers a flow", async () => {
  const { lab, client } = deployment;
  for (const router of ROUTERS) await trackConnections(router);
  const uplinks = await Promise.all(ROUTERS.map((router) => lab.capture(router, "up0", "tcp")));
  const arrivals = await Promise.all(
    HOSTS.map((host) => lab.capture(host, "lan0", `tcp and (${SHARED_FILTER})`)),
  );
  const requests = await Promise.all(SHARED.map((from) => deployment.to("/seen", { from })));
  // So many flows that none of both directions of a family can miss a router by chance.
  await client.load(48, requests);
  await client.progresses(2_000);
  // Of its own address, to show that the routers do track what nobody exempts.
  await lab.exec("h1", [
    process.execPath,
    "-e",
    `fetch("http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen").then((answer) => answer.text())`,
  ]);
  const tracked = (await Promise.all(ROUTERS.map((router) => lab.trackedConnections(router)))).flat();
  const samples = await client.stop();

  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  for (const ip of SHARED) {
    const hosts = samples.filter((sample) => sample.ip === ip).map(({ host }) => host);
    expect(new Set(hosts)).toEqual(new Set(HOSTS));
    for (const uplink of uplinks) {
      expect(await uplink.count(`src host ${ip}`)).toBeGreaterThan(0);
      expect(await uplink.count(`dst host ${ip}`)).toBeGreaterThan(0);
    }
    const blocks = (await deployment.blocksOf(ip)).filter(({ state }) => state === "leased");
    for (const [at, arrival] of arrivals.entries()) {
      const own = blocks.filter(({ host }) => host === HOSTS[at]);
      const packets = sightingsIn(await arrival.packets(`host ${ip}`));
      expect(packets.length).toBeGreaterThan(0);
      const strays = packets.filter(
        ({ from, fromPort, toPort }) => !isIn(own, from === ip ? fromPort : toPort),
      );
      expect(strays).toEqual([]);
    }
  }
  expect(tracked.some((line) => line.includes(hostOnLan(1).ipv4))).toBe(true);
  expect(tracked.filter((line) => SHARED.some((ip) => line.includes(ip)))).toEqual([]);
});

test.each(FAMILIES)(
  "[RT3] a large upload passes a narrow link, since the host that sends it, and no other, is told of it: $name",
  async ({ shared, tooBig }) => {
    const { lab, client } = deployment;
    const byteCount = 30_000_000;
    await lab.narrowBackbone(1300);
    const arrivals = await Promise.all(HOSTS.map((host) => lab.capture(host, "lan0", tooBig)));
    const request = await deployment.to("/upload", { from: shared, origin: 1 });
    const { status, headers, body } = await client.request({ ...request, method: "POST", byteCount });
    await lab.narrowBackbone(1500);
    expect(status, body).toBe(200);
    const sha256 = createHash("sha256").update(Buffer.alloc(byteCount)).digest("hex");
    const port = Number(headers["egress-port"]);
    expect(JSON.parse(body)).toMatchObject({ address: shared, port, byteCount, sha256 });
    const counts = await Promise.all(arrivals.map((arrival) => arrival.count(`dst host ${shared}`)));
    const informed = HOSTS.filter((_, at) => counts[at]! > 0);
    expect(informed).toEqual([headers["egress-host"]]);
  },
);

test("[GU8] an agent puts its guard back when another program has loaded its own rules", async () => {
  const { lab, client } = deployment;
  await lab.exec("h1", ["nft", "flush", "ruleset"]);
  await vi.waitUntil(
    async () => (await lab.exec("h1", ["nft", "list", "tables"])).stdout.includes("inet ipshard_guard"),
    TIMEOUT,
  );
  for (const from of SHARED) {
    const { status, body } = await client.request(await deployment.to("/seen", { from, host: "h1" }));
    expect(status, body).toBe(200);
  }
  const { stdout } = await lab.exec("h1", [
    "nft",
    "-j",
    "list",
    "map",
    "inet",
    "ipshard_guard",
    "departures4",
  ]);
  expect(stdout).toContain(SHARED_IPV4);
});

test("[RT10] routers put their rules back when another program has loaded its own", async () => {
  const { lab, client } = deployment;
  await Promise.all(ROUTERS.map((router) => lab.exec(router, ["nft", "flush", "ruleset"])));
  await vi.waitUntil(async () => {
    const lists = await Promise.all(ROUTERS.map((router) => lab.exec(router, ["nft", "list", "tables"])));
    return lists.every(({ stdout }) => /netdev.*\n.*inet|inet.*\n.*netdev/.test(stdout));
  }, TIMEOUT);
  await client.load(8, await Promise.all(SHARED.map((from) => deployment.to("/seen", { from }))));
  await client.progresses(200);
  expect((await client.stop()).filter(({ isRight }) => !isRight)).toEqual([]);
});
