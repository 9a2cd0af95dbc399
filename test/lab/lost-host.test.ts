/** A host that dies, and one that only seems dead and wakes again: the others do not notice. */
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Deployment, SHARED } from "./deployment.ts";
import { hostOnManagement } from "./plan.ts";
import { isIn, sightingsIn } from "./sightings.ts";

const TIMEOUT = { timeout: 30_000, interval: 100 };
/** While a stream lives, the origin sends this often; a stall is many times as long. */
const TICK_MS = 100;
const STALL_MS = 3_000;
type Shared = (typeof SHARED)[number];
const SHARED_FILTER = SHARED.map((ip) => `host ${ip}`).join(" or ");

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    settings: {
      leaseDurationMs: 6_000,
      // Nobody sends the sleeper anything through the edge, which would miss it.
      hostSilenceMs: 5_000,
      quarantineMs: 2_000,
      minPortsPerHost: 0,
      maxPortsPerHost: 64_512,
      firstBlockOrder: 7,
    },
  });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

function streamsOf(hosts: readonly string[], ticks: number) {
  const path = `/stream?ticks=${ticks}&everyMs=${TICK_MS}`;
  return Promise.all(hosts.flatMap((host) => SHARED.map((from) => deployment.to(path, { from, host }))));
}

test("[LAW7] the death of a host breaks its own flows only", async () => {
  const { lab, client } = deployment;
  const wire = await lab.capture("internet", "eth0", `tcp and (${SHARED_FILTER})`);
  const streams = await deployment.newClient();
  await streams.load(16, await streamsOf(["h1", "h2"], 80));
  const doomed = await deployment.newClient();
  await doomed.load(8, await streamsOf(["h3"], 600));
  await client.load(8, await Promise.all(SHARED.map((from) => deployment.to("/seen", { from }))));
  await client.progresses(500);
  const blocks = Object.fromEntries(
    await Promise.all(SHARED.map(async (ip) => [ip, await deployment.blocksOf(ip)])),
  ) as Record<string, Awaited<ReturnType<Deployment["blocksOf"]>>>;
  const killedAtMs = Date.now();
  await deployment.end("h3", "SIGKILL");
  const lost = await doomed.stop();
  await deployment.untilServing(["h1", "h2"]);
  await client.progresses(500);
  const [survivors, requests] = [await streams.stop(), await client.stop()];

  // It was under load, and all of that was lost.
  expect(lost.length).toBeGreaterThanOrEqual(8);
  expect(lost.filter(({ isRight }) => isRight)).toEqual([]);
  expect(survivors.filter(({ isRight }) => !isRight)).toEqual([]);
  expect(survivors.length).toBeGreaterThanOrEqual(16);
  expect(survivors.filter(({ longestGapMs }) => longestGapMs > STALL_MS)).toEqual([]);
  // What was on its way to the host when it died may fail, and be told so by the edge.
  const failed = requests.filter(({ isRight }) => !isRight);
  expect(failed.filter(({ startedAtMs }) => startedAtMs > killedAtMs + 5_000)).toEqual([]);
  // On the wire: no reset of any other host's flow, and none that fell silent.
  const packets = sightingsIn(await wire.packets());
  const isOfDead = (ip: string, port: number): boolean =>
    isIn(
      blocks[ip]!.filter(({ host }) => host === "h3"),
      port,
    );
  const others = packets.filter(({ from, fromPort, to, toPort }) =>
    SHARED.some((ip) => (from === ip && !isOfDead(ip, fromPort)) || (to === ip && !isOfDead(ip, toPort))),
  );
  expect(others.length).toBeGreaterThan(1_000);
  for (const { ip, port, startedAtMs, endedAtMs } of survivors) {
    const times = others
      .filter(
        ({ to, toPort, atMs }) => to === ip && toPort === port && atMs > startedAtMs && atMs < endedAtMs,
      )
      .map(({ atMs }) => atMs);
    expect(times.length).toBeGreaterThan(0);
    const gaps = times.slice(1).map((atMs, at) => atMs - times[at]!);
    expect(Math.max(...gaps)).toBeLessThan(STALL_MS);
  }
  expect(others.filter(({ flags }) => flags.includes("R"))).toEqual([]);
});

test("[GU3] a host that sleeps past its lease has sent nothing once its ports are another's, nor does it on waking", async () => {
  const { lab, client } = deployment;
  // It is dead, if it was not before. What it had must be free and taken, so that only the sleeper's can be granted.
  await deployment.end("h3", "SIGKILL");
  const isGone = async (host: string): Promise<boolean> => {
    const blocks = (await Promise.all(SHARED.map((ip) => deployment.blocksOf(ip)))).flat();
    return blocks.every((block) => block.host !== host);
  };
  await vi.waitUntil(() => isGone("h3"), TIMEOUT);
  await deployment.takePorts();
  const wire = await lab.capture("h1", "lan0", SHARED.map((ip) => `src host ${ip}`).join(" or "));
  const sleeper = await deployment.newClient();
  await sleeper.load(8, await streamsOf(["h1"], 600));
  await client.load(4, await streamsOf(["h2"], 20));
  await client.progresses(4);

  const stoppedAtMs = Date.now();
  deployment.processOf("h1").signal("SIGSTOP");
  await vi.waitUntil(async () => {
    const blocks = (await Promise.all(SHARED.map((ip) => deployment.blocksOf(ip)))).flat();
    return blocks.every(({ host, state }) => host !== "h1" || state === "quarantined");
  }, TIMEOUT);
  const old = new Map(
    await Promise.all(
      SHARED.map(async (ip) => {
        const blocks = await deployment.blocksOf(ip);
        return [ip, blocks.filter(({ host }) => host === "h1")] as const;
      }),
    ),
  );
  await deployment.startHost("h3");
  await deployment.untilServing(["h2", "h3"]);
  const heirs = await deployment.newClient();
  const requests = SHARED.map((from) => deployment.to("/seen", { from, host: "h3" }));
  await heirs.load(8, await Promise.all(requests));
  await heirs.progresses(200);
  deployment.processOf("h1").signal("SIGCONT");
  const woken = await sleeper.stop();
  await heirs.progresses(200);
  const [inherited, others] = [await heirs.stop(), await client.stop()];
  // What was left of its own ports it may have been granted once more, under other epochs.
  const regained = new Map(
    await Promise.all(
      SHARED.map(async (ip) => {
        const epochs = new Set(old.get(ip)!.map(({ epoch }) => epoch));
        const blocks = await deployment.blocksOf(ip);
        return [ip, blocks.filter(({ host, epoch }) => host === "h1" && !epochs.has(epoch))] as const;
      }),
    ),
  );

  expect(others.filter(({ isRight }) => !isRight)).toEqual([]);
  expect(inherited.filter(({ isRight }) => !isRight)).toEqual([]);
  for (const { ip, port } of inherited) expect(isIn(old.get(ip as Shared)!, port!)).toBe(true);
  expect(woken.filter(({ isRight }) => isRight)).toEqual([]);
  // On waking it did try to reset its flows.
  expect(await droppedByGuard("h1")).toBeGreaterThan(0);
  for (const ip of SHARED) {
    const all = await wire.packets(`src host ${ip}`);
    const lines = all.filter((line) => !isIn(regained.get(ip)!, sourcePortOf(line)));
    const timeOf = (line: string): number => 1000 * Number.parseFloat(line);
    // Its kernel went on for it until the guard's time was over.
    expect(lines.some((line) => timeOf(line) > stoppedAtMs)).toBe(true);
    const blocks = old.get(ip)!;
    // One that it gave back just before ended earlier than the others, and for itself alone.
    for (const block of blocks) {
      const late = lines.filter(
        (line) => isIn([block], sourcePortOf(line)) && timeOf(line) >= block.endedAtMs!,
      );
      expect(late, JSON.stringify(block)).toEqual([]);
    }
    const endedAtMs = Math.max(...blocks.map((block) => block.endedAtMs!));
    expect(lines.filter((line) => timeOf(line) >= endedAtMs)).toEqual([]);
  }
});

/** Packets that the guard of a host has dropped, of all shared addresses. */
async function droppedByGuard(host: "h1"): Promise<number> {
  const token = await deployment.token("admin", "operator");
  const { body } = await deployment.client.request({
    url: `http://${hostOnManagement(Number(host.slice(1))).ipv4}:8800/v1/status`,
    headers: { authorization: `Bearer ${token}` },
  });
  const { guard } = JSON.parse(body) as { guard: { dropped: { foreignPortCount: number }[] } };
  return guard.dropped.reduce((sum, { foreignPortCount }) => sum + foreignPortCount, 0);
}

/** The port that a line of tcpdump says a packet left from; NaN where it says none. */
function sourcePortOf(line: string): number {
  return Number(/ \S+\.(\d+) > /.exec(line)?.[1]);
}
