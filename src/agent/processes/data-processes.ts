/**
 * The data processes of a host: so many, each replaced when it ends, and ended when it does not
 * answer, for until then nothing that was taken from it can be given to another. [MP3] [MP6]
 *
 * They are spoken with over a socket in the state directory, which only this user can reach.
 */
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "pino";
import type { PoolPolicy } from "../../core/pool-policy.ts";
import type { Samples } from "../../metrics/node/registry.ts";
import type { LocalUse, ShareMessage } from "../../core/share-messages.ts";
import type { Place } from "../../core/uplink.ts";
import { BackOff } from "../../process/back-off.ts";
import { monotonicMs } from "../../process/clock.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { outliveClients } from "../../process/listener.ts";
import { DataProcessChild } from "./data-process-child.ts";
import type { FromDataProcess, ToDataProcess, UploadMessage } from "./data-messages.ts";
import { DividedAddresses } from "./divided-addresses.ts";
import { HostUplinks } from "./host-uplinks.ts";
import { MessageChannel } from "./message-channel.ts";
import { ProcessCounts } from "./process-counts.ts";
import { SeenProcesses } from "./seen-processes.ts";
import type { ProcessRecord } from "./process-record.ts";
import type { PartCommand, PartReport } from "../division/part-messages.ts";

/** What they need. */
export interface DataProcessesOptions<Config> {
  readonly count: number;
  /** Told to each, when it begins. */
  readonly config: Config;
  /** Which of them there are, for an agent that comes after one that was killed. */
  readonly record: ProcessRecord;
  /** Where they find this process. */
  readonly socketPath: string;
  /** The command line of one of them. */
  readonly commandOf: (number: number) => readonly string[];
  /** The kernel's part of addresses, for what it translates; without it there is none. */
  readonly kernelPart?: KernelPart;
  /** The status of the host, made of what its processes say of themselves. */
  readonly describe: (own: readonly OwnStatus[]) => Promise<Record<string, unknown>>;
  readonly log: Logger;
}

/** What has units beside the processes. */
export interface KernelPart {
  serves(ip: string): boolean;
  /** Units of an address that are its own from before. */
  inherited(ip: string): readonly number[];
  command(ip: string, command: PartCommand): void;
  onReport: ((ip: string, report: PartReport) => void) | null;
}

/** What a process says of itself. */
export interface OwnStatus {
  readonly process: number;
  readonly pid: number;
  readonly status: Record<string, unknown>;
}

/** Tenants' limits, as they are shared out among processes. */
export interface ProcessShares {
  addPart(part: number): void;
  removePart(part: number): void;
  reported(part: number, number: number, uses: readonly LocalUse[]): void;
  /** Tells a process what it may have. */
  send: (part: number, message: ShareMessage) => void;
}

const LOOK_MS = 1_000;
const START_TIMEOUT_MS = 30_000;
const ANSWER_MS = 2_000;
/** One that has lived for so long is no failure when it ends. */
const SOUND_MS = 30_000;
const END_GRACE_MS = 2_000;
/** Processes are counted from 1. */
const KERNEL_PART = 0;

/** From `start` until `close`. */
export class DataProcesses<Config> {
  readonly addresses: DividedAddresses;
  readonly uplinks: HostUplinks;
  readonly #options: DataProcessesOptions<Config>;
  readonly #children = new Map<number, DataProcessChild<Config>>();
  readonly #server: Server;
  readonly #backOff = new BackOff({ firstMs: 100, longestMs: 10_000 }, Math.random);
  readonly #questions = new Map<number, (answer: FromDataProcess | null) => void>();
  #questionCount = 0;
  readonly #counts = new ProcessCounts();
  /** As who looks at the host reads it. */
  readonly live = new SeenProcesses();
  #startCount = 0;
  #timer: NodeJS.Timeout | null = null;
  #policy: PoolPolicy | null = null;
  #shares: ProcessShares | null = null;
  #isAdmitting = true;
  #isClosing = false;

  constructor(options: DataProcessesOptions<Config>) {
    this.#options = options;
    const { kernelPart } = options;
    this.addresses = new DividedAddresses({
      beside: (ip) =>
        kernelPart?.serves(ip) === true ? { part: KERNEL_PART, units: kernelPart.inherited(ip) } : null,
      sendCommand: (part, ip, command) => {
        if (part === KERNEL_PART) return kernelPart?.command(ip, command);
        this.#children.get(part)?.channel?.send({ type: "part", ip, command }, `part ${ip}`);
      },
      sendServed: (ips, advertised) => this.#sendAll({ type: "serve", ips, advertised }, "serve"),
    });
    this.uplinks = new HostUplinks({ tryOut: (ip, places) => this.#tryOut(ip, places), log: options.log });
    if (kernelPart !== undefined) {
      kernelPart.onReport = (ip, report) => this.addresses.report(KERNEL_PART, ip, report);
    }
    this.#server = createServer((socket) => this.#connected(socket));
    outliveClients(this.#server);
  }

  /** Starts all, and resolves when all of them listen. Throws what keeps one from it. */
  async start(): Promise<void> {
    const { socketPath, count } = this.#options;
    await rm(socketPath, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(socketPath, resolve);
    });
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    await Promise.all(Array.from({ length: count }, () => this.#begin()));
  }

  /** They have these shares among them. */
  followShares(shares: ProcessShares): void {
    this.#shares = shares;
    shares.send = (part, message) => {
      this.#children.get(part)?.channel?.send({ type: "shares", shares: message });
    };
  }

  /** All decide by this policy from now on, those that begin later too. */
  takePolicy(policy: PoolPolicy): void {
    this.#policy = policy;
    this.#sendAll({ type: "policy", policy }, "policy");
  }

  /** Of the policy by which all that listen decide at least; null for none. [PY7] */
  get policyVersion(): number | null {
    let least: number | null = this.#policy?.version ?? null;
    for (const { isReady, policyVersion } of this.#children.values()) {
      if (!isReady || least === null) continue;
      least = policyVersion === null ? null : Math.min(least, policyVersion);
    }
    return least;
  }

  /** Admits no new flows in any of them. */
  stopAdmitting(): void {
    this.#isAdmitting = false;
    this.#sendAll({ type: "stop-admitting" });
  }

  /** Resolves when all have served their clients, or after this time. */
  async untilClientsAreServed(longestMs: number): Promise<void> {
    const endMs = monotonicMs() + longestMs;
    this.#sendAll({ type: "serve-out" });
    while (monotonicMs() < endMs && [...this.#children.values()].some(({ hasServed }) => !hasServed)) {
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  }

  /** Ends all of them, and resolves when they have ended. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#sendAll({ type: "end" });
    const children = [...this.#children.values()];
    const grace = setTimeout(() => {
      for (const child of children) child.kill();
    }, END_GRACE_MS);
    await Promise.all(children.map(({ ended }) => ended));
    clearTimeout(grace);
    this.#server.close();
    await rm(this.#options.socketPath, { force: true });
  }

  /** The status of the host. */
  async status(): Promise<Record<string, unknown>> {
    const own = await Promise.all(
      [...this.#children.values()].map(async (child): Promise<OwnStatus | null> => {
        if (!child.isReady) return null;
        const answer = await this.#ask(child, (id) => ({ type: "status-wanted", id }), ANSWER_MS);
        if (answer?.type !== "own-status" || child.pid === undefined) return null;
        return { process: child.number, pid: child.pid, status: answer.status };
      }),
    );
    return this.#options.describe(own.filter((status) => status !== null));
  }

  /** What each counts, those that have ended included. [MT4] */
  async metrics(): Promise<readonly Samples[]> {
    const children = [...this.#children.values()].filter(({ isReady }) => isReady);
    const fresh = await Promise.all(
      children.map(async (child) => {
        const answer = await this.#ask(child, (id) => ({ type: "metrics-wanted", id }), ANSWER_MS);
        return [child.number, answer?.type === "own-metrics" ? answer.metrics : null] as const;
      }),
    );
    return this.#counts.after(new Map(fresh));
  }

  /** Starts one; resolves when it listens, and rejects if it cannot. */
  #begin(): Promise<void> {
    this.#startCount += 1;
    const number = this.#startCount;
    const child = new DataProcessChild<Config>(number, this.#options.commandOf(number), monotonicMs());
    this.#children.set(number, child);
    if (child.pid !== undefined) this.#options.record.note(child.pid);
    void child.ended.then(() => this.#ended(child));
    return new Promise((resolve, reject) => {
      const id = -number;
      const timer = setTimeout(() => {
        child.kill();
      }, START_TIMEOUT_MS);
      this.#questions.set(id, (answer) => {
        clearTimeout(timer);
        this.#questions.delete(id);
        if (answer?.type === "ready") resolve();
        else if (answer?.type === "failed") reject(new CommandFault(answer.code, answer.sentence));
        else
          reject(new CommandFault("data-process-lost", `Data process ${number} ended before it listened.`));
      });
    });
  }

  #connected(socket: Socket): void {
    const channel = new MessageChannel<ToDataProcess<Config>, FromDataProcess>(socket);
    channel.onMessage = (message) => {
      const child = message.type === "hello" ? this.#children.get(message.number) : undefined;
      if (child === undefined || child.channel !== null) return channel.close();
      child.channel = channel;
      channel.onMessage = (next) => this.#received(child, next);
      // Without a word between them it is of no use to anybody.
      channel.onClose = () => child.kill();
      channel.send({ type: "begin", config: this.#options.config });
      // Before it listens.
      if (this.#policy !== null) channel.send({ type: "policy", policy: this.#policy }, "policy");
    };
  }

  #received(child: DataProcessChild<Config>, message: FromDataProcess): void {
    const { number } = child;
    switch (message.type) {
      case "ready":
        child.isReady = true;
        const { advertised } = this.addresses;
        child.channel?.send({ type: "serve", ips: this.addresses.ips(), advertised }, "serve");
        if (!this.#isAdmitting) child.channel?.send({ type: "stop-admitting" });
        this.addresses.addPart(number);
        this.#shares?.addPart(number);
        this.#questions.get(-number)?.(message);
        return;
      case "policy-taken":
        child.policyVersion = message.version;
        return;
      case "failed":
        this.#questions.get(-number)?.(message);
        return;
      case "report":
        this.addresses.report(number, message.ip, message.report);
        return;
      case "pong":
        child.answered();
        this.uplinks.heard(number, message.uplinks);
        this.live.counted(number, message.counts);
        return;
      case "seen":
        this.live.seen(number, message);
        return;
      case "use":
        this.#shares?.reported(number, message.number, message.uses);
        return;
      case "served":
        child.hasServed = true;
        return;
      case "tried":
      case "own-status":
      case "own-metrics":
        this.#questions.get(message.id)?.(message);
        return;
      case "host-status-wanted":
        void this.status().then((status) => child.channel?.send({ type: "status", id: message.id, status }));
        return;
      case "upload-asked":
      case "upload-left":
      case "upload-told":
        this.#passOn(child, message);
        return;
      case "hello":
    }
  }

  /** What one asks or knows of an upload may be of another. */
  #passOn(from: DataProcessChild<Config>, message: UploadMessage): void {
    for (const child of this.#children.values()) if (child !== from) child.channel?.send(message);
  }

  #ended(child: DataProcessChild<Config>): void {
    const { number, pid, startedAtMs } = child;
    this.#children.delete(number);
    if (pid !== undefined) this.#options.record.forget(pid);
    child.channel?.close();
    this.#questions.get(-number)?.(null);
    this.uplinks.forget(number);
    this.live.forget(number);
    this.addresses.removePart(number);
    this.#shares?.removePart(number);
    if (this.#isClosing) return;
    this.#options.log.error({ process: number, pid }, "a data process has ended: its connections are gone");
    if (monotonicMs() - startedAtMs >= SOUND_MS) this.#backOff.succeed();
    setTimeout(() => this.#replace(), this.#backOff.fail());
  }

  #replace(): void {
    if (this.#isClosing || this.#children.size >= this.#options.count) return;
    this.#begin().then(
      () => this.#options.log.info({ process: this.#startCount }, "a data process has been replaced"),
      (fault: unknown) => this.#options.log.error({ err: fault }, "a data process cannot be replaced yet"),
    );
  }

  #look(): void {
    const view = this.live.next();
    for (const child of this.#children.values()) {
      if (!child.isReady || child.look(view) === "well") continue;
      this.#options.log.error(
        { process: child.number, pid: child.pid },
        "a data process does not answer: it is ended, for nothing of it can be given to others",
      );
      child.kill();
    }
  }

  async #tryOut(ip: string, places: readonly Place[]): Promise<readonly Place[]> {
    // One that has units needs to ask nobody.
    const views = this.addresses.views().filter(({ part }) => part !== KERNEL_PART);
    const [view] = views.toSorted((a, b) => b.unitCount - a.unitCount);
    const child = view === undefined ? undefined : this.#children.get(view.part);
    if (child === undefined) return [];
    const answer = await this.#ask(child, (id) => ({ type: "try", id, ip, places }), ANSWER_MS);
    return answer?.type === "tried" ? answer.reached : [];
  }

  #ask(
    child: DataProcessChild<Config>,
    question: (id: number) => ToDataProcess<Config>,
    timeoutMs: number,
  ): Promise<FromDataProcess | null> {
    this.#questionCount += 1;
    const id = this.#questionCount;
    return new Promise((resolve) => {
      const settle = (answer: FromDataProcess | null): void => {
        clearTimeout(timer);
        this.#questions.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => settle(null), timeoutMs);
      this.#questions.set(id, settle);
      void child.ended.then(() => settle(null));
      child.channel?.send(question(id));
    });
  }

  #sendAll(message: ToDataProcess<Config>, key: string | null = null): void {
    for (const { channel } of this.#children.values()) channel?.send(message, key);
  }
}
