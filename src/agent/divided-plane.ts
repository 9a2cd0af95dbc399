/**
 * What carries traffic in several processes: the same as `DataPlane` to the agent, which holds the
 * leases. It finds out where they all listen, and takes together what they say.
 *
 *     pool member → lease keepers → division → data processes
 */
import { createServer, type AddressInfo } from "node:net";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import type { PoolPolicy } from "../core/pool-policy.ts";
import type { Samples } from "../metrics/node/registry.ts";
import { ownProgram } from "../process/own-files.ts";
import type { KeySet } from "../wire/keys.ts";
import type { AgentConfig } from "./command-line.ts";
import { listening, type Places } from "./data-plane.ts";
import type { DataProcessConfig } from "./data-process.ts";
import { DataProcesses, type KernelPart, type OwnStatus } from "./processes/data-processes.ts";
import type { ServedAddresses } from "./leasing/served-addresses.ts";
import type { HostShares } from "./tenants/host-shares.ts";
import { ProcessRecord } from "./processes/process-record.ts";
import type { WatchedPlane } from "./watch/plane-watch.ts";
import type { HostUplinks } from "./processes/host-uplinks.ts";

/** What it needs. */
export interface DividedPlaneOptions {
  readonly config: AgentConfig;
  readonly host: string;
  readonly keys: () => KeySet | null;
  /** What the kernel translates beside the processes; null for nothing. */
  readonly kernelPart: KernelPart | null;
  /** Makes the status of the host of what its processes say of themselves. */
  readonly describe: (own: Record<string, unknown>) => Promise<Record<string, unknown>>;
  readonly log: Logger;
}

const PROGRAM = ownProgram("data-process");
const SOCKET_FILE = "data.sock";
/** A longer path names no socket: the kernel has room for 108 octets, some for less. */
const LONGEST_PATH_BYTES = 100;
const RECORD_FILE = "data-processes.json";
const LONGEST_SERVING_OUT_MS = 3_000;

/** From `listen` until `close`. */
export class DividedPlane {
  readonly #options: DividedPlaneOptions;
  readonly #record: ProcessRecord;
  #processes: DataProcesses<DataProcessConfig> | null = null;
  #ownDirectory: string | null = null;
  #policy: PoolPolicy | null = null;
  #shares: HostShares | null = null;

  constructor(options: DividedPlaneOptions) {
    this.#options = options;
    this.#record = new ProcessRecord(join(options.config.stateDirectory, RECORD_FILE));
  }

  /** Where all processes listen now. Throws `listen-failed`. */
  async listen(): Promise<Places> {
    const { config } = this.#options;
    // What an agent before left behind may still listen there.
    const leftCount = await this.#record.endLeftovers();
    if (leftCount > 0) {
      this.#options.log.warn({ count: leftCount }, "data processes of an agent that was killed were ended");
    }
    // Without sharing first: so another program that listens there is found, and a free port is chosen.
    const gateway = await found("--listen", { host: config.listenHost, port: config.listenPort });
    const proxies: AddressInfo[] = [];
    for (const proxy of config.proxies) proxies.push(await found("--proxy", proxy));
    this.#processes = this.#make({
      ...config,
      listenPort: gateway.port,
      proxies: config.proxies.map(({ host }, at) => ({ host, port: proxies[at]!.port })),
    });
    if (this.#shares !== null) this.#processes.followShares(this.#shares);
    if (this.#policy !== null) this.#processes.takePolicy(this.#policy);
    try {
      await this.#processes.start();
    } catch (fault) {
      await this.#processes.close();
      throw fault;
    }
    return { gateway, proxies };
  }

  /** The processes have the host's shares of tenants' limits among them. */
  followShares(shares: HostShares): void {
    this.#shares = shares;
  }

  /** All processes decide by this policy of the pool from now on. */
  takePolicy(policy: PoolPolicy): void {
    this.#policy = policy;
    this.#processes?.takePolicy(policy);
  }

  /** Of the policy by which all of them decide at least; null for none. [PY7] */
  get policyVersion(): number | null {
    return this.#processes?.policyVersion ?? null;
  }

  /** What this process counts and what its processes count. */
  async metrics(): Promise<readonly Samples[]> {
    return (await this.#processes?.metrics()) ?? [];
  }

  /** As who looks at the host reads it. */
  get live(): WatchedPlane {
    return this.#running.live;
  }

  get binder(): ServedAddresses {
    return this.#running.addresses;
  }

  get uplinks(): HostUplinks {
    return this.#running.uplinks;
  }

  /** The processes watch their ways out by themselves. */
  start(): void {}

  stopAdmitting(): void {
    this.#processes?.stopAdmitting();
  }

  async untilClientsAreServed(): Promise<void> {
    await this.#processes?.untilClientsAreServed(LONGEST_SERVING_OUT_MS);
  }

  async close(): Promise<void> {
    await this.#processes?.close();
    if (this.#ownDirectory !== null) await rm(this.#ownDirectory, { recursive: true, force: true });
  }

  /** The state directory, or where its path is too long one that only this user can reach either. */
  #socketDirectory(): string {
    const { stateDirectory } = this.#options.config;
    if (Buffer.byteLength(join(stateDirectory, SOCKET_FILE)) <= LONGEST_PATH_BYTES) return stateDirectory;
    this.#ownDirectory = mkdtempSync(join(tmpdir(), "ipshard-"));
    return this.#ownDirectory;
  }

  get #running(): DataProcesses<DataProcessConfig> {
    if (this.#processes === null) throw new Error("The data processes have not been started.");
    return this.#processes;
  }

  #make(config: AgentConfig): DataProcesses<DataProcessConfig> {
    const { host, keys, kernelPart, log } = this.#options;
    const socketPath = join(this.#socketDirectory(), SOCKET_FILE);
    return new DataProcesses({
      count: config.processes,
      config: { agent: { ...config, edge: config.edge.href }, host, keys: keys() },
      socketPath,
      record: this.#record,
      commandOf: (number) => [process.execPath, ...process.execArgv, PROGRAM, socketPath, `${number}`, host],
      describe: (own) => this.#describe(own),
      ...(kernelPart === null ? {} : { kernelPart }),
      log,
    });
  }

  async #describe(own: readonly OwnStatus[]): Promise<Record<string, unknown>> {
    const { addresses, uplinks } = this.#running;
    const [first] = own;
    const views = addresses.views();
    return this.#options.describe({
      ...first?.status,
      running: sum(own, "running"),
      connections: sum(own, "connections"),
      refusals: sums(own, "refusals"),
      udp: sums(own, "udp"),
      strangers: sums(own, "strangers"),
      policyVersion: this.policyVersion,
      ...(first?.status["flowLog"] === undefined ? {} : { flowLog: sums(own, "flowLog") }),
      reported: sums(own, "reported"),
      tenants: tenantsOf(own),
      addresses: addresses.describe(),
      uplinks: uplinks.describe(addresses.ips()),
      processes: own.map(({ process: number, pid, status }) => {
        const view = views.find(({ part }) => part === number);
        const { running, connections } = status;
        return { pid, units: view?.unitCount ?? 0, flows: view?.flowCount ?? 0, running, connections };
      }),
    });
  }
}

async function found(
  option: string,
  place: { readonly host: string; readonly port: number },
): Promise<AddressInfo> {
  const server = createServer();
  const address = await listening(option, place, (at) => server.listen(at));
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return address;
}

function sum(own: readonly OwnStatus[], field: string): number {
  return own.reduce((total, { status }) => total + Number(status[field] ?? 0), 0);
}

/** By tenant, each count added up; limits are those of the host's policy in every process. */
function tenantsOf(own: readonly OwnStatus[]): Record<string, unknown>[] {
  const all = new Map<string, Record<string, unknown>>();
  for (const { status } of own) {
    for (const described of (status["tenants"] ?? []) as Record<string, unknown>[]) {
      const { tenant, limits, ...counts } = described;
      const before = all.get(String(tenant)) ?? { tenant, limits };
      for (const [name, more] of Object.entries(counts)) {
        const total = structuredClone((before[name] ?? {}) as Counts);
        add(total, more as Counts);
        before[name] = total;
      }
      all.set(String(tenant), before);
    }
  }
  return [...all.values()];
}

type Counts = { [name: string]: number | Counts };

/** Counts by name, and those within them, each added up. */
function sums(own: readonly OwnStatus[], field: string): Counts {
  const total: Counts = {};
  for (const { status } of own) add(total, (status[field] ?? {}) as Counts);
  return total;
}

function add(total: Counts, counts: Counts): void {
  for (const [name, count] of Object.entries(counts)) {
    const known = total[name] ?? (typeof count === "number" ? 0 : {});
    if (typeof count === "number") total[name] = Number(known) + count;
    else add((total[name] = known as Counts), count);
  }
}
