/**
 * One steering router as a process: its membership in a pool, its kernel, its status for
 * operators, and its state on disk.
 *
 * Fail-static: without the pool the kernel keeps what it has. A stale entry can only lose
 * packets, since the guard of the wrong host drops what it sends. [RT6]
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { Logger } from "pino";
import { permitsPool } from "../core/identity.ts";
import { PublishedKeys } from "../link/published-keys.ts";
import type { EdgeToken } from "../link/edge-token.ts";
import { Flow } from "../process/flow.ts";
import { MetricsListener } from "../metrics/node/metrics-listener.ts";
import { outliveClients } from "../process/listener.ts";
import { CommandFault, listenReason } from "../process/command-fault.ts";
import type { StateDirectory } from "../link/state-directory.ts";
import { problemReply } from "../wire/problem-response.ts";
import { bearerOf } from "../wire/tokens.ts";
import type { MetricsPlace } from "../metrics/node/metrics-options.ts";
import type { RouterOptions } from "./command-line.ts";
import { RouterMetrics } from "./router-metrics.ts";
import type { SteeringKernel } from "./steering/steering-kernel.ts";
import { SteeringMember } from "./feed/steering-member.ts";

/** Runs from `start` to `end`. */
export class Router {
  readonly #options: RouterOptions;
  readonly #name: string;
  readonly #log: Logger;
  readonly #state: StateDirectory;
  readonly #kernel: SteeringKernel;
  readonly #steering: SteeringMember;
  readonly #keys: PublishedKeys;
  #server: Server | null = null;
  #metrics: MetricsListener | null = null;

  constructor(
    options: RouterOptions,
    token: EdgeToken,
    state: StateDirectory,
    kernel: SteeringKernel,
    log: Logger,
  ) {
    this.#options = options;
    this.#name = token.subject;
    this.#state = state;
    this.#kernel = kernel;
    this.#log = log;
    this.#keys = new PublishedKeys({
      edge: options.edge,
      kept: state.keptKeys,
      keep: (keys) => state.keepKeys(keys),
      log,
    });
    this.#steering = new SteeringMember({
      edge: options.edge,
      pool: options.pool,
      instance: state.instance,
      isObserver: false,
      token: () => token.read(),
      kernel,
      log,
    });
  }

  /** Connects to the pool; an edge that is away is waited for in the background. */
  async start(): Promise<void> {
    if (this.#options.listen !== null) {
      await this.#serveStatus(this.#options.listen);
      this.#keys.start();
    }
    if (this.#options.metrics !== null) await this.#tellMetrics(this.#options.metrics);
    this.#steering.start();
  }

  /** Stops. The kernel steers on by what it has, unless the operator wants it clean. */
  async end(): Promise<void> {
    this.#keys.stop();
    this.#metrics?.close();
    this.#server?.close();
    this.#server?.closeAllConnections();
    await this.#steering.stop();
    if (this.#options.isRemovedAtEnd) await this.#kernel.remove();
    await this.#kernel.close();
    await this.#state.close();
  }

  async #tellMetrics(place: MetricsPlace): Promise<void> {
    const metrics = new RouterMetrics({ steering: this.#steering, kernel: this.#kernel });
    this.#metrics = await MetricsListener.open({ place, text: () => metrics.text(), log: this.#log });
  }

  async #serveStatus({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    const report = (fault: unknown): void => this.#log.error({ err: fault }, "a question failed");
    const server = createServer((request, response) => {
      const flow = new Flow((fault) => {
        report(fault);
        response.destroy();
      }, report);
      flow.begin(() => this.#answer(request, response));
    });
    outliveClients(server, report);
    this.#server = server;
    try {
      server.listen(port, host);
      await once(server, "listening");
    } catch (fault) {
      throw new CommandFault(
        "listen-failed",
        `Cannot listen on ${host}:${port}: ${listenReason(fault)}. Choose another place with --listen.`,
        fault,
      );
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === "/health") sendJson(response, 200, { status: "ok", ready: this.#steering.isReady });
    else if (request.url === "/v1/status") await this.#sendStatus(request.headers.authorization, response);
    else sendProblem(response, "route-unknown");
  }

  async #sendStatus(authorization: string | undefined, response: ServerResponse): Promise<void> {
    const token = bearerOf(authorization);
    if (token === null) return sendProblem(response, "token-missing");
    const identity = await this.#keys.verify(token, Date.now());
    if (!identity.ok) return sendProblem(response, identity.refusal);
    if (identity.value.role !== "admin") return sendProblem(response, "role-denied");
    if (!permitsPool(identity.value, this.#options.pool)) return sendProblem(response, "pool-denied");
    try {
      sendJson(response, 200, {
        router: this.#name,
        pool: this.#options.pool,
        connected: this.#steering.isConnected,
        ready: this.#steering.isReady,
        followedSequence: this.#steering.appliedSequence,
        drops: await this.#kernel.counts(),
      });
    } catch (fault) {
      this.#log.error({ err: fault }, "the counters cannot be read");
      sendProblem(response, "internal-fault");
    }
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(
    JSON.stringify(body, (_key, value: unknown) =>
      value instanceof Map ? Object.fromEntries(value) : value,
    ),
  );
}

function sendProblem(response: ServerResponse, code: Parameters<typeof problemReply>[0]["code"]): void {
  const { status, headers, body } = problemReply({ code });
  response.writeHead(status, { ...headers }).end(body);
}
