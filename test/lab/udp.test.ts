/** Datagrams of three hosts by SOCKS5, behind one address of each family: from whose ports they leave, and who gets what comes. */
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";
import { fragmentsDropped } from "./guard-counters.ts";
import {
  hostOnManagement,
  hostsOf,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  routersOf,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import { isIn, sightingsIn } from "./sightings.ts";
import { until } from "./until.ts";

const SIZE = { hosts: 3, routers: 2 };
const HOSTS = hostsOf(SIZE);
const PROXY_PORT = 1080;
const ECHO_PORT = 7_000;
const PYTHON = "/usr/bin/python3";
const PYSOCKS = join(import.meta.dirname, "../e2e/socks-datagrams.py");
const FAMILIES = [
  { name: "IPv4", shared: SHARED_IPV4, origins: ORIGINS_IPV4 },
  { name: "IPv6", shared: SHARED_IPV6, origins: ORIGINS_IPV6 },
] as const;

/** Source address, source port, and what was said: from where it came, and the question. */
type Answer = readonly [string, number, string] | null;

let deployment: Deployment;

beforeAll(async () => {
  const agentArgs = ["--proxy-source=198.51.100.128/25=edge"];
  deployment = await Deployment.start({ ...SIZE, proxyPort: PROXY_PORT, agentArgs });
  const program = join(import.meta.dirname, "udp-origin.ts");
  const args = [`${ECHO_PORT}`, ...ORIGINS_IPV4, ...ORIGINS_IPV6];
  await deployment.lab.spawnNode("internet", program, args).waitFor("listening");
});
beforeEach(() => deployment.tellIfTestFails());
afterAll(() => deployment?.destroy());

const proxyOf = (host: string): string => hostOnManagement(Number(host.slice(1))).ipv4;

/** What PySocks is answered, by association. */
async function pysocks(host: string, question: Record<string, unknown>): Promise<Answer[][]> {
  const destinations = ORIGINS_IPV4.map((ip) => [ip, ECHO_PORT]);
  const asked = { proxy: [proxyOf(host), PROXY_PORT], destinations, payload_bytes: 1_000, ...question };
  const { stdout } = await deployment.lab.exec("edge", [PYTHON, PYSOCKS, JSON.stringify(asked)]);
  return JSON.parse(stdout) as Answer[][];
}

/** What a client with a token is answered that selects the address. */
async function selecting(host: string, ip: string, origins: readonly string[], payloadBytes = 1_000) {
  const token = await deployment.token("client", "tester");
  const program = join(import.meta.dirname, "udp-client.ts");
  const { stdout } = await deployment.lab.exec("edge", [
    process.execPath,
    program,
    proxyOf(host),
    `${PROXY_PORT}`,
    `ip=${ip},token=${token.slice(0, 180)}`,
    token.slice(180),
    `${payloadBytes}`,
    ...origins.map((origin) => `${origin}:${ECHO_PORT}`),
  ]);
  return JSON.parse(stdout) as Answer[];
}

/** The one place that all these questions came from, as the origins saw it. */
function sourceOf(answers: readonly Answer[]): { readonly ip: string; readonly port: number } {
  const sources = new Set(answers.map((answer) => answer?.[2].split(" ").slice(0, 2).join(" ")));
  expect(sources.size).toBe(1);
  const [ip, port] = [...sources][0]!.split(" ");
  return { ip: ip!, port: Number(port) };
}

test("[UD1] [LAW1] PySocks by three hosts at once: the Internet sees ports of the right host only, and all answers come home", async () => {
  const { lab } = deployment;
  const uplinks = await Promise.all(routersOf(SIZE).map((router) => lab.capture(router, "up0", "udp")));
  const arrivals = await Promise.all(
    HOSTS.map((host) => lab.capture(host, "lan0", `udp and host ${SHARED_IPV4}`)),
  );
  const answers = await Promise.all(HOSTS.map((host) => pysocks(host, { associations: 30, rounds: 5 })));
  const blocks = (await deployment.blocksOf(SHARED_IPV4)).filter(({ state }) => state === "leased");
  const places = new Set<number>();
  for (const [at, ofHost] of answers.entries()) {
    const own = blocks.filter(({ host }) => host === HOSTS[at]);
    for (const ofOne of ofHost) {
      const answered = ofOne.map((answer) => answer?.slice(0, 2));
      const rounds = Array.from({ length: 5 }, () => ORIGINS_IPV4.map((ip) => [ip, ECHO_PORT]));
      expect(answered).toEqual(rounds.flat());
      const { ip, port } = sourceOf(ofOne);
      expect([ip, isIn(own, port)]).toEqual([SHARED_IPV4, true]);
      places.add(port);
    }
    const packets = sightingsIn(await arrivals[at]!.packets());
    expect(packets.length).toBeGreaterThanOrEqual(600);
    const strays = packets.filter(
      ({ from, fromPort, toPort }) => !isIn(own, from === SHARED_IPV4 ? fromPort : toPort),
    );
    expect(strays).toEqual([]);
  }
  expect(places.size).toBe(90);
  // Both ways went by both routers, which remember nothing.
  for (const uplink of uplinks) {
    expect(await uplink.count(`src host ${SHARED_IPV4}`)).toBeGreaterThan(0);
    expect(await uplink.count(`dst host ${SHARED_IPV4}`)).toBeGreaterThan(0);
    // The kernel forbids others to split what leaves.
    expect(await uplink.count(`src host ${SHARED_IPV4} and ip[6] & 0x40 == 0`)).toBe(0);
  }
});

test.each(FAMILIES)(
  "[UD1] a client that selects an address has a port of it, the same towards both origins: $name",
  async ({ shared, origins }) => {
    for (const host of HOSTS) {
      const answers = await selecting(host, shared, [...origins, ...origins]);
      expect(answers.map((answer) => answer?.[0])).toEqual([...origins, ...origins]);
      const { ip, port } = sourceOf(answers);
      const own = (await deployment.blocksOf(shared)).filter((block) => block.host === host);
      expect([ip, isIn(own, port)]).toEqual([shared, true]);
    }
  },
);

test.each(FAMILIES)(
  "[UD8] [GU2] what is larger than a packet does not leave, and the guard counts it: $name",
  async ({ shared, origins }) => {
    const capture = await deployment.lab.capture("internet", "eth0", `host ${shared}`);
    const before = await fragmentsDropped(deployment.lab, "h1", shared);
    expect(await selecting("h1", shared, [origins[0]], 3_000)).toEqual([null]);
    expect((await fragmentsDropped(deployment.lab, "h1", shared)) - before).toBeGreaterThanOrEqual(5);
    expect(await capture.packets()).toEqual([]);
    // What just fits does: 1,500 bytes less the headers of IP and UDP, and what the origin adds to it.
    const largest = shared === SHARED_IPV4 ? 1_472 : 1_452;
    const [answer] = await selecting("h1", shared, [origins[0]], largest - 60);
    expect(answer?.[0]).toBe(origins[0]);
  },
);

test("[UD2] [LAW2] when a host's agent is killed its ports fall silent, and no port stays held on the others", async () => {
  for (const host of HOSTS) {
    await until(async () => {
      const { body } = await deployment.client.request({
        url: `${deployment.gatewayOf(host)}/v1/status`,
        method: "GET",
        headers: { authorization: `Bearer ${await deployment.token("admin", "operator")}` },
      });
      const { addresses, udp } = JSON.parse(body) as {
        addresses: { ip: string; flowCount: number }[];
        udp: { associations: number };
      };
      return (
        udp.associations === 0 &&
        SHARED.every((ip) => addresses.find((one) => one.ip === ip)?.flowCount === 0)
      );
    });
  }
  const capture = await deployment.lab.capture("h2", "lan0", `udp and src host ${SHARED_IPV4}`);
  const running = pysocks("h2", { associations: 5, rounds: 200 }).catch((fault: unknown) => fault);
  await capture.reaches(50);
  await deployment.end("h2", "SIGKILL");
  const quiet = await deployment.lab.capture("h2", "lan0", `udp and src host ${SHARED_IPV4}`);
  await running;
  expect(await quiet.packets()).toEqual([]);
});
