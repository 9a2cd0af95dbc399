/**
 * `node src/agent/data-process.ts SOCKET NUMBER HOST`: one data process of an agent, which starts it.
 *
 *     agent (keepers, guard, pool) → parts of addresses → port binder ← data plane
 *
 * It holds no lease and writes no file. What it may use it knows with its end, so it is silent in time
 * whatever becomes of its agent; and without its agent it ends. [MP2] [MP6]
 */
import { createConnection } from "node:net";
import type { Logger } from "pino";
import type { KeySet } from "../wire/keys.ts";
import { CommandFault } from "../process/command-fault.ts";
import { openLog } from "../process/process-life.ts";
import { PublishedKeys } from "../link/published-keys.ts";
import type { AgentConfig } from "./command-line.ts";
import { DataPlane } from "./data-plane.ts";
import type { FromDataProcess, PartView, ToDataProcess } from "./processes/data-messages.ts";
import { MessageChannel } from "./processes/message-channel.ts";
import { ServedParts } from "./processes/served-parts.ts";

/** What a data process needs to begin. */
export interface DataProcessConfig {
  /** With the edge as text. */
  readonly agent: Omit<AgentConfig, "edge"> & { readonly edge: string };
  /** Name of the host. */
  readonly host: string;
  /** The edge's keys, as far as they are known. */
  readonly keys: KeySet | null;
}

type Channel = MessageChannel<FromDataProcess, ToDataProcess<DataProcessConfig>>;

/** The agent answers within this time, or a status is of this process alone. */
const STATUS_MS = 3_000;

class DataProcess {
  readonly #channel: Channel;
  readonly #log: Logger;
  readonly #plane: DataPlane;
  readonly #keys: PublishedKeys;
  readonly #parts: ServedParts;
  readonly #statuses = new Map<number, (status: Record<string, unknown> | null) => void>();
  #statusCount = 0;

  constructor(ordinal: number, { agent, host, keys }: DataProcessConfig, channel: Channel, log: Logger) {
    const config: AgentConfig = { ...agent, edge: new URL(agent.edge) };
    this.#channel = channel;
    this.#log = log;
    // The agent keeps them for the next start.
    this.#keys = new PublishedKeys({ edge: config.edge, kept: keys, keep: () => {}, log });
    this.#plane = new DataPlane({
      config,
      host,
      process: ordinal,
      verifier: this.#keys,
      describe: (own) => this.#describe(own),
      log,
    });
    this.#parts = new ServedParts(this.#plane.binder, (ip, report) =>
      channel.send({ type: "report", ip, report }, `report ${ip}`),
    );
    this.#plane.shareLimits(false, (number, uses) => channel.send({ type: "use", number, uses }));
    this.#plane.uplinks.onChange = () => this.#pong(0);
    this.#plane.uploads.elsewhere = {
      asked: (key) => channel.send({ type: "upload-asked", key }),
      left: (key) => channel.send({ type: "upload-left", key }),
      told: (key, status) => channel.send({ type: "upload-told", key, status }),
    };
  }

  async listen(): Promise<void> {
    try {
      await this.#plane.listen(true);
    } catch (fault) {
      if (!(fault instanceof CommandFault)) throw fault;
      this.#channel.send({ type: "failed", code: fault.code, sentence: fault.message });
      return;
    }
    this.#keys.start();
    this.#plane.uplinks.start();
    this.#channel.send({ type: "ready" });
  }

  received(message: ToDataProcess<DataProcessConfig>): void {
    const { uploads } = this.#plane;
    switch (message.type) {
      case "shares":
        return this.#plane.takeShare(message.shares);
      case "policy":
        this.#plane.takePolicy(message.policy);
        return this.#channel.send({ type: "policy-taken", version: message.policy.version }, "policy-taken");
      case "serve":
        this.#plane.binder.advertise(message.advertised);
        return this.#parts.serve(message.ips);
      case "part":
        return this.#parts.command(message.ip, message.command);
      case "ping":
        this.#show(message.view);
        return this.#pong(message.number);
      case "stop-admitting":
        return this.#plane.stopAdmitting();
      case "serve-out":
        void this.#serveOut();
        return;
      case "end":
        return this.end();
      case "try":
        void this.#try(message.id, message.ip, message.places);
        return;
      case "status-wanted":
        this.#channel.send({ type: "own-status", id: message.id, status: this.#plane.status() });
        return;
      case "metrics-wanted":
        void this.#tellMetrics(message.id);
        return;
      case "status":
        return this.#statuses.get(message.id)?.(message.status);
      case "upload-asked":
        return uploads.askedElsewhere(message.key);
      case "upload-left":
        return uploads.leftElsewhere(message.key);
      case "upload-told":
        return uploads.toldElsewhere(message.key, message.status);
      case "begin":
    }
  }

  end(): never {
    this.#log.info("ending");
    process.exit(0);
  }

  async #tellMetrics(id: number): Promise<void> {
    const [metrics = []] = await this.#plane.metrics();
    this.#channel.send({ type: "own-metrics", id, metrics });
  }

  async #serveOut(): Promise<void> {
    await this.#plane.untilClientsAreServed();
    // What it has counted since it was asked last.
    this.#pong(0);
    this.#channel.send({ type: "served" });
  }

  async #try(id: number, ip: string, places: Parameters<DataPlane["uplinks"]["tryOut"]>[1]): Promise<void> {
    const reached = await this.#plane.uplinks.tryOut(ip, places);
    this.#channel.send({ type: "tried", id, reached });
  }

  #pong(number: number): void {
    const { binder, uplinks } = this.#plane;
    const views = Array.from(binder.addresses(), ({ ip }) => [ip, uplinks.of(ip)] as const);
    this.#channel.send({ type: "pong", number, uplinks: views, counts: this.#plane.live.counts() }, "pong");
  }

  /** What somebody looks at, or what is counted now and then. [LV7] [LV8] */
  #show({ ports, decisionCount }: PartView): void {
    const { binder, live } = this.#plane;
    live.watch(decisionCount === 0 ? null : decisionCount);
    if (!ports) return;
    const usedPorts = Array.from(binder.addresses(), ({ ip }) => [ip, [...live.usedPorts(ip)]] as const);
    this.#channel.send({ type: "seen", decisions: live.takeDecisions(), usedPorts });
  }

  /** The host's, if the agent answers; else its own. */
  async #describe(own: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.#statusCount += 1;
    const id = this.#statusCount;
    const status = await new Promise<Record<string, unknown> | null>((resolve) => {
      const timer = setTimeout(() => resolve(null), STATUS_MS);
      this.#statuses.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#channel.send({ type: "host-status-wanted", id });
    });
    this.#statuses.delete(id);
    return status ?? { ...own, partial: true };
  }
}

function run(socketPath: string, number: number, host: string): void {
  // Whoever ends all processes of a terminal or a service means the agent, which ends this one in order.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  const log = openLog({ host, process: String(number) });
  const socket = createConnection(socketPath);
  const channel: Channel = new MessageChannel(socket);
  let dataProcess: DataProcess | null = null;
  channel.onClose = () => {
    log.error("the agent has gone: ending with it");
    process.exit(1);
  };
  channel.onMessage = (message) => {
    if (message.type !== "begin") return dataProcess?.received(message);
    dataProcess = new DataProcess(number, message.config, channel, log);
    void dataProcess.listen();
  };
  socket.once("connect", () => channel.send({ type: "hello", number }));
}

const [, , socketPath = "", number = "", host = ""] = process.argv;
run(socketPath, Number(number), host);
