/**
 * What carries traffic, all of it in one process: the ports that flows take, who may have one, and
 * the listeners to which they come.
 *
 *     port binder ← traffic paths ← admission ← listeners
 *
 * It holds no lease: whoever keeps the leases fills the binder.
 */
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import type { AddressInfo, Server } from "node:net";
import type { Logger } from "pino";
import type { PoolPolicy } from "../core/pool-policy.ts";
import type { Samples } from "../metrics/node/registry.ts";
import { flowLogDirectory } from "./flow-log/flow-log-options.ts";
import { ProcessFlows } from "./flow-log/process-flows.ts";
import { diskFault } from "../process/disk-faults.ts";
import type { ShareMessage } from "../core/share-messages.ts";
import { CommandFault, listenReason } from "../process/command-fault.ts";
import { tenantOf } from "../core/identity.ts";
import { monotonicMs } from "../process/clock.ts";
import { descriptorLimit } from "../process/descriptors.ts";
import type { TokenVerifier } from "../wire/tokens.ts";
import { Admission } from "./admission/admission.ts";
import type { AgentConfig } from "./command-line.ts";
import { DestinationJudge } from "./destination-judge.ts";
import { Dialler } from "./egress/dial.ts";
import { type FlowContext, logFields } from "./egress/flow-context.ts";
import { UNMETERED } from "./egress/flow-use.ts";
import { OpenSockets } from "./egress/open-sockets.ts";
import { PortBinder } from "./egress/port-binder.ts";
import type { DestinationPolicy } from "../policy/destination-policy.ts";
import { Resolver } from "./egress/resolver.ts";
import { ProxyListener } from "./traffic/proxy/proxy-listener.ts";
import { RefusalCounts } from "./traffic/clients/refusals.ts";
import { IDLE_LIMITS, IdleTunnels } from "./traffic/tunnel/idle-tunnels.ts";
import { Visitors } from "./traffic/clients/visitors.ts";
import type { Uploads } from "./traffic/clients/uploads.ts";
import { LivePlane } from "./live-plane.ts";
import { ListenerCertificates } from "./listener-certificates.ts";
import { Gateway } from "./traffic/gateway/gateway.ts";
import { Outgoing } from "./traffic/origins/outgoing.ts";
import { Observation } from "./observation.ts";
import { UdpAssociations } from "./traffic/socks/udp-associations.ts";
import type { HostShares } from "./tenants/host-shares.ts";
import { TenantMeters } from "./tenants/tenant-meters.ts";
import { TenantBook } from "./tenants/tenant-book.ts";
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

const FLOWS_UNLOGGED = "flows cannot be logged, and go on: nobody will know who sent those of now";
/** The number of a process that is the only one. */
const OWN_PART = 0;
/** For whom uplinks are tried. No token has this for a name. */
const NOBODY = "";

/** What the traffic of a process needs. */
export interface DataPlaneOptions {
  readonly config: AgentConfig;
  /** Name of this host. */
  readonly host: string;
  /** Among the processes of the host; 0 for the only one. */
  readonly process?: number;
  /** Knows the edge's keys; its owner keeps them fresh. */
  readonly verifier: TokenVerifier;
  /** Makes the status of the host of what this process says of itself. */
  readonly describe: (own: Record<string, unknown>) => Promise<Record<string, unknown>>;
  readonly log: Logger;
}

/** Where a gateway and proxies listen. */
export interface Places {
  readonly gateway: AddressInfo;
  readonly proxies: readonly AddressInfo[];
}

/** From `listen` until `close`. */
export class DataPlane {
  readonly binder = new PortBinder();
  readonly uplinks: UplinkWatch;
  readonly #config: AgentConfig;
  /** Decides for whom what may leave. */
  readonly tenants: TenantBook;
  readonly #judge: DestinationJudge;
  readonly #resolver: Resolver;
  readonly #outgoing: Outgoing;
  readonly #admission: Admission;
  readonly #gateway: Gateway;
  readonly #proxy: ProxyListener;
  readonly #certificates: ListenerCertificates;
  readonly #flows: ProcessFlows;
  readonly #log: Logger;
  readonly #associations: UdpAssociations;
  readonly #visitors: Visitors;
  readonly #observation: Observation;
  /** As who looks at the host reads it. */
  readonly live: LivePlane;

  constructor({ config, host, process: number = 0, verifier, describe, log }: DataPlaneOptions) {
    this.#config = config;
    this.#log = log;
    this.#flows = new ProcessFlows(config, number, (fault) => log.error({ err: fault }, FLOWS_UNLOGGED));
    this.#resolver = new Resolver({ servers: config.nameServers });
    const { pool, connectTimeoutMs, responseTimeoutMs } = config;
    const isShared = (ip: string): boolean => this.binder.address(ip) !== undefined;
    this.#judge = new DestinationJudge({ config, isShared, log });
    const { policies } = this.#judge;
    const sockets = limitedSockets(log);
    const dialler = new Dialler(this.#resolver, { connectTimeoutMs, portWaitMs: PORT_WAIT_MS }, sockets);
    this.uplinks = this.#newUplinkWatch(policies.own());
    dialler.onTry = this.uplinks.onTry;
    dialler.recorder = this.#flows.recorder;
    this.#outgoing = new Outgoing(dialler, { responseTimeoutMs });
    this.tenants = new TenantBook(policies.make, null, metersOf(config, sockets, log));
    this.#admission = new Admission({
      pool,
      binder: this.binder,
      tenants: this.tenants,
      verifier,
      familiesOf: (name) => dialler.familiesOf(name),
    });
    const refusalCounts = new RefusalCounts();
    this.#visitors = visitorsOf(sockets, log);
    const shared = {
      host,
      admission: this.#admission,
      outgoing: this.#outgoing,
      visitors: this.#visitors,
      refusalCounts,
      onFault: (fault: unknown, context: FlowContext | null) => this.#onFault(fault, context),
    };
    this.#certificates = new ListenerCertificates(config, log);
    this.#gateway = new Gateway({
      ...shared,
      ...this.#certificates.ofGateway(),
      binder: this.binder,
      flowsAt: (question) => this.#flows.at(question),
      describe: (own) => describe({ ...own, uplinks: this.uplinks.describe(), ...this.#ownStatus() }),
    });
    const [outgoing, admission, gateway] = [this.#outgoing, this.#admission, this.#gateway];
    const parts = { dialler, refusalCounts, outgoing, admission, gateway };
    this.#observation = new Observation(config, host, parts, log);
    this.live = new LivePlane({ ...parts, binder: this.binder });
    this.#associations = new UdpAssociations({
      admission: this.#admission,
      resolver: this.#resolver,
      recorder: this.#flows.recorder,
      sockets,
      onEnded: (context, { egressPlace: { port }, tally }, problem) => {
        const fields = { ...logFields(context), port, ...tally.describe(), code: problem?.code };
        log.debug(fields, "a UDP association has ended");
      },
    });
    const { proxySources: sources, proxyMarks: marks, tunnelIdleMs: openMs } = config;
    const idle = new IdleTunnels({ ...IDLE_LIMITS, openMs });
    this.#proxy = new ProxyListener({
      ...shared,
      sources,
      marks,
      idle,
      ...this.#certificates.ofProxies(),
      associations: this.#associations,
    });
  }

  /** Tries ways out from connections of nobody, which no policy of the pool concerns. */
  #newUplinkWatch(policy: DestinationPolicy): UplinkWatch {
    const { pool, probes } = this.#config;
    const trials = new Dialler(this.#resolver, { connectTimeoutMs: TRIAL_TIMEOUT_MS, portWaitMs: 0 });
    trials.recorder = this.#flows.recorder;
    return new UplinkWatch({
      binder: this.binder,
      dialler: {
        dial: (address, to, port) =>
          trials.dial({ pool, address, tenant: NOBODY, policy, meter: UNMETERED }, to, port),
      },
      probes,
      links: new KernelLinkView(),
      oldestWait: (from) => this.#outgoing.oldestWait(from),
      log: this.#log,
    });
  }

  /** Decides by this policy of the pool from now on. Nobody is served before there is one. [PY6] */
  takePolicy(policy: PoolPolicy): void {
    this.tenants.take(policy);
  }

  /** Of the policy by which is decided; null for none. */
  get policyVersion(): number | null {
    return this.tenants.version;
  }

  /** Shares the tenants' limits out with others from now on; `onUse` is told what this process uses. [LI10] */
  shareLimits(hasBase: boolean, onUse: NonNullable<TenantMeters["onUse"]>): void {
    const { meters } = this.tenants;
    meters.shareWithOthers(hasBase);
    meters.onUse = onUse;
  }

  /** What this process may have of the tenants' limits. */
  takeShare(message: ShareMessage): void {
    this.tenants.meters.takeShare(message);
  }

  /** As one of several processes has it, alone: it has the host's shares to itself. */
  followShares(shares: HostShares): void {
    this.shareLimits(true, (number, uses) => shares.reported(OWN_PART, number, uses));
    shares.send = (_part, message) => this.takeShare(message);
    shares.onLapse = () => this.tenants.meters.lapse();
  }

  /** What this process says of itself. */
  status(): Record<string, unknown> {
    return { ...this.#gateway.status(), ...this.#ownStatus() };
  }

  /** What this process counts, and what its processes count: the same here; nothing without `--metrics`. */
  metrics(): Promise<readonly Samples[]> {
    return this.#observation.samples();
  }

  #ownStatus(): Record<string, unknown> {
    return {
      tenants: this.tenants.meters.describe(),
      udp: this.#associations.describe(),
      strangers: this.#visitors.describe(),
      policyVersion: this.policyVersion,
      reported: this.#judge.describe(),
      ...this.#flows.describe(),
    };
  }

  #onFault(fault: unknown, context: FlowContext | null): void {
    const flow = context === null ? {} : logFields(context);
    this.#log.error({ ...flow, err: fault }, "a request failed by a fault of ours");
  }

  /** Uploads that may be asked for in other processes of the host. */
  get uploads(): Uploads {
    return this.#gateway.uploads;
  }

  /**
   * Where the gateway and the proxies listen now. Other processes may listen there as well, if it is
   * shared. Throws `listen-failed`.
   */
  async listen(isShared = false): Promise<Places> {
    const { listenHost, listenPort, proxies } = this.#config;
    await this.#openLog();
    await this.#certificates.open();
    const reusePort = isShared;
    const gateway = await listening("--listen", { host: listenHost, port: listenPort }, (place) => {
      return this.#gateway.listen({ ...place, reusePort });
    });
    const places: AddressInfo[] = [];
    for (const proxy of proxies) {
      places.push(await listening("--proxy", proxy, (place) => this.#proxy.listen({ ...place, reusePort })));
    }
    const { metrics } = this.#config;
    // Whoever may send through here may not read them.
    const ofMetrics = metrics === null ? [] : [{ address: metrics.host, port: metrics.port }];
    await this.#judge.listensAt([gateway, ...places, ...ofMetrics]);
    return { gateway, proxies: places };
  }

  /** Begins to watch the ways out. */
  start(): void {
    this.uplinks.start();
  }

  async #openLog(): Promise<void> {
    try {
      await this.#flows.open();
    } catch (fault) {
      throw logUnusable(this.#config, fault);
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
      await setTimeout(20);
    }
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    this.uplinks.stop();
    this.#gateway.close();
    this.#proxy.close();
    this.#certificates.close();
    this.#associations.close();
    this.#outgoing.close();
    this.#resolver.close();
    this.tenants.meters.close();
    this.#judge.close();
    // Sockets say that they have closed a turn later.
    await setTimeout(0);
    await Promise.all([this.#flows.close(), this.#observation.close()]);
  }
}

function metersOf(
  { requestIdleMs, flowTotalMs: totalMs, connectTimeoutMs, responseTimeoutMs }: AgentConfig,
  crowd: OpenSockets,
  log: Logger,
): TenantMeters {
  return new TenantMeters({
    times: {
      // Until an answer begins there is a time of its own.
      requestIdleMs: Math.max(requestIdleMs, connectTimeoutMs + 2 * responseTimeoutMs),
      totalMs,
    },
    crowd,
    onCut: (identity, { code }) => {
      const fields = { tenant: tenantOf(identity), client: identity.subject, code };
      log.info(fields, "a flow was ended that may not go on");
    },
  });
}

/** A log that is asked for and cannot be kept. */
export function logUnusable(config: AgentConfig, fault: unknown): CommandFault {
  const reason = diskFault(fault) ?? String(fault);
  const message = `The flow log ${flowLogDirectory(config)} cannot be written: ${reason}`;
  return new CommandFault("state-unusable", message, fault);
}

/** Listens at a place, and tells where that is. Throws `listen-failed`. */
export async function listening(
  option: string,
  place: { readonly host: string; readonly port: number },
  listen: (place: { readonly host: string; readonly port: number }) => Server,
): Promise<AddressInfo> {
  try {
    const server = listen(place);
    await once(server, "listening");
    return server.address() as AddressInfo;
  } catch (fault) {
    const { host, port } = place;
    const why = listenReason(fault);
    const message = `Cannot listen on ${host}:${port}: ${why}. Choose another place with ${option}.`;
    throw new CommandFault("listen-failed", message, fault);
  }
}

function visitorsOf(sockets: OpenSockets, log: Logger): Visitors {
  const visitors = new Visitors(sockets);
  visitors.onCrowd = (resetCount) => {
    const message = "clients that show no valid token are too many: those that were there longest are reset";
    log.warn({ code: "strangers-exhausted", resetCount, ...visitors.describe() }, message);
  };
  return visitors;
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
