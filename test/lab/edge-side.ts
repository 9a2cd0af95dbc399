/**
 * The half of a deployment that is the same everywhere: an edge behind the management network,
 * an origin on the Internet, a client beside the edge, and what can be asked of them. Whoever
 * extends this brings the other half, the routers and hosts.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFailed } from "vitest";
import { type AnswerOf, type EdgeApi, edgeApi } from "../../src/api/edge-api.ts";
import type { Role as TokenRole } from "../../src/core/identity.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { signToken } from "../../src/wire/tokens.ts";
import { WebClient } from "./driven-client.ts";
import { Lab, type LabOptions } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import { until } from "./until.ts";
import { EDGE, ORIGINS_IPV4, ORIGINS_IPV6, type Role, SHARED_IPV4 } from "./plan.ts";
import type { WebRequest } from "./web-client.ts";
import { testedProgram } from "../runner/tested-program.ts";

/** Where the origin listens on each of its addresses. */
export const ORIGIN_PORT = 8080;
/** Where the edge answers. */
export const EDGE_URL = `http://${EDGE.ipv4}:8787`;
/** The command line as a program. */
export const CLI = testedProgram("cli");

const EDGE_GRACE_MS = 3_000;
const SHOWN_LOG_LENGTH = 6_000;

/** A block of an address as the edge's API shows it. */
export type BlockView = AnswerOf<"getIp">["blocks"][number];

/** What a request of a test says of where it goes. */
export interface Destination {
  /** The shared address that it leaves from. */
  readonly from?: string;
  /** Which of the origin's addresses of that family; the first without it. */
  readonly origin?: 0 | 1;
  /** Straight to this host's gateway, not through the edge. */
  readonly host?: string;
}

/** One pool, its edge, and a laboratory of its own. */
export abstract class EdgeSide {
  readonly lab: Lab;
  readonly pool: string;
  /** The pool's addresses, as they are on the wire. */
  readonly shared: readonly string[];
  /** The edge's API, called as the pool's operator. */
  readonly api: EdgeApi;
  readonly #running = new Map<string, LabProcess>();
  readonly #takers: LabProcess[] = [];
  #client: WebClient | null = null;
  #issuer: Parameters<typeof signToken>[1] | null = null;

  protected constructor(lab: Lab, pool: string, shared: readonly string[]) {
    this.lab = lab;
    this.pool = pool;
    this.shared = shared;
    this.api = this.#apiAs("admin", "operator");
  }

  /** A laboratory with everything in it that `start` starts; if that fails, nothing stays. */
  protected static async standing<Side extends EdgeSide>(
    options: LabOptions,
    make: (lab: Lab) => Side,
    start: (side: Side) => Promise<void>,
  ): Promise<Side> {
    const side = make(await Lab.create({ ...options, areSharedConfigured: false }));
    try {
      await start(side);
    } catch (fault) {
      const logs = side.logs();
      await side.destroy();
      throw new Error(`the deployment could not be started:\n${logs}`, { cause: fault });
    }
    return side;
  }

  /** Where a host's gateway is reached on the management network. */
  abstract gatewayOf(host: string): string;

  /** The client beside the edge. */
  get client(): WebClient {
    assert(this.#client !== null, "the deployment stands");
    return this.#client;
  }

  /** Another client, beside the edge or on another machine, for a load of its own. */
  async newClient(role: Role = "edge"): Promise<WebClient> {
    return WebClient.start(this.lab, role);
  }

  /** Where the edge has its state, unless it is started on another. */
  get edgeState(): string {
    return join(this.lab.directory, "edge");
  }

  async startEdge(state = this.edgeState): Promise<void> {
    const args = ["edge", "--host", EDGE.ipv4, "--port", "8787", "--state", state, "--allow-plain-http"];
    const started = this.run("edge", "edge", [process.execPath, CLI, ...args]);
    await started.waitFor(`edge: ${EDGE_URL}`);
  }

  /** At once, with the server that it looks after. */
  async killEdge(): Promise<void> {
    const { stdout } = await this.lab.exec("edge", ["ss", "-Hltnp", "sport = :8787"]);
    const pids = new Set([...stdout.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid)));
    assert(pids.size > 0, "the edge runs");
    const ended = this.end("edge", "SIGKILL");
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await ended;
  }

  /** The process of this name. */
  processOf(name: string): LabProcess {
    const running = this.#running.get(name);
    assert(running, `${name} runs`);
    return running;
  }

  /** Ends the process of this name with this signal and waits until it is gone. */
  async end(name: string, signal: NodeJS.Signals): Promise<number | null> {
    const running = this.processOf(name);
    running.signal(signal);
    return running.exited;
  }

  /** A token of this role. */
  async token(role: TokenRole, name: string): Promise<string> {
    const file = join(this.lab.directory, "edge", "keys", "issuer.json");
    this.#issuer ??= JSON.parse(await readFile(file, "utf8")) as Parameters<typeof signToken>[1];
    const identity = { role, subject: name, pools: [this.pool], expiresAtMs: Date.now() + 3_600_000 };
    return signToken(identity, this.#issuer);
  }

  /** A file with a token of this role. */
  async tokenFile(role: TokenRole, name: string): Promise<string> {
    const file = join(this.lab.directory, `${name}.token`);
    await writeFile(file, await this.token(role, name));
    return file;
  }

  /**
   * Hosts that send nothing take what they may of addresses, and keep it. One that may have everything
   * leaves no port of them free.
   */
  async takePorts(hosts: readonly string[] = ["taker"], ips = this.shared): Promise<void> {
    const file = join(this.lab.directory, "takers.tokens");
    const tokens = await Promise.all(hosts.map((host) => this.token("host", host)));
    await writeFile(file, tokens.join("\n"));
    const args = [EDGE_URL, file, ...ips];
    const taker = this.lab.spawnNode("edge", join(import.meta.dirname, "lease-taker.ts"), args);
    this.#takers.push(taker);
    await taker.waitFor("all is taken");
  }

  /** They give back what they took. */
  async endTakers(): Promise<void> {
    const takers = this.#takers.splice(0);
    for (const taker of takers) taker.signal("SIGTERM");
    await Promise.all(takers.map(({ exited }) => exited));
  }

  /** All blocks of an address that are not free, by base. */
  async blocksOf(ip: string): Promise<BlockView[]> {
    const { blocks } = await this.api.getIp({ ip });
    return blocks.toSorted((a, b) => a.base - b.base);
  }

  /** The pool's routers. */
  async routers(): Promise<AnswerOf<"getPool">["routers"]> {
    return (await this.api.getPool({ pool: this.pool })).routers;
  }

  /** A request of the egress API towards the origin. */
  async to(path: string, { from = SHARED_IPV4, origin = 0, host }: Destination = {}): Promise<WebRequest> {
    const isIpv6 = from.includes(":");
    const place = isIpv6 ? `[${ORIGINS_IPV6[origin]}]` : ORIGINS_IPV4[origin];
    const destination = encodeURIComponent(`http://${place}:${ORIGIN_PORT}${path}`);
    const base = host === undefined ? EDGE_URL : this.gatewayOf(host);
    const token =
      host === undefined
        ? await this.token("client", "tester")
        : (await this.#apiAs("client", "tester").makeGatewayToken()).token;
    return {
      url: `${base}/v1/fetch?url=${destination}`,
      headers: { "egress-authorization": `Bearer ${token}`, egress: `ip="${from}"` },
    };
  }

  /** Waits until requests go to exactly these hosts, on all addresses. */
  async untilServing(hosts: readonly string[]): Promise<void> {
    const wanted = hosts.toSorted().join();
    await until(async () => {
      const placed = (await this.#apiAs("client", "tester").makeGatewayToken()).hosts;
      const ready = placed.filter(({ ips }) => ips.length === this.shared.length).map(({ host }) => host);
      return ready.length === placed.length && ready.toSorted().join() === wanted;
    });
  }

  /** Waits until all of these routers have applied it. */
  async untilSteering(names: readonly string[]): Promise<void> {
    await until(async () => {
      const ready = (await this.routers()).filter((router) => router.live && router.ready);
      return names.every((name) => ready.some(({ router }) => router === name));
    });
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
        setTimeout(resolve, EDGE_GRACE_MS).unref();
      }),
    ]);
    await this.lab.destroy();
  }

  /** The origin, the edge and the client. */
  protected async startEdgeSide(): Promise<void> {
    const program = join(import.meta.dirname, "web-origin.ts");
    const origin = this.run("internet", "internet", [process.execPath, program, `${ORIGIN_PORT}`]);
    await Promise.all([origin.waitFor("listening"), this.startEdge()]);
    this.#client = await this.newClient();
  }

  /** The pool with its addresses. */
  protected async makePool(settings: Partial<PoolSettings>): Promise<void> {
    await this.api.putPool({ pool: this.pool, settings });
    for (const ip of this.shared) await this.api.putIp({ pool: this.pool, ip });
  }

  /** Starts a program under a name of its own, with a log. */
  protected run(name: string, role: Role, argv: readonly string[]): LabProcess {
    const started = this.lab.spawn(role, argv, { log: join(this.lab.directory, `${name}.log`) });
    this.#running.set(name, started);
    return started;
  }

  #apiAs(role: TokenRole, name: string): EdgeApi {
    return edgeApi({
      edge: EDGE_URL,
      allowPlainHttp: true,
      token: () => this.token(role, name),
      // The edge can be reached from its own network alone, so the client asks in our place.
      send: async (url, { method, headers, body }) => {
        const answer = await this.client.request({
          url,
          method,
          headers,
          ...(body === undefined ? {} : { body }),
        });
        return { status: answer.status, text: async () => answer.body };
      },
    });
  }
}
