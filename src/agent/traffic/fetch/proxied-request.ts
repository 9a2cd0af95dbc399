/**
 * One HTTP request through the gateway, streamed both ways:
 *
 *     client ─▶ RequestBody ─▶ transport ─▶ origin
 *     client ◀─ ClientResponse ◀─ this ◀─ transport ◀─ origin
 *
 * Nothing is buffered: a slow client pauses the origin and a slow origin the client. A response
 * that breaks off breaks off for the client too; it never looks complete. [GW4] [GW5]
 */
import type { ClientRequest, ClientResponse } from "../clients/client-exchange.ts";
import { ClientTrailers } from "./client-trailers.ts";
import type { Problem, ProblemCode } from "../../../core/problems.ts";
import {
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_LOCATION,
  EGRESS_PORT,
  EGRESS_REQUEST_ID,
  EGRESS_TIMING,
  PROXY_STATUS,
} from "../../../wire/header-names.ts";
import { type FlowContext, toldAs } from "../../egress/flow-context.ts";
import type { Flow } from "../../../process/flow.ts";
import { HandlerInFlow } from "./handler-in-flow.ts";
import { requestTargetOf } from "../../egress/destination-url.ts";
import { EgressFault, isStaleConnection, problemOf } from "../../egress/faults.ts";
import { type RawHeaders, readResponseHeaders, relayedProxyStatus } from "../http/forwarded-headers.ts";
import type { RequestWatch } from "../origins/request-watch.ts";
import type { OriginConnection } from "../origins/origin-connection.ts";
import type { OriginConnections } from "../origins/origin-connections.ts";
import { type ExchangeController, type ExchangeHandler, UnprocessedFault } from "../http/origin-transport.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import { writablePhrase } from "../http/reason-phrase.ts";
import { type Hop, locationOf, MAX_REDIRECTS, hopAfter, unfollowed } from "./redirect.ts";
import { RedirectedHop } from "./redirected-hop.ts";
import type { RequestRefusals } from "./request-refusals.ts";
import { RequestBody } from "../clients/client-body.ts";
import { SmallPieces } from "./small-pieces.ts";
import { noteStreamed } from "../clients/collect-garbage.ts";
import type { Upload } from "../clients/uploads.ts";

/** What all requests of a gateway share. */
export interface ProxiedRequestOptions {
  readonly outgoing: Outgoing;
  /** Name of this host. */
  readonly host: string;
  readonly refusals: RequestRefusals;
  /** The pseudonym of this proxy in the answer's `via`; absent or null for none. */
  readonly via?: string | null;
  readonly passesTrailers?: boolean;
}

/** Largest first piece of a body that is joined to its head. */
const MAX_JOINED_BYTES = 4 * 1024;
/** Methods that may be sent twice (RFC 9110 section 9.2.2) when they carry no body. */
const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** A request and its response, over as many hops as there are. */
export class ProxiedRequest implements ExchangeHandler {
  readonly #options: ProxiedRequestOptions;
  readonly #request: ClientRequest;
  readonly #response: ClientResponse;
  readonly #context: FlowContext;
  readonly #follows: boolean;
  readonly #trailers: ClientTrailers;
  #hop: Hop;
  #hopCount = 0;
  #watch: RequestWatch | null = null;
  #connections: OriginConnections | null = null;
  #connection: OriginConnection | null = null;
  #flow: Flow | null = null;
  #upload: Upload | null = null;
  #controller: ExchangeController | null = null;
  /** While redirects are followed: the hop that is under way. */
  #redirected: RedirectedHop | null = null;
  #next: { readonly status: number; readonly location: string } | null = null;
  #isRepeated = false;
  #isDowngraded = false;
  #body: RequestBody | null = null;
  /** The client is gone, or has all it will get. */
  #isOver = false;
  #hasDrain = false;
  #hasBodyBegun = false;
  readonly #pieces = new SmallPieces((joined) => {
    if (!this.#response.destroyed) this.#writeInTime(this.#controller, joined);
  });

  constructor(
    options: ProxiedRequestOptions,
    request: ClientRequest,
    response: ClientResponse,
    context: FlowContext,
    hop: Hop,
    follows: boolean,
  ) {
    this.#options = options;
    this.#request = request;
    this.#response = response;
    this.#context = context;
    this.#hop = hop;
    this.#follows = follows;
    this.#trailers = new ClientTrailers(request, response, options.passesTrailers === true);
  }

  /** Sends the request, as part of a flow of which `fail` is the end; `upload` is what its sender calls it. */
  start(flow: Flow, upload: Upload | null): void {
    this.#flow = flow;
    this.#watch = this.#options.outgoing.watch(this.#hop.method, this.#hop.headers, this.#context);
    this.#upload = upload;
    this.#response.once(
      "close",
      flow.guard(() => this.#onClosed()),
    );
    this.#send(false);
  }

  /** Ends it for a reason that lies elsewhere: with the client, or with us. */
  fail(fault: unknown): void {
    const problem = problemOf(fault);
    if (this.#isOver) {
      this.#options.refusals.count(problem, fault, this.#context);
      return;
    }
    this.#isOver = true;
    this.#giveUp(problem.code);
    if (this.#response.headersSent) {
      this.#options.refusals.count(problem, fault, this.#context);
      this.#breakOff();
    } else {
      this.#refuse(problem, fault);
    }
  }

  onRequestStart(controller: ExchangeController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(new EgressFault("connection-terminated"));
  }

  onResponseStart(
    _controller: ExchangeController,
    status: number,
    headers: RawHeaders,
    phrase: string | null,
  ): void {
    if (this.#isOver) return;
    const { forwarded, proxyStatus } = readResponseHeaders(headers, status);
    if (status < 200) {
      this.#writeInterim(status, forwarded);
      return;
    }
    if (this.#follows) {
      const location = locationOf(status, forwarded);
      if (location !== null) {
        this.#next = { status, location };
        // Not at once: with its end in the same segment the connection is free for the next hop.
        queueMicrotask(() => this.#followAtHead());
        return;
      }
    }
    this.#trailers.announce(status, headers, forwarded);
    this.#writeHead(status, phrase, forwarded, proxyStatus);
  }

  onResponseData(controller: ExchangeController, chunk: Buffer): void {
    noteStreamed(chunk.length);
    this.#context.running.moved();
    // Of a redirect; read on for its end.
    if (this.#next !== null || this.#isOver) return;
    // Not the first: it is often the only one.
    if (this.#hasBodyBegun && this.#pieces.take(chunk)) return;
    this.#pieces.flush();
    this.#writeInTime(controller, chunk);
  }

  onResponseEnd(_controller: ExchangeController, trailers: RawHeaders): void {
    const connection = this.#connection!;
    connection.servedCount += 1;
    this.#pieces.flush();
    this.#leave(true);
    if (this.#next !== null) this.#follow(this.#next);
    else this.#trailers.end(trailers);
  }

  onResponseError(_controller: ExchangeController | null, fault: Error): void {
    const connection = this.#connection;
    const mayRepeat =
      connection !== null && connection.servedCount > 0 && !this.#isRepeated && isStaleConnection(fault);
    const { protocol } = connection ?? { protocol: "unknown" };
    // A broken stream says nothing of the other streams of an HTTP/2 connection.
    this.#leave(protocol === "h2" && !connection!.isBroken);
    if (this.#isOver) return;
    if (this.#next !== null) {
      // Its head was all that there was to it.
      this.#follow(this.#next);
    } else if (this.#response.headersSent) {
      this.#breakOff();
    } else if (mayRepeat && !this.#hop.hasBody && REPEATABLE.has(this.#hop.method)) {
      // It had been idle and ended just as the request came: once more, on a new one.
      this.#isRepeated = true;
      this.#send(true);
    } else if (this.#mayStillBeSent(fault)) {
      this.#send(true);
    } else {
      this.#body?.destroy();
      this.#refuse(problemOf(fault), fault);
    }
  }

  /** Whether the origin has not begun with it: once more then, and once more by HTTP/1.1. [OR8] [OR9] */
  #mayStillBeSent(fault: Error): boolean {
    if (!(fault instanceof UnprocessedFault) || this.#body?.destroyed === true) return false;
    if (fault.needsHttp1 ? this.#isDowngraded : this.#isRepeated) return false;
    if (fault.needsHttp1) this.#isDowngraded = true;
    else this.#isRepeated = true;
    return true;
  }

  #send(anew: boolean): void {
    this.#connections = this.#options.outgoing.to(this.#context, this.#hop.url.origin);
    if (anew) this.#dispatch(this.#connections.open());
    else this.#connections.acquire(this.#hop.hasBody, (connection) => this.#dispatch(connection));
  }

  #dispatch(connection: OriginConnection): void {
    this.#connection = connection;
    if (this.#isOver) {
      this.#leave(true);
      return;
    }
    const { url, target, method, headers, hasBody } = this.#hop;
    connection.usedBy(this.#context);
    connection.dispatch(
      {
        path: target ?? requestTargetOf(url),
        method,
        headers,
        body: hasBody ? (this.#body ??= this.#openBody()) : null,
        ...this.#trailers.ofRequest(hasBody),
      },
      new HandlerInFlow(this.#flow!, this.#follows ? (this.#redirected = new RedirectedHop(this)) : this),
    );
  }

  #openBody(): RequestBody {
    return new RequestBody(this.#request, this.#response, this.#context.running, () => {
      this.#upload?.ready();
      // It may have its answer already: an origin over HTTP/2 may be quicker than its settings.
      if (this.#response.headersSent) return;
      const { headers, httpVersion } = this.#request;
      // HTTP/1.0 has no such thing, nor is every expectation this one (RFC 9110 section 10.1.1).
      if (httpVersion !== "1.0" && headers.expect?.toLowerCase() === "100-continue") {
        this.#response.writeContinue();
      }
    });
  }

  /** An interim response is the client's too (RFC 9110 section 15.2), but `100` is of one connection. */
  #writeInterim(status: number, headers: RawHeaders): void {
    // Whether an answer with a redirect to follow will be the client's, nobody knows yet.
    if (status === 100 || this.#follows || this.#request.httpVersion === "1.0") return;
    try {
      this.#response.writeInformation(status, headers);
    } catch {
      // What Node would not write is dropped: only the final response is owed.
    }
  }

  #writeHead(status: number, phrase: string | null, headers: RawHeaders, proxyStatus: string | null): void {
    const response = this.#response;
    this.#options.outgoing.answeredCount += 1;
    this.#watch?.answered(status, this.#connection!.port);
    headers.push(
      EGRESS_IP,
      toldAs(this.#context.address),
      EGRESS_PORT,
      String(this.#connection!.port),
      EGRESS_HOST,
      this.#options.host,
      PROXY_STATUS,
      relayedProxyStatus(proxyStatus, status),
    );
    const { requestId, timing } = this.#context;
    if (requestId !== null) headers.push(EGRESS_REQUEST_ID, requestId);
    if (timing !== undefined) headers.push(EGRESS_TIMING, timing.answered());
    const { via } = this.#options;
    if (via != null) headers.push("via", `1.1 ${via}`);
    if (this.#follows && this.#hopCount > 0) headers.push(EGRESS_LOCATION, this.#hop.url.href);
    // What the origin does not say is not for us to say.
    response.sendDate = false;
    const written = writablePhrase(phrase);
    if (written === null) response.writeHead(status, headers);
    else response.writeHead(status, written, headers);
    // Not at once: a body that is here already goes out in the same packet.
    queueMicrotask(this.#flow!.guard(() => this.#flushHead()));
  }

  /** Sends the head, if nothing of the body has taken it along. `flushHeaders` would write it in UTF-8. */
  #flushHead(): void {
    if (this.#hasBodyBegun || this.#response.writableEnded || this.#response.destroyed) return;
    this.#response.write("", "latin1");
  }

  #writeInTime(controller: ExchangeController | null, chunk: Buffer): void {
    if (this.#write(chunk)) return;
    controller?.pause();
    if (this.#hasDrain) return;
    this.#hasDrain = true;
    this.#response.on(
      "drain",
      this.#flow!.guard(() => this.#controller?.resume()),
    );
  }

  #write(chunk: Buffer): boolean {
    // A small first piece goes out in one string with the head: one write instead of a gathered
    // one, which costs the kernel and Node twice as much.
    const mayJoin = !this.#hasBodyBegun && chunk.length <= MAX_JOINED_BYTES;
    this.#hasBodyBegun = true;
    if (!mayJoin) return this.#response.write(chunk);
    return this.#response.write(chunk.toString("latin1"), "latin1");
  }

  /** The redirect's body goes on: it is not waited for. */
  #followAtHead(): void {
    const next = this.#next;
    const controller = this.#controller;
    if (next === null || controller === null) return;
    const connection = this.#connection!;
    const connections = this.#connections!;
    this.#connection = null;
    this.#controller = null;
    this.#redirected!.leave(controller, (isWhole) => {
      // A stream that is given up says nothing of the other streams of an HTTP/2 connection.
      connections.done(connection, !connection.isBroken && (isWhole || connection.protocol === "h2"));
    });
    // Nor is the rest of the request sent, which nobody reads any more.
    if (this.#hop.hasBody) controller.abort(new EgressFault("connection-terminated"));
    this.#follow(next);
  }

  #follow({ status, location }: { readonly status: number; readonly location: string }): void {
    this.#next = null;
    this.#hopCount += 1;
    if (this.#isOver) return;
    if (this.#hopCount > MAX_REDIRECTS) {
      this.#refuse({ code: "redirect-loop" }, null);
      return;
    }
    const next = hopAfter(this.#hop, status, location);
    if (!next.ok) {
      this.#refuse(next.refusal, null);
      return;
    }
    this.#hop = next.value;
    this.#isRepeated = false;
    this.#send(false);
  }

  #leave(isReusable: boolean): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#controller = null;
    if (connection !== null) this.#connections!.done(connection, isReusable);
  }

  #onClosed(): void {
    this.#watch?.end();
    if (this.#response.writableFinished || this.#isOver) {
      this.#isOver = true;
      return;
    }
    this.#isOver = true;
    this.#giveUp("connection-terminated");
  }

  #giveUp(code: ProblemCode): void {
    const fault = new EgressFault(code, "The request was given up.");
    if (this.#controller !== null) this.#controller.abort(fault);
    else if (this.#connection !== null) this.#connections!.abandon(this.#connection);
  }

  #refuse(problem: Problem, fault: unknown): void {
    const told = this.#hopCount === 0 ? problem : unfollowed(problem, this.#request.method!, this.#hop.url);
    this.#watch?.refused(told.code);
    this.#options.refusals.refuse(this.#request, this.#response, told, fault, this.#context);
  }

  /** What has come goes out, and then the connection ends within the response. [GW5] */
  #breakOff(): void {
    this.#watch?.refused("connection-terminated");
    this.#pieces.flush();
    this.#flushHead();
    this.#isOver = true;
    const { socket } = this.#response;
    if (socket === null) this.#response.destroy();
    // To an HTTP/1.0 client a clean end of the connection is the end of the body.
    else if (this.#request.httpVersion === "1.0") socket.write("", () => socket.resetAndDestroy());
    else socket.destroySoon();
  }
}
