/**
 * A proxy's clients that speak HTTP/2, over TLS alone: each stream is a CONNECT (RFC 9113 section 8.5)
 * or a request for a whole URL, admitted and sent on as those of HTTP/1.1 are. [PX12]
 */
import {
  constants,
  createServer,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { TLSSocket } from "node:tls";
import { outliveErrors } from "../../../process/listener.ts";
import { endInOrder, WAITING } from "../clients/stream-end.ts";
import { flowOf } from "../clients/http-server.ts";
import type { Refusals } from "../clients/refusals.ts";
import type { Visitor } from "../clients/visitors.ts";
import { type ConnectOptions, serveConnect } from "./connect-method.ts";
import type { ForwardProxy } from "./forward-proxy.ts";
import { Http2Request, Http2Response } from "./http2-exchange.ts";

/** What streams are served with. */
export interface Http2ProxyOptions {
  readonly connect: ConnectOptions;
  readonly forward: ForwardProxy;
  readonly refusals: Refusals;
}

/** A browser opens all it has to a proxy on one connection. */
const MAX_STREAMS = 1_000;
const MAX_HEADER_BYTES = 32 * 1024;
const MAX_HEADER_FIELDS = 512;
/** Of a stream that nobody reads, so much may come. */
const WINDOW_BYTES = 256 * 1024;
const IDLE_MS = 120_000;
/** What Node keeps to send of an answer's head or trailers: beyond it the connection would end. */
const MAX_SENT_BLOCK_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** Serves connections that have agreed on `h2`. */
export class Http2Proxy {
  readonly #options: Http2ProxyOptions;
  readonly #server: Http2Server;
  /** Of sessions with any. */
  readonly #streamCounts = new WeakMap<Http2Session, number>();
  readonly #visitors = new WeakMap<Http2Session, Visitor>();
  /** Whose connection is being accepted. */
  #accepted: Visitor | null = null;

  constructor(options: Http2ProxyOptions) {
    this.#options = options;
    this.#server = createServer({
      maxHeaderListPairs: MAX_HEADER_FIELDS,
      maxSendHeaderBlockLength: MAX_SENT_BLOCK_BYTES,
      // What origins repeat is passed on as they say it.
      strictSingleValueFields: false,
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: MAX_HEADER_BYTES,
        initialWindowSize: WINDOW_BYTES,
      },
    });
    this.#server.on("session", (session) => this.#onSession(session));
    this.#server.on("stream", (stream, headers, _flags, rawHeaders) => {
      flowOf(stream, options.refusals).run(() => this.#onStream(stream, headers, rawHeaders));
    });
    // What is no HTTP/2 ends its connection.
    this.#server.on("sessionError", () => {});
  }

  /** Serves a connection. */
  accept(socket: TLSSocket, visitor: Visitor): void {
    // No half of it goes on: not even room for what is on its way could be given any more. Node would
    // see to that if this socket could not be half open, as those of the other protocols must be.
    socket.once("end", () => socket.destroy());
    this.#accepted = visitor;
    this.#server.emit("connection", socket);
    this.#accepted = null;
  }

  #onSession(session: ServerHttp2Session): void {
    session.on("error", () => {});
    const visitor = this.#accepted!;
    this.#visitors.set(session, visitor);
    visitor.carriesMore = () => (this.#streamCounts.get(session) ?? 0) > 1;
    session.setTimeout(IDLE_MS, () => {
      if (this.#streamCounts.get(session) === undefined) session.close();
    });
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    // Seen as `close`.
    outliveErrors(stream);
    const { session } = stream;
    // It has ended in this very moment, and its streams with it.
    if (session === undefined) return;
    this.#count(stream, session);
    const visitor = this.#visitors.get(session)!;
    const request = new Http2Request(stream, headers, rawHeaders);
    if (request.method === "CONNECT") this.#connect(stream, request, visitor);
    else this.#options.forward.beginStream(request, new Http2Response(stream), visitor);
  }

  #count(stream: ServerHttp2Stream, session: Http2Session): void {
    const counts = this.#streamCounts;
    counts.set(session, (counts.get(session) ?? 0) + 1);
    stream.once("close", () => {
      const left = counts.get(session)! - 1;
      if (left === 0) counts.delete(session);
      else counts.set(session, left);
    });
  }

  #connect(stream: ServerHttp2Stream, request: Http2Request, visitor: Visitor): void {
    const { refusals, connect } = this.#options;
    const asked = { target: request.authority, fields: request.rawHeaders, rest: NOTHING };
    serveConnect(connect, stream, visitor, asked, {
      agree: (fields) => {
        endInOrder(stream);
        stream.respond({ ":status": 200, ...Object.fromEntries(fields) }, WAITING);
      },
      refuse: (problem, fault, context) => refusals.refuseStream(stream, problem, fault, context),
      breakOff: () => stream.close(constants.NGHTTP2_CONNECT_ERROR),
    });
  }
}
