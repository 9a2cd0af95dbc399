/**
 * docs/operating/networks.md, second set-up: two sites that announce the same addresses, a tunnel between
 * them, and a host that stands alone behind a tunnel of its own. The carrier in front runs BIRD
 * too, and spreads packets over whoever announces.
 */
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { blocksUnder } from "./operating-book.ts";
import { BACKBONE, SHARED_IPV4, SHARED_IPV6 } from "./plan.ts";
import { renamed, type Renaming, OperatingDeployment } from "./operating-deployment.ts";
import { TWO_SITES } from "./operating-networks.ts";
import { isIn, sightingsIn } from "./sightings.ts";

const SHARED = [SHARED_IPV4, SHARED_IPV6] as const;
const ALL = ["h1", "h2", "h3", "h4"] as const;
/** The carrier sends each connection to either site by a hash: enough at once that both have some. */
const LANES = 64;
const PATH = "/stream?ticks=2&everyMs=50";
const TIMEOUT = { timeout: 60_000, interval: 200 };
const TO_SHARED = SHARED.map((ip) => `dst host ${ip}`).join(" or ");
const FROM_SHARED = SHARED.map((ip) => `src host ${ip}`).join(" or ");
const TOO_BIG = "((icmp[0] == 3 and icmp[1] == 4) or (icmp6 and ip6[40] == 2))";
/** r2's own addresses in the place of r1's. */
const AT_R2: Renaming = {
  r1: "r2",
  "203.0.113.0": "203.0.113.2",
  "203.0.113.1": "203.0.113.3",
  "2001:db8:c:1::": "2001:db8:c:2::",
  "2001:db8:c:1::1": "2001:db8:c:2::1",
};
/** Paths of equal worth are used side by side. */
const CARRIER_BIRD = `
router id ${BACKBONE.carrier.ipv4};
protocol device { }
protocol kernel { merge paths on; ipv4 { import none; export all; }; }
protocol kernel { merge paths on; ipv6 { import none; export all; }; }
${[1, 2]
  .map((site) => {
    const [own, other] = [`203.0.113.${2 * site - 2}`, `203.0.113.${2 * site - 1}`];
    const [own6, other6] = [`2001:db8:c:${site}::`, `2001:db8:c:${site}::1`];
    const taking = "{ import all; export none; }";
    return `
protocol bgp { local ${own} as 64499; neighbor ${other} as 64500; ipv4 ${taking}; connect delay time 1; }
protocol bgp { local ${own6} as 64499; neighbor ${other6} as 64500; ipv6 ${taking}; connect delay time 1; }`;
  })
  .join("\n")}
`;

let deployment: OperatingDeployment;

beforeAll(async () => {
  deployment = await OperatingDeployment.start(TWO_SITES, SHARED);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** The first set-up's words for a host of a site. */
function atSite(host: string, site: number, number: number): Renaming {
  return {
    h1: host,
    "10.0.0.11": `10.${site}.0.${number}`,
    "2001:db8:a::11": `2001:db8:a:${site}::${number}`,
  };
}

/** Waits until the carrier has exactly these ways to both addresses. */
async function untilRoutedTo(routers: readonly string[]): Promise<void> {
  const waysOf = async (ip: string): Promise<string> => {
    const words = ["ip", "-j", ip.includes(":") ? "-6" : "-4", "route", "show", ip];
    const [route] = JSON.parse((await deployment.lab.exec("carrier", words)).stdout) as {
      dev?: string;
      nexthops?: { dev: string }[];
    }[];
    const devices = route?.nexthops?.map(({ dev }) => dev) ?? (route?.dev === undefined ? [] : [route.dev]);
    return devices.toSorted().join();
  };
  await vi.waitUntil(async () => {
    const ways = await Promise.all(SHARED.map(waysOf));
    return ways.every((way) => way === routers.join());
  }, TIMEOUT);
}

test("the second set-up serves as it is written, over both sites at once", async () => {
  const { lab } = deployment;
  const [tokens] = await blocksUnder("What every set-up");
  const [, , agent] = await blocksUnder("1. Hosts behind one router");
  const [, r1, r2, h4, bird, announce, ...others] = await blocksUnder("2. Two sites");
  expect(others).toEqual([]);
  // The lone host's provider takes from it what it has itself given out, and nothing else.
  await lab.exec(
    "carrier",
    ["nft", "-f", "-"],
    `table inet provider {
      counter strays { }
      chain forward {
        type filter hook forward priority 0;
        iifname h4 ip saddr != 203.0.113.5 counter name strays drop
        iifname h4 ip6 saddr != 2001:db8:c:3::1 counter name strays drop
      }
    }`,
  );
  await deployment.follow(tokens!);
  await deployment.issue("router", "r2");
  for (const host of ["h2", "h3", "h4"]) await deployment.issue("host", host);
  await deployment.startBird("carrier", CARRIER_BIRD);
  await deployment.startBird("r1", bird!.text);
  await deployment.startBird("r2", renamed(bird!.text, AT_R2));
  await deployment.follow(r1!);
  await deployment.follow(r2!);
  await deployment.follow(announce!);
  await deployment.follow(announce!, AT_R2);
  await deployment.follow(agent!, atSite("h1", 1, 11));
  await deployment.follow(agent!, atSite("h2", 1, 12));
  await deployment.follow(agent!, atSite("h3", 2, 11));
  await deployment.follow(h4!);
  await deployment.untilServing(ALL);
  await untilRoutedTo(["r1", "r2"]);

  const uplinks = [await lab.capture("r1", "eth0", TO_SHARED), await lab.capture("r2", "eth0", TO_SHARED)];
  const tunnel = await lab.capture("r1", "vxlan0", `${TO_SHARED} or ${FROM_SHARED}`);
  const lone = await lab.capture("h4", "vxlan4", `${TO_SHARED} or ${FROM_SHARED}`);
  const load = await deployment.newClient();
  const requests = ALL.flatMap((host) => SHARED.map((from) => deployment.to(PATH, { from, host })));
  await load.load(LANES, await Promise.all(requests));
  await load.progresses(2_000);
  const samples = await load.stop();
  // As a client asks, who knows the edge's URL alone.
  const throughEdge = await deployment.askAsClient("/seen", 400);

  expect([...samples, ...throughEdge].filter(({ isRight }) => !isRight)).toEqual([]);
  for (const ip of SHARED) {
    const served = throughEdge.filter((sample) => sample.ip === ip).map(({ host }) => host);
    expect(new Set(served)).toEqual(new Set(ALL));
    const hosts = samples.filter((sample) => sample.ip === ip).map(({ host }) => host);
    expect(new Set(hosts)).toEqual(new Set(ALL));
    for (const uplink of uplinks) expect(await uplink.count(`dst host ${ip}`)).toBeGreaterThan(0);
    expect(await tunnel.count(`dst host ${ip}`)).toBeGreaterThan(0);
    // A site sends by itself; only the lone host sends by a tunnel.
    expect(await tunnel.count(`src host ${ip}`)).toBe(0);
    expect(await lone.count(`src host ${ip}`)).toBeGreaterThan(0);
    const own = (await deployment.blocksOf(ip)).filter(({ host }) => host === "h4");
    const strays = sightingsIn(await lone.packets(`tcp and dst host ${ip}`)).filter(
      ({ toPort }) => !isIn(own, toPort),
    );
    expect(strays).toEqual([]);
  }
  expect(await lab.exec("carrier", ["nft", "list", "counter", "inet", "provider", "strays"])).toMatchObject({
    stdout: expect.stringContaining("packets 0 ") as string,
  });
});

test("a site that withdraws its announcement breaks no flow", async () => {
  const load = await deployment.newClient();
  const path = "/stream?ticks=10&everyMs=50";
  const requests = ALL.flatMap((host) => SHARED.map((from) => deployment.to(path, { from, host })));
  await load.load(LANES, await Promise.all(requests));
  await load.progresses(2 * LANES);
  await deployment.command("r2", "birdc disable announce4; birdc disable announce6");
  await untilRoutedTo(["r1"]);
  const uplink = await deployment.lab.capture("r2", "eth0", TO_SHARED);
  await load.progresses(2 * LANES);
  const samples = await load.stop();
  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  expect(await uplink.count()).toBe(0);
});

test.each(SHARED)(
  "[RT8] a large download comes through a tunnel, since its sender is told of the smaller MTU: %s",
  async (from) => {
    const byteCount = 3_000_000;
    const told = await deployment.lab.capture("internet", "eth0", TOO_BIG);
    for (const host of ["h3", "h4"]) {
      const request = await deployment.to(`/download?byteCount=${byteCount}`, { from, host });
      const { status, body } = await deployment.client.request(request);
      expect([status, body.length - body.indexOf("\n") - 1]).toEqual([200, byteCount]);
    }
    expect(await told.count()).toBeGreaterThan(0);
  },
);

test.each(
  SHARED.flatMap(
    (from) =>
      [
        { from, host: "h3", device: "eth0" },
        { from, host: "h4", device: "vxlan4" },
      ] as const,
  ),
)(
  "[RT3] [RT8] a large upload passes a narrow link, since its message comes through the tunnel to $host: $from",
  async ({ from, host, device }) => {
    const { lab } = deployment;
    const byteCount = 3_000_000;
    await lab.narrowBackbone(1280);
    const arrivals = [await lab.capture(host, device, TOO_BIG), await lab.capture("h1", "eth0", TOO_BIG)];
    const through = await lab.capture("r1", host === "h3" ? "vxlan0" : "vxlan4", TOO_BIG);
    const request = await deployment.to("/upload", { from, host, origin: 1 });
    const { status, body } = await deployment.client.request({ ...request, method: "POST", byteCount });
    await lab.narrowBackbone(1500);
    expect(status, body).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ address: from, byteCount });
    const [informed, uninformed] = await Promise.all(arrivals.map((arrival) => arrival.count()));
    expect(informed).toBeGreaterThan(0);
    expect(uninformed).toBe(0);
    expect(await through.count()).toBe(informed);
  },
);
