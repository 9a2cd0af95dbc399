/**
 * docs/operating/networks.md, third set-up: a virtual network whose gateway maps a private address one to
 * one to a public one, as clouds do, by rewriting each packet and remembering nothing.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { blocksUnder } from "./operating-book.ts";
import { OperatingDeployment } from "./operating-deployment.ts";
import { CLOUD, ONE_CLOUD } from "./operating-networks.ts";
import { isIn, sightingsIn } from "./sightings.ts";

const HOSTS = ["h1", "h2"] as const;
/** To each host. */
const REQUESTS = 50;
const ONE_TO_ONE = `table ip cloud {
  chain arriving {
    type filter hook prerouting priority raw;
    ip daddr ${CLOUD.advertised} ip daddr set ${CLOUD.wire} notrack
    ip saddr ${CLOUD.wire} notrack
  }
  chain leaving {
    type filter hook postrouting priority 300;
    oifname inet0 ip saddr ${CLOUD.wire} ip saddr set ${CLOUD.advertised}
  }
}`;

let deployment: OperatingDeployment;

beforeAll(async () => {
  deployment = await OperatingDeployment.start(ONE_CLOUD, [CLOUD.wire]);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

test("the third set-up serves as it is written, and is known by the public address", async () => {
  const { lab } = deployment;
  const [tokens] = await blocksUnder("What every set-up");
  const [, advertise, router, agent, ...others] = await blocksUnder("3. A cloud");
  expect(others).toEqual([]);
  await lab.exec("carrier", ["nft", "-f", "-"], ONE_TO_ONE);
  await deployment.follow(tokens!);
  await deployment.issue("host", "h2");
  await deployment.follow(advertise!);
  await deployment.follow(router!);
  await deployment.follow(agent!);
  await deployment.follow(agent!, { h1: "h2", "10.8.0.11": "10.8.0.12" });
  await deployment.untilServing(HOSTS);

  const internet = await lab.capture("internet", "eth0", "tcp");
  const passing = await lab.capture("r1", "eth0", `tcp and src host ${CLOUD.wire}`);
  const arrivals = await Promise.all(
    HOSTS.map((host) => lab.capture(host, "eth0", `tcp and dst host ${CLOUD.wire}`)),
  );
  // Straight to each host, and as a client asks, who knows the edge's URL alone.
  const requests = [...HOSTS, undefined, undefined].map((host) =>
    deployment.to("/seen", { from: CLOUD.wire, ...(host === undefined ? {} : { host }) }),
  );
  const asked = (await Promise.all(requests)).flatMap((request) =>
    Array.from({ length: REQUESTS }, () => request),
  );
  const answers = await Promise.all(asked.map((request) => deployment.client.request(request)));

  for (const { status, headers, body } of answers) {
    expect(status, body).toBe(200);
    // The Internet's address in the header, as at the origin; the port is the same.
    expect(headers["egress-ip"]).toBe(CLOUD.advertised);
    const port = Number(headers["egress-port"]);
    expect(JSON.parse(body)).toMatchObject({ address: CLOUD.advertised, port });
  }
  const hosts = answers.map(({ headers }) => headers["egress-host"]);
  expect(new Set(hosts)).toEqual(new Set(HOSTS));
  expect(new Set(hosts.slice(HOSTS.length * REQUESTS))).toEqual(new Set(HOSTS));
  expect(await deployment.api.getPool({ pool: deployment.pool })).toMatchObject({
    ips: [expect.objectContaining({ ip: CLOUD.wire, advertised: CLOUD.advertised })],
  });
  const seen = sightingsIn(await internet.packets());
  expect(seen.every(({ from, to }) => from === CLOUD.advertised || to === CLOUD.advertised)).toBe(true);
  const blocks = await deployment.blocksOf(CLOUD.wire);
  for (const [at, arrival] of arrivals.entries()) {
    const own = blocks.filter(({ host }) => host === HOSTS[at]);
    const packets = sightingsIn(await arrival.packets());
    expect(packets.length).toBeGreaterThan(0);
    expect(packets.filter(({ toPort }) => !isIn(own, toPort))).toEqual([]);
  }
  // What hosts send does not pass the router.
  expect(await passing.count()).toBe(0);
});
