/** A static pool while there is no edge: an agent begins anew, its kernel lets its slot out, and replies come home. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Deployment, POOL, SHARED } from "./deployment.ts";
import { isIn, sightingsIn } from "./sightings.ts";

const TIMEOUT = { timeout: 15_000, interval: 100 };
const SHARED_FILTER = SHARED.map((ip) => `host ${ip}`).join(" or ");

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    hosts: 2,
    routers: 1,
    settings: { staticPortsPerHost: 2_048, leaseDurationMs: 1_000, quarantineMs: 1_000 },
  });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

test("[SM3] [SM9] [GU3] a slot leaves and is steered with no edge, past any lease time, after its agent was killed", async () => {
  const { lab, client, api } = deployment;
  const { hosts, slots } = await api.getPool({ pool: POOL });
  expect(slots).toMatchObject({ slotCount: 62, takenCount: 4 });
  const own = hosts.find(({ host }) => host === "h1")!.slots;
  expect(own.map(({ ip }) => ip).toSorted()).toEqual([...SHARED].toSorted());
  const requests = await Promise.all(SHARED.map((from) => deployment.to("/seen", { from, host: "h1" })));
  const wires = await Promise.all(
    ["h1", "h2"].map((host) => lab.capture(host as "h1", "lan0", `tcp and (${SHARED_FILTER})`)),
  );

  await deployment.end("edge", "SIGKILL");
  await deployment.end("h1", "SIGKILL");
  await deployment.startHost("h1");
  // Each address by itself: a host is healthy as soon as one of its addresses is usable.
  await vi.waitUntil(async () => {
    const answers = await Promise.all(requests.map((request) => client.request(request).catch(() => null)));
    return answers.every((answer) => answer?.status === 200);
  }, TIMEOUT);
  await client.load(4, requests);
  await client.progresses(200);
  const samples = await client.stop();

  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  for (const { ip, port } of samples) {
    const slot = own.find((each) => each.ip === ip)!;
    expect(port).toBeGreaterThanOrEqual(slot.firstPort);
    expect(port).toBeLessThanOrEqual(slot.lastPort);
  }
  expect(new Set(samples.map(({ ip }) => ip))).toEqual(new Set(SHARED));
  // Nothing of it came to the other host, which is steered as before.
  const [home, other] = await Promise.all(wires.map(async (wire) => sightingsIn(await wire.packets())));
  const blocks = own.map(({ ip, firstPort }) => ({ ip, base: firstPort, order: 11 }));
  const isOwn = (ip: string, port: number): boolean =>
    isIn(
      blocks.filter((block) => block.ip === ip),
      port,
    );
  expect(home!.filter(({ to, toPort }) => isOwn(to, toPort)).length).toBeGreaterThan(samples.length);
  expect(other!.filter(({ to, toPort }) => isOwn(to, toPort))).toEqual([]);

  // Its kernel has no end for it: neither a timeout of an element nor a time in a rule.
  const { stdout } = await lab.exec("h1", ["nft", "list", "table", "inet", "ipshard_guard"]);
  expect(stdout).toMatch(/_units \{[^}]*elements = \{ \d+,/);
  expect(stdout).not.toMatch(/expires|timeout \d|meta time/);
  const kept = await readFile(join(lab.directory, "h1", "static-slots.json"), "utf8");
  expect(kept).toContain(SHARED[0]);
}, 60_000);
