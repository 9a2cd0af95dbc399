/**
 * Routers that die, come back, and lose the edge, under load: what steers is the kernel, and
 * it goes on. Flows are streams that last through it all, of both families.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Capture } from "./capture.ts";
import { Deployment, POOL, SHARED } from "./deployment.ts";
import type { WebClient } from "./driven-client.ts";
import {
  hostOnLan,
  hostsOf,
  routerOnLan,
  routersOf,
  SHARED_NET_IPV4,
  SHARED_NET_IPV6,
  uplinkOf,
} from "./plan.ts";
import { statusOf } from "./router-status.ts";
import type { Sample } from "./web-client.ts";

const SIZE = { hosts: 3, routers: 2 };
/** Long silence, so that a router that is cut off counts as live while its grant is waited for. */
const SETTINGS = { leaseDurationMs: 60_000, steeringDeadlineMs: 1_000, routerSilenceMs: 20_000 };
const TIMEOUT = { timeout: 30_000, interval: 50 };
/** One second, and a break of some tenths shows as a gap. */
const STREAM = "/stream?ticks=20&everyMs=50";
const LANES = 16;
const OF_SHARED = `(${SHARED.map((ip) => `host ${ip}`).join(" or ")})`;
const TO_SHARED = SHARED.map((ip) => `dst host ${ip}`).join(" or ");
const RESETS = "(ip and tcp[13] & 4 != 0) or (ip6 and ip6[6] == 6 and ip6[53] & 4 != 0)";

const CLI = join(import.meta.dirname, "../../src/cli/main.ts");
const run = promisify(execFile);

let deployment: Deployment;

/** Load by streams straight to the gateways of these hosts, from both addresses. */
async function streamFrom(client: WebClient, hosts: readonly string[]): Promise<void> {
  const requests = hosts.flatMap((host) => SHARED.map((from) => deployment.to(STREAM, { from, host })));
  await client.load(LANES, await Promise.all(requests));
}

/** A whole generation of streams: what began before this call has ended after it. */
async function generation(client: WebClient): Promise<void> {
  await client.progresses(2 * LANES);
}

async function isLive(router: string): Promise<boolean> {
  return (await deployment.routers()).some((one) => one.router === router && one.live);
}

async function dropCount(): Promise<number> {
  const all = await Promise.all(routersOf(SIZE).map((router) => statusOf(deployment, router)));
  return all.flatMap(({ drops }) => Object.values(drops.byReason)).reduce((sum, count) => sum + count, 0);
}

function expectUnbroken(samples: readonly Sample[]): void {
  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
}

async function watchInternet(): Promise<Capture> {
  return deployment.lab.capture("internet", "eth0", `tcp and ${OF_SHARED}`);
}

/** That what comes to a router for shared addresses leaves it again towards the hosts, through all of this. */
async function expectForwarding(router: `r${number}`, during: () => Promise<void>): Promise<void> {
  const { lab } = deployment;
  const mac = await lab.macOf(router, "lan0");
  // Begun before the other and ended after it, so it has at least as much if nothing is lost.
  // At the other ends of its cables, since what a program of XDP sends on no capture on the router sees.
  const leaving = await lab.capture("lan", router, `ether src ${mac} and (${TO_SHARED})`);
  const arriving = await lab.capture("carrier", router, TO_SHARED);
  await during();
  const arrivedCount = await arriving.count();
  expect(arrivedCount).toBeGreaterThan(0);
  expect(await leaving.count()).toBeGreaterThanOrEqual(arrivedCount);
}

/** What the routers' neighbours do when routers announce themselves or withdraw. */
async function announce(routers: readonly number[]): Promise<void> {
  const { lab } = deployment;
  for (const family of ["ipv4", "ipv6"] as const) {
    const net = family === "ipv4" ? SHARED_NET_IPV4 : SHARED_NET_IPV6;
    const all = family === "ipv4" ? "default" : "::/0";
    const up = routers.map((number) => [
      "nexthop",
      "via",
      uplinkOf(number).router[family],
      "dev",
      `r${number}`,
    ]);
    await lab.exec("carrier", ["ip", "route", "replace", net, ...up.flat()]);
    const out = routers.map((number) => ["nexthop", "via", routerOnLan(number)[family], "dev", "lan0"]);
    for (const [at, host] of hostsOf(SIZE).entries()) {
      const source = hostOnLan(at + 1)[family];
      await lab.exec(host, ["ip", "route", "replace", all, "src", source, ...out.flat()]);
    }
  }
}

describe.each(["nft", "xdp"] as const)("by %s", (steering) => {
  beforeAll(async () => {
    deployment = await Deployment.start({ ...SIZE, settings: SETTINGS, steering });
  });

  beforeEach(() => deployment.tellIfTestFails());

  afterAll(() => deployment?.destroy());

  test("[RT5] a router killed and started again under load breaks no flow and moves none", async () => {
    const { client } = deployment;
    const dropsBefore = await dropCount();
    const internet = await watchInternet();
    await streamFrom(client, hostsOf(SIZE));
    await generation(client);
    // With nobody to tell it anything, the kernel steers on.
    await expectForwarding("r1", async () => {
      await deployment.end("r1", "SIGKILL");
      await vi.waitUntil(async () => !(await isLive("r1")), TIMEOUT);
      await generation(client);
      await deployment.startRouter("r1");
      await deployment.untilSteering(["r1"]);
      await generation(client);
    });
    expectUnbroken(await client.stop());
    expect(await internet.count(RESETS)).toBe(0);
    expect(await dropCount()).toBe(dropsBefore);
  });

  test("[RT5] flows outlive the restart of a router's machine", async () => {
    const { lab, client } = deployment;
    const internet = await watchInternet();
    await streamFrom(client, hostsOf(SIZE));
    await generation(client);
    await announce([2]);
    await generation(client);
    await deployment.end("r1", "SIGKILL");
    await lab.exec("r1", ["nft", "flush", "ruleset"]);
    await lab.exec("r1", ["ip", "link", "set", "dev", "up0", "xdp", "off"]);
    const uplink = await lab.capture("carrier", "r1", TO_SHARED);
    await vi.waitUntil(async () => !(await isLive("r1")), TIMEOUT);
    await generation(client);
    expect(await uplink.count()).toBe(0);
    await deployment.startRouter("r1");
    await deployment.untilSteering(["r1"]);
    const again = await lab.capture("carrier", "r1", TO_SHARED);
    await announce([1, 2]);
    await generation(client);
    expectUnbroken(await client.stop());
    expect(await again.count()).toBeGreaterThan(0);
    expect(await internet.count(RESETS)).toBe(0);
  });

  test("[ST2] [RT6] a router cut off from the edge forwards on, and grants go ahead of it by name", async () => {
    const { lab, client } = deployment;
    await deployment.end("h3", "SIGTERM");
    await deployment.untilServing(["h1", "h2"]);
    const internet = await watchInternet();
    await streamFrom(client, ["h1", "h2"]);
    await generation(client);

    await expectForwarding("r1", async () => {
      await lab.cutManagement("r1");
      await deployment.startHost("h3");
      await deployment.untilServing(["h1", "h2", "h3"]);
      const [r1, r2] = await deployment.routers();
      expect(r1).toMatchObject({ router: "r1", live: true, lagging: true });
      expect(r2).toMatchObject({ router: "r2", live: true, lagging: false });
      await generation(client);
    });

    await lab.healManagement("r1");
    await vi.waitUntil(async () => (await deployment.routers()).every(({ lagging }) => !lagging), TIMEOUT);
    expectUnbroken(await client.stop());
    expect(await internet.count(RESETS)).toBe(0);

    // It has caught up: what comes for the new blocks by r1 gets home too.
    const toH3 = await lab.capture(
      "lan",
      "r1",
      `ether dst ${await lab.macOf("h3", "lan0")} and (${TO_SHARED})`,
    );
    await streamFrom(client, ["h3"]);
    await generation(client);
    expectUnbroken(await client.stop());
    expect(await toH3.count()).toBeGreaterThan(0);
  });

  test("[OC1] [OC4] [LAW7] routers that know newer numbers take an edge that is restored, without help, and no flow breaks", async () => {
    const { client, edgeState } = deployment;
    const file = `${edgeState}.backup`;
    const state = `${edgeState}-restored`;
    const edge = (...args: string[]) => run(process.execPath, [CLI, "edge", ...args]);
    await edge("backup", "--to", file, "--state", edgeState);
    const { steeringSequence: copied } = await deployment.api.getPool({ pool: POOL });
    // What it holds from now on is in no copy.
    await deployment.end("h3", "SIGTERM");
    await deployment.untilServing(["h1", "h2"]);
    await deployment.startHost("h3");
    await deployment.untilServing(hostsOf(SIZE));
    const steered = await Promise.all(routersOf(SIZE).map((router) => statusOf(deployment, router)));
    for (const { followedSequence } of steered) expect(followedSequence).toBeGreaterThan(copied);
    const dropsBefore = await dropCount();
    const internet = await watchInternet();
    await streamFrom(client, hostsOf(SIZE));
    await generation(client);

    await deployment.killEdge();
    const restoredAtMs = Date.now();
    await edge("restore", file, "--state", state);
    await deployment.startEdge(state);
    await deployment.untilSteering(routersOf(SIZE));
    await deployment.untilServing(hostsOf(SIZE));
    await vi.waitUntil(async () => {
      const followed = await Promise.all(routersOf(SIZE).map((router) => statusOf(deployment, router)));
      return followed.every(({ followedSequence }) => (followedSequence ?? 0) >= restoredAtMs);
    }, TIMEOUT);
    await generation(client);
    expectUnbroken(await client.stop());
    expect(await internet.count(RESETS)).toBe(0);
    expect(await dropCount()).toBe(dropsBefore);
    // Nobody was granted anything: what hosts hold is what they had.
    for (const ip of SHARED) {
      for (const { epoch } of await deployment.blocksOf(ip)) expect(epoch).toBeLessThan(restoredAtMs);
    }
  });
});
