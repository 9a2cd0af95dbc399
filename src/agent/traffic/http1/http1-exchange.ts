/**
 * One request of HTTP/1.1 and its response. The request is written as it comes, the response told
 * as it comes; either may end first. The response decides: a request that cannot be written any
 * more fails only when nothing is left to be read. [OR22] [OR23]
 */
import type { Socket } from "node:net";
import { EgressFault } from "../../egress/faults.ts";
import { valueOf, type RawHeaders } from "../http/forwarded-headers.ts";
import { ResponseReader, type ResponseSink } from "./http1-response.ts";
import type { ExchangeController, ExchangeHandler, OutgoingRequest } from "../http/origin-transport.ts";

/** Methods of which a request without a body says so by its length (RFC 9110 section 8.6). */
const EXPECT_A_BODY: ReadonlySet<string> = new Set([
  "POST",
  "PUT",
  "PATCH",
  "QUERY",
  "PROPFIND",
  "PROPPATCH",
]);

/** The connection of a request, as far as the request knows it. */
export interface Http1Connection {
  readonly socket: Socket;
  readonly limits: { readonly responseTimeoutMs: number; readonly maxHeaderBytes: number };
  /** The `host` of every request. */
  readonly host: string;
  /** Whether the origin has closed the connection in order: its end may be that of a response. */
  endedInOrder(): boolean;
  /** Free for another request for so long; 0 for not at all. */
  release(keptAliveMs: number): void;
}

/** A request under way. */
export class Http1Exchange implements ExchangeController, ResponseSink {
  readonly #transport: Http1Connection;
  readonly #request: OutgoingRequest;
  readonly #handler: ExchangeHandler;
  readonly #reader: ResponseReader;
  #timer: NodeJS.Timeout | null = null;
  /** Bytes of the body still to be sent; null when it goes in chunks. */
  #owedBytes: number | null = 0;
  #isUnderWay = false;
  #isSent = false;
  #hasHead = false;
  #isOver = false;

  constructor(transport: Http1Connection, request: OutgoingRequest, handler: ExchangeHandler) {
    this.#transport = transport;
    this.#request = request;
    this.#handler = handler;
    this.#reader = new ResponseReader(request.method, transport.limits.maxHeaderBytes, this);
  }

  /** Writes the request. */
  send(): void {
    if (this.#isOver) return;
    this.#isUnderWay = true;
    this.#handler.onRequestStart(this);
    if (this.#isOver) return;
    const { body } = this.#request;
    const { socket } = this.#transport;
    const head = this.#head();
    if (body === null) {
      socket.write(head, "latin1");
      this.#onSent();
      return;
    }
    // The head goes at once, and together with what is there of the body.
    socket.cork();
    socket.write(head, "latin1");
    setImmediate(() => socket.uncork());
    body.on("data", this.#onBodyData);
    body.once("end", this.#onBodyEnd);
    body.once("close", this.#onBodyClose);
  }

  /** A segment has come. */
  read(segment: Buffer): void {
    if (!this.#isUnderWay) {
      this.#fail(new EgressFault("connection-terminated", "Bytes came that nobody had asked for."));
      return;
    }
    try {
      this.#reader.read(segment);
    } catch (fault) {
      this.#fail(fault as Error);
      return;
    }
    if (this.#reader.isOver) this.#finish();
  }

  /** The origin says no more. */
  onEnd(): void {
    const isInOrder = !this.#reader.endsWithConnection || this.#transport.endedInOrder();
    try {
      this.#reader.end(isInOrder);
    } catch (fault) {
      this.#fail(fault as Error);
      return;
    }
    this.#finish();
  }

  onClose(fault: Error | null): void {
    this.#fail(fault ?? new EgressFault("connection-terminated"));
  }

  onDrain(): void {
    if (this.#isOver || this.#isSent) return;
    this.#stopTimer();
    this.#request.body?.resume();
  }

  abort(fault: Error): void {
    this.#fail(fault);
  }

  pause(): void {
    if (!this.#isOver) this.#transport.socket.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#transport.socket.resume();
  }

  onHead(status: number, phrase: string, headers: RawHeaders): void {
    if (this.#isOver) return;
    if (status >= 200) {
      this.#hasHead = true;
      this.#stopTimer();
    }
    this.#handler.onResponseStart(this, status, headers, phrase);
  }

  onBody(chunk: Buffer): void {
    if (!this.#isOver) this.#handler.onResponseData(this, chunk);
  }

  #head(): string {
    const { method, path, headers, body, takesTrailers } = this.#request;
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#transport.host}\r\n`;
    // Some send a body with the answer to HEAD; nobody after it shall have it.
    head += method === "HEAD" ? "connection: close" : "connection: keep-alive";
    // RFC 9110 section 10.1.4: `te` is of one connection, and says so.
    head += takesTrailers ? ", te\r\nte: trailers\r\n" : "\r\n";
    for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
    const length = valueOf(headers, "content-length");
    if (body === null) {
      if (length === null && EXPECT_A_BODY.has(method)) head += "content-length: 0\r\n";
    } else if (length === null) {
      this.#owedBytes = null;
      head += "transfer-encoding: chunked\r\n";
    } else {
      this.#owedBytes = Number(length);
    }
    return `${head}\r\n`;
  }

  readonly #onBodyData = (chunk: Buffer): void => {
    const { socket } = this.#transport;
    let hasRoom: boolean;
    if (this.#owedBytes === null) {
      socket.cork();
      socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
      socket.write(chunk);
      hasRoom = socket.write("\r\n", "latin1");
      socket.uncork();
    } else {
      this.#owedBytes -= chunk.length;
      // Beyond its length it would be the next request.
      if (this.#owedBytes < 0) return this.#fail(new EgressFault("body-length-mismatch"));
      hasRoom = socket.write(chunk);
    }
    if (hasRoom) return;
    this.#request.body!.pause();
    // An origin that does not read must answer all the same.
    this.#startTimer();
  };

  readonly #onBodyEnd = (): void => {
    if (this.#owedBytes === null) this.#transport.socket.write(this.#lastChunk(), "latin1");
    else if (this.#owedBytes > 0) return this.#fail(new EgressFault("body-length-mismatch"));
    this.#onSent();
  };

  readonly #onBodyClose = (): void => {
    if (!this.#isSent) {
      this.#fail(this.#request.body!.errored ?? new EgressFault("connection-terminated"));
    }
  };

  #lastChunk(): string {
    const trailers = this.#request.trailers?.() ?? [];
    let chunk = "0\r\n";
    for (let at = 0; at < trailers.length; at += 2) chunk += `${trailers[at]}: ${trailers[at + 1]}\r\n`;
    return `${chunk}\r\n`;
  }

  #onSent(): void {
    this.#isSent = true;
    this.#stopTimer();
    this.#startTimer();
  }

  /** Interim responses do not stop it, however many there are. */
  #startTimer(): void {
    if (this.#hasHead) return;
    this.#timer ??= setTimeout(
      () => this.#fail(new EgressFault("response-timeout")),
      this.#transport.limits.responseTimeoutMs,
    );
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #finish(): void {
    if (this.#isOver) return;
    const { method, body } = this.#request;
    const isReusable = this.#isSent && (body === null || EXPECT_A_BODY.has(method));
    this.#end();
    this.#transport.release(isReusable ? this.#reader.keptAliveMs : 0);
    this.#handler.onResponseEnd(this, this.#reader.trailers);
  }

  #fail(fault: Error): void {
    if (this.#isOver) return;
    this.#end();
    this.#transport.release(0);
    this.#handler.onResponseError(this, fault);
  }

  #end(): void {
    this.#isOver = true;
    this.#stopTimer();
    const { body } = this.#request;
    if (body === null) return;
    body.off("data", this.#onBodyData);
    body.off("end", this.#onBodyEnd);
    body.off("close", this.#onBodyClose);
    body.destroy();
  }
}
