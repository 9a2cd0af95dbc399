/** Hosts at sites, addresses that are announced at some of them, and clients that select by place. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, EGRESS_IP, POOL, until } from "./cluster.ts";

/** An address for hosts of one site only. */
const FRANKFURT_IP = "127.0.0.11";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1"] });
  await cluster.api.putIp({ pool: POOL, ip: FRANKFURT_IP, country: "DE", sites: ["fra1"] });
  await cluster.startHost("h2", ["--site=fra1", "--weight=2"]);
  await until("the host of the site serves its address", async () => (await ask("site=fra1, country=de")).ok);
});
afterAll(async () => {
  await cluster?.stop();
});

async function ask(egress: string): Promise<Response> {
  const headers = { ...(await cluster.clientHeaders()), egress };
  return fetch(cluster.through(cluster.originUrl("/seen")), { headers });
}

test("[AS11] [PM8] an address is served by the hosts of its site", async () => {
  const { hosts, ips } = await cluster.api.getPool({ pool: POOL });
  expect(hosts).toMatchObject([
    { host: "h1", site: null, weight: 1 },
    { host: "h2", site: "fra1", weight: 2 },
  ]);
  expect(hosts[0]!.rooms.map(({ ip }) => ip)).toEqual([EGRESS_IP]);
  expect(ips).toMatchObject([
    { ip: EGRESS_IP, country: null, sites: [] },
    { ip: FRANKFURT_IP, country: "de", sites: ["fra1"] },
  ]);
});

test("[PL9] a country leads to its address, from first to last", async () => {
  for (let sent = 0; sent < 10; sent += 1) {
    const reply = await ask(sent % 2 === 0 ? "country=DE" : `country=de, session=s${sent}`);
    expect(await reply.json()).toMatchObject({ address: FRANKFURT_IP });
    expect(reply.headers.get("egress-host")).toBe("h2");
  }
});

test.each(["country=nl", "country=nl, site=fra1", `ip="${EGRESS_IP}", country=de`])(
  "[PL9] [LAW2] %s, which nothing fits, leaves from nowhere",
  async (egress) => {
    const reply = await ask(egress);
    expect(reply.status).toBe(404);
    expect(await reply.json()).toMatchObject({ code: "selection-unserved" });
  },
);
