/**
 * The soak of tunnels against a real agent, and what it holds when all of them have ended: by its own
 * word, by the kernel's tables, and by a look inside.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Cluster, until } from "../e2e/cluster.ts";
import { INSPECTABLE, type Inside, InspectedProcess } from "../e2e/inspected-process.ts";
import { ORIGIN_IPS, PROXY_IP } from "./target.ts";
import type { ProxyPlace } from "./tunnel-client.ts";
import { runTunnels, type TunnelTally } from "./tunnels.ts";

const HOST = "h1";
/** Within this everything that ends by itself has ended. */
const SETTLED_MS = 60_000;
/** What comes and goes by itself: questions to the edge, and answers to ours. */
const FEW = 6;
const MORE = 30;
const MEMORY_SHARE = 0.1;
const TIME_WAIT = "06";
const LISTEN = "0A";

/** What an agent holds. */
export interface Held extends Inside {
  readonly descriptors: number;
}

/** What a soak came to. */
export interface SoakReport {
  readonly tally: TunnelTally;
  readonly before: Held;
  readonly after: Held;
  readonly peakBytes: number;
  readonly durationMs: number;
  readonly refusals: Readonly<Record<string, number>>;
  /** Lines of the agent's log that warn of something. */
  readonly warnings: readonly string[];
}

/** One agent with a proxy, that can be looked into. */
export class SoakedAgent {
  readonly cluster: Cluster;
  readonly host = HOST;
  readonly proxy: ProxyPlace;
  readonly #inspected: InspectedProcess;

  private constructor(cluster: Cluster, proxy: ProxyPlace, inspected: InspectedProcess) {
    this.cluster = cluster;
    this.proxy = proxy;
    this.#inspected = inspected;
  }

  static async start(): Promise<SoakedAgent> {
    process.env["NODE_OPTIONS"] = INSPECTABLE;
    const cluster = await Cluster.start({
      hosts: [HOST],
      settings: { firstBlockOrder: 11, minPortsPerHost: 8192 },
      agentArgs: [`--proxy=${PROXY_IP}:PORT`, "--connect-timeout=3000"],
    }).finally(() => {
      delete process.env["NODE_OPTIONS"];
    });
    try {
      const token = await cluster.token("client", "tester");
      const proxy = { host: PROXY_IP, port: cluster.hosts.get(HOST)!.port, token };
      const log = join(cluster.directory, `${HOST}.log`);
      return new SoakedAgent(cluster, proxy, await InspectedProcess.open(cluster.pidOf(HOST), log));
    } catch (fault) {
      await cluster.stop();
      throw fault;
    }
  }

  get pid(): number {
    return this.cluster.pidOf(HOST);
  }

  /** Makes tunnels, some of them to begin with, and compares what is held after either. */
  async soak(seed: number, warmUpCount: number, count: number): Promise<SoakReport> {
    const warmUp = await runTunnels([this.proxy], seed, warmUpCount);
    await this.untilNothingIsHeld(warmUp.ports);
    const before = await this.look();
    const startedMs = performance.now();
    const tally = await runTunnels([this.proxy], seed + 1, count);
    const durationMs = performance.now() - startedMs;
    await this.untilNothingIsHeld(tally.ports);
    const after = await this.look();
    tally.findings.push(...warmUp.findings);
    const refusals = await this.refusals();
    return {
      tally,
      before,
      after,
      peakBytes: await this.peakBytes(),
      durationMs,
      refusals,
      warnings: await this.warnings(),
    };
  }

  /** Waits until the agent says that no port is in use and none rests, and the kernel the same of these. */
  async untilNothingIsHeld(ports: readonly number[]): Promise<void> {
    await until(
      "the binder holds nothing",
      async () => {
        const { addresses, running, connections } = await this.#status();
        const heldCount = addresses.reduce((sum, each) => sum + each.heldCount + each.flowCount, 0);
        return addresses.length === 1 && heldCount + running + connections === 0;
      },
      SETTLED_MS,
    );
    const ends = new Set([placeOf(PROXY_IP, this.proxy.port)]);
    for (const port of ports) for (const ip of ORIGIN_IPS) ends.add(placeOf(ip, port));
    await until("the kernel holds nothing", async () => (await liveConnections(ends)) === 0, SETTLED_MS);
  }

  /** Looks when what was asked for before has been answered and forgotten. */
  async look(): Promise<Held> {
    const inside = await this.#inspected.look();
    return { ...inside, descriptors: (await readdir(`/proc/${this.pid}/fd`)).length };
  }

  async peakBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) * 1024;
  }

  async warnings(): Promise<string[]> {
    const log = await readFile(join(this.cluster.directory, `${HOST}.log`), "utf8");
    return log.split("\n").filter((line) => /warning|internal-fault|"level":(?:50|60)/i.test(line));
  }

  async stop(): Promise<void> {
    this.#inspected.close();
    await this.cluster.stop();
  }

  /** How often it has refused what. */
  async refusals(): Promise<Readonly<Record<string, number>>> {
    return (await this.#status()).refusals;
  }

  async #status(): Promise<{
    addresses: readonly { heldCount: number; flowCount: number }[];
    running: number;
    connections: number;
    refusals: Readonly<Record<string, number>>;
  }> {
    return (await this.cluster.status(HOST)) as never;
  }
}

/** What is wrong with what a soak left behind; memory is measured against what there was before it. */
export function faultsOf({ tally, before, after, warnings }: SoakReport): string[] {
  const faults: string[] = tally.findings.map((plan) => `hangs or is wrong: ${JSON.stringify(plan)}`);
  const expect = (isRight: boolean, what: string): void => {
    if (!isRight) faults.push(what);
  };
  expect(tally.openAtOrigins === 0, `${tally.openAtOrigins} connections are left at the origins`);
  expect(after.sockets <= before.sockets + FEW, `sockets: ${before.sockets}, then ${after.sockets}`);
  expect(after.timers <= before.timers + FEW, `timers: ${before.timers}, then ${after.timers}`);
  expect(after.emitters <= before.emitters + MORE, `emitters: ${before.emitters}, then ${after.emitters}`);
  expect(after.abortSignals === 0, `abort signals: ${after.abortSignals}`);
  expect(
    after.descriptors <= before.descriptors + FEW,
    `descriptors: ${before.descriptors}, then ${after.descriptors}`,
  );
  expect(
    after.residentBytes <= before.residentBytes * (1 + MEMORY_SHARE),
    `memory: ${before.residentBytes} bytes, then ${after.residentBytes}`,
  );
  faults.push(...warnings);
  return faults;
}

/** Connections with one of these ends, and that still hold something (TIME_WAIT aside). */
async function liveConnections(ends: ReadonlySet<string>): Promise<number> {
  const table = await readFile("/proc/net/tcp", "utf8");
  return table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", remote = "", state]) => {
      const isOver = state === TIME_WAIT || state === LISTEN;
      return !isOver && (ends.has(local) || ends.has(remote));
    }).length;
}

/** As the kernel writes it. */
function placeOf(ip: string, port: number): string {
  const hex = (value: number, length: number): string =>
    value.toString(16).padStart(length, "0").toUpperCase();
  const bytes = ip.split(".").map((part) => hex(Number(part), 2));
  return `${bytes.toReversed().join("")}:${hex(port, 4)}`;
}
