/** A small edge on loopback for tests of the host's side: real WebSockets, real lease table, no storage. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type Logger, pino } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import { execute } from "../../src/core/lease-commands.ts";
import { emptyLeaseTable, type LeaseTable } from "../../src/core/lease-table.ts";
import { HEARTBEAT, HEARTBEAT_ANSWER, type PoolRequest } from "../../src/core/messages.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../src/core/pool-settings.ts";
import type { Problem } from "../../src/core/problems.ts";
import type { KeySet } from "../../src/wire/keys.ts";
import { parseLeaseRequest, parsePoolRequest } from "../../src/wire/message-parsers.ts";
import { problemReply } from "../../src/wire/problem-response.ts";

const HOST = "h1";

/** One connection of the host. */
export interface HostConnection {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly socket: WebSocket;
  readonly received: string[];
}

export class LoopbackEdge {
  readonly connections: HostConnection[] = [];
  readonly poolRequests: PoolRequest[] = [];
  upgradeCount = 0;
  keyRequestCount = 0;
  keys: KeySet = { keys: [] };
  ips: string[] = [];
  settings: PoolSettings = DEFAULT_POOL_SETTINGS;
  /** Refuses upgrades with this problem. */
  refusal: Problem | null = null;
  /** Refuses enlisting with this code. */
  poolRefusal: "host-already-present" | null = null;
  /** Whether the pool has routers; undefined for a pool that does not say. */
  steered: boolean | undefined = undefined;
  isSilent = false;
  /** By address. */
  readonly tables = new Map<string, LeaseTable>();
  readonly url: URL;
  #server: Server;
  readonly #webSockets = new WebSocketServer({ noServer: true });

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.url = new URL(`http://127.0.0.1:${port}`);
  }

  static async start(): Promise<LoopbackEdge> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const edge = new LoopbackEdge(server, (server.address() as AddressInfo).port);
    edge.#serve(server);
    return edge;
  }

  /** Is gone, with all connections. */
  async stop(): Promise<void> {
    this.dropAll();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Is back on the same port. */
  async restart(): Promise<void> {
    this.#server = createServer();
    this.#server.listen(Number(this.url.port), "127.0.0.1");
    await once(this.#server, "listening");
    this.#serve(this.#server);
  }

  dropAll(): void {
    for (const { socket } of this.open()) socket.terminate();
  }

  open(path = ""): HostConnection[] {
    return this.connections.filter(
      (connection) => connection.path.startsWith(path) && connection.socket.readyState === 1,
    );
  }

  /** Says which addresses the pool has now. */
  tellIps(ips: string[]): void {
    this.ips = ips;
    for (const { socket } of this.open("/v1/pools/")) this.#enlisted(socket);
  }

  lastReport(): (PoolRequest & { type: "report" }) | undefined {
    return this.poolRequests.findLast((request) => request.type === "report");
  }

  leasedEpochs(ip: string): number[] {
    const rows = [...(this.tables.get(ip)?.rows.values() ?? [])];
    return rows.filter(({ state }) => state === "leased").map(({ epoch }) => epoch);
  }

  #serve(server: Server): void {
    server.on("request", (request, response) => {
      if (request.url === "/.well-known/jwks.json") this.keyRequestCount += 1;
      response.setHeader("content-type", "application/json").end(JSON.stringify(this.keys));
    });
    server.on("upgrade", (request, socket, head) => {
      this.upgradeCount += 1;
      if (this.refusal !== null) return refuseUpgrade(socket, this.refusal);
      this.#webSockets.handleUpgrade(request, socket, head, (opened) => this.#opened(request, opened));
    });
  }

  #opened(request: IncomingMessage, socket: WebSocket): void {
    const path = request.url!;
    const received: string[] = [];
    const { authorization } = request.headers;
    this.connections.push({ path, authorization, socket, received });
    const ip = /^\/v1\/ips\/([^/]+)\/connect$/.exec(path)?.[1];
    const onMessage = ip === undefined ? this.#poolSpeaker(socket) : this.#leaseSpeaker(socket, ip);
    socket.on("error", () => {});
    socket.on("message", (data) => {
      const text = (data as Buffer).toString();
      received.push(text);
      if (this.isSilent) return;
      if (text === HEARTBEAT) socket.send(HEARTBEAT_ANSWER);
      else onMessage(text);
    });
  }

  #poolSpeaker(socket: WebSocket): (text: string) => void {
    return (text) => {
      const request = parsePoolRequest(text);
      if (!request.ok) return socket.close(4002, request.refusal);
      this.poolRequests.push(request.value);
      if (request.value.type !== "enlist") return;
      if (this.poolRefusal === null) return this.#enlisted(socket);
      socket.send(JSON.stringify({ type: "refused", code: this.poolRefusal }));
    };
  }

  #leaseSpeaker(socket: WebSocket, ip: string): (text: string) => void {
    const table = this.tables.get(ip) ?? emptyLeaseTable(this.settings);
    this.tables.set(ip, table);
    let session = 0;
    return (text) => {
      const request = parseLeaseRequest(text);
      if (!request.ok) return socket.close(4002, request.refusal);
      const { requestId } = request.value;
      const command =
        request.value.type === "join"
          ? { type: "join" as const, host: HOST, instance: request.value.instance }
          : { ...request.value, host: HOST, session };
      const { outcome } = execute(table, command, Date.now(), Math.random);
      if (!outcome.ok) {
        return socket.send(JSON.stringify({ type: "refused", requestId, code: outcome.refusal }));
      }
      session = outcome.value.session!;
      const { leases, leaseDurationMs, granted } = outcome.value;
      const { settings } = table;
      socket.send(JSON.stringify({ type: "answer", requestId, leases, leaseDurationMs, granted, settings }));
    };
  }

  #enlisted(socket: WebSocket): void {
    socket.send(JSON.stringify({ type: "enlisted", pool: "default", ips: this.ips, steered: this.steered }));
  }
}

function refuseUpgrade(socket: Duplex, problem: Problem): void {
  const { status, headers, body } = problemReply(problem);
  const fields = Object.entries({
    ...headers,
    "content-length": Buffer.byteLength(body),
    connection: "close",
  });
  const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.end(`HTTP/1.1 ${status} Refused\r\n${head}\r\n${body}`);
}

/** A logger whose lines a test can read. */
export function recordingLog(): { log: Logger; lines: { level: number; msg: string }[] } {
  const lines: { level: number; msg: string }[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => lines.push(JSON.parse(line)) });
  return { log, lines };
}

/** Polls until something holds; the test fails, with its name, if it does not in time. */
export async function until(what: string, holds: () => boolean, timeoutMs = 30_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}
