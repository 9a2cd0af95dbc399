/**
 * The gateway API of a host: the same as the edge's, for the edge and for clients that come
 * straight here. What is asked for is read and admitted here, and handed over to be sent on.
 *
 * Whatever it answers by itself is a problem with a name, and counted. [GW1]
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ListenOptions, Server as NetServer, Socket } from "node:net";
import { type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { newRequestId } from "../../../wire/request-id.ts";
import { CONNECT_PATH, FETCH_PATH } from "../../../wire/header-names.ts";
import { SILENCE_MS } from "../../../wire/tcp-carrier.ts";
import { monotonicMs } from "../../../process/clock.ts";
import { Flow } from "../../../process/flow.ts";
import type { Admission, Admitted } from "../../admission/admission.ts";
import { parseDestination } from "../../egress/destination-url.ts";
import { problemOf } from "../../egress/faults.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { PortBinder } from "../../egress/port-binder.ts";
import { Uploads } from "../clients/uploads.ts";
import { ProxiedRequest, type ProxiedRequestOptions } from "../fetch/proxied-request.ts";
import { readRequestHeaders, type RequestHeaders } from "../http/forwarded-headers.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import { type CarriedTcpOptions, carryTcp } from "../raw-tcp/carried-tcp.ts";
import { CarrierServer } from "../raw-tcp/carrier-server.ts";
import { objectionToHandshake, parseTcpDestination } from "../raw-tcp/connect-request.ts";
import { WebSocketClient } from "../websocket/websocket-client.ts";
import { relayWebSocket, type ProxiedWebSocketOptions } from "../websocket/proxied-websocket.ts";
import type { ClientConnection } from "../clients/client-connection.ts";
import { FETCHING, tokenOf } from "./gateway-token.ts";
import { isWebSocketRequest, judgeHead, targetOf } from "../clients/request-head.ts";
import type { FlowsAt } from "./flow-questions.ts";
import { type DescribeHost, HostRoutes } from "./host-routes.ts";
import { type GatewayTls, SecureFront } from "./secure-front.ts";
import { createRequestServer } from "../clients/http-server.ts";
import { type OnListenerFault, type RefusalCounts, Refusals } from "../clients/refusals.ts";
import { Visitors } from "../clients/visitors.ts";

/** What a gateway needs of its host. */
export interface GatewayOptions {
  /** Name of this host, as in `egress-host`. */
  readonly host: string;
  readonly admission: Admission;
  readonly binder: PortBinder;
  readonly outgoing: Outgoing;
  /** Shared with the other listeners of the process. */
  readonly visitors?: Visitors;
  readonly onFault: OnListenerFault;
  readonly refusalCounts?: RefusalCounts;
  /** Makes the status of the host of what this process says of itself. */
  readonly describe?: DescribeHost;
  /** Searches the flow log of the host; without it there is none. */
  readonly flowsAt?: FlowsAt;
  /** How long a TCP connection may rest, and its client be silent before it is asked. */
  readonly tcpIdleMs?: number;
  readonly tcpSilenceMs?: number;
  /** With what it speaks TLS, and nothing else; without it, plain HTTP. */
  readonly tls?: GatewayTls;
}

const WEBSOCKET_ANSWER_MS = 30_000;
/** RFC 5382 REQ-5: at least two hours and four minutes. */
const TCP_IDLE_MS = 7_500_000;

/** Serves the gateway API of one host. */
export class Gateway {
  /** Of requests. Behind TLS it does not listen itself. */
  readonly server: Server;
  readonly #front: SecureFront | null;
  readonly #visitors: Visitors;
  readonly #admission: Admission;
  readonly #refusals: Refusals;
  readonly #routes: HostRoutes;
  readonly #requestOptions: ProxiedRequestOptions;
  readonly #webSocketOptions: ProxiedWebSocketOptions;
  readonly #tcpOptions: CarriedTcpOptions;
  /** Also asked for by those who ask at another process of the host. */
  readonly uploads = new Uploads();
  #runningCount = 0;
  /** Requests that have not got their whole answer, refused ones included. */
  #openCount = 0;
  #lastRequestAtMs = -Infinity;

  constructor(options: GatewayOptions) {
    const { host, admission, binder, outgoing, visitors = new Visitors(), onFault, describe } = options;
    const refusals = new Refusals({ host, isProxy: false }, onFault, options.refusalCounts);
    this.#visitors = visitors;
    this.#admission = admission;
    this.#refusals = refusals;
    this.#routes = new HostRoutes({
      host,
      admission,
      binder,
      outgoing,
      uploads: this.uploads,
      refusals,
      runningCount: () => this.#runningCount,
      describe,
      flowsAt: options.flowsAt,
    });
    this.#requestOptions = { outgoing, host, refusals };
    this.#webSocketOptions = {
      dialler: outgoing.dialler,
      secureSockets: outgoing.secureSockets,
      host,
      answerTimeoutMs: WEBSOCKET_ANSWER_MS,
    };
    this.#tcpOptions = {
      carriers: new CarrierServer(),
      dialler: outgoing.dialler,
      secureSockets: outgoing.secureSockets,
      host,
      idleMs: options.tcpIdleMs ?? TCP_IDLE_MS,
      silenceMs: options.tcpSilenceMs ?? SILENCE_MS,
      onFailure: (problem, fault, context) => refusals.count(problem, fault, context),
    };
    this.server = createRequestServer(
      {
        onRequest: (request, response, client) => this.#beginRequest(request, response, client),
        onWebSocket: (request, socket, head) => this.#beginWebSocket(request, socket, head),
      },
      refusals,
      // Where there is a front, it has made them welcome.
      (socket) => (options.tls === undefined ? visitors.welcome(socket, { refusals }) : visitors.of(socket)),
    );
    this.#front =
      options.tls === undefined
        ? null
        : new SecureFront({ ...options.tls, requests: this.server, refusals, visitors });
  }

  /** Requests and WebSockets under way. */
  get runningCount(): number {
    return this.#runningCount;
  }

  /** What this process says of itself. */
  status(): Record<string, unknown> {
    return this.#routes.status();
  }

  /** Whether no request is open, and none has come for so long (milliseconds). */
  isQuietFor(durationMs: number): boolean {
    return this.#openCount === 0 && monotonicMs() - this.#lastRequestAtMs >= durationMs;
  }

  /** Listens; events of the server tell when, or why not. */
  listen(options: ListenOptions): NetServer {
    const listener = this.#front ?? this.server;
    // A listener of a client's socket that escaped its own flow is at least no end of the process.
    const { onFault } = this.#refusals;
    new Flow(onFault, onFault).run(() => void listener.listen(options));
    return this.#front?.server ?? this.server;
  }

  /** Ends everything at once. */
  close(): void {
    this.#front?.close();
    this.server.close();
    this.server.closeAllConnections();
  }

  #beginRequest(
    request: IncomingMessage,
    response: ServerResponse,
    client: ClientConnection | undefined,
  ): void {
    const flow: Flow = new Flow((fault) => {
      if (proxied === null) this.#refusals.refuse(request, response, problemOf(fault), fault);
      else proxied.fail(fault);
    }, this.#refusals.onFault);
    let proxied: ProxiedRequest | null = null;
    if (client?.isLast === true) return;
    this.#lastRequestAtMs = monotonicMs();
    this.#openCount += 1;
    response.once("close", () => {
      this.#openCount -= 1;
    });
    client?.add(request, response, flow);
    flow.begin(async () => {
      const headers = readRequestHeaders(request.rawHeaders);
      const judged = judgeHead(request.httpVersion, headers);
      if (!judged.ok) {
        response.shouldKeepAlive = false;
        if (client !== undefined) client.isLast = true;
        this.#refusals.refuse(request, response, judged.refusal);
        return;
      }
      const { path, query } = targetOf(request);
      const visitor = this.#visitors.of(request.socket);
      if (path !== FETCH_PATH) {
        return this.#routes.serve(request, response, { path, query, headers, visitor }, flow);
      }
      // Without a promise when the token is known.
      const identified = this.#admission.identify(tokenOf(headers, FETCHING), FETCHING);
      const identity = identified instanceof Promise ? await identified : identified;
      visitor.showed(identity.ok);
      const upload = this.uploads.announce(headers.upload, identity, response);
      const admitting = this.#admission.admit({
        client: identity,
        selection: headers.egress,
        requestId: headers.requestId ?? newRequestId(),
        clientAddress: request.socket.remoteAddress,
        destination: () => parseDestination(query),
        flow: { kind: "request", until: response, flow },
      });
      const admitted = admitting instanceof Promise ? await admitting : admitting;
      proxied = this.#fetch(request, response, headers, admitted);
      proxied?.start(flow, upload);
    });
  }

  #fetch(
    request: IncomingMessage,
    response: ServerResponse,
    headers: RequestHeaders,
    admitted: Outcome<Admitted<URL>, Problem>,
  ): ProxiedRequest | null {
    // While the token was verified its client may have gone, or its body have broken off.
    if (response.headersSent || response.destroyed) return null;
    if (!admitted.ok) {
      this.#refusals.refuse(request, response, admitted.refusal);
      return null;
    }
    if (isWebSocketRequest(request)) {
      const detail = "A WebSocket is asked for on a connection of its own.";
      this.#refusals.refuse(request, response, { code: "upgrade-unsupported", detail });
      return null;
    }
    const { context, destination: url } = admitted.value;
    const { redirect, forwarded, hasBody } = headers;
    if (redirect !== null && redirect !== "manual" && redirect !== "follow") {
      this.#refusals.refuse(request, response, { code: "redirect-mode-invalid" });
      return null;
    }
    this.#runningCount += 1;
    response.once("close", () => {
      this.#runningCount -= 1;
    });
    const hop = { url, method: request.method!, headers: forwarded, hasBody };
    return new ProxiedRequest(this.#requestOptions, request, response, context, hop, redirect === "follow");
  }

  #beginWebSocket(request: IncomingMessage, socket: Socket, head: Buffer): void {
    let client: WebSocketClient | null = null;
    let context: FlowContext | null = null;
    const flow = new Flow((fault) => {
      const problem = problemOf(fault);
      if (client === null || (!client.isAnswered && !client.gone.aborted)) {
        this.#refusals.refuseOn(socket, problem, fault, context);
      } else {
        this.#refusals.count(problem, fault, context);
        socket.destroy();
      }
      client?.giveUp();
    }, this.#refusals.onFault);
    this.#runningCount += 1;
    socket.once("close", () => {
      this.#runningCount -= 1;
    });
    flow.begin(async () => {
      client = new WebSocketClient(socket, head, flow);
      const headers = readRequestHeaders(request.rawHeaders);
      const judged = judgeUpgrade(request, headers);
      if (!judged.ok) return this.#refusals.refuseOn(socket, judged.refusal);
      const { path, query } = targetOf(request);
      const admitted =
        path === CONNECT_PATH
          ? await this.#admitUpgrade(headers, () => parseTcpDestination(query), socket, flow)
          : await this.#admitUpgrade(headers, () => parseDestination(query), socket, flow);
      if (!admitted.ok) return this.#refusals.refuseOn(socket, admitted.refusal);
      const { destination } = admitted.value;
      ({ context } = admitted.value);
      if (destination instanceof URL) {
        const asked = { request, client, url: destination, headers: headers.forwarded };
        this.#requestOptions.outgoing.watchFlow("websocket", headers.forwarded, context, socket);
        return relayWebSocket(this.#webSocketOptions, context, asked, flow);
      }
      const objection = objectionToHandshake(request);
      if (objection !== null) return this.#refusals.refuseOn(socket, objection);
      this.#requestOptions.outgoing.watchFlow("tcp", headers.forwarded, context, socket);
      await carryTcp(this.#tcpOptions, context, { request, client, destination }, flow);
    });
  }

  async #admitUpgrade<Destination extends { readonly hostname: string }>(
    headers: RequestHeaders,
    destination: () => Outcome<Destination, Problem>,
    socket: Socket,
    flow: Flow,
  ): Promise<Outcome<Admitted<Destination>, Problem>> {
    const client = await this.#admission.identify(tokenOf(headers, FETCHING), FETCHING);
    this.#visitors.of(socket).showed(client.ok);
    const tunnel = { kind: "tunnel", until: socket, flow } as const;
    const { remoteAddress: clientAddress } = socket;
    const { egress: selection, requestId: given } = headers;
    const requestId = given ?? newRequestId();
    return this.#admission.admit({ client, selection, requestId, clientAddress, destination, flow: tunnel });
  }
}

/** What must be right about an upgrade before it matters who asks. */
function judgeUpgrade(request: IncomingMessage, headers: RequestHeaders): Outcome<true, Problem> {
  const judged = judgeHead(request.httpVersion, headers);
  if (!judged.ok) return judged;
  const { path } = targetOf(request);
  if (path !== FETCH_PATH && path !== CONNECT_PATH) return refuse({ code: "route-unknown" });
  const detail = "The request for a WebSocket has no body.";
  return headers.hasBody ? refuse({ code: "request-malformed", detail }) : judged;
}
