/**
 * The HTTP server of a host: the same API as the edge, for the edge and for clients that come
 * straight here. It admits, chooses the address, judges the URL, and hands over to a path.
 *
 * Whatever it answers by itself is a problem with a name, and counted. [GW1]
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Identity } from "../../core/identity.ts";
import { grant, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem, ProblemCode } from "../../core/problems.ts";
import { FETCH_PATH } from "../../wire/header-names.ts";
import type { TokenVerifier } from "../../wire/tokens.ts";
import { AddressChoice } from "../ports/address-choice.ts";
import type { AddressPorts } from "../ports/address-ports.ts";
import { parseDestination } from "../ports/destination-url.ts";
import { problemOf } from "./faults.ts";
import { readRequestHeaders, type RequestHeaders } from "./forwarded-headers.ts";
import { GatewayAccess } from "./gateway-access.ts";
import { addressStatus } from "./gateway-status.ts";
import { HttpExchange, type HttpPath } from "./http-path.ts";
import type { Outgoing } from "./outgoing.ts";
import type { PortBinder } from "../ports/port-binder.ts";
import { endWithProblem, sendProblem } from "./problem-reply.ts";
import { relayWebSocket, type WebSocketPath } from "./websocket-path.ts";

/** What a gateway needs of its host. */
export interface GatewayOptions {
  /** Name of this host, as in `egress-host`. */
  readonly host: string;
  readonly pool: string;
  readonly binder: PortBinder;
  readonly outgoing: Outgoing;
  /** Knows the edge's keys; whoever made it keeps them fresh. */
  readonly verifier: TokenVerifier;
  /** Certificate authorities for WebSockets; those of the system by default. */
  readonly authorities?: readonly string[];
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
  /** Responses to requests that have a body, by connection. */
  readonly #uploads = new WeakMap<Duplex, ServerResponse>();
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
    };
    this.#webSocketPath = {
      dialler: options.outgoing.dialler,
      host: options.host,
      authorities: options.authorities,
      answerTimeoutMs: WEBSOCKET_ANSWER_MS,
    };
    this.server = this.#createServer();
  }

  /** Requests and WebSockets under way. */
  get runningCount(): number {
    return this.#runningCount;
  }

  #createServer(): Server {
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // A stream lasts as long as it lasts.
      requestTimeout: 0,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      noDelay: true,
      // Node's own refusal would have no name.
      requireHostHeader: false,
    });
    // Beyond the default of 2,000 Node drops fields silently; the limit on bytes is enough.
    server.maxHeadersCount = 0;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
      this.#onRequest(request, response);
    server.on("request", onRequest);
    // `100 Continue` is sent when the destination is ready for the body.
    server.on("checkContinue", onRequest);
    server.on("checkExpectation", onRequest);
    server.on("upgrade", (request, socket, head) => {
      void this.#onUpgrade(request, socket, head);
    });
    server.on("connect", (_request, socket) => this.#refuseOn(socket, { code: "method-unsupported" }));
    server.on("clientError", (fault, socket) => this.#onClientError(fault, socket));
    return server;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const target = request.url!;
    const queryAt = target.indexOf("?");
    const path = queryAt === -1 ? target : target.slice(0, queryAt);
    if (path === FETCH_PATH) {
      this.#onFetch(request, response, queryAt === -1 ? "" : target.slice(queryAt + 1));
    } else if (path !== "/health" && path !== "/v1/status") {
      this.#refuse(request, response, { code: "route-unknown" }, null);
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      this.#refuse(request, response, { code: "method-unsupported" }, null);
    } else if (path === "/health") {
      sendJson(response, { status: "ok" });
    } else {
      void this.#onStatus(request, response);
    }
  }

  #onFetch(request: IncomingMessage, response: ServerResponse, query: string): void {
    const headers = readRequestHeaders(request.rawHeaders);
    if (headers.hasBody) this.#uploads.set(request.socket, response);
    const identity = this.#access.admit(headers.egressAuthorization, "gateway");
    if (identity instanceof Promise) {
      identity
        .then((verified) => this.#fetch(request, response, query, headers, verified))
        .catch((fault: unknown) => this.#refuse(request, response, problemOf(fault), fault));
    } else {
      this.#fetch(request, response, query, headers, identity);
    }
  }

  #fetch(
    request: IncomingMessage,
    response: ServerResponse,
    query: string,
    headers: RequestHeaders,
    identity: Outcome<Identity, Problem>,
  ): void {
    const admitted = this.#admit(identity, query, headers);
    if (!admitted.ok) {
      this.#refuse(request, response, admitted.refusal, null);
      return;
    }
    const { from, url } = admitted.value;
    const { redirect, forwarded, hasBody } = headers;
    if (redirect !== null && redirect !== "manual" && redirect !== "follow") {
      this.#refuse(request, response, { code: "redirect-mode-invalid" }, null);
      return;
    }
    this.#runningCount += 1;
    response.once("close", () => {
      this.#runningCount -= 1;
    });
    const hop = { url, method: request.method!, headers: forwarded, hasBody };
    new HttpExchange(this.#httpPath, request, response, from, hop, redirect === "follow").start();
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

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // A client that resets must not end the process.
    socket.on("error", () => socket.destroy());
    this.#runningCount += 1;
    socket.once("close", () => {
      this.#runningCount -= 1;
    });
    try {
      const [path, query] = splitTarget(request.url!);
      const headers = readRequestHeaders(request.rawHeaders);
      if (path !== FETCH_PATH) return this.#refuseOn(socket, { code: "route-unknown" });
      const identity = await this.#access.admit(headers.egressAuthorization, "gateway");
      const admitted = this.#admit(identity, query, headers);
      if (!admitted.ok) return this.#refuseOn(socket, admitted.refusal);
      if (request.headers.upgrade?.toLowerCase() !== "websocket" || request.method !== "GET") {
        return this.#refuseOn(socket, { code: "upgrade-unsupported" });
      }
      const { from, url } = admitted.value;
      await relayWebSocket(this.#webSocketPath, from, {
        request,
        socket,
        head,
        url,
        headers: headers.forwarded,
      });
    } catch (fault) {
      this.#refuseOn(socket, problemOf(fault), fault);
    }
  }

  async #onStatus(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const headers = readRequestHeaders(request.rawHeaders);
      const identity = await this.#access.admit(
        headers.egressAuthorization ?? headers.authorization,
        "admin",
      );
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
    } catch (fault) {
      this.#refuse(request, response, problemOf(fault), fault);
    }
  }

  /** Node could not read the request: by then there is a socket but no response. */
  #onClientError(fault: Error & { readonly code?: string }, socket: Duplex): void {
    if (fault.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const response = this.#uploads.get(socket);
    const isUpload = response !== undefined && !response.writableFinished;
    // Half of a response is on its way already: nothing can be said any more.
    if (isUpload && response.headersSent) socket.destroy();
    // Bytes after, or an end within, a body whose length was announced. [GW10]
    else if (isUpload) this.#refuseOn(socket, { code: "body-length-mismatch" });
    else if (fault.code === "HPE_HEADER_OVERFLOW") this.#refuseOn(socket, { code: "headers-too-large" });
    else this.#refuseOn(socket, { code: "request-malformed", detail: fault.code ?? "unreadable" });
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
}

function splitTarget(target: string): [path: string, query: string] {
  const queryAt = target.indexOf("?");
  return queryAt === -1 ? [target, ""] : [target.slice(0, queryAt), target.slice(queryAt + 1)];
}

function sendJson(response: ServerResponse, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}
