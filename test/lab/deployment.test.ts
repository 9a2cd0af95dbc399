/** The whole of it in the laboratory: what leaves by a shared address comes home to its host. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start();
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
