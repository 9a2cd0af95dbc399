/**
 * Containers of three hosts leave by one address of each family, and their agents' gateways and proxies use it at the
 * same time: who gets what, and from whose ports. The containers ask by curl.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import {
  behindBridge,
  behindPlugIn,
  behindVeth,
  hostOnLan,
  hostOnManagement,
  hostsOf,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Role,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import { attachByPlugIn, bridgeConfiguration, detachByPlugIn } from "./plug-in.ts";
import { isIn, sightingsIn } from "./sightings.ts";

const SIZE = { hosts: 3, routers: 2 };
const HOSTS = hostsOf(SIZE);
const NUMBERS = HOSTS.map((_, at) => at + 1);
const PROXY_PORT = 1080;
const ASKED_COUNT = 40;
const CONTAINERS = NUMBERS.flatMap((number): Role[] => [`c${number}`, `b${number}`]);
const NETS = NUMBERS.flatMap((number) =>
  [behindVeth, behindBridge, behindPlugIn].flatMap((behind) => [
    behind(number).netIpv4,
    behind(number).netIpv6,
  ]),
);
const SNAT = `--snat=source=${NETS.join(" ")}, direct=${NETS.join(" ")}, name=pods`;
const ORIGINS = [ORIGINS_IPV4[0], `[${ORIGINS_IPV6[0]}]`];
/** Nothing of hosts and containers may come by at the Internet's side that is not from a shared address. */
const OWN_ADDRESSES = [
  ...NETS.map((net) => `net ${net}`),
  ...NUMBERS.flatMap((number) => {
    const { ipv4, ipv6 } = hostOnLan(number);
    return [`host ${ipv4}`, `host ${ipv6}`];
  }),
].join(" or ");
const SHARED_FILTER = SHARED.map((ip) => `host ${ip}`).join(" or ");

let deployment: Deployment;

beforeAll(async () => {
  const agentArgs = [SNAT, "--proxy-source=198.51.100.128/25=edge"];
  deployment = await Deployment.start({ ...SIZE, containers: true, proxyPort: PROXY_PORT, agentArgs });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

interface Seen {
  readonly address: string;
  readonly port: number;
  readonly nonce: string;
}

/** What the origin says to this machine, by a connection of its own for each question. */
async function asks(role: Role, args: readonly string[] = [], count = 1): Promise<Seen[]> {
  const answers = await Promise.all(
    ORIGINS.map((origin) => {
      const url = `http://${origin}:${ORIGIN_PORT}/seen?nonce=${role}-[1-${count}]`;
      return deployment.lab.exec(role, ["curl", "-sSf", "-H", "connection: close", ...args, url]);
    }),
  );
  return answers.flatMap(({ stdout }) => stdout.trim().split("\n")).map((line) => JSON.parse(line) as Seen);
}

test("what leaves by SNAT, by gateways and by proxies at once comes home, from ports of its own host alone", async () => {
  const { lab, client } = deployment;
  const wire = await lab.capture("internet", "eth0");
  const arrivals = await Promise.all(HOSTS.map((host) => lab.capture(host, "lan0", SHARED_FILTER)));
  await client.load(6, await Promise.all(SHARED.map((from) => deployment.to("/seen", { from }))));
  const proxies = NUMBERS.map((number) => `http://${hostOnManagement(number).ipv4}:${PROXY_PORT}`);
  const [byProxy, byContainer] = await Promise.all([
    Promise.all(proxies.map((proxy) => asks("edge", ["-x", proxy], ASKED_COUNT))),
    Promise.all(CONTAINERS.map((role) => asks(role, [], ASKED_COUNT))),
  ]);
  await client.progresses(100);
  const samples = await client.stop();

  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  for (const [at, answers] of byContainer.entries()) {
    const nonces = Array.from({ length: ASKED_COUNT }, (_, asked) => `${CONTAINERS[at]}-${asked + 1}`);
    expect(answers.map(({ nonce }) => nonce)).toEqual([...nonces, ...nonces]);
    expect(new Set(answers.map(({ address }) => address))).toEqual(new Set(SHARED));
  }
  expect(byProxy.flat().every(({ address }) => SHARED.some((ip) => ip === address))).toBe(true);

  expect(await wire.count(SHARED_FILTER)).toBeGreaterThan(2 * CONTAINERS.length * ASKED_COUNT);
  expect(await wire.packets(OWN_ADDRESSES)).toEqual([]);
  for (const ip of SHARED) {
    const blocks = (await deployment.blocksOf(ip)).filter(({ state }) => state === "leased");
    for (const [at, arrival] of arrivals.entries()) {
      const own = blocks.filter(({ host }) => host === HOSTS[at]);
      const packets = sightingsIn(await arrival.packets(`host ${ip}`));
      expect(packets.length).toBeGreaterThan(0);
      const portOf = ({ from, fromPort, toPort }: (typeof packets)[number]): number =>
        from === ip ? fromPort : toPort;
      expect(packets.filter((packet) => !isIn(own, portOf(packet)))).toEqual([]);
    }
  }
});

test("what containers say to each other, to their host and to another's stays as it is", async () => {
  const { lab } = deployment;
  const server = lab.spawn("b1", ["ncat", "-v", "-l", "-k", "7100", "-c", "echo $NCAT_REMOTE_ADDR"]);
  await server.waitFor("Listening on 0.0.0.0");
  const { container, netIpv4 } = behindBridge(1);
  const heard = async (role: Role): Promise<string> =>
    (await lab.exec(role, ["ncat", "--recv-only", container.ipv4, "7100"])).stdout.trim();
  expect(await heard("c1")).toBe(behindVeth(1).container.ipv4);
  await lab.exec("h2", ["ip", "route", "add", netIpv4, "via", hostOnLan(1).ipv4]);
  await lab.exec("h1", ["ip", "route", "add", behindVeth(2).netIpv4, "via", hostOnLan(2).ipv4]);
  expect(await heard("c2")).toBe(behindVeth(2).container.ipv4);
  await server.kill();
});

test.each([false, true])(
  "a container of a plug-in leaves by the shared addresses, whether the plug-in masquerades (%s) or not",
  async (ipMasq) => {
    const configuration = bridgeConfiguration(2, ipMasq);
    await attachByPlugIn(deployment.lab, 2, configuration);
    const seen = await asks("p2");
    expect(seen.map(({ address }) => address)).toEqual([SHARED_IPV4, SHARED_IPV6]);
    await detachByPlugIn(deployment.lab, 2, configuration);
  },
);
