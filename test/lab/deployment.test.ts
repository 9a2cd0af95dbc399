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

test("[HS3] an agent says at its start what on its machine may keep replies away", async () => {
  await deployment.lab.exec("h3", ["sysctl", "-q", "-w", "net.ipv4.ip_nonlocal_bind=1"]);
  await deployment.startHost("h3");
  await deployment.processOf("h3").waitFor("net.ipv4.ip_nonlocal_bind is 1");
  await deployment.untilServing(["h1", "h2", "h3"]);
  expect(await deployment.blocksOf(SHARED[0])).toContainEqual(expect.objectContaining({ host: "h3" }));
});
