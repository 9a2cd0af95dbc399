/**
 * The agent of one host: holds leases in one pool, and sends requests from their ports.
 *
 *     pool member → lease keepers → port binder ← data plane
 *
 * The left half fills the binder, the right half takes from it; neither knows the other.
 */
import type { Logger } from "pino";
import type { AgentConfig } from "./command-line.ts";
import { DataPlane, logUnusable } from "./data-plane.ts";
import { DividedPlane } from "./divided-plane.ts";
import {
  devicesOfSenders,
  forgetTranslation,
  startTranslator,
  tellFindings,
  translatorOf,
} from "./kernel-translation.ts";
import type { Translator } from "./translation/translator.ts";
import { PolicyCopy } from "../link/policy-copy.ts";
import { PublishedKeys } from "../link/published-keys.ts";
import { MetricsListener } from "../metrics/node/metrics-listener.ts";
import type { BlockLog } from "./flow-log/block-log.ts";
import { blockLogOf, trimLeftovers } from "./flow-log/flow-log-options.ts";
import { HostMetrics } from "./host-metrics.ts";
import { NotedAddresses } from "./noted-addresses.ts";
import type { EdgeToken } from "../link/edge-token.ts";
import { HostShares } from "./tenants/host-shares.ts";
import type { Machine } from "./machine/guarded-machine.ts";
import { PoolMember } from "./leasing/pool-member.ts";
import { systemTimers } from "../process/timers.ts";
import { packageVersion } from "../process/version.ts";
import { HostView, type ViewedAddress } from "./watch/host-view.ts";
import { PastRecorder } from "./watch/past-recorder.ts";
import { usedCount } from "./watch/plane-watch.ts";
import type { StateDirectory } from "../link/state-directory.ts";

const BLOCK_LOG_FAULT = "blocks cannot be logged: who held a port is known at the edge alone";

/** Runs from `start` until `drain` has resolved. */
export class Agent {
  readonly #config: AgentConfig;
  readonly #log: Logger;
  readonly #state: StateDirectory;
  readonly #keys: PublishedKeys;
  /** In this process, or in several. */
  readonly #dataPlane: DataPlane | DividedPlane;
  readonly #token: EdgeToken;
  readonly #machine: Machine;
  readonly #policy: PolicyCopy;
  readonly #blockLog: BlockLog | null;
  readonly #shares: HostShares;
  /** Null where the kernel translates for nobody. */
  readonly #translator: Translator | null;
  #member: PoolMember | null = null;
  #metrics: MetricsListener | null = null;
  #recorder: PastRecorder | null = null;

  constructor(config: AgentConfig, token: EdgeToken, state: StateDirectory, machine: Machine, log: Logger) {
    this.#machine = machine;
    this.#config = config;
    this.#token = token;
    this.#state = state;
    this.#log = log;
    this.#keys = new PublishedKeys({
      edge: config.edge,
      kept: state.keptKeys,
      keep: (keys) => state.keepKeys(keys),
      log,
    });
    const host = token.subject;
    this.#blockLog = blockLogOf(config, (fault) => log.error({ err: fault }, BLOCK_LOG_FAULT));
    const describe = async (own: Record<string, unknown>): Promise<Record<string, unknown>> => ({
      ...own,
      ...(await machine.describe()),
      ...(this.#blockLog === null ? {} : { blockLog: this.#blockLog.counts }),
      ...(this.#translator === null ? {} : { translation: await this.#translator.status() }),
    });
    this.#translator = config.snat.length === 0 ? null : translatorOf(config, machine, this.#blockLog, log);
    const kernelPart = this.#translator;
    this.#dataPlane =
      // What the kernel translates is a part of an address beside those of processes.
      config.processes === 1 && kernelPart === null
        ? new DataPlane({ config, host, verifier: this.#keys, describe, log })
        : new DividedPlane({ config, host, keys: () => state.keptKeys, kernelPart, describe, log });
    this.#policy = this.#policyCopy(config);
    this.#shares = new HostShares(config.processes);
    this.#dataPlane.followShares(this.#shares);
  }

  /** Of the edge, and of this host's disk for when the edge is away. */
  #policyCopy({ edge, pool }: AgentConfig): PolicyCopy {
    const { keptPolicy } = this.#state;
    return new PolicyCopy({
      edge,
      pool,
      token: () => this.#token.read(),
      kept: keptPolicy?.pool === pool ? keptPolicy.policy : null,
      keep: (policy) => this.#state.keepPolicy({ pool, policy }),
      use: (policy) => {
        this.#translator?.takePolicy(policy);
        this.#dataPlane.takePolicy(policy);
      },
      log: this.#log,
    });
  }

  /** Listens, then joins the pool; an edge that is away is waited for in the background. */
  async start(): Promise<void> {
    await this.#openLog();
    // First: what is to be translated must not leave otherwise.
    if (this.#translator === null) this.#machine.endTranslation = () => forgetTranslation(this.#log);
    else {
      const { snat } = this.#config;
      this.#machine.senderDevices = () => devicesOfSenders(snat);
      await tellFindings(snat, this.#log);
      await startTranslator(this.#translator, this.#machine);
    }
    const places = await this.#dataPlane.listen();
    const { port } = places.gateway;
    const { edge, pool, listenHost, gateway, drainDeadlineMs, reach, site, weight, restMs } = this.#config;
    const scheme = this.#config.gatewayCertificate === null ? "http" : "https";
    const listening = `${scheme}://${listenHost.includes(":") ? `[${listenHost}]` : listenHost}:${port}`;
    const { binder, uplinks } = this.#dataPlane;
    this.#member = new PoolMember({
      edge,
      pool,
      gateway: gateway ?? listening,
      instance: this.#state.instance,
      token: () => this.#token.read(),
      reach,
      site,
      weight,
      binder: this.#blockLog === null ? binder : new NotedAddresses(binder, this.#blockLog),
      uplinks,
      policy: {
        told: (version) => this.#policy.told(version),
        version: () => this.#dataPlane.policyVersion,
      },
      shares: this.#shares,
      machine: this.#machine,
      epochs: this.#state,
      slots: this.#state.slots,
      advertised: this.#state,
      host: this.#view(() => this.#member!),
      drainDeadlineMs,
      keeperTiming: { restMs },
      log: this.#log,
    });
    await this.#tellMetrics(this.#member);
    this.#log.info(
      { pool, edge: edge.href, gateway: gateway ?? listening },
      `the gateway listens on ${listening}`,
    );
    for (const { address, port: at } of places.proxies) {
      const place = address.includes(":") ? `[${address}]:${at}` : `${address}:${at}`;
      this.#log.info({ pool }, `a proxy listens on ${place}, for HTTP and SOCKS5`);
    }
    this.#keys.start();
    this.#dataPlane.start();
    this.#recorder?.start();
    this.#member.start();
  }

  /** Takes no new requests, lets the others end until the deadline, and gives every lease back. */
  async drain(): Promise<void> {
    this.#dataPlane.stopAdmitting();
    await this.#member?.drain(this.#config.drainDeadlineMs);
    await this.#dataPlane.untilClientsAreServed();
    this.#metrics?.close();
    this.#recorder?.stop();
    this.#keys.stop();
    this.#policy.stop();
    await this.#dataPlane.close();
    await this.#translator?.close();
    await this.#machine.close();
    await this.#blockLog?.close();
    await this.#state.close();
  }

  /** What is told of this host while somebody looks; its counts go on over a restart. [LV7] [LV8] */
  #view(member: () => PoolMember): HostView {
    const { live } = this.#dataPlane;
    const nowMs = Date.now;
    const addresses = (): ViewedAddress[] =>
      member()
        .measures()
        .map(({ ports, spare, counts }) => {
          const served = Array.from(ports.leases(), ({ lease }) => lease);
          return {
            ip: ports.ip,
            leases: spare === null ? served : [...served, spare],
            lease: counts.lease,
          };
        });
    this.#recorder = new PastRecorder({
      counts: () => live.counts(),
      portCount: () => addresses().reduce((sum, { ip }) => sum + usedCount(live.usedPorts(ip)), 0),
      kept: this.#state.keptPast,
      keep: (past) => this.#state.keepPast(past),
      timers: systemTimers,
      nowMs,
    });
    return new HostView({
      version: packageVersion(),
      startedAtMs: nowMs(),
      processCount: this.#config.processes,
      plane: live,
      addresses,
      recorder: this.#recorder,
      nowMs,
    });
  }

  async #tellMetrics(member: PoolMember): Promise<void> {
    const place = this.#config.metrics;
    if (place === null) return;
    const { uplinks } = this.#dataPlane;
    const metrics = new HostMetrics({
      member,
      uplinks,
      machine: this.#machine,
      translator: this.#translator,
      dataPlane: this.#dataPlane,
      isAlone: this.#dataPlane instanceof DataPlane,
    });
    this.#metrics = await MetricsListener.open({ place, text: () => metrics.text(), log: this.#log });
  }

  /** A host that cannot log what it is to log does not begin to send. Throws `state-unusable`. */
  async #openLog(): Promise<void> {
    if (this.#blockLog === null) return;
    try {
      await this.#blockLog.open();
      await trimLeftovers(this.#config);
    } catch (fault) {
      throw logUnusable(this.#config, fault);
    }
  }
}
