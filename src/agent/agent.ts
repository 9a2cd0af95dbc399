/**
 * The agent of one host: holds leases in one pool, and sends requests from their ports.
 *
 *     pool member → lease keepers → port binder ← traffic paths ← admission ← gateway
 *
 * The left half fills the binder, the right half takes from it; neither knows the other.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { CommandFault, listenReason } from "../process/command-fault.ts";
import type { AgentConfig } from "./command-line.ts";
import { Admission } from "./admission/admission.ts";
import { DestinationPolicy } from "./egress/destination-policy.ts";
import { Dialler } from "./egress/dial.ts";
import { logFields } from "./egress/flow-context.ts";
import { PublishedKeys } from "../link/published-keys.ts";
import { Gateway } from "./traffic/gateway/gateway.ts";
import type { EdgeToken } from "../link/edge-token.ts";
import type { Machine } from "./machine/guarded-machine.ts";
import { OpenSockets } from "./egress/open-sockets.ts";
import { OwnAddresses } from "./egress/own-addresses.ts";
import { Outgoing } from "./traffic/origins/outgoing.ts";
import { PoolMember } from "./leasing/pool-member.ts";
import { PortBinder } from "./egress/port-binder.ts";
import { Resolver } from "./egress/resolver.ts";
import { KernelLinkView } from "./uplink/link-view.ts";
import { UplinkWatch } from "./uplink/uplink-watch.ts";
import type { StateDirectory } from "../link/state-directory.ts";
import { monotonicMs } from "../process/clock.ts";
import { descriptorLimit } from "../process/descriptors.ts";

/** How long a connection waits for a block that is on its way. */
const PORT_WAIT_MS = 2_000;
/** How long a trial of an uplink waits for an answer. */
const TRIAL_TIMEOUT_MS = 1_500;
/** After the last flow towards a destination, what is left to be said to clients. */
const CLIENT_GRACE_MS = 2_000;
/** When no request has come for so long, every busy Worker has been refused, and sends none. */
const QUIET_MS = 500;

/** Runs from `start` until `drain` has resolved. */
export class Agent {
  readonly #config: AgentConfig;
  readonly #log: Logger;
  readonly #state: StateDirectory;
  readonly #binder = new PortBinder();
  readonly #ownAddresses = new OwnAddresses({ isShared: (ip) => this.#binder.address(ip) !== undefined });
  readonly #resolver: Resolver;
  readonly #outgoing: Outgoing;
  readonly #keys: PublishedKeys;
  readonly #admission: Admission;
  readonly #gateway: Gateway;
  readonly #token: EdgeToken;
  readonly #machine: Machine;
  readonly #uplinks: UplinkWatch;
  #member: PoolMember | null = null;

  constructor(config: AgentConfig, token: EdgeToken, state: StateDirectory, machine: Machine, log: Logger) {
    this.#machine = machine;
    this.#config = config;
    this.#token = token;
    this.#state = state;
    this.#log = log;
    this.#resolver = new Resolver({ servers: config.nameServers });
    const { allowed, denied } = config;
    const policy = new DestinationPolicy({ allowed, denied, isOwn: (ip) => this.#ownAddresses.isOwn(ip) });
    const { pool, connectTimeoutMs, responseTimeoutMs } = config;
    const sockets = OpenSockets.within(descriptorLimit());
    sockets.onFull = () => {
      const advice = "Allow the process more open files (ulimit -n, LimitNOFILE), or add a host.";
      log.warn(
        { code: "connections-exhausted" },
        `no room for more than ${sockets.max} connections. ${advice}`,
      );
    };
    const dialler = new Dialler(this.#resolver, { connectTimeoutMs, portWaitMs: PORT_WAIT_MS }, sockets);
    const trials = new Dialler(this.#resolver, { connectTimeoutMs: TRIAL_TIMEOUT_MS, portWaitMs: 0 });
    this.#uplinks = new UplinkWatch({
      binder: this.#binder,
      dialler: { dial: (address, host, port) => trials.dial({ pool, address, policy }, host, port) },
      probes: config.probes,
      links: new KernelLinkView(),
      oldestWait: (from) => this.#outgoing.oldestWait(from),
      log,
    });
    dialler.onTry = this.#uplinks.onTry;
    this.#outgoing = new Outgoing(dialler, { responseTimeoutMs });
    this.#keys = new PublishedKeys({
      edge: config.edge,
      kept: state.keptKeys,
      keep: (keys) => state.keepKeys(keys),
      log,
    });
    this.#admission = new Admission({
      pool,
      binder: this.#binder,
      policy,
      verifier: this.#keys,
      familiesOf: (name) => dialler.familiesOf(name),
    });
    this.#gateway = new Gateway({
      host: token.subject,
      admission: this.#admission,
      binder: this.#binder,
      outgoing: this.#outgoing,
      sockets,
      describe: async () => ({ ...(await machine.describe()), uplinks: this.#uplinks.describe() }),
      onFault: (fault, context) => {
        const flow = context === null ? {} : logFields(context);
        log.error({ ...flow, err: fault }, "a request failed by a fault of ours");
      },
    });
  }

  /** Listens, then joins the pool; an edge that is away is waited for in the background. */
  async start(): Promise<void> {
    const { port } = await this.#listen();
    const { edge, pool, listenHost, gateway, drainDeadlineMs, reach, site, weight, restMs } = this.#config;
    const listening = `http://${listenHost.includes(":") ? `[${listenHost}]` : listenHost}:${port}`;
    this.#member = new PoolMember({
      edge,
      pool,
      gateway: gateway ?? listening,
      instance: this.#state.instance,
      token: () => this.#token.read(),
      reach,
      site,
      weight,
      binder: this.#binder,
      uplinks: this.#uplinks,
      machine: this.#machine,
      epochs: this.#state,
      slots: this.#state.slots,
      drainDeadlineMs,
      keeperTiming: { restMs },
      log: this.#log,
    });
    this.#log.info(
      { pool, edge: edge.href, gateway: gateway ?? listening },
      `the gateway listens on ${listening}`,
    );
    this.#keys.start();
    this.#uplinks.start();
    this.#member.start();
  }

  /** Takes no new requests, lets the others end until the deadline, and gives every lease back. */
  async drain(): Promise<void> {
    this.#admission.isDraining = true;
    await this.#member?.drain(this.#config.drainDeadlineMs);
    await this.#untilClientsAreServed();
    this.#uplinks.stop();
    this.#keys.stop();
    this.#gateway.server.close();
    this.#gateway.server.closeAllConnections();
    this.#outgoing.close();
    this.#resolver.close();
    this.#ownAddresses.close();
    await this.#machine.close();
    await this.#state.close();
  }

  async #listen(): Promise<AddressInfo> {
    const { listenHost, listenPort } = this.#config;
    const { server } = this.#gateway;
    try {
      this.#gateway.listen({ host: listenHost, port: listenPort });
      await once(server, "listening");
      return server.address() as AddressInfo;
    } catch (fault) {
      const why = listenReason(fault);
      throw new CommandFault(
        "listen-failed",
        `Cannot listen on ${listenHost}:${listenPort}: ${why}. Choose another place with --listen.`,
        fault,
      );
    }
  }

  /**
   * A Worker that has not heard of the drain yet still sends requests here, which are refused, so that
   * they go to another host. One that met a closed connection instead might not be repeated. [AG8]
   */
  async #untilClientsAreServed(): Promise<void> {
    const endMs = monotonicMs() + CLIENT_GRACE_MS;
    const isDone = (): boolean => this.#gateway.runningCount === 0 && this.#gateway.isQuietFor(QUIET_MS);
    while (!isDone() && monotonicMs() < endMs) {
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  }
}
