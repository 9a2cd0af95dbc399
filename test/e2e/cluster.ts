/**
 * A whole ipshard on loopback, made of the real processes: the edge on workerd, host agents,
 * and an origin. Every test file has its own, in its own temporary directory, on free ports.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type AnswerOf, type ApiRequest, type EdgeApi, edgeApi } from "../../src/api/edge-api.ts";
import type { Role } from "../../src/core/identity.ts";
import type { PoolSettings } from "../../src/core/pool-settings.ts";
import { signToken } from "../../src/wire/tokens.ts";
import type { OriginQuestion, SeenConnection } from "./origin.ts";
import { testedProgram } from "../runner/tested-program.ts";

/** The shared address of every cluster. */
export const EGRESS_IP = "127.0.0.10";
/** The pool that every cluster has. */
export const POOL = "default";

/** Where the origin listens. */
export interface OriginPorts {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly garbagePort: number;
  readonly silentPort: number;
  readonly closingPort: number;
}

/** A running process of the cluster, and where it writes what it says. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<number | null>;
}

/** Longer than anybody tries anything; an hour was too short for an hour of fuzz. */
const TOKEN_LIFETIME_MS = 86_400_000;

/** What a gateway says of itself. */
export interface StatusView {
  readonly addresses: readonly {
    readonly ip: string;
    readonly portCount: number;
    readonly heldCount: number;
    readonly blocks: readonly unknown[];
  }[];
  /** Requests and WebSockets under way. */
  readonly running: number;
  /** Where there are several. */
  readonly processes?: readonly {
    readonly pid: number;
    readonly units: number;
    readonly flows: number;
  }[];
}

const CLI = testedProgram("cli");
const ORIGIN = join(import.meta.dirname, "origin.ts");

export class Cluster {
  readonly directory: string;
  readonly edgePort: number;
  readonly edgeUrl: string;
  readonly origin: OriginPorts;
  /** The edge's API, called as its operator. */
  readonly api: EdgeApi;
  readonly hosts = new Map<string, { port: number; running: Running | null; args: readonly string[] }>();
  readonly #edgeArgs: readonly string[];
  readonly #edgeProgram: string;
  readonly #ca: string | undefined;
  #edge: Running | null = null;
  readonly #originProcess: ChildProcess;
  #tokens = new Map<string, string>();

  private constructor(
    directory: string,
    edgePort: number,
    origin: OriginPorts,
    originProcess: ChildProcess,
    {
      edgeArgs = [],
      edgeProgram = CLI,
      ca,
    }: { readonly edgeArgs?: readonly string[]; readonly edgeProgram?: string; readonly ca?: string },
  ) {
    this.directory = directory;
    this.edgePort = edgePort;
    this.#edgeArgs = edgeArgs;
    this.#edgeProgram = edgeProgram;
    this.#ca = ca;
    this.edgeUrl = `${ca === undefined ? "http" : "https"}://127.0.0.1:${edgePort}`;
    this.origin = origin;
    this.#originProcess = originProcess;
    this.api = this.apiAs("admin", "operator", ["*"]);
  }

  /** Edge, pool, address, origin; then these hosts, with leases. */
  static async start(options: {
    hosts: readonly string[];
    settings?: Partial<PoolSettings>;
    agentArgs?: readonly string[];
    /** Of the edge; with a certificate it speaks TLS. */
    edgeArgs?: readonly string[];
    /** Instead of ours: the command line of another source tree. */
    edgeProgram?: string;
    /** Fills the state directory of the edge and the hosts before anything starts. */
    stateBefore?: (directory: string) => Promise<void>;
    /** An authority that all parts, and this process, trust for it. */
    ca?: string;
  }): Promise<Cluster> {
    const directory = await mkdtemp(join(tmpdir(), "ipshard-e2e-"));
    const originProcess = spawn(process.execPath, [ORIGIN], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const origin = await new Promise<OriginPorts>((resolve) => {
      originProcess.once("message", (message: { ready: OriginPorts }) => resolve(message.ready));
    });
    const cluster = new Cluster(directory, await freePort(), origin, originProcess, options);
    try {
      await options.stateBefore?.(directory);
      await cluster.startEdge();
      await cluster.api.putPool({ pool: POOL, settings: options.settings ?? {} });
      await cluster.api.putIp({ pool: POOL, ip: EGRESS_IP });
      for (const host of options.hosts) await cluster.startHost(host, options.agentArgs ?? []);
      await cluster.untilServing(options.hosts);
    } catch (fault) {
      await cluster.stop();
      throw fault;
    }
    return cluster;
  }

  /** On this cluster's own state, or another. */
  async startEdge(state: string = this.directory): Promise<void> {
    const args = [this.#edgeProgram, "edge", "--port", String(this.edgePort), "--state", state];
    this.#edge = this.#spawn("edge", [...args, ...this.#edgeArgs]);
    await until("the edge answers", async () => {
      return (await this.#send(`${this.edgeUrl}/health`, { method: "GET", headers: {} })).status === 200;
    });
  }

  /** Ends the edge at once: the process that would start it again first, then workerd itself. */
  async killEdge(): Promise<void> {
    const edge = this.#edge;
    assert(edge, "the edge runs");
    const workerd = await this.workerdPid();
    this.#edge = null;
    process.kill(edge.pid, "SIGKILL");
    await edge.exited;
    process.kill(workerd, "SIGKILL");
    await until("the edge is gone", () =>
      fetch(`${this.edgeUrl}/health`).then(
        () => false,
        () => true,
      ),
    );
  }

  /**
   * Starts a host's agent, or starts it again on its old state directory and port. PORT in an
   * argument stands for the port of its gateway.
   */
  async startHost(host: string, args: readonly string[] = this.hosts.get(host)?.args ?? []): Promise<void> {
    const port = this.hosts.get(host)?.port ?? (await freePort());
    const state = join(this.directory, "hosts", host);
    await mkdir(state, { recursive: true });
    const tokenFile = join(this.directory, `${host}.token`);
    await writeFile(tokenFile, await this.token("host", host));
    const running = this.#spawn(host, [
      CLI,
      "agent",
      `--edge=${this.edgeUrl}`,
      `--pool=${POOL}`,
      `--token-file=${tokenFile}`,
      `--state=${state}`,
      `--listen=127.0.0.1:${port}`,
      "--allow=127.0.0.20/30",
      // One process each, where a test is not about several: they start sooner.
      ...(args.some((arg) => arg.startsWith("--processes")) ? [] : ["--processes=1"]),
      ...args.map((arg) => arg.replace("PORT", String(port))),
    ]);
    this.hosts.set(host, { port, running, args });
  }

  /** Ends a host's agent with this signal and waits until it is gone. */
  async stopHost(host: string, signal: NodeJS.Signals): Promise<number | null> {
    const entry = this.hosts.get(host);
    assert(entry?.running, `${host} runs`);
    process.kill(entry.running.pid, signal);
    const code = await entry.running.exited;
    entry.running = null;
    return code;
  }

  /** The process of workerd itself, the one child of the edge's. */
  async workerdPid(): Promise<number> {
    assert(this.#edge, "the edge runs");
    const { pid } = this.#edge;
    return Number((await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ")[0]);
  }

  pidOf(host: string): number {
    const running = this.hosts.get(host)?.running;
    assert(running, `${host} runs`);
    return running.pid;
  }

  gatewayOf(host: string): string {
    return `http://127.0.0.1:${this.hosts.get(host)!.port}`;
  }

  /** A token of this role; signed once, then the same again. */
  async token(role: Role, name: string, pools: readonly string[] = [POOL]): Promise<string> {
    const known = this.#tokens.get(`${role}/${name}/${pools.join()}`);
    if (known) return known;
    const key = JSON.parse(await readFile(join(this.directory, "keys", "issuer.json"), "utf8"));
    const identity = { role, subject: name, pools, expiresAtMs: Date.now() + TOKEN_LIFETIME_MS };
    const token = await signToken(identity, key);
    this.#tokens.set(`${role}/${name}/${pools.join()}`, token);
    return token;
  }

  /** The headers of a client of the pool. */
  async clientHeaders(): Promise<Record<string, string>> {
    return { "egress-authorization": `Bearer ${await this.token("client", "tester")}` };
  }

  /** The URL of the egress API for this destination. */
  through(destination: string, base: string = this.edgeUrl): string {
    return `${base}/v1/fetch?url=${encodeURIComponent(destination)}`;
  }

  /** A URL of the origin; `index` picks one of its addresses. */
  originUrl(path: string, index = 0): string {
    return `http://${this.origin.addresses[index]}:${this.origin.port}${path}`;
  }

  /** The edge's API, called in this role. */
  apiAs(role: Role, name: string, pools?: readonly string[]): EdgeApi {
    return edgeApi({
      edge: this.edgeUrl,
      token: () => this.token(role, name, pools),
      send: (url, request) => this.#send(url, request),
    });
  }

  async table(): Promise<AnswerOf<"getIp">> {
    return this.api.getIp({ ip: EGRESS_IP });
  }

  /** The blocks a host holds, by base. */
  async blocksOf(host: string): Promise<AnswerOf<"getIp">["blocks"]> {
    const { blocks } = await this.table();
    return blocks
      .filter((lease) => lease.host === host && lease.state === "leased")
      .toSorted((a, b) => a.base - b.base);
  }

  /** The host that holds this port now. */
  async holderOf(port: number): Promise<string | undefined> {
    const { blocks } = await this.table();
    return blocks.find((lease) => port >= lease.base && port < lease.base + 2 ** lease.order)?.host;
  }

  async status(host: string): Promise<StatusView> {
    const response = await fetch(`${this.gatewayOf(host)}/v1/status`, {
      headers: { authorization: `Bearer ${await this.token("admin", "operator", ["*"])}` },
    });
    assert(response.ok, `status of ${host}: ${response.status}`);
    return (await response.json()) as StatusView;
  }

  /** Waits until the placement names exactly these hosts with room. */
  async untilServing(hosts: readonly string[]): Promise<void> {
    const wanted = hosts.toSorted().join();
    const api = this.apiAs("client", "tester");
    await until(`${wanted} serve`, async () => {
      const placed = (await api.makeGatewayToken()).hosts.map(({ host }) => host);
      return placed.toSorted().join() === wanted;
    });
  }

  askOrigin(question: OriginQuestion): Promise<any> {
    return new Promise((resolve) => {
      const listener = (message: { question: OriginQuestion; answer: unknown }): void => {
        if (message.question !== question) return;
        this.#originProcess.off("message", listener);
        resolve(message.answer);
      };
      this.#originProcess.on("message", listener);
      this.#originProcess.send(question);
    });
  }

  async seen(): Promise<SeenConnection[]> {
    return this.askOrigin("seen");
  }

  /** Ends every process of the cluster, by its id, and removes its directory. */
  async stop(): Promise<void> {
    const ends: Promise<unknown>[] = [];
    for (const { running } of this.hosts.values()) {
      if (running && running.child.exitCode === null) {
        running.child.kill("SIGKILL");
        ends.push(running.exited);
      }
    }
    if (this.#edge && this.#edge.child.exitCode === null) {
      this.#edge.child.kill("SIGTERM");
      ends.push(this.#edge.exited);
    }
    this.#originProcess.kill("SIGKILL");
    await Promise.all(ends);
    if (process.env["KEEP_E2E"]) console.log(`kept: ${this.directory}`);
    else await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  /** As `fetch`, which takes no authority of one's own. */
  async #send(
    url: string,
    { method, headers, body, signal }: ApiRequest,
  ): Promise<{ status: number; text(): Promise<string> }> {
    if (this.#ca === undefined) return fetch(url, { method, headers, body, signal } as RequestInit);
    const ca = await readFile(this.#ca);
    const asked = httpsRequest(url, { method, headers, ca, agent: false });
    asked.end(body);
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    return { status: response.statusCode!, text: () => text(response) };
  }

  #spawn(name: string, args: readonly string[]): Running {
    const env = { ...process.env, ...(this.#ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: this.#ca }) };
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env });
    const log = createWriteStream(join(this.directory, `${name}.log`), { flags: "a" });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    const exited = new Promise<number | null>((resolve) => {
      child.once("exit", (code) => resolve(code));
    });
    return { child, pid: child.pid!, exited };
  }
}

/** Polls until something holds; the test fails, with its name, if it does not in time. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = null;
  while (Date.now() < deadline) {
    try {
      if (await holds()) return;
    } catch (fault) {
      last = fault;
    }
    await delay(50);
  }
  // Said in the message too: of a failed test a summary shows no more.
  const why = last instanceof Error ? `: ${last.message}` : "";
  throw new Error(`waited ${timeoutMs} ms in vain until ${what}${why}`, { cause: last });
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/**
 * A TCP port of loopback that was free a moment ago: none of those that the kernel gives to connections, of which
 * one may be made before whoever asked listens there.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => {
      server.close(resolve);
    });
    return port;
  }
}

/** Connections of the kernel's table with this source address that still hold a port (TIME_WAIT aside). */
export async function kernelConnectionsFrom(address: string): Promise<number> {
  const hex = address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0").toUpperCase())
    .toReversed()
    .join("");
  const table = await readFile("/proc/net/tcp", "utf8");
  return table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.startsWith(`${hex}:`) && state !== "06").length;
}

/** Peak and present resident memory of a process, in bytes. */
export async function memoryOf(pid: number): Promise<{ peakBytes: number; presentBytes: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kibibytes = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]);
  return { peakBytes: kibibytes("VmHWM") * 1024, presentBytes: kibibytes("VmRSS") * 1024 };
}
