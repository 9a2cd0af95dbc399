/** The whole of it in the laboratory: what leaves by a shared address comes home to its host. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ idleHosts: ["h3"] });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

test.each(SHARED)("a request leaves by %s, from a port of the host that is named", async (ip) => {
  const { status, headers, body } = await deployment.client.request(
    await deployment.to("/seen", { from: ip }),
  );
  expect(status, body).toBe(200);
  const seen = JSON.parse(body) as { address: string; port: number };
  expect(seen.address).toBe(ip);
  expect(headers).toMatchObject({ "egress-ip": ip, "egress-port": String(seen.port) });
  const holder = (await deployment.blocksOf(ip)).find(
    ({ base, order }) => seen.port >= base && seen.port < base + 2 ** order,
  );
  expect(holder).toMatchObject({ host: headers["egress-host"], state: "leased" });
});

test("[DE6] [DE7] through the edge too, a host's own address is no destination from the moment it is there", async () => {
  const asked = await deployment.to("/seen");
  const own = "5.0.0.1";
  const hosts = ["h1", "h2"] as const;
  for (const host of hosts) {
    await deployment.lab.exec(host, ["ip", "addr", "add", `${own}/32`, "dev", "lo"]);
  }
  for (const host of hosts) {
    // Each host's own gateway listens on all of its addresses.
    const { port } = new URL(deployment.gatewayOf(host));
    const destination = encodeURIComponent(`http://${own}:${port}/health`);
    const { status, body } = await deployment.client.request({
      ...asked,
      url: asked.url.replace(/url=.*$/, `url=${destination}`),
    });
    expect(status, body).toBe(403);
    expect(JSON.parse(body)).toMatchObject({
      code: "destination-prohibited",
      detail: `${own} is an address of the host itself; hosts reach it only if they run with --allow for its range.`,
    });
  }
});

test("[HS3] an agent says at its start what on its machine may keep replies away", async () => {
  await deployment.lab.exec("h3", ["sysctl", "-q", "-w", "net.ipv4.ip_nonlocal_bind=1"]);
  await deployment.startHost("h3");
  await deployment.processOf("h3").waitFor("net.ipv4.ip_nonlocal_bind is 1");
  await deployment.untilServing(["h1", "h2", "h3"]);
  expect(await deployment.blocksOf(SHARED[0])).toContainEqual(expect.objectContaining({ host: "h3" }));
});
