/**
 * Two pools on one edge, one with a router and one without, so that the same grant can be had
 * in both: the difference is what steering costs.
 *
 * All that a grant passes is real: the edge on workerd with its objects, the router in a process
 * of its own, the kernel of a network namespace, and 32 hosts that joined the address and hold
 * blocks of it. The pool's *other* addresses stand in its table, in the router and in the kernel,
 * but no object of theirs was ever made: they are written to the pool's storage by its own store
 * while the edge is down, since 10,000 objects take no part in a grant and an hour to make.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PoolStore } from "../durable-objects/pool/pool-store.ts";
import { SteeringStore } from "../durable-objects/steering/steering-store.ts";
import { PROTOCOL_VERSION } from "../src/core/messages.ts";
import { DEFAULT_ROUTER_CONFIG } from "../src/router/steering/router-config.ts";
import { pinDirectoryIn } from "../test/lab/kernel-in-namespace.ts";
import { PLACELESS } from "../src/core/whereabouts.ts";
import { openNodeDatabase } from "../test/contract/node-database.ts";
import { Cluster, EGRESS_IP, POOL, until } from "../test/e2e/cluster.ts";
import {
  addNamespace,
  execInside,
  newPrefix,
  removeLeftovers,
  removeNamespace,
} from "../test/lab/namespaces.ts";
import { type Asker, openAsker } from "./asker.ts";
import { type BackEnd, addressAt, entryAt, HOLDER_COUNT, holderNextHopOf } from "./steering-rig.ts";
import type { Step, TimedRouterOptions } from "./timed-router.ts";

const STEERED_POOL = "steered";
const STEERED_IP = "192.0.2.1";
/** Nothing ends by itself, and a block that is given back can be had again. */
const SETTINGS = {
  quarantineMs: 0,
  minPortsPerHost: 0,
  maxPortsPerHost: 64_512,
  leaseDurationMs: 86_400_000,
};
/** Of the holders that only hold. */
const HELD_ORDER = 10;
const READY_TIMEOUT_MS = 180_000;
const SMALL_STEP_TIMEOUT_MS = 10_000;

/** The last holder of an address, in both pools. */
export interface Pair {
  readonly steered: Asker;
  readonly plain: Asker;
}

/** From `create` to `destroy`. */
export class GrantRig {
  readonly #cluster: Cluster;
  readonly #namespace = `${newPrefix()}grants`;
  #router: ChildProcess | null = null;
  #steps: Step[] = [];
  #onStep: (() => void) | null = null;
  #askers: Asker[] = [];
  #addressCount = 1;

  readonly #backEnd: BackEnd;

  private constructor(cluster: Cluster, backEnd: BackEnd) {
    this.#cluster = cluster;
    this.#backEnd = backEnd;
  }

  /** Both pools with one address each; needs root. */
  static async create(backEnd: BackEnd): Promise<GrantRig> {
    removeLeftovers();
    const rig = new GrantRig(await Cluster.start({ hosts: [], settings: SETTINGS }), backEnd);
    try {
      await rig.#build();
    } catch (fault) {
      await rig.destroy();
      throw fault;
    }
    return rig;
  }

  /** Both pools as they are to be measured, the steered one with so many addresses. */
  async prepare(addressCount: number): Promise<Pair> {
    if (addressCount > this.#addressCount) {
      await this.#cluster.killEdge();
      await this.#fill(this.#addressCount, addressCount);
      this.#addressCount = addressCount;
      await this.#cluster.startEdge();
    }
    await this.#untilRouterReady();
    for (const asker of this.#askers.splice(0)) asker.close();
    return { steered: await this.#holders(STEERED_IP), plain: await this.#holders(EGRESS_IP) };
  }

  /** The change that the kernel applied since the last call; waits for it. */
  async nextStep(): Promise<Step> {
    if (this.#steps.length === 0) {
      const came = new Promise<void>((resolve) => {
        this.#onStep = resolve;
      });
      const timeout = AbortSignal.timeout(SMALL_STEP_TIMEOUT_MS);
      await Promise.race([came, once(timeout, "abort")]);
    }
    const step = this.#steps.shift();
    if (step === undefined) throw new Error("the router was told of no change");
    return step;
  }

  /** Ends and removes everything. */
  async destroy(): Promise<void> {
    for (const asker of this.#askers) asker.close();
    if (this.#router !== null) {
      const exited = once(this.#router, "exit");
      this.#router.kill("SIGKILL");
      await exited;
    }
    await this.#cluster.stop();
    await rm(pinDirectoryIn(this.#namespace, DEFAULT_ROUTER_CONFIG.table), { recursive: true, force: true });
    removeNamespace(this.#namespace);
  }

  async #build(): Promise<void> {
    await addNamespace(this.#namespace);
    const pair = ["ip", "link", "add", "in0", "type", "veth", "peer", "name", "out0"];
    await execInside(this.#namespace, pair);
    await this.#cluster.api.putPool({ pool: STEERED_POOL, settings: SETTINGS });
    await this.#cluster.api.putIp({ pool: STEERED_POOL, ip: STEERED_IP });
    for (let holder = 0; holder < HOLDER_COUNT; holder += 1) await this.#enlist(holder);
    await this.#startRouter();
    // From its first router on a pool is steered; what is written to its storage later counts on it.
    await this.#untilRouterReady();
  }

  /** A host says how routers reach it. */
  async #enlist(holder: number): Promise<void> {
    const url = `${this.#cluster.edgeUrl}/v1/pools/${STEERED_POOL}/connect`;
    const { host, ...reach } = holderNextHopOf(holder);
    const asker = await openAsker(url, await this.#token("host", host));
    const enlisted = await asker.say({
      type: "enlist",
      version: PROTOCOL_VERSION,
      instance: instanceOf(holder),
      gateway: "http://127.0.0.1:9",
      reach,
    });
    asker.close();
    if (enlisted["type"] !== "enlisted") throw new Error(`no host: ${JSON.stringify(enlisted)}`);
  }

  async #startRouter(): Promise<void> {
    const stateDirectory = join(this.#cluster.directory, "router");
    await mkdir(stateDirectory);
    const tokenFile = join(this.#cluster.directory, "router.token");
    await writeFile(tokenFile, await this.#token("router", "r1"));
    const options: TimedRouterOptions = {
      edge: this.#cluster.edgeUrl,
      pool: STEERED_POOL,
      tokenFile,
      stateDirectory,
      namespace: this.#namespace,
      backEnd: this.#backEnd,
    };
    const program = join(import.meta.dirname, "timed-router.ts");
    const stdio = ["ignore", "ignore", "ignore", "ipc"] as const;
    this.#router = fork(program, [JSON.stringify(options)], { stdio: [...stdio] });
    this.#router.on("message", (step: Step) => {
      this.#steps.push(step);
      this.#onStep?.();
    });
  }

  async #untilRouterReady(): Promise<void> {
    const isReady = async (): Promise<boolean> => {
      const { routers } = await this.#cluster.api.getPool({ pool: STEERED_POOL });
      return routers.length === 1 && routers[0]!.ready;
    };
    await until("the router is ready", isReady, READY_TIMEOUT_MS);
  }

  /** All holders of an address, joined, and all but the last with a block. Answers the last. */
  async #holders(ip: string): Promise<Asker> {
    for (let holder = 0; holder < HOLDER_COUNT; holder += 1) {
      const token = await this.#token("host", holderNextHopOf(holder).host);
      const asker = await openAsker(`${this.#cluster.edgeUrl}/v1/ips/${ip}/connect`, token);
      this.#askers.push(asker);
      const joined = await asker.ask({
        type: "join",
        version: PROTOCOL_VERSION,
        instance: instanceOf(holder),
      });
      if (joined["type"] !== "answer") throw new Error(`no holder: ${JSON.stringify(joined)}`);
      const isLast = holder === HOLDER_COUNT - 1;
      if (isLast || joined["leases"].length > 0) continue;
      await asker.ask({ type: "acquire", order: HELD_ORDER });
      if (ip === STEERED_IP) await this.nextStep();
    }
    return this.#askers.at(-1)!;
  }

  /** Writes addresses with all their entries to the pool's storage, while no edge runs. */
  async #fill(from: number, to: number): Promise<void> {
    const database = openNodeDatabase(await this.#poolFile());
    const pool = new PoolStore(database);
    const steering = new SteeringStore(database);
    const { revision } = pool.pool()!;
    database.transactionSync(() => {
      for (let at = from; at < to; at += 1) {
        const ip = addressAt(at);
        pool.putIp({ ip, advertised: null, ...PLACELESS }, revision);
        const put = Array.from({ length: HOLDER_COUNT }, (_, holder) => entryAt(ip, holder));
        steering.apply(ip, { version: 1, lastEpoch: 0, blocks: [] }, { withdraw: [], put, addIps: [ip] });
      }
    });
    database.close();
  }

  async #poolFile(): Promise<string> {
    const files = await readdir(this.#cluster.directory, { recursive: true });
    for (const file of files.filter((name) => /EgressPool.*\.sqlite$/.test(name))) {
      const path = join(this.#cluster.directory, file);
      const database = openNodeDatabase(path);
      const name = new PoolStore(database).pool()?.name;
      database.close();
      if (name === STEERED_POOL) return path;
    }
    throw new Error("the pool's storage is not where it was");
  }

  #token(role: "host" | "router", name: string): Promise<string> {
    return this.#cluster.token(role, name, [POOL, STEERED_POOL]);
  }
}

function instanceOf(holder: number): string {
  return `bench-instance-${holder}`;
}
