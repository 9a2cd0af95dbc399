/**
 * One steering router: the pool's word on one side, the kernel on the other.
 *
 *     pool feed → follower → kernel
 *          ↑ acknowledge ┘
 *
 * Fail-static: without the pool the kernel keeps what it has. A stale entry can only lose
 * packets, since the guard keeps the wrong host silent. [RT6]
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { Logger } from "pino";
import { EdgeKeys } from "../link/edge-keys.ts";
import type { EdgeToken } from "../link/edge-token.ts";
import { StartFault } from "../link/start-fault.ts";
import type { StateDirectory } from "../link/state-directory.ts";
import { problemReply } from "../wire/problem-response.ts";
import { bearerOf } from "../wire/tokens.ts";
import type { RouterOptions } from "./command-line.ts";
import type { SteeringKernel } from "./kernel.ts";
import { PoolFeed } from "./pool-feed.ts";
import { type FollowerEvent, SteeringFollower } from "./steering-follower.ts";

/** Other programs announce nothing when they take rules away, so it is looked after this often. */
const CHECK_INTERVAL_MS = 10_000;

/** Runs from `start` to `end`. */
export class Router {
  readonly #options: RouterOptions;
  readonly #name: string;
  readonly #log: Logger;
  readonly #state: StateDirectory;
  readonly #kernel: SteeringKernel;
  readonly #feed: PoolFeed;
  readonly #follower: SteeringFollower;
  readonly #keys: EdgeKeys;
  #server: Server | null = null;
  #isReady = false;
  #check: NodeJS.Timeout | null = null;

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
    this.#keys = new EdgeKeys({
      edge: options.edge,
      kept: state.keptKeys,
      keep: (keys) => state.keepKeys(keys),
      log,
    });
    this.#follower = new SteeringFollower({
      kernel,
      askTable: () => this.#feed.resync(),
      acknowledge: (sequence) => this.#acknowledge(sequence),
      onEvent: (event) => this.#tell(event),
    });
    this.#feed = new PoolFeed({
      edge: options.edge,
      pool: options.pool,
      instance: state.instance,
      isObserver: options.isDryRun,
      token: () => token.read(),
      onConnected: () => this.#follower.connected(),
      onTable: (table) => this.#follower.table(table),
      onChange: (change) => this.#follower.change(change),
      log,
    });
  }

  /** Begins to follow the pool; an edge that is away is waited for in the background. */
  async start(): Promise<void> {
    if (this.#options.listen !== null) {
      await this.#serveStatus(this.#options.listen);
      this.#keys.start();
    }
    this.#feed.start();
    this.#check = setInterval(() => void this.#checkKernel(), CHECK_INTERVAL_MS);
  }

  /** Stops following. The kernel steers on by what it has, unless the operator wants it clean. */
  async end(): Promise<void> {
    if (this.#check !== null) clearInterval(this.#check);
    this.#feed.stop();
    this.#keys.stop();
    this.#server?.close();
    this.#server?.closeAllConnections();
    await this.#follower.close();
    if (this.#options.isRemovedAtEnd) await this.#kernel.remove();
    await this.#kernel.close();
    await this.#state.close();
  }

  async #checkKernel(): Promise<void> {
    try {
      await this.#follower.check();
    } catch (fault) {
      this.#log.error({ err: fault }, "it cannot be seen whether the kernel still steers");
    }
  }

  #acknowledge(sequence: number): void {
    this.#feed.acknowledge(sequence);
    if (this.#isReady) return;
    this.#isReady = true;
    this.#log.info({ sequence }, "ready: the kernel steers by the pool's table");
  }

  #tell(event: FollowerEvent): void {
    switch (event.type) {
      case "repaired": {
        const { removedCount, addedCount, unreachable } = event.report;
        this.#log.info({ removedCount, addedCount }, "the kernel was compared with the pool's table");
        for (const { host, family } of unreachable) {
          this.#log.warn(
            { host },
            `nobody has said how to reach ${host} by IPv${family}; packets for its ports are dropped (--via)`,
          );
        }
        return;
      }
      case "kernel-failed":
        this.#log.error({ err: event.fault }, `the kernel did not follow; again in ${event.retryInMs} ms`);
        return;
      case "displaced":
        this.#log.error("another program had taken the rules out of the kernel; they are put back");
        return;
      case "outdated":
        this.#log.warn(
          { ...event.entry, heldEpoch: event.heldEpoch },
          "an entry from the past was passed over",
        );
        return;
    }
  }

  async #serveStatus({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    const server = createServer((request, response) => {
      if (request.url === "/health") sendJson(response, 200, { status: "ok", ready: this.#isReady });
      else if (request.url === "/v1/status") void this.#sendStatus(request.headers.authorization, response);
      else sendProblem(response, "route-unknown");
    });
    this.#server = server;
    try {
      server.listen(port, host);
      await once(server, "listening");
    } catch (fault) {
      throw new StartFault("listen-failed", `Cannot listen on ${host}:${port}: ${String(fault)}.`, fault);
    }
  }

  async #sendStatus(authorization: string | undefined, response: ServerResponse): Promise<void> {
    const token = bearerOf(authorization);
    if (token === null) return sendProblem(response, "token-missing");
    const identity = await this.#keys.verify(token, Date.now());
    if (!identity.ok) return sendProblem(response, identity.refusal);
    if (identity.value.role !== "admin") return sendProblem(response, "role-denied");
    try {
      sendJson(response, 200, {
        router: this.#name,
        pool: this.#options.pool,
        connected: this.#feed.isConnected,
        ready: this.#isReady,
        followedSequence: this.#follower.followedSequence,
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
