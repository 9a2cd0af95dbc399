/** Agents and routers as a service that has one capability and is not root. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment } from "./deployment.ts";
import { SHARED_IPV4 } from "./plan.ts";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await Deployment.start({ hosts: 1, routers: 1, areUnprivileged: true });
});
beforeEach(() => deployment.tellIfTestFails());
afterAll(() => deployment?.destroy());

test("[DP3] with CAP_NET_ADMIN alone a host is guarded and steered to, and leaves its machine as it was", async () => {
  const { lab } = deployment;
  const said = async (argv: readonly string[]): Promise<string> => (await lab.exec("h1", argv)).stdout;
  const addresses = () => said(["ip", "-o", "addr", "show", "dev", "lo"]);
  const arp = async () => (await said(["sysctl", "-n", "net.ipv4.conf.all.arp_ignore"])).trim();
  for (const name of ["h1", "r1"]) {
    const status = await said(["cat", `/proc/${deployment.processOf(name).pid}/status`]);
    expect(status).toMatch(/^Uid:\s+65534\s+65534\s/m);
  }
  expect(await addresses()).toContain(`${SHARED_IPV4}/32`);
  expect(await arp()).not.toBe("0");
  expect(await said(["nft", "list", "table", "inet", "ipshard_guard"])).toContain(SHARED_IPV4);

  const answer = await deployment.client.request(await deployment.to("/seen", { from: SHARED_IPV4 }));
  expect(answer.status).toBe(200);

  const { exited } = deployment.processOf("h1");
  deployment.processOf("h1").signal("SIGTERM");
  expect(await exited).toBe(0);
  expect(await addresses()).not.toContain(SHARED_IPV4);
  expect(await arp()).toBe("0");
});
