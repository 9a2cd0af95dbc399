/** Three hosts with four data processes each behind one address: whoever dies or sleeps, no port has two senders. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { compileCache } from "../../src/cli/supervision/compile-cache.ts";
import { Deployment, SHARED } from "./deployment.ts";
import type { BlockView } from "./edge-side.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import { hostOnManagement, hostsOf, ORIGINS_IPV4 } from "./plan.ts";
import { isIn, type Sighting, sightingsIn } from "./sightings.ts";

const SIZE = { hosts: 3, routers: 1 };
const HOSTS = hostsOf(SIZE);
const PROCESSES = 4;
const PROXY_PORT = 1_080;
/** Connections of each kind to each host. */
const BY_PROXY = 40;
const TIMEOUT = { timeout: 40_000, interval: 100 };
const LEASE_MS = 6_000;
const SHARED_FILTER = SHARED.map((ip) => `host ${ip}`).join(" or ");

// What one has compiled the others need not compile again.
process.env["NODE_COMPILE_CACHE"] ??= compileCache() ?? "";
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    ...SIZE,
    settings: {
      leaseDurationMs: LEASE_MS,
      hostSilenceMs: 5_000,
      quarantineMs: 2_000,
      minPortsPerHost: 0,
      maxPortsPerHost: 512,
      firstBlockOrder: 8,
    },
    agentArgs: [`--processes=${PROCESSES}`, "--proxy-source=198.51.100.128/25=edge"],
    proxyPort: PROXY_PORT,
    idleHosts: HOSTS,
  });
  // Fifteen processes take their time to start on few processors.
  for (const host of HOSTS) await startHost(host);
  await untilAllServe();
}, 180_000);

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** The agent itself, and its data processes. */
async function processesOf(host: string): Promise<{ agent: number; data: number[] }> {
  // What was started enters the namespace first; the agent is what has data processes.
  const started = deployment.processOf(host).pid;
  for (const agent of [started, ...(await childrenOf(started))]) {
    const data: number[] = [];
    for (const pid of await childrenOf(agent)) if (await isDataProcess(pid)) data.push(pid);
    if (data.length > 0) return { agent, data };
  }
  return { agent: started, data: [] };
}

/** The agent has others for a moment, such as those that tell its kernel something. */
async function isDataProcess(pid: number): Promise<boolean> {
  try {
    return /\bdata-process\.[jt]s\b/.test(await readFile(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}

async function startHost(host: (typeof HOSTS)[number]): Promise<void> {
  await deployment.startHost(host);
  await deployment.processOf(host).waitFor("the gateway listens");
}

/** Waits until all hosts serve; several processes each take a while to start. */
async function untilAllServe(): Promise<void> {
  const headers = { authorization: `Bearer ${await deployment.token("admin", "operator")}` };
  for (const host of HOSTS) {
    await vi.waitUntil(async () => {
      const url = `${deployment.gatewayOf(host)}/v1/status`;
      const { body } = await deployment.client.request({ url, headers });
      const { addresses } = JSON.parse(body) as { addresses: { portCount: number }[] };
      return addresses.length === SHARED.length && addresses.every(({ portCount }) => portCount > 0);
    }, TIMEOUT);
  }
  await deployment.untilServing(HOSTS);
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

type Blocks = Record<string, BlockView[]>;

async function blocks(): Promise<Blocks> {
  return Object.fromEntries(
    await Promise.all(SHARED.map(async (ip) => [ip, await deployment.blocksOf(ip)] as const)),
  );
}

/** Packets that leave a host from a port of a shared address which was another's at that time. */
function strays(packets: readonly Sighting[], host: string, held: Blocks): Sighting[] {
  return packets.filter(({ from, fromPort }) => {
    const others = held[from]?.filter((block) => block.host !== host && block.state === "leased") ?? [];
    return isIn(others, fromPort);
  });
}

async function load(hosts: readonly string[], path: string, lanes: number) {
  const client = await deployment.newClient();
  const requests = hosts.flatMap((host) => SHARED.map((from) => deployment.to(path, { from, host })));
  await client.load(lanes, await Promise.all(requests));
  return client;
}

test("[MP1] [LAW1] requests by all processes of all hosts leave from ports of their host alone, and all are answered", async () => {
  const { lab } = deployment;
  const wires = await Promise.all(HOSTS.map((host) => lab.capture(host, "lan0", SHARED_FILTER)));
  const client = await load(HOSTS, "/seen", 36);
  await client.progresses(2_000);
  const samples = await client.stop();
  expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
  const held = await blocks();
  for (const [at, host] of HOSTS.entries()) {
    const { data } = await processesOf(host);
    expect(data).toHaveLength(PROCESSES);
    const packets = sightingsIn(await wires[at]!.packets(SHARED.map((ip) => `src host ${ip}`).join(" or ")));
    expect(packets.length).toBeGreaterThan(100);
    for (const ip of SHARED) {
      const own = held[ip]!.filter((block) => block.host === host);
      expect(packets.filter(({ from, fromPort }) => from === ip && !isIn(own, fromPort))).toEqual([]);
      expect(samples.some((sample) => sample.ip === ip && sample.host === host)).toBe(true);
    }
  }
});

test("[MP7] [LAW1] by HTTP, CONNECT and SOCKS5 of all hosts at once every port that the Internet sees is its host's", async () => {
  const urls = Array.from(
    { length: BY_PROXY },
    (_, at) => `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen?nonce=${at}`,
  );
  const seen = await Promise.all(
    HOSTS.map(async (host) => {
      const proxy = `${hostOnManagement(Number(host.slice(1))).ipv4}:${PROXY_PORT}`;
      const ways = [
        ["-x", `http://${proxy}`],
        ["-p", "-x", `http://${proxy}`],
        ["--socks5", proxy],
      ];
      const answers = await Promise.all(
        ways.map(async (way) => {
          const common = ["-sS", "-Z", "--parallel-max", "20", "-H", "connection: close"];
          const { stdout } = await deployment.lab.exec("edge", ["curl", ...common, ...way, ...urls]);
          return stdout
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line) as { address: string; port: number });
        }),
      );
      return { host, answers: answers.flat() };
    }),
  );
  const held = await blocks();
  for (const { host, answers } of seen) {
    expect(answers).toHaveLength(3 * BY_PROXY);
    const own = Object.entries(held).flatMap(([ip, all]) =>
      all.filter((block) => block.host === host).map((block) => ({ ip, block })),
    );
    const strange = answers.filter(
      ({ address, port }) => !own.some(({ ip, block }) => ip === address && isIn([block], port)),
    );
    expect(strange).toEqual([]);
  }
});

test("[MP6] [LAW7] a data process that is killed takes only its own flows along, and its agent none of another host", async () => {
  const others = await load(["h2", "h3"], "/seen", 8);
  const streams = await load(["h1"], "/stream?ticks=80&everyMs=100", 24);
  await others.progresses(100);
  const before = await processesOf("h1");
  process.kill(before.data[0]!, "SIGKILL");
  await vi.waitUntil(async () => {
    const { data } = await processesOf("h1");
    return data.length === PROCESSES && !data.includes(before.data[0]!);
  }, TIMEOUT);
  await streams.progresses(48);
  const streamed = await streams.stop();
  const lost = streamed.filter(({ isRight }) => !isRight).length;
  expect(lost).toBeLessThan(streamed.length);
  expect(streamed.filter(({ isRight }) => isRight).length).toBeGreaterThanOrEqual(12);
  // The agent itself, and with it, all of its processes; and then one of each at once.
  for (const also of [false, true]) {
    const { agent, data } = await processesOf("h1");
    if (also) process.kill(data[1]!, "SIGKILL");
    process.kill(agent, "SIGKILL");
    await deployment.processOf("h1").exited;
    await startHost("h1");
    await untilAllServe();
  }
  const again = await load(["h1"], "/seen", 8);
  await again.progresses(200);
  expect((await again.stop()).filter(({ isRight }) => !isRight)).toEqual([]);
  expect((await others.stop()).filter(({ isRight }) => !isRight)).toEqual([]);
});

test("[MP2] [GU3] a data process that sleeps past its lease is silent before its ports are another's, and is replaced", async () => {
  const { lab } = deployment;
  const wire = await lab.capture("h1", "lan0", SHARED.map((ip) => `src host ${ip}`).join(" or "));
  const sleeping = await load(["h1"], "/stream?ticks=150&everyMs=100", 16);
  const before = await processesOf("h1");
  process.kill(before.data[0]!, "SIGSTOP");
  await vi.waitUntil(async () => !(await processesOf("h1")).data.includes(before.data[0]!), TIMEOUT);
  await vi.waitUntil(async () => (await processesOf("h1")).data.length === PROCESSES, TIMEOUT);
  const held = await blocks();
  const after = await load(["h1"], "/seen", 8);
  await after.progresses(200);
  expect((await after.stop()).filter(({ isRight }) => !isRight)).toEqual([]);
  expect(strays(sightingsIn(await wire.packets()), "h1", held)).toEqual([]);
  await deployment.end("h1", "SIGKILL");
  await sleeping.stop();
  await startHost("h1");
  await untilAllServe();
});

test.each([
  { who: "its agent", pick: "agent" },
  { who: "its agent and all data processes", pick: "all" },
] as const)(
  "[MP2] [LAW1] a host of which $who sleeps past the lease sends nothing from ports that are another's by then",
  async ({ pick }) => {
    const { lab } = deployment;
    const wire = await lab.capture("h1", "lan0", SHARED.map((ip) => `src host ${ip}`).join(" or "));
    const sleeping = await load(["h1"], "/stream?ticks=150&everyMs=100", 16);
    await vi.waitUntil(async () => (await childrenOf((await processesOf("h1")).agent)).length > 0, TIMEOUT);
    const { agent, data } = await processesOf("h1");
    const stopped = pick === "all" ? [agent, ...data] : [agent];
    const held = await blocks();
    for (const pid of stopped) process.kill(pid, "SIGSTOP");
    const stoppedAtMs = Date.now();
    await vi.waitUntil(async () => {
      const now = Object.values(await blocks()).flat();
      return now.every(({ host, state }) => host !== "h1" || state === "quarantined");
    }, TIMEOUT);
    const ended = await blocks();
    const ends = new Map(
      SHARED.map((ip) => [
        ip,
        Math.min(...ended[ip]!.filter(({ host }) => host === "h1").map(({ endedAtMs }) => endedAtMs!)),
      ]),
    );
    for (const pid of stopped) process.kill(pid, "SIGCONT");
    await untilAllServe();
    const woken = await sleeping.stop();
    expect(woken.length).toBeGreaterThanOrEqual(16);
    for (const ip of SHARED) {
      const old = held[ip]!.filter(({ host }) => host === "h1");
      const times = sightingsIn(await wire.packets(`src host ${ip}`))
        .filter(({ fromPort }) => isIn(old, fromPort))
        .map(({ atMs }) => atMs);
      // Its flows went on until the end of the term: by its data processes, or by its kernel alone.
      expect(times.some((atMs) => atMs > stoppedAtMs)).toBe(true);
      const wokenAtMs = ends.get(ip)! + 100;
      expect(times.filter((atMs) => atMs >= ends.get(ip)! && atMs < wokenAtMs)).toEqual([]);
    }
  },
);
