/**
 * docs/operating/networks.md, first set-up: what it says is done. Then its router becomes a host besides,
 * which is the hardest case for steering, since the addresses are the router's own.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Capture } from "./capture.ts";
import type { WebClient } from "./driven-client.ts";
import { type BookBlock, blocksUnder } from "./operating-book.ts";
import { SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { OperatingDeployment } from "./operating-deployment.ts";
import { ONE_LAN, onManagement } from "./operating-networks.ts";
import { isIn, sightingsIn } from "./sightings.ts";
import type { Sample } from "./web-client.ts";

const SHARED = [SHARED_IPV4, SHARED_IPV6] as const;
const ALL = ["h1", "h2", "h3"] as const;
const H2 = { h1: "h2", "10.0.0.11": "10.0.0.12", "2001:db8:a::11": "2001:db8:a::12" };
/** Half a second of an answer that must not break. */
const STREAM = "/stream?ticks=10&everyMs=50";
const LANES = 12;
const TO_SHARED = SHARED.map((ip) => `dst host ${ip}`).join(" or ");
const FROM_SHARED = SHARED.map((ip) => `src host ${ip}`).join(" or ");
const RESETS = "(ip and tcp[13] & 4 != 0) or (ip6 and ip6[6] == 6 and ip6[53] & 4 != 0)";

let deployment: OperatingDeployment;
let book: BookBlock[];

beforeAll(async () => {
  deployment = await OperatingDeployment.start(ONE_LAN, SHARED);
  book = await blocksUnder("1. Hosts behind one router");
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

async function loadOf(hosts: readonly string[], path: string): Promise<WebClient> {
  const load = await deployment.newClient();
  const requests = hosts.flatMap((host) => SHARED.map((from) => deployment.to(path, { from, host })));
  await load.load(LANES, await Promise.all(requests));
  return load;
}

function expectUnbroken(samples: readonly Sample[]): void {
  expect(samples.length).toBeGreaterThan(LANES);
  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
}

/** Enough for each host to be chosen for each address: it is missed once in some thousand million runs. */
const CLIENT_REQUESTS = 300;

/** A client that knows the edge's URL alone is served from both addresses by all of these hosts. */
async function expectServedThroughEdge(hosts: readonly string[]): Promise<void> {
  const samples = await deployment.askAsClient("/seen", CLIENT_REQUESTS);
  expectUnbroken(samples);
  for (const ip of SHARED) {
    const served = samples.filter((sample) => sample.ip === ip).map(({ host }) => host);
    expect(new Set(served)).toEqual(new Set(hosts));
  }
}

/** Every packet of a capture has, on the side of the shared address, a port of a block that is one of these hosts'. */
async function expectPortsOf(hosts: readonly string[], capture: Capture): Promise<void> {
  const seen = sightingsIn(await capture.packets("tcp"));
  expect(seen.length).toBeGreaterThan(0);
  for (const ip of SHARED) {
    const own = (await deployment.blocksOf(ip)).filter(({ host }) => hosts.includes(host));
    const ports = seen.flatMap(({ from, fromPort, to, toPort }) =>
      from === ip ? [fromPort] : to === ip ? [toPort] : [],
    );
    expect(ports.filter((port) => !isIn(own, port))).toEqual([]);
  }
}

test("every command for a machine is carried out by the tests of the set-ups, or as a drill", async () => {
  const said = (await blocksUnder("")).filter(({ language }) => language !== "");
  // What an administrator does needs no network: test/e2e/operating.test.ts does it. Drills are for test/lab/metrics.test.ts.
  const commands = said.filter(({ page, machine }) => machine !== "admin" && page !== "failures.md");
  expect(commands.filter(({ machine }) => machine === "")).toEqual([]);
  expect(new Set(commands.map(({ heading }) => heading.split(" ").slice(0, 3).join(" ")))).toEqual(
    new Set([
      "On a Docker",
      "In Kubernetes",
      "From start to",
      "What every set-up",
      "1. Hosts behind",
      "A host that",
      "2. Two sites",
      "3. A cloud",
    ]),
  );
});

test("the first set-up serves as it is written, and the doctor says so", async () => {
  const [tokens, ...otherTokens] = await blocksUnder("What every set-up");
  const [, router, agent, doctor, ...others] = book;
  expect([...otherTokens, ...others]).toEqual([]);
  await deployment.follow(tokens!);
  await deployment.issue("host", "h2");
  await deployment.follow(router!);
  await deployment.follow(agent!);
  await deployment.follow(agent!, H2);
  await deployment.untilServing(["h1", "h2"]);
  const said = await deployment.follow(doctor!);
  for (const ip of SHARED) {
    expect(said).toContain(`A request left from ${ip}`);
    expect(said).toMatch(
      new RegExp(`^ok +Through the edge at \\S+ a request left from ${ip} port \\d+ of this host, h1`, "m"),
    );
  }
  const internet = await deployment.lab.capture("internet", "eth0", `${TO_SHARED} or ${FROM_SHARED}`);
  await expectServedThroughEdge(["h1", "h2"]);
  await expectPortsOf(["h1", "h2"], internet);
});

test("[RT9] a router that becomes a host keeps its own ports, and everyone's replies come home", async () => {
  const [combined, ...others] = await blocksUnder("A host that is also the router");
  expect(others).toEqual([]);
  await deployment.issue("host", "h3");
  await deployment.end("r1", "SIGTERM");
  await deployment.follow(combined!);
  await deployment.untilSteering(["r1"]);
  await deployment.untilServing(ALL);

  const { lab } = deployment;
  const internet = await lab.capture("internet", "eth0", `${TO_SHARED} or ${FROM_SHARED}`);
  const link = await lab.capture("r1", "eth1", TO_SHARED);
  const arrivals = [await lab.capture("h1", "eth0", TO_SHARED), await lab.capture("h2", "eth0", TO_SHARED)];
  const load = await loadOf(ALL, "/seen");
  await load.progresses(1_000);
  const samples = await load.stop();
  await expectServedThroughEdge(ALL);

  expectUnbroken(samples);
  for (const ip of SHARED) {
    const hosts = samples.filter((sample) => sample.ip === ip).map(({ host }) => host);
    expect(new Set(hosts)).toEqual(new Set(ALL));
  }
  expect(await internet.count(RESETS)).toBe(0);
  await expectPortsOf(ALL, internet);
  // What is for the machine's own ports does not show on the link, nor what is for one host at the other.
  await expectPortsOf(["h1", "h2"], link);
  await expectPortsOf(["h1"], arrivals[0]!);
  await expectPortsOf(["h2"], arrivals[1]!);
  expect(await lab.trackedConnections("r1")).toEqual([]);
  expect(await droppedByGuard()).toBe(0);
});

/** Packets that the guard of the machine that is both has dropped. */
async function droppedByGuard(): Promise<number> {
  const { body } = await deployment.client.request({
    url: `http://${onManagement("r1").ipv4}:8443/v1/status`,
    headers: { authorization: `Bearer ${await deployment.token("admin", "operator")}` },
  });
  const { guard } = JSON.parse(body) as { guard: { dropped: { foreignPortCount: number }[] } };
  expect(guard.dropped).toHaveLength(SHARED.length);
  return guard.dropped.reduce((sum, { foreignPortCount }) => sum + foreignPortCount, 0);
}

test.each(SHARED)(
  "[RT3] [RT9] a host behind a router that is a host learns of the router's own narrow uplink: %s",
  async (from) => {
    const { lab } = deployment;
    const tooBig = "(icmp[0] == 3 and icmp[1] == 4) or (icmp6 and ip6[40] == 2)";
    await lab.setMtu("r1", "eth0", 1300);
    const atInternet = await lab.capture("internet", "eth0", FROM_SHARED);
    const arrivals = [await lab.capture("h1", "eth0", tooBig), await lab.capture("h2", "eth0", tooBig)];
    const request = await deployment.to("/upload", { from, host: "h1", origin: 1 });
    const { status, body } = await deployment.client.request({
      ...request,
      method: "POST",
      byteCount: 3_000_000,
    });
    await lab.setMtu("r1", "eth0", 1500);
    expect(status, body).toBe(200);
    const [informed, uninformed] = await Promise.all(arrivals.map((arrival) => arrival.count()));
    expect(informed).toBeGreaterThan(0);
    expect(uninformed).toBe(0);
    // What the router says to the host behind it stays this side.
    expect(await atInternet.count("icmp or icmp6")).toBe(0);
  },
);

test("[RT6] [RT9] the router's process dies and comes back, and nobody notices, its own host neither", async () => {
  const internet = await deployment.lab.capture(
    "internet",
    "eth0",
    `tcp and (${TO_SHARED} or ${FROM_SHARED})`,
  );
  const load = await loadOf(ALL, STREAM);
  await load.progresses(2 * LANES);
  await deployment.end("r1", "SIGKILL");
  await load.progresses(2 * LANES);
  deployment.startAgain("r1");
  await deployment.processOf("r1").waitFor("ready: ");
  await load.progresses(2 * LANES);
  expectUnbroken(await load.stop());
  expect(await internet.count(RESETS)).toBe(0);
});

test.each(["SIGKILL", "SIGTERM"] as const)(
  "[RT9] the agent on the router's machine ends by %s and comes back, and the other hosts do not notice",
  async (signal) => {
    const internet = await deployment.lab.capture("internet", "eth0", FROM_SHARED);
    const load = await loadOf(["h1", "h2"], STREAM);
    await load.progresses(2 * LANES);
    await deployment.end("h3", signal);
    await load.progresses(2 * LANES);
    deployment.startAgain("h3");
    // The edge may still have it for the one that was killed.
    await deployment.processOf("h3").waitFor("leases taken up");
    await deployment.untilServing(ALL);
    await load.progresses(2 * LANES);
    const others = await load.stop();
    expect(others.filter(({ isRight }) => !isRight)).toEqual([]);
    const own = await loadOf(["h3"], "/seen");
    await own.progresses(100);
    expectUnbroken(await own.stop());
    await expectPortsOf(ALL, internet);
  },
);
