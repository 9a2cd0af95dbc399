/**
 * A whole ipshard in the laboratory, made of the real processes: the edge behind the management
 * network, routers, hosts, an origin on the Internet, and a client beside the edge. Addresses
 * are put on the hosts by their agents. What is so must be shown by captures and by what the
 * origin saw, not by what these processes say of themselves.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFailed, vi } from "vitest";
import type { Role as TokenRole } from "../../src/core/identity.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import {
  EDGE,
  hostOnLan,
  hostOnManagement,
  hostsOf,
  type LabSize,
  ORIGINS_IPV4,
  ORIGINS_IPV6,
  type Role,
  routerOnManagement,
  routersOf,
  SHARED_IPV4,
  SHARED_IPV6,
} from "./plan.ts";
import type { Order, Sample, WebAnswer, WebRequest } from "./web-client.ts";

/** The pool that every deployment has, with both shared addresses. */
export const POOL = "default";
/** Where the origin listens on each of its addresses. */
export const ORIGIN_PORT = 8080;
/** Both shared addresses. */
export const SHARED = [SHARED_IPV4, SHARED_IPV6] as const;

const CLI = join(import.meta.dirname, "../../src/cli/main.ts");
const AGENT = join(import.meta.dirname, "../../src/agent/main.ts");
const ROUTER = join(import.meta.dirname, "../../src/router/main.ts");
const EDGE_URL = `http://${EDGE.ipv4}:8787`;
const PATIENCE = { timeout: 30_000, interval: 50 };
const SHOWN_LOG_LENGTH = 6_000;

/** A machine on which one of our processes runs. */
export type Part = "edge" | "internet" | `r${number}` | `h${number}`;

/** What is deployed. */
export interface DeploymentOptions extends Partial<LabSize> {
  readonly settings?: Partial<PoolSettings>;
  /** Hosts whose agents are not started yet. */
  readonly idleHosts?: readonly string[];
  /** More arguments for every agent. */
  readonly agentArgs?: readonly string[];
}

/** A block of an address as the administration API shows it. */
export interface BlockView {
  readonly base: number;
  readonly order: number;
  readonly epoch: number;
  readonly host: string;
  readonly state: "leased" | "quarantined";
  readonly grantedAtMs: number;
  readonly endedAtMs: number | null;
  readonly freeAtMs: number | null;
}

/** A router of the pool as the administration API shows it. */
export interface RouterView {
  readonly router: string;
  readonly live: boolean;
  readonly ready: boolean;
  readonly lagging: boolean;
}

/** What a request of a test says of where it goes. */
export interface Destination {
  /** The shared address that it leaves from. */
  readonly from?: string;
  /** Which of the origin's addresses of that family; the first without it. */
  readonly origin?: 0 | 1;
  /** Straight to this host's gateway, not through the edge. */
  readonly host?: string;
}

/** One client inside the laboratory. */
export class WebClient {
  readonly #process: LabProcess;
  #count = 0;

  constructor(started: LabProcess) {
    this.#process = started;
  }

  async request(request: WebRequest): Promise<WebAnswer> {
    return this.#ask({ verb: "request", request });
  }

  /** Lanes that go on until `stop`; lane n takes request n modulo their number. */
  async load(lanes: number, requests: readonly WebRequest[]): Promise<void> {
    await this.#ask({ verb: "load", lanes, requests });
  }

  /** Waits until so many more requests have ended. */
  async progresses(count: number): Promise<void> {
    const before: number = await this.#ask({ verb: "progress" });
    await vi.waitUntil(
      async () => (await this.#ask<number>({ verb: "progress" })) >= before + count,
      PATIENCE,
    );
  }

  /** Lets every lane finish what it is at. */
  async stop(): Promise<Sample[]> {
    return this.#ask({ verb: "stop" });
  }

  async #ask<Answer>(order: Order): Promise<Answer> {
    this.#count += 1;
    const id = this.#count;
    // One character back, for an answer begins after the end of a line.
    const from = Math.max(0, this.#process.said.length - 1);
    this.#process.write(JSON.stringify({ id, order }));
    const start = await this.#process.waitFor(`\n#${id} `, from);
    const end = await this.#process.waitFor("\n", start);
    const { answer, fault } = JSON.parse(this.#process.said.slice(start, end)) as {
      answer: Answer;
      fault?: string;
    };
    assert(fault === undefined, `a request failed: ${fault}`);
    return answer;
  }
}

/** One standing deployment, in a laboratory of its own. */
export class Deployment {
  readonly lab: Lab;
  readonly #options: DeploymentOptions;
  readonly #running = new Map<Part, LabProcess>();
  #client: WebClient | null = null;
  #issuer: Parameters<typeof signToken>[1] | null = null;

  private constructor(lab: Lab, options: DeploymentOptions) {
    this.lab = lab;
    this.#options = options;
  }

  /** Everything, up to hosts that have leases on both addresses. If that fails, nothing stays. */
  static async start(options: DeploymentOptions = {}): Promise<Deployment> {
    const deployment = new Deployment(await Lab.create({ ...options, areSharedConfigured: false }), options);
    try {
      await deployment.#startAll();
    } catch (fault) {
      const logs = deployment.logs();
      await deployment.destroy();
      throw new Error(`the deployment could not be started:\n${logs}`, { cause: fault });
    }
    return deployment;
  }

  /** The client beside the edge. */
  get client(): WebClient {
    assert(this.#client !== null, "the deployment stands");
    return this.#client;
  }

  /** Another client, beside the edge or on another machine, for a load of its own. */
  async newClient(role: Role = "edge"): Promise<WebClient> {
    const started = this.lab.spawnNode(role, join(import.meta.dirname, "web-client.ts"));
    await started.waitFor("ready\n");
    return new WebClient(started);
  }

  async startEdge(): Promise<void> {
    const state = join(this.lab.directory, "edge");
    const args = ["edge", "--host", EDGE.ipv4, "--port", "8787", "--state", state];
    const started = this.#start("edge", CLI, args);
    await started.waitFor(`edge: ${EDGE_URL}`);
  }

  /** Starts a router, or starts it again on its old state. */
  async startRouter(name: `r${number}`): Promise<void> {
    const place = routerOnManagement(Number(name.slice(1)));
    this.#start(name, ROUTER, [
      ...(await this.#common("router", name)),
      "--ingress=up0",
      "--link=lan0",
      `--listen=${place.ipv4}:9000`,
    ]);
  }

  /** Starts a host's agent, or starts it again on its old state. */
  async startHost(name: `h${number}`): Promise<void> {
    const number = Number(name.slice(1));
    const lan = hostOnLan(number);
    this.#start(name, AGENT, [
      ...(await this.#common("host", name)),
      `--listen=${hostOnManagement(number).ipv4}:8800`,
      `--reach=${lan.ipv4}`,
      `--reach=${lan.ipv6}`,
      "--allow=198.51.100.0/24",
      "--allow=2001:db8::/32",
      "--machine=require",
      ...(this.#options.agentArgs ?? []),
    ]);
  }

  /** The process on a machine. */
  processOf(part: Part): LabProcess {
    const running = this.#running.get(part);
    assert(running, `${part} runs`);
    return running;
  }

  /** Ends the process of a machine with this signal and waits until it is gone. */
  async end(part: Part, signal: NodeJS.Signals): Promise<number | null> {
    const running = this.processOf(part);
    running.signal(signal);
    return running.exited;
  }

  /** A token of this role. */
  async token(role: TokenRole, name: string): Promise<string> {
    const file = join(this.lab.directory, "edge", "keys", "issuer.json");
    this.#issuer ??= JSON.parse(await readFile(file, "utf8")) as Parameters<typeof signToken>[1];
    const identity = { role, subject: name, pools: [POOL], expiresAtMs: Date.now() + 3_600_000 };
    return signToken(identity, this.#issuer);
  }

  /** A file with a token of this role. */
  async tokenFile(role: TokenRole, name: string): Promise<string> {
    const file = join(this.lab.directory, `${name}.token`);
    await writeFile(file, await this.token(role, name));
    return file;
  }

  /** Leaves no port of the shared addresses free: a host that sends nothing takes and keeps them. */
  async takeAllPorts(): Promise<void> {
    const args = [EDGE_URL, await this.tokenFile("host", "taker"), ...SHARED];
    const taker = this.lab.spawnNode("edge", join(import.meta.dirname, "lease-taker.ts"), args);
    await taker.waitFor("all is taken");
  }

  /** Calls the administration API and returns the JSON of a good answer. */
  async admin<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const token = await this.token("admin", "operator");
    return this.#ask<Answer>(method, path, { authorization: `Bearer ${token}` }, body);
  }

  /** All blocks of an address that are not free, by base. */
  async blocksOf(ip: string): Promise<BlockView[]> {
    const { blocks } = await this.admin<{ blocks: BlockView[] }>("GET", `/v1/ips/${ip}`);
    return blocks.toSorted((a, b) => a.base - b.base);
  }

  /** The pool's routers. */
  async routers(): Promise<RouterView[]> {
    return (await this.admin<{ routers: RouterView[] }>("GET", `/v1/pools/${POOL}`)).routers;
  }

  /** A request of the egress API towards the origin. */
  async to(path: string, { from = SHARED_IPV4, origin = 0, host }: Destination = {}): Promise<WebRequest> {
    const isIpv6 = from.includes(":");
    const place = isIpv6 ? `[${ORIGINS_IPV6[origin]}]` : ORIGINS_IPV4[origin];
    const destination = encodeURIComponent(`http://${place}:${ORIGIN_PORT}${path}`);
    const base = host === undefined ? EDGE_URL : this.#gatewayOf(host);
    const token = host === undefined ? await this.token("client", "tester") : await this.#gatewayToken();
    return {
      url: `${base}/v1/fetch?url=${destination}`,
      headers: { "egress-authorization": `Bearer ${token}`, egress: `ip="${from}"` },
    };
  }

  /** Waits until requests go to exactly these hosts, on both addresses. */
  async untilServing(hosts: readonly string[]): Promise<void> {
    const wanted = hosts.toSorted().join();
    await vi.waitUntil(async () => {
      const placed = await this.#placed();
      const ready = placed.filter(({ ips }) => ips.length === SHARED.length).map(({ host }) => host);
      return ready.length === placed.length && ready.toSorted().join() === wanted;
    }, PATIENCE);
  }

  /** Waits until all of these routers follow. */
  async untilSteering(names: readonly string[]): Promise<void> {
    await vi.waitUntil(async () => {
      const ready = (await this.routers()).filter((router) => router.live && router.ready);
      return names.every((name) => ready.some(({ router }) => router === name));
    }, PATIENCE);
  }

  /** What the processes said last, to be shown when a test fails. */
  logs(): string {
    return [...this.#running]
      .map(([part, { said }]) => `--- ${part}\n${said.slice(-SHOWN_LOG_LENGTH)}`)
      .join("\n");
  }

  /** For `beforeEach`: a test that fails shows the logs. */
  tellIfTestFails(): void {
    onTestFailed(() => console.error(this.logs()));
  }

  async destroy(): Promise<void> {
    // Workerd is a child of the edge: asked to end, the edge takes it along.
    const edge = this.#running.get("edge");
    edge?.signal("SIGCONT");
    edge?.signal("SIGTERM");
    await Promise.race([
      edge?.exited,
      new Promise((resolve) => {
        setTimeout(resolve, 3_000).unref();
      }),
    ]);
    await this.lab.destroy();
  }

  async #startAll(): Promise<void> {
    const { size } = this.lab;
    const origin = this.#start("internet", join(import.meta.dirname, "web-origin.ts"), [`${ORIGIN_PORT}`]);
    await Promise.all([origin.waitFor("listening"), this.startEdge()]);
    this.#client = await this.newClient();
    await this.admin("PUT", `/v1/pools/${POOL}`, { settings: this.#options.settings ?? {} });
    for (const ip of SHARED) await this.admin("PUT", `/v1/pools/${POOL}/ips/${ip}`, {});
    await Promise.all(routersOf(size).map((name) => this.startRouter(name)));
    await this.untilSteering(routersOf(size));
    const hosts = hostsOf(size).filter((name) => this.#options.idleHosts?.includes(name) !== true);
    await Promise.all(hosts.map((name) => this.startHost(name)));
    await this.untilServing(hosts);
  }

  #start(part: Part, program: string, args: readonly string[]): LabProcess {
    const log = join(this.lab.directory, `${part}.log`);
    const started = this.lab.spawnNode(part, program, args, { log });
    this.#running.set(part, started);
    return started;
  }

  async #common(role: TokenRole, name: string): Promise<string[]> {
    const state = join(this.lab.directory, name);
    await mkdir(state, { recursive: true });
    const tokenFile = await this.tokenFile(role, name);
    return [`--edge=${EDGE_URL}`, `--pool=${POOL}`, `--token-file=${tokenFile}`, `--state=${state}`];
  }

  #gatewayOf(host: string): string {
    return `http://${hostOnManagement(Number(host.slice(1))).ipv4}:8800`;
  }

  async #gatewayToken(): Promise<string> {
    return (await this.#gatewayLeave()).token;
  }

  async #placed(): Promise<{ host: string; ips: string[] }[]> {
    return (await this.#gatewayLeave()).hosts;
  }

  async #gatewayLeave(): Promise<{ token: string; hosts: { host: string; ips: string[] }[] }> {
    const token = await this.token("client", "tester");
    return this.#ask("POST", "/v1/gateway-tokens", { "egress-authorization": `Bearer ${token}` });
  }

  async #ask<Answer>(
    method: string,
    path: string,
    authorization: Record<string, string>,
    body?: unknown,
  ): Promise<Answer> {
    // The edge can be reached from its own network alone, so the client asks in our place.
    const answer = await this.client.request({
      url: EDGE_URL + path,
      method,
      headers: { ...authorization, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as Answer;
  }
}
