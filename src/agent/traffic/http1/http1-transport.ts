/**
 * HTTP/1.1 over one connection to an origin, one request at a time. Nothing is buffered.
 *
 * Two rules keep one client's answer from another: bytes that come while no request is out end
 * the connection, and so does an answer that ends before its request, or may have more behind it.
 * [OR20] [OR24]
 */
import type { Socket } from "node:net";
import { Http1Exchange } from "./http1-exchange.ts";
import type { ExchangeHandler, OriginTransport, OutgoingRequest } from "../http/origin-transport.ts";
import { watchTlsEnd } from "../tls/tls-end.ts";

/** What bounds an exchange. */
export interface Http1Limits {
  /** From the end of the request to the final head. */
  readonly responseTimeoutMs: number;
  /** How long the connection stays without a request. */
  readonly idleTimeoutMs: number;
  /** Of all heads of a response together. */
  readonly maxHeaderBytes: number;
}

/** A connection of HTTP/1.1. */
export class Http1Transport implements OriginTransport {
  readonly capacity = 1;
  readonly socket: Socket;
  readonly limits: Http1Limits;
  /** The `host` of every request. */
  readonly host: string;
  /** A write failed: the origin reads no more. What it has said before is still read. */
  writeFault: NodeJS.ErrnoException | null = null;
  readonly #onGone: () => void;
  /** Over TLS: whether its end was the peer's word. */
  readonly #tlsEnded: (() => boolean) | null;
  #exchange: Http1Exchange | null = null;
  #idleTimer: NodeJS.Timeout | null = null;
  #hasServed = false;
  #isClosed = false;

  /** `transport` is the connection under TLS, or the same; `onGone` is called when it takes no more requests. */
  constructor(socket: Socket, transport: Socket, host: string, limits: Http1Limits, onGone: () => void) {
    this.socket = socket;
    this.#tlsEnded = socket === transport ? null : watchTlsEnd(socket, transport);
    this.host = host;
    this.limits = limits;
    this.#onGone = onGone;
    // It ends by us alone, so that at the origin's end it can still be asked how that came.
    socket.allowHalfOpen = true;
    holdWriteFaults(socket, (fault) => (this.writeFault ??= fault));
    socket.on("data", (segment: Buffer) => {
      if (this.#exchange === null) this.close();
      else this.#exchange.read(segment);
    });
    socket.on("drain", () => this.#exchange?.onDrain());
    socket.once("end", () => {
      if (this.#exchange === null) this.close();
      else this.#exchange.onEnd();
    });
    // Told to the exchange by `close`, which follows.
    socket.on("error", ignore);
    socket.once("close", () => {
      this.#exchange?.onClose(socket.errored ?? this.writeFault);
      this.close();
    });
  }

  dispatch(request: OutgoingRequest, handler: ExchangeHandler): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    const exchange = new Http1Exchange(this, request, handler);
    this.#exchange = exchange;
    // What has come while it was idle is seen first: the end of the connection, or bytes that
    // would pass for the answer.
    if (this.#hasServed) setImmediate(() => exchange.send());
    else exchange.send();
  }

  /**
   * Whether the end of what the origin says was meant: over TLS by its word, else by a FIN. What
   * reads may take a reset for one; a write of nothing tells: after a reset it fails with
   * ECONNRESET, with EPIPE when the FIN had come before.
   */
  endedInOrder(): boolean {
    if (this.#tlsEnded !== null) return this.#tlsEnded();
    this.socket.write("");
    return this.writeFault?.code !== "ECONNRESET";
  }

  /** From the exchange: it is over; 0 when the connection is good for no other. */
  release(keptAliveMs: number): void {
    this.#exchange = null;
    this.#hasServed = true;
    const idleMs = Math.min(keptAliveMs, this.limits.idleTimeoutMs);
    if (idleMs <= 0 || this.writeFault !== null || !this.socket.writable) {
      this.close();
      return;
    }
    // Flowing, or its end would not be seen.
    this.socket.resume();
    this.#idleTimer = setTimeout(() => this.close(), idleMs).unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    this.socket.destroy();
    this.#onGone();
  }
}

/**
 * Keeps a write that fails from destroying the socket: an origin that answers early and reads no
 * more has said why, and that stands in the receive buffer. Reading comes to its end by itself,
 * since the peer is gone. [OR23]
 */
function holdWriteFaults(socket: Socket, onFault: (fault: NodeJS.ErrnoException) => void): void {
  type Callback = (fault?: Error | null) => void;
  const held =
    (callback: Callback): Callback =>
    (fault) => {
      const errno: NodeJS.ErrnoException | null | undefined = fault;
      // Not calling back, nothing more is written.
      if (errno?.code === "EPIPE" || errno?.code === "ECONNRESET") onFault(errno);
      else callback(fault);
    };
  // oxlint-disable no-underscore-dangle -- What a writable stream is made of has these names.
  const write = socket._write.bind(socket);
  socket._write = (chunk, encoding, callback) => write(chunk, encoding, held(callback));
  const writev = socket._writev?.bind(socket);
  if (writev !== undefined) socket._writev = (chunks, callback) => writev(chunks, held(callback));
}

function ignore(): void {
  // Seen as `close`.
}
