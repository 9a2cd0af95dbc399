/**
 * What carries traffic, all of it in one process: the ports that flows take, who may have one, and
 * the listeners to which they come.
 *
 *     port binder ← traffic paths ← admission ← listeners
 *
 * It holds no lease: whoever keeps the leases fills the binder.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { CommandFault, listenReason } from "../process/command-fault.ts";
import { monotonicMs } from "../process/clock.ts";
import { descriptorLimit } from "../process/descriptors.ts";
import type { TokenVerifier } from "../wire/tokens.ts";
import { Admission } from "./admission/admission.ts";
import type { AgentConfig } from "./command-line.ts";
import { DestinationPolicy } from "./egress/destination-policy.ts";
import { Dialler } from "./egress/dial.ts";
import { logFields } from "./egress/flow-context.ts";
import { OpenSockets } from "./egress/open-sockets.ts";
import { OwnAddresses } from "./egress/own-addresses.ts";
import { PortBinder } from "./egress/port-binder.ts";
import { Resolver } from "./egress/resolver.ts";
import { Gateway } from "./traffic/gateway/gateway.ts";
import { Outgoing } from "./traffic/origins/outgoing.ts";
import { KernelLinkView } from "./uplink/link-view.ts";
import { UplinkWatch } from "./uplink/uplink-watch.ts";

/** How long a connection waits for a block that is on its way. */
const PORT_WAIT_MS = 2_000;
/** How long a trial of an uplink waits for an answer. */
const TRIAL_TIMEOUT_MS = 1_500;
/** After the last flow towards a destination, what is left to be said to clients. */
const CLIENT_GRACE_MS = 2_000;
/** When no request has come for so long, every busy Worker has been refused, and sends none. */
const QUIET_MS = 500;

/** What the traffic of a process needs. */
export interface DataPlaneOptions {
  readonly config: AgentConfig;
  /** Name of this host. */
  readonly host: string;
  /** Knows the edge's keys; its owner keeps them fresh. */
  readonly verifier: TokenVerifier;
  /** What the host wants to add to its status. */
  readonly describe: () => Promise<Record<string, unknown>>;
  readonly log: Logger;
}

/** From `listen` until `close`. */
export class DataPlane {
  readonly binder = new PortBinder();
  readonly uplinks: UplinkWatch;
  readonly #config: AgentConfig;
  readonly #ownAddresses = new OwnAddresses({ isShared: (ip) => this.binder.address(ip) !== undefined });
  readonly #resolver: Resolver;
  readonly #outgoing: Outgoing;
  readonly #admission: Admission;
  readonly #gateway: Gateway;

  constructor({ config, host, verifier, describe, log }: DataPlaneOptions) {
    this.#config = config;
    this.#resolver = new Resolver({ servers: config.nameServers });
    const { allowed, denied, pool, connectTimeoutMs, responseTimeoutMs } = config;
    const policy = new DestinationPolicy({ allowed, denied, isOwn: (ip) => this.#ownAddresses.isOwn(ip) });
    const sockets = limitedSockets(log);
    const dialler = new Dialler(this.#resolver, { connectTimeoutMs, portWaitMs: PORT_WAIT_MS }, sockets);
    const trials = new Dialler(this.#resolver, { connectTimeoutMs: TRIAL_TIMEOUT_MS, portWaitMs: 0 });
    this.uplinks = new UplinkWatch({
      binder: this.binder,
      dialler: { dial: (address, to, port) => trials.dial({ pool, address, policy }, to, port) },
      probes: config.probes,
      links: new KernelLinkView(),
      oldestWait: (from) => this.#outgoing.oldestWait(from),
      log,
    });
    dialler.onTry = this.uplinks.onTry;
    this.#outgoing = new Outgoing(dialler, { responseTimeoutMs });
    this.#admission = new Admission({
      pool,
      binder: this.binder,
      policy,
      verifier,
      familiesOf: (name) => dialler.familiesOf(name),
    });
    this.#gateway = new Gateway({
      host,
      admission: this.#admission,
      binder: this.binder,
      outgoing: this.#outgoing,
      sockets,
      describe: async () => ({ ...(await describe()), uplinks: this.uplinks.describe() }),
      onFault: (fault, context) => {
        const flow = context === null ? {} : logFields(context);
        log.error({ ...flow, err: fault }, "a request failed by a fault of ours");
      },
    });
  }

  /** Where the gateway listens now. Throws `listen-failed`. */
  async listen(): Promise<AddressInfo> {
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

  /** Admits no new flows; those that run go on. */
  stopAdmitting(): void {
    this.#admission.isDraining = true;
  }

  /**
   * A Worker that has not heard of the drain yet still sends requests here, which are refused, so that
   * they go to another host. One that met a closed connection instead might not be repeated. [AG8]
   */
  async untilClientsAreServed(): Promise<void> {
    const endMs = monotonicMs() + CLIENT_GRACE_MS;
    const isDone = (): boolean => this.#gateway.runningCount === 0 && this.#gateway.isQuietFor(QUIET_MS);
    while (!isDone() && monotonicMs() < endMs) {
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  }

  /** Ends everything at once. */
  close(): void {
    this.uplinks.stop();
    this.#gateway.server.close();
    this.#gateway.server.closeAllConnections();
    this.#outgoing.close();
    this.#resolver.close();
    this.#ownAddresses.close();
  }
}

/** As many as the process may have descriptors for. */
function limitedSockets(log: Logger): OpenSockets {
  const sockets = OpenSockets.within(descriptorLimit());
  sockets.onFull = () => {
    const advice = "Allow the process more open files (ulimit -n, LimitNOFILE), or add a host.";
    log.warn(
      { code: "connections-exhausted" },
      `no room for more than ${sockets.max} connections. ${advice}`,
    );
  };
  return sockets;
}
