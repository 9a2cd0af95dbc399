/**
 * The HTTP server of a host: the same API as the edge, for the edge and for clients that come
 * straight here. It admits, chooses the address, judges the URL, and hands over to a path.
 *
 * Whatever it answers by itself is a problem with a name, and counted. [GW1]
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ListenOptions, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Identity } from "../../../core/identity.ts";
import { grant, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem, ProblemCode } from "../../../core/problems.ts";
import { FETCH_PATH } from "../../../wire/header-names.ts";
import type { TokenVerifier } from "../../../wire/tokens.ts";
import { AddressChoice } from "../../egress/address-choice.ts";
import type { AddressPorts } from "../../egress/address-ports.ts";
import { parseDestination } from "../../egress/destination-url.ts";
import { outliveClients } from "../../../process/listener.ts";
import { ClientConnection } from "./client-connection.ts";
import { EgressFault, problemOf } from "../../egress/faults.ts";
import { Flow } from "../../../process/flow.ts";
import { readRequestHeaders, type RequestHeaders } from "../http/forwarded-headers.ts";
import { GatewayAccess } from "./gateway-access.ts";
import { addressStatus, lackOf, sendJson } from "./gateway-status.ts";
import { HttpExchange, type HttpPath } from "../fetch/http-path.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import type { PortBinder } from "../../egress/port-binder.ts";
import { endWithProblem, sendProblem } from "../clients/problem-reply.ts";
import { isWebSocketRequest, judgeHead, targetOf } from "./head-rules.ts";
import { uploadAt, Uploads } from "../clients/uploads.ts";
import { WebSocketClient } from "../websocket/websocket-client.ts";
import { relayWebSocket, type WebSocketPath } from "../websocket/websocket-path.ts";

/** What a gateway needs of its host. */
export interface GatewayOptions {
  /** Name of this host, as in `egress-host`. */
  readonly host: string;
  readonly pool: string;
  readonly binder: PortBinder;
  readonly outgoing: Outgoing;
  /** Knows the edge's keys; whoever made it keeps them fresh. */
  readonly verifier: TokenVerifier;
  /** Told of every fault that nobody foresaw. */
  readonly onFault: (fault: unknown) => void;
  /** What the host wants to add to its status. */
  readonly describe?: () => Promise<Record<string, unknown>>;
}

/** Longest request line and header section, in bytes. */
const MAX_HEADER_BYTES = 32 * 1024;
const HEADERS_TIMEOUT_MS = 30_000;
/** Longer than any client keeps a connection for reuse, so that none is closed under a request. */
const IDLE_CONNECTION_MS = 120_000;
const CLIENT_SILENCE_MS = 60_000;
const WEBSOCKET_ANSWER_MS = 30_000;

/** Where a fetch goes and whence. */
interface Admission {
  readonly from: AddressPorts;
  readonly url: URL;
}

/** Serves the gateway API of one host. */
export class Gateway {
  /** Refuses new requests; those that run go on. */
  isDraining = false;
  readonly server: Server;
  readonly #options: GatewayOptions;
  readonly #access: GatewayAccess;
  readonly #choice: AddressChoice;
  readonly #httpPath: HttpPath;
  readonly #webSocketPath: WebSocketPath;
  readonly #uploads = new Uploads();
  readonly #clients = new WeakMap<Duplex, ClientConnection>();
  readonly #refusalCounts = new Map<ProblemCode, number>();
  #runningCount = 0;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#access = new GatewayAccess(options.verifier, options.pool);
    this.#choice = new AddressChoice(options.binder, options.pool, (name) =>
      options.outgoing.dialler.familiesOf(name),
    );
    this.#httpPath = {
      outgoing: options.outgoing,
      host: options.host,
      refuse: (request, response, problem, fault) => this.#refuse(request, response, problem, fault),
      count: (problem, fault) => this.#count(problem, fault),
    };
    this.#webSocketPath = {
      dialler: options.outgoing.dialler,
      secureSockets: options.outgoing.secureSockets,
      host: options.host,
      answerTimeoutMs: WEBSOCKET_ANSWER_MS,
    };
    this.server = this.#createServer();
  }

  /** Requests and WebSockets under way. */
  get runningCount(): number {
    return this.#runningCount;
  }

  /** Listens; events tell when, or why not. */
  listen(options: ListenOptions): void {
    // A listener of a client's socket that escaped its own flow is at least no end of the process.
    new Flow(this.#onFault, this.#onFault).run(() => this.server.listen(options));
  }

  #createServer(): Server {
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // A stream lasts as long as it lasts.
      requestTimeout: 0,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      noDelay: true,
      // A client whose machine is gone says nothing, and may be waited for: the kernel asks it. [GW23]
      keepAlive: true,
      keepAliveInitialDelay: CLIENT_SILENCE_MS,
      // Node's own refusal would have no name.
      requireHostHeader: false,
      // What is said on a connection with answers outstanding waits for its turn; frames cannot.
      shouldUpgradeCallback: (request) =>
        isWebSocketRequest(request) && this.#clients.get(request.socket)?.isBusy === false,
    });
    // Beyond the default of 2,000 Node drops fields silently; the limit on bytes is enough.
    server.maxHeadersCount = 0;
    // A client that has sent all it wants to may shut its side, and still wants its answers. [GW14]
    (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    outliveClients(server, (fault) => this.#onFault(fault));
    server.on("connection", (socket: Socket) => {
      const flow = this.#flowOf(socket);
      this.#clients.set(socket, new ClientConnection(socket, flow));
    });
    server.on("request", this.#beginExchange);
    // `100 Continue` is sent when the destination is ready for the body.
    server.on("checkContinue", this.#beginExchange);
    server.on("checkExpectation", this.#beginExchange);
    server.on("upgrade", (request, socket, head) => this.#beginWebSocket(request, socket as Socket, head));
    server.on("connect", (_request, socket) => {
      this.#flowOf(socket).run(() => {
        // Node has left it paused, and so deaf to its end.
        socket.resume();
        this.#refuseInTurn(socket, { code: "method-unsupported" });
      });
    });
    server.on("clientError", (fault, socket) => {
      this.#flowOf(socket).run(() => this.#onClientError(fault, socket));
    });
    return server;
  }

  /** What concerns a client's connection ends, when it fails, that connection. */
  #flowOf(socket: Duplex): Flow {
    return new Flow((fault) => {
      this.#count(problemOf(fault), fault);
      socket.destroy();
    }, this.#onFault);
  }

  readonly #beginExchange = (request: IncomingMessage, response: ServerResponse): void => {
    const flow: Flow = new Flow((fault) => {
      if (exchange === null) this.#refuse(request, response, problemOf(fault), fault);
      else exchange.fail(fault);
    }, this.#onFault);
    let exchange: HttpExchange | null = null;
    const client = this.#clients.get(request.socket);
    if (client?.isLast === true) return;
    client?.add(request, response, flow);
    flow.begin(async () => {
      const headers = readRequestHeaders(request.rawHeaders);
      const judged = judgeHead(request, headers);
      if (!judged.ok) {
        response.shouldKeepAlive = false;
        if (client !== undefined) client.isLast = true;
        this.#refuse(request, response, judged.refusal, null);
        return;
      }
      const { path, query } = targetOf(request);
      if (path !== FETCH_PATH) return this.#onOtherRoute(request, response, path, headers, flow);
      // Without a promise when the token is known.
      const admitted = this.#access.admit(headers, "gateway");
      const identity = admitted instanceof Promise ? await admitted : admitted;
      const upload = this.#uploads.announce(headers.upload, identity, response);
      const learning = this.#prepare(identity, query, headers);
      if (learning !== null) await learning;
      exchange = this.#fetch(request, response, query, headers, identity);
      exchange?.start(flow, upload);
    });
  };

  #onOtherRoute(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    headers: RequestHeaders,
    flow: Flow,
  ): Promise<void> | void {
    const upload = uploadAt(path);
    if (upload === null && path !== "/health" && path !== "/v1/status") {
      this.#refuse(request, response, { code: "route-unknown" }, null);
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      this.#refuse(request, response, { code: "method-unsupported" }, null);
    } else if (upload !== null) {
      return this.#sendStanding(request, response, upload, headers, flow);
    } else if (path === "/health") {
      this.#sendHealth(request, response);
    } else {
      return this.#sendStatus(request, response, headers);
    }
  }

  /** Whether this host can serve, and if not what it lacks. [GW15] */
  #sendHealth(request: IncomingMessage, response: ServerResponse): void {
    const lack = lackOf(this.#options.binder, this.isDraining);
    // Whoever asks does not ask for an egress: it is no refusal, and not counted.
    if (lack === null) sendJson(response, { status: "ok" });
    else sendProblem(request, response, lack, this.#options.host);
  }

  #fetch(
    request: IncomingMessage,
    response: ServerResponse,
    query: string,
    headers: RequestHeaders,
    identity: Outcome<Identity, Problem>,
  ): HttpExchange | null {
    // While the token was verified its client may have gone, or its body have broken off.
    if (response.headersSent || response.destroyed) return null;
    const admitted = this.#admit(identity, query, headers);
    if (!admitted.ok) {
      this.#refuse(request, response, admitted.refusal, null);
      return null;
    }
    if (isWebSocketRequest(request)) {
      const detail = "A WebSocket is asked for on a connection of its own.";
      this.#refuse(request, response, { code: "upgrade-unsupported", detail }, null);
      return null;
    }
    const { from, url } = admitted.value;
    const { redirect, forwarded, hasBody } = headers;
    if (redirect !== null && redirect !== "manual" && redirect !== "follow") {
      this.#refuse(request, response, { code: "redirect-mode-invalid" }, null);
      return null;
    }
    this.#runningCount += 1;
    response.once("close", () => {
      this.#runningCount -= 1;
    });
    const hop = { url, method: request.method!, headers: forwarded, hasBody };
    return new HttpExchange(this.#httpPath, request, response, from, hop, redirect === "follow");
  }

  /** What has to be known before an address is chosen; null when it is. [RS5] */
  #prepare(
    identity: Outcome<Identity, Problem>,
    query: string,
    headers: RequestHeaders,
  ): Promise<unknown> | null {
    if (!identity.ok) return null;
    return this.#choice.prepare(headers.egress, () => {
      const destination = parseDestination(query);
      return destination.ok ? destination.value.hostname : null;
    });
  }

  #admit(
    identity: Outcome<Identity, Problem>,
    query: string,
    headers: RequestHeaders,
  ): Outcome<Admission, Problem> {
    if (!identity.ok) return identity;
    if (this.isDraining) return refuse({ code: "draining" });
    const destination = parseDestination(query);
    if (!destination.ok) return destination;
    const chosen = this.#choice.choose(headers.egress, destination.value.hostname);
    if (!chosen.ok) return chosen;
    return grant({ from: chosen.value, url: destination.value });
  }

  #beginWebSocket(request: IncomingMessage, socket: Socket, head: Buffer): void {
    let client: WebSocketClient | null = null;
    const flow = new Flow((fault) => {
      const problem = problemOf(fault);
      if (client === null || (!client.isAnswered && !client.gone.aborted)) {
        this.#refuseOn(socket, problem, fault);
      } else {
        this.#count(problem, fault);
        socket.destroy();
      }
      client?.giveUp();
    }, this.#onFault);
    this.#runningCount += 1;
    socket.once("close", () => {
      this.#runningCount -= 1;
    });
    flow.begin(async () => {
      client = new WebSocketClient(socket, head, flow);
      await this.#onUpgrade(request, client, flow);
    });
  }

  async #onUpgrade(request: IncomingMessage, client: WebSocketClient, flow: Flow): Promise<void> {
    const { socket } = client;
    const headers = readRequestHeaders(request.rawHeaders);
    const judged = judgeHead(request, headers);
    if (!judged.ok) return this.#refuseOn(socket, judged.refusal);
    const target = targetOf(request);
    if (target.path !== FETCH_PATH) return this.#refuseOn(socket, { code: "route-unknown" });
    const identity = await this.#access.admit(headers, "gateway");
    await this.#prepare(identity, target.query, headers);
    const admitted = this.#admit(identity, target.query, headers);
    if (!admitted.ok) return this.#refuseOn(socket, admitted.refusal);
    if (headers.hasBody) {
      const detail = "The request for a WebSocket has no body.";
      return this.#refuseOn(socket, { code: "request-malformed", detail });
    }
    const { from, url } = admitted.value;
    const asked = { request, client, url, headers: headers.forwarded };
    await relayWebSocket(this.#webSocketPath, from, asked, flow);
  }

  async #sendStanding(
    request: IncomingMessage,
    response: ServerResponse,
    upload: string,
    headers: RequestHeaders,
    flow: Flow,
  ): Promise<void> {
    const identity = await this.#access.admit(headers, "gateway");
    if (!identity.ok) return this.#refuse(request, response, identity.refusal, null);
    this.#uploads.answer(upload, identity.value, response, flow);
  }

  async #sendStatus(
    request: IncomingMessage,
    response: ServerResponse,
    headers: RequestHeaders,
  ): Promise<void> {
    const identity = await this.#access.admit(headers, "admin");
    if (!identity.ok) return this.#refuse(request, response, identity.refusal, null);
    sendJson(response, {
      host: this.#options.host,
      pool: this.#options.pool,
      draining: this.isDraining,
      running: this.#runningCount,
      connections: this.#options.outgoing.size,
      refusals: Object.fromEntries(this.#refusalCounts),
      addresses: [...this.#options.binder.addresses()].map(addressStatus),
      ...(await this.#options.describe?.()),
    });
  }

  /** Node could not read what came: there is a socket, and perhaps requests on it. */
  #onClientError(fault: Error & { readonly code?: string }, socket: Duplex): void {
    if (fault.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const problem: Problem =
      fault.code === "HPE_HEADER_OVERFLOW"
        ? { code: "headers-too-large" }
        : { code: "request-malformed", detail: fault.code ?? "unreadable" };
    const say = (): void => this.#refuseOn(socket, problem);
    // An end within a body whose length was announced, or a chunk that is none. [GW10]
    const inBody = new EgressFault("body-length-mismatch");
    const client = this.#clients.get(socket);
    if (client === undefined) say();
    else client.breakOff(inBody, say);
  }

  #refuseInTurn(socket: Duplex, problem: Problem): void {
    const say = (): void => this.#refuseOn(socket, problem);
    const client = this.#clients.get(socket);
    if (client === undefined) say();
    else client.conclude(say);
  }

  #refuse(request: IncomingMessage, response: ServerResponse, problem: Problem, fault: unknown): void {
    this.#count(problem, fault);
    if (response.headersSent || response.destroyed) response.destroy();
    else sendProblem(request, response, problem, this.#options.host);
  }

  #refuseOn(socket: Duplex, problem: Problem, fault: unknown = null): void {
    this.#count(problem, fault);
    endWithProblem(socket, problem, this.#options.host);
  }

  #count(problem: Problem, fault: unknown): void {
    this.#refusalCounts.set(problem.code, (this.#refusalCounts.get(problem.code) ?? 0) + 1);
    if (problem.code === "internal-fault") this.#options.onFault(fault);
  }

  readonly #onFault = (fault: unknown): void => this.#count(problemOf(fault), fault);
}
