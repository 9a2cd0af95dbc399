/**
 * A whole ipshard in the laboratory of the drawing, made of the real processes: the edge behind
 * the management network, routers, hosts, an origin on the Internet, and a client beside the
 * edge. Addresses are put on the hosts by their agents. What is so must be shown by captures and
 * by what the origin saw, not by what these processes say of themselves.
 */
import type { Steering } from "../../src/router/steering/steering-choice.ts";
import { readyForXdp } from "./xdp-cables.ts";
import { chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Role as TokenRole } from "../../src/core/identity.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { EDGE_URL, EdgeSide } from "./edge-side.ts";
import type { Lab, LabOptions } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import {
  hostOnLan,
  hostOnManagement,
  hostsOf,
  routerOnManagement,
  routersOf,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import { testedProgram } from "../runner/tested-program.ts";

/** The pool that every deployment has, with both shared addresses. */
export const POOL = "default";
/** Both shared addresses. */
export const SHARED = [SHARED_IPV4, SHARED_IPV6] as const;

/** What is documentation elsewhere is the Internet here. */
const ORIGIN_RANGES = ["198.51.100.0/24", "2001:db8::/32"];
const AGENT = testedProgram("agent");
const ROUTER = testedProgram("router");

const NOBODY = 65_534;
const ONLY = "-all,+net_admin,+dac_read_search";
/** Reading besides, since a clone may lie where nobody could read it; that gives no right to change anything. */
const AS_NOBODY = [
  "setpriv",
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  "--clear-groups",
  "--no-new-privs",
].concat(["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=${ONLY}`));

/** What is deployed. */
export interface DeploymentOptions extends Omit<LabOptions, "areSharedConfigured"> {
  readonly settings?: Partial<PoolSettings>;
  /** Hosts whose agents are not started yet. */
  readonly idleHosts?: readonly string[];
  /** Special ranges that agents may reach; those of the origins without it. */
  readonly allowed?: readonly string[];
  /** More arguments for every agent. */
  readonly agentArgs?: readonly string[];
  /** By what routers steer; what they choose themselves, unless it is given. */
  readonly steering?: Steering;
  /** Agents and routers as the units of deploy/systemd run them: as nobody, who may administer the network. */
  readonly areUnprivileged?: boolean;
  /** Where every host has a proxy on the management network; without it none has. */
  readonly proxyPort?: number;
  /** Where every host and router tells its metrics on the management network; without it none does. */
  readonly metrics?: { readonly port: number; readonly token: string };
}

/** One standing deployment, in a laboratory of its own. */
export class Deployment extends EdgeSide {
  readonly #options: DeploymentOptions;

  private constructor(lab: Lab, options: DeploymentOptions) {
    super(lab, POOL, SHARED);
    this.#options = options;
  }

  /** Everything, up to hosts that have leases on both addresses. If that fails, nothing stays. */
  static async start(options: DeploymentOptions = {}): Promise<Deployment> {
    return EdgeSide.standing(
      options,
      (lab) => new Deployment(lab, options),
      (deployment) => deployment.#startAll(),
    );
  }

  override gatewayOf(host: string): string {
    return `http://${hostOnManagement(Number(host.slice(1))).ipv4}:8800`;
  }

  /** Starts a router, or starts it again on its old state. */
  async startRouter(name: `r${number}`): Promise<void> {
    const place = routerOnManagement(Number(name.slice(1)));
    const args = ["--ingress=up0", "--link=lan0", `--listen=${place.ipv4}:9000`];
    if (this.#options.steering !== undefined) args.push(`--steering=${this.#options.steering}`);
    args.push(...(await this.#metricsAt(place.ipv4)));
    this.#start(name, [ROUTER, ...(await this.#common("router", name)), ...args]);
  }

  /** Starts a host's agent, or starts it again on its old state, and perhaps with other ranges and arguments. */
  async startHost(
    name: `h${number}`,
    allowed: readonly string[] = this.#options.allowed ?? ORIGIN_RANGES,
    agentArgs: readonly string[] = this.#options.agentArgs ?? [],
  ): Promise<void> {
    const number = Number(name.slice(1));
    const lan = hostOnLan(number);
    const args = [
      `--listen=${hostOnManagement(number).ipv4}:8800`,
      `--reach=${lan.ipv4}`,
      `--reach=${lan.ipv6}`,
      ...allowed.map((range) => `--allow=${range}`),
      "--machine=require",
      ...(this.#options.proxyPort === undefined
        ? []
        : [`--proxy=${hostOnManagement(number).ipv4}:${this.#options.proxyPort}`]),
      // One process each, where a test is not about several.
      ...(agentArgs.some((arg) => arg.startsWith("--processes")) ? [] : ["--processes=1"]),
      ...(await this.#metricsAt(hostOnManagement(number).ipv4)),
      ...agentArgs,
    ];
    this.#start(name, [AGENT, ...(await this.#common("host", name)), ...args]);
  }

  /** Another agent on a host's machine, of another host name and state; it listens on loopback. */
  async secondAgent(name: `h${number}`, agentArgs: readonly string[]): Promise<LabProcess> {
    const common = await this.#common("host", `${name}-second`);
    const args = ["--listen=127.0.0.1:0", "--gateway=http://127.0.0.1:1", "--processes=1", ...agentArgs];
    return this.lab.spawnNode(name, AGENT, [...common, ...args]);
  }

  #start(name: `h${number}` | `r${number}`, argv: readonly string[]): void {
    const prefix = this.#options.areUnprivileged === true ? AS_NOBODY : [];
    this.run(name, name, [...prefix, process.execPath, ...argv]);
  }

  async #startAll(): Promise<void> {
    const { size } = this.lab;
    await this.startEdgeSide();
    await this.makePool(this.#options.settings ?? {});
    if (this.#options.steering === "xdp") await readyForXdp(this.lab);
    await Promise.all(routersOf(size).map((name) => this.startRouter(name)));
    await this.untilSteering(routersOf(size));
    const hosts = hostsOf(size).filter((name) => this.#options.idleHosts?.includes(name) !== true);
    await Promise.all(hosts.map((name) => this.startHost(name)));
    await this.untilServing(hosts);
  }

  async #metricsAt(ip: string): Promise<string[]> {
    const { metrics } = this.#options;
    if (metrics === undefined) return [];
    const file = join(this.lab.directory, "metrics.token");
    await writeFile(file, metrics.token);
    return [`--metrics=${ip}:${metrics.port}`, `--metrics-token-file=${file}`];
  }

  async #common(role: TokenRole, name: string): Promise<string[]> {
    const state = join(this.lab.directory, name);
    await mkdir(state, { recursive: true });
    if (this.#options.areUnprivileged === true) await chown(state, NOBODY, NOBODY);
    const tokenFile = await this.tokenFile(role, name);
    const own = [`--pool=${this.pool}`, `--token-file=${tokenFile}`, `--state=${state}`];
    return [`--edge=${EDGE_URL}`, "--allow-plain-http", ...own];
  }
}
