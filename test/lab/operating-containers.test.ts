/** docs/operating/containers.md: a host whose containers are Docker's, and a node whose pods a plug-in has attached. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { withContainers } from "./containers.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import { blocksUnder } from "./operating-book.ts";
import { OperatingDeployment } from "./operating-deployment.ts";
import { ONE_LAN } from "./operating-networks.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6, type Role, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { attachByPlugIn, type PlugInConfiguration } from "./plug-in.ts";

const SHARED = [SHARED_IPV4, SHARED_IPV6] as const;
const SENDERS: readonly Role[] = ["b1", "p2"];
/** Nobody outside sees any of these. */
const PRIVATE = "src net 10.0.0.0/8 or src net 172.16.0.0/12 or src net fd00::/8 or src net 2001:db8:a::/64";

/** curl's word for a connection that was refused. */
const CURL_REFUSED = 7;

let deployment: OperatingDeployment;

beforeAll(async () => {
  const wiring = withContainers(ONE_LAN, { hosts: 2, routers: 1 });
  deployment = await OperatingDeployment.start(wiring, SHARED);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

test("containers of a Docker host and pods of a node leave by the shared addresses, as it is written", async () => {
  const { lab } = deployment;
  const [tokens] = await blocksUnder("What every set-up");
  const [, router] = await blocksUnder("1. Hosts behind one router");
  const [, rules, agent, look, ...others] = await blocksUnder("On a Docker host");
  const [podRules, podAgent, plugIn, ...otherPods] = await blocksUnder("In Kubernetes");
  expect([...others, ...otherPods]).toEqual([]);
  await deployment.follow(tokens!);
  await deployment.issue("host", "h2");
  await deployment.follow(router!);
  await deployment.keep("agent.yaml", rules!);
  await deployment.keep("pods.yaml", podRules!);
  await deployment.follow(agent!);
  await deployment.follow(podAgent!, { "agent.yaml": "pods.yaml" });
  await deployment.untilServing(["h1", "h2"]);
  await attachByPlugIn(lab, 2, JSON.parse(plugIn!.text) as PlugInConfiguration);

  const wire = await lab.capture("internet", "eth0");
  for (const role of SENDERS) {
    for (const [origin, shared] of [
      [ORIGINS_IPV4[0], SHARED_IPV4],
      [`[${ORIGINS_IPV6[0]}]`, SHARED_IPV6],
    ]) {
      const url = `http://${origin}:${ORIGIN_PORT}/seen`;
      const { stdout } = await lab.exec(role, ["curl", "-sgSf", "--retry", "5", "--retry-connrefused", url]);
      expect(JSON.parse(stdout)).toMatchObject({ address: shared });
    }
  }
  const said = await deployment.follow(look!);
  for (const ip of SHARED) expect(said).toContain(`dst=${ip} `);
  expect(said).toMatch(/counter translated \{\s+packets [1-9]/);
  expect(await wire.count(`tcp and (src host ${SHARED_IPV4} or src host ${SHARED_IPV6})`)).toBeGreaterThan(0);
  expect(await wire.packets(PRIVATE)).toEqual([]);
});

test("what an agent that was stopped leaves refuses containers, until it is taken away as it is written", async () => {
  const [removal, ...others] = await blocksUnder("From start to end");
  expect(others).toEqual([]);
  await deployment.end("h1", "SIGTERM");
  const { lab } = deployment;
  const url = `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`;
  const asking = lab.spawn("b1", ["curl", "-sf", "--max-time", "4", url]);
  expect(await asking.exited).toBe(CURL_REFUSED);
  const left = async (): Promise<string> => {
    const tables = await deployment.command("h1", "nft list tables");
    const rules = await deployment.command("h1", "ip -4 rule; ip -6 rule; ip address show dev lo");
    return tables + rules;
  };
  expect(await left()).toMatch(/ipshard_snat[\s\S]*prohibit/);
  await deployment.follow(removal!);
  expect(await left()).not.toMatch(/ipshard|prohibit|goto|192\.0\.2\.1/);
});
