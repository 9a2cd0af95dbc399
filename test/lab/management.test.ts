/**
 * The management network is cut for everybody. Clients sit on the hosts themselves and go
 * straight to their gateways, so that nothing but the leases depends on it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { Capture } from "./capture.ts";
import { Deployment, SHARED } from "./deployment.ts";
import type { WebClient } from "./driven-client.ts";
import type { AnswerOf } from "../../src/api/edge-api.ts";
import type { BlockView } from "./edge-side.ts";
import { hostsOf, type Role, routersOf } from "./plan.ts";
import { isIn, sightingsIn } from "./sightings.ts";
import type { Sample } from "./web-client.ts";

const SIZE = { hosts: 2, routers: 2 };
const HOSTS = hostsOf(SIZE);
const LEASE_MS = 15_000;
const SETTINGS = { leaseDurationMs: LEASE_MS, quarantineMs: 2_000, steeringDeadlineMs: 1_000 };
/** Renewals come every third of a lease: one is missed, a second is not. */
const SHORT_CUT_MS = 5_500;
const TIMEOUT = { timeout: 30_000, interval: 50 };
const LANES = 8;
const CONNECTED: readonly Role[] = ["edge", ...routersOf(SIZE), ...HOSTS];
const FROM_SHARED = `tcp and (${SHARED.map((ip) => `src host ${ip}`).join(" or ")})`;
const OF_SHARED = `tcp and (${SHARED.map((ip) => `host ${ip}`).join(" or ")})`;
const RESETS = "(ip and tcp[13] & 4 != 0) or (ip6 and ip6[6] == 6 and ip6[53] & 4 != 0)";

let deployment: Deployment;
const clients: WebClient[] = [];

beforeAll(async () => {
  deployment = await Deployment.start({ ...SIZE, settings: SETTINGS });
  for (const host of HOSTS) clients.push(await deployment.newClient(host));
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** Asked beside the edge, so it answers whatever is cut. */
async function tables(): Promise<Map<string, AnswerOf<"getIp">>> {
  const all = SHARED.map(async (ip) => [ip, await deployment.api.getIp({ ip })] as const);
  return new Map(await Promise.all(all));
}

async function expiries(): Promise<number[]> {
  return [...(await tables()).values()].flatMap(({ holders }) =>
    holders.map((holder) => holder.expiresAtMs!),
  );
}

async function cutAll(): Promise<void> {
  await Promise.all(CONNECTED.map((role) => deployment.lab.cutManagement(role)));
}

/** Gives the moment before. */
async function healAll(): Promise<number> {
  const healedAtMs = Date.now();
  await Promise.all(CONNECTED.map((role) => deployment.lab.healManagement(role)));
  return healedAtMs;
}

/** Short requests and streams, from both addresses, on each host by its own gateway. */
async function loadEverywhere(): Promise<void> {
  for (const [at, host] of HOSTS.entries()) {
    const requests = ["/seen", "/stream?ticks=20&everyMs=50"].flatMap((path) =>
      SHARED.map((from) => deployment.to(path, { from, host })),
    );
    await clients[at]!.load(LANES, await Promise.all(requests));
  }
}

async function progressEverywhere(): Promise<void> {
  await Promise.all(clients.map((client) => client.progresses(10 * LANES)));
}

async function stopEverywhere(): Promise<Sample[]> {
  return (await Promise.all(clients.map((client) => client.stop()))).flat();
}

test("[LAW8] [LK3] a cut longer than a renewal and shorter than a lease breaks nothing", async () => {
  const { lab } = deployment;
  const internet = await lab.capture("internet", "eth0", OF_SHARED);
  const before = await tables();
  await loadEverywhere();
  await progressEverywhere();
  await cutAll();
  await delay(SHORT_CUT_MS);
  const healedAtMs = await healAll();
  // Renewed over connections that work again, or over new ones.
  await vi.waitUntil(
    async () => (await expiries()).every((expiresAtMs) => expiresAtMs > healedAtMs + LEASE_MS),
    TIMEOUT,
  );
  await progressEverywhere();
  const samples = await stopEverywhere();

  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  expect(samples.some(({ endedAtMs }) => endedAtMs > healedAtMs)).toBe(true);
  expect(await internet.count(RESETS)).toBe(0);
  const after = await tables();
  for (const ip of SHARED) {
    expect(after.get(ip)!.blocks).toEqual(expect.arrayContaining([...before.get(ip)!.blocks]));
  }
});

/** Whether each host serves a request from each address. */
async function everyoneIsServed(): Promise<boolean> {
  const answers = HOSTS.flatMap((host, at) =>
    SHARED.map(async (from) => clients[at]!.request(await deployment.to("/seen", { from, host }))),
  );
  return (await Promise.all(answers)).every(({ status }) => status === 200);
}

/** Every packet that a host let out had a port of a block that was the host's in that phase. */
async function expectOwnPorts(
  atHosts: readonly Capture[],
  blocksAt: (atMs: number, ip: string) => readonly BlockView[],
): Promise<void> {
  for (const [at, capture] of atHosts.entries()) {
    const strays = sightingsIn(await capture.packets()).filter(
      ({ atMs, from, fromPort }) =>
        !isIn(
          blocksAt(atMs, from).filter(({ host }) => host === HOSTS[at]),
          fromPort,
        ),
    );
    expect(strays).toEqual([]);
  }
}

test("[LK2] [GU1] a cut longer than a lease stops egress by name, and all recover by themselves", async () => {
  const { lab } = deployment;
  const internet = await lab.capture("internet", "eth0", FROM_SHARED);
  const atHosts = await Promise.all(HOSTS.map((host) => lab.capture(host, "lan0", FROM_SHARED)));
  await loadEverywhere();
  await progressEverywhere();
  await cutAll();
  const before = await tables();
  const overAtMs = Math.max(...(await expiries()));
  // Past the quarantine too, so that the edge has taken everything back.
  await vi.waitUntil(
    async () => [...(await tables()).values()].every(({ blocks }) => blocks.length === 0),
    TIMEOUT,
  );
  const healedAtMs = await healAll();
  await vi.waitUntil(everyoneIsServed, TIMEOUT);
  const recoveredAtMs = Date.now();
  await progressEverywhere();
  const after = await tables();
  const samples = await stopEverywhere();

  const sightings = sightingsIn(await internet.packets());
  expect(sightings.some(({ atMs }) => atMs < overAtMs)).toBe(true);
  expect(sightings.some(({ atMs }) => atMs > recoveredAtMs)).toBe(true);
  expect(sightings.filter(({ atMs }) => atMs > overAtMs && atMs < healedAtMs)).toEqual([]);
  await expectOwnPorts(atHosts, (atMs, ip) => (atMs < overAtMs ? before : after).get(ip)!.blocks);

  const refused = samples.filter(
    ({ startedAtMs, endedAtMs }) => startedAtMs > overAtMs && endedAtMs < healedAtMs,
  );
  expect(new Set(refused.map(({ status, code }) => `${status} ${code}`))).toEqual(
    new Set(["503 lease-lost"]),
  );
  // Both hosts end and begin within these bounds, each in its own moment.
  const others = samples.filter(
    ({ startedAtMs, endedAtMs }) => endedAtMs < overAtMs - LEASE_MS / 2 || startedAtMs > recoveredAtMs,
  );
  expect(others.filter(({ isRight }) => !isRight)).toEqual([]);
});
