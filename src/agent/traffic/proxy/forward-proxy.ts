/**
 * Requests with a whole URL as target (RFC 9112 section 3.2.2), sent on as the gateway sends its own.
 * What follows on the connection is in step, whatever came before. [PX7] [PX8] [PX9]
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ClientRequest, ClientResponse } from "../clients/client-exchange.ts";
import type { Socket } from "node:net";
import { newRequestId } from "../../../wire/request-id.ts";
import { ok, type Outcome } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { Flow } from "../../../process/flow.ts";
import type { Admission, Admitted, BeginningFlow } from "../../admission/admission.ts";
import { problemOf } from "../../egress/faults.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { ClientConnection } from "../clients/client-connection.ts";
import type { Refusals } from "../clients/refusals.ts";
import type { Visitor } from "../clients/visitors.ts";
import { isWebSocketRequest, judgeHead } from "../clients/request-head.ts";
import { ProxiedRequest, type ProxiedRequestOptions } from "../fetch/proxied-request.ts";
import { readRequestHeaders, type RequestHeaders } from "../http/forwarded-headers.ts";
import { announcedTrailers } from "../http/trailers.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import { type ProxiedWebSocketOptions, relayWebSocket } from "../websocket/proxied-websocket.ts";
import { WebSocketClient } from "../websocket/websocket-client.ts";
import { type AbsoluteTarget, readAbsoluteTarget } from "./absolute-target.ts";
import { answerHere, forwardsLeft } from "./max-forwards.ts";
import type { ProxyAccess } from "./proxy-access.ts";
import { askerOfRequest } from "./proxy-question.ts";
import type { Http2Request } from "./http2-exchange.ts";
import { type ProxyMarks, marksOf } from "./proxy-marks.ts";

/** What the forward proxy of a host needs. */
export interface ForwardOptions {
  readonly host: string;
  readonly admission: Admission;
  readonly access: ProxyAccess;
  readonly outgoing: Outgoing;
  readonly refusals: Refusals;
  readonly marks: ProxyMarks;
}

const WEBSOCKET_ANSWER_MS = 30_000;

/** Sends requests on. */
export class ForwardProxy {
  readonly #options: ForwardOptions;
  readonly #requestOptions: ProxiedRequestOptions;
  readonly #webSocketOptions: ProxiedWebSocketOptions;

  constructor(options: ForwardOptions) {
    const { outgoing, host, refusals, marks } = options;
    this.#options = options;
    this.#requestOptions = { outgoing, host, refusals, via: marks.via, passesTrailers: true };
    this.#webSocketOptions = {
      dialler: outgoing.dialler,
      secureSockets: outgoing.secureSockets,
      host,
      answerTimeoutMs: WEBSOCKET_ANSWER_MS,
    };
  }

  /** Serves one request of a connection. */
  beginRequest(
    request: IncomingMessage,
    response: ServerResponse,
    client: ClientConnection | undefined,
    visitor: Visitor,
  ): void {
    const { refusals } = this.#options;
    let proxied: ProxiedRequest | null = null;
    const flow: Flow = new Flow((fault) => {
      if (proxied === null) refusals.refuse(request, response, problemOf(fault), fault);
      else proxied.fail(fault);
    }, refusals.onFault);
    if (client?.isLast === true) return;
    client?.add(request, response, flow);
    flow.begin(async () => {
      const headers = readRequestHeaders(request.rawHeaders, false);
      const judged = judgeHead(request.httpVersion, headers);
      if (!judged.ok) {
        response.shouldKeepAlive = false;
        if (client !== undefined) client.isLast = true;
        refusals.refuse(request, response, judged.refusal);
        return;
      }
      const begin = { kind: "request", until: response, flow } as const;
      const admitted = await this.#admit(request, headers, visitor, begin);
      proxied = this.#forward(request, response, headers, admitted);
      proxied?.start(flow, null);
    });
  }

  /** Serves one request of HTTP/2, whose framing its reader has judged. */
  beginStream(request: Http2Request, response: ClientResponse, visitor: Visitor): void {
    const { refusals } = this.#options;
    let proxied: ProxiedRequest | null = null;
    const flow: Flow = new Flow((fault) => {
      if (proxied === null) refusals.refuse(request, response, problemOf(fault), fault);
      else proxied.fail(fault);
    }, refusals.onFault);
    flow.begin(async () => {
      const { hasBody } = request;
      const headers = { ...readRequestHeaders(request.rawHeaders, false), hasBody };
      if (headers.isTokenRepeated) {
        const detail = "There is more than one token.";
        return refusals.refuse(request, response, { code: "request-malformed", detail });
      }
      const begin = { kind: "request", until: response, flow } as const;
      const admitted = await this.#admit(request, headers, visitor, begin);
      proxied = this.#forward(request, response, headers, admitted);
      proxied?.start(flow, null);
    });
  }

  /** Serves a request for a WebSocket, on a socket that nobody else uses any more. */
  beginWebSocket(request: IncomingMessage, socket: Socket, head: Buffer, visitor: Visitor): void {
    const { refusals } = this.#options;
    let client: WebSocketClient | null = null;
    let context: FlowContext | null = null;
    const flow = new Flow((fault) => {
      const problem = problemOf(fault);
      if (client === null || (!client.isAnswered && !client.gone.aborted)) {
        refusals.refuseOn(socket, problem, fault, context);
      } else {
        refusals.count(problem, fault, context);
        socket.destroy();
      }
      client?.giveUp();
    }, refusals.onFault);
    flow.begin(async () => {
      client = new WebSocketClient(socket, head, flow);
      const headers = readRequestHeaders(request.rawHeaders, false);
      const judged = judgeHead(request.httpVersion, headers);
      const begin = { kind: "tunnel", until: socket, flow } as const;
      const admitted = judged.ok ? await this.#admit(request, headers, visitor, begin) : judged;
      if (!admitted.ok) return refusals.refuseOn(socket, admitted.refusal);
      ({ context } = admitted.value);
      if (headers.hasBody) {
        const detail = "The request for a WebSocket has no body.";
        return refusals.refuseOn(socket, { code: "request-malformed", detail });
      }
      const { url, asked: target } = admitted.value.destination;
      const asked = { request, client, url, target, headers: headers.forwarded };
      this.#options.outgoing.watchFlow("websocket", headers.forwarded, context, socket);
      await relayWebSocket(this.#webSocketOptions, context, asked, flow);
    });
  }

  async #admit(
    request: Pick<ClientRequest, "url" | "method" | "socket">,
    headers: RequestHeaders,
    visitor: Visitor,
    flow: BeginningFlow,
  ): Promise<Outcome<Admitted<AbsoluteTarget>, Problem>> {
    const { access, admission } = this.#options;
    const asking = askerOfRequest(access, headers, visitor);
    const asker = asking instanceof Promise ? await asking : asking;
    if (!asker.ok) return asker;
    const { client, selection } = asker.value;
    const destination = (): Outcome<AbsoluteTarget, Problem> =>
      readAbsoluteTarget(request.url!, request.method!);
    const { remoteAddress: clientAddress } = request.socket;
    const requestId = newRequestId();
    return admission.admit({ client: ok(client), selection, requestId, clientAddress, destination, flow });
  }

  #forward(
    request: ClientRequest,
    response: ClientResponse,
    headers: RequestHeaders,
    admitted: Outcome<Admitted<AbsoluteTarget>, Problem>,
  ): ProxiedRequest | null {
    // While the token was verified its client may have gone, or its body have broken off.
    if (response.headersSent || response.destroyed) return null;
    const { refusals, marks } = this.#options;
    if (!admitted.ok) {
      refusals.refuse(request, response, admitted.refusal);
      return null;
    }
    if (isWebSocketRequest(request)) {
      const detail = "A WebSocket is asked for on a connection of its own.";
      refusals.refuse(request, response, { code: "upgrade-unsupported", detail });
      return null;
    }
    const { method = "" } = request;
    const { forwarded, hasBody } = headers;
    const left = forwardsLeft(method, forwarded);
    if (!left.ok) {
      refusals.refuse(request, response, left.refusal);
      return null;
    }
    if (left.value === "none") {
      answerHere(request, response, marks.via);
      return null;
    }
    forwarded.push(...marksOf(marks, request.socket.remoteAddress));
    // Behind a body whose length is told HTTP/1.1 has none.
    if (hasBody && request.headers["content-length"] === undefined) {
      const announced = announcedTrailers(request.rawHeaders);
      if (announced !== null) forwarded.push("trailer", announced);
    }
    const { context, destination } = admitted.value;
    const { url, asked: target } = destination;
    const hop = { url, target, method, headers: forwarded, hasBody };
    return new ProxiedRequest(this.#requestOptions, request, response, context, hop, false);
  }
}
