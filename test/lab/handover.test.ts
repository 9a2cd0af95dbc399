/** A block that goes from one host to another under load: who sends and who receives, and when. */
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";
import type { BlockView } from "./edge-side.ts";
import { isIn, type Sighting, sightingsIn } from "./sightings.ts";

type Shared = (typeof SHARED)[number];

const TIMEOUT = { timeout: 30_000, interval: 100 };
const DRAIN_DEADLINE_MS = 3_000;
const HOSTS = ["h1", "h2", "h3"] as const;
const SHARED_FILTER = SHARED.map((ip) => `host ${ip}`).join(" or ");

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    idleHosts: ["h3"],
    agentArgs: [`--drain-deadline=${DRAIN_DEADLINE_MS}`],
    settings: {
      leaseDurationMs: 12_000,
      // Longer than the drain: what is given back first is still seen when the last is.
      quarantineMs: 6_000,
      minPortsPerHost: 0,
      maxPortsPerHost: 64_512,
      firstBlockOrder: 7,
    },
  });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** The blocks of both addresses that this host has or had. */
async function blocksOfHost(host: string): Promise<Record<Shared, BlockView[]>> {
  const [ipv4, ipv6] = await Promise.all(SHARED.map((ip) => deployment.blocksOf(ip)));
  return {
    [SHARED[0]]: ipv4!.filter((block) => block.host === host),
    [SHARED[1]]: ipv6!.filter((block) => block.host === host),
  };
}

function isOf(packet: Sighting, ip: string): boolean {
  return packet.from === ip || packet.to === ip;
}

/** The port of a packet at the shared address's end. */
function portAt(packet: Sighting, ip: string): number {
  return packet.from === ip ? packet.fromPort : packet.toPort;
}

test("[QU1] [LK9] a drained host's block serves the next after quarantine, and no packet of either is misdelivered", async () => {
  const { lab, client } = deployment;
  await deployment.takePorts();
  const wires = await Promise.all(
    HOSTS.map((host) => lab.capture(host, "lan0", `tcp and (${SHARED_FILTER})`)),
  );
  const short = SHARED.map((from) => deployment.to("/stream?ticks=8&everyMs=100", { from }));
  await client.load(16, await Promise.all(short));
  const endless = await deployment.newClient();
  const long = SHARED.map((from) => deployment.to("/stream?ticks=600&everyMs=100", { from, host: "h1" }));
  await endless.load(4, await Promise.all(long));
  await client.progresses(64);

  const askedAtMs = Date.now();
  const ended = deployment.end("h1", "SIGTERM");
  const broken = await endless.stop();
  expect(await ended).toBe(0);
  const before = await blocksOfHost("h1");
  await deployment.startHost("h3");
  await deployment.untilServing(["h2", "h3"]);
  await vi.waitUntil(async () => {
    const now = await blocksOfHost("h3");
    return SHARED.every((ip) => now[ip].length === before[ip].length);
  }, TIMEOUT);
  const after = await blocksOfHost("h3");
  await client.progresses(64);
  const samples = await client.stop();

  // Those that end by themselves did, and those that do not had the whole deadline.
  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  expect(samples.some(({ host }) => host === "h3")).toBe(true);
  expect(broken.length).toBeGreaterThanOrEqual(4);
  const cut = broken.filter(({ startedAtMs }) => startedAtMs < askedAtMs);
  expect(cut).toHaveLength(4);
  for (const { isRight, endedAtMs } of cut) {
    expect(isRight).toBe(false);
    expect(endedAtMs - askedAtMs).toBeGreaterThanOrEqual(DRAIN_DEADLINE_MS);
  }
  const seen = await Promise.all(wires.map(async (wire) => sightingsIn(await wire.packets())));
  for (const ip of SHARED) {
    const [leaver, stayer, heir] = seen.map((packets) => packets.filter((packet) => isOf(packet, ip)));
    expect(before[ip].length).toBeGreaterThan(0);
    for (const block of before[ip]) {
      expect(block.state).toBe("quarantined");
      const isOfBlock = (packet: Sighting): boolean => isIn([block], portAt(packet, ip));
      const isSentByUs = (packet: Sighting): boolean => packet.from === ip;
      // The leaver: nothing after the block was given back; what still came was not the heir's.
      const own = leaver!.filter(isOfBlock);
      expect(own.filter((packet) => isSentByUs(packet) && packet.atMs >= block.endedAtMs!)).toEqual([]);
      expect(own.filter(({ atMs }) => atMs >= block.freeAtMs!)).toEqual([]);
      // The heir: nothing before the quarantine was over.
      expect(heir!.filter((packet) => isOfBlock(packet) && packet.atMs < block.freeAtMs!)).toEqual([]);
      expect(stayer!.filter(isOfBlock)).toEqual([]);
    }
    // Nobody got anything outside of what was its own.
    expect(leaver!.filter((packet) => !isIn(before[ip], portAt(packet, ip)))).toEqual([]);
    expect(leaver!.length).toBeGreaterThan(0);
    expect(heir!.filter((packet) => !isIn(after[ip], portAt(packet, ip)))).toEqual([]);
    expect(heir!.filter((packet) => isIn(before[ip], portAt(packet, ip))).length).toBeGreaterThan(0);
    expect(heir!.filter(({ flags }) => flags.includes("R"))).toEqual([]);
  }
  const grants = SHARED.flatMap((ip) => after[ip].map(({ grantedAtMs }) => ({ ip, grantedAtMs })));
  for (const { ip, grantedAtMs } of grants) {
    const freeAtMs = Math.min(...before[ip].map((block) => block.freeAtMs!));
    expect(grantedAtMs).toBeGreaterThanOrEqual(freeAtMs);
  }
});
