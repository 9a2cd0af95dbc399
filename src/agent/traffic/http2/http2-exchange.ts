/**
 * One request over HTTP/2 and its response: a stream. It is whole only when the origin has ended it
 * with END_STREAM; whatever goes wrong with it ends it alone. [OR2] [OR6]
 */
import { EgressFault } from "../../egress/faults.ts";
import { type RawHeaders, valueOf } from "../http/forwarded-headers.ts";
import * as wire from "./http2-frames.ts";
import { requestFields, trailerFields } from "./http2-request.ts";
import { Http2Response } from "./http2-response.ts";
import {
  type ExchangeController,
  type ExchangeHandler,
  type OutgoingRequest,
  UnprocessedFault,
} from "../http/origin-transport.ts";
import { monotonicMs } from "../../../process/clock.ts";

/** How much of a body may come before its reader has taken any: what a slow client may cost. */
export const STREAM_WINDOW_BYTES = 256 * 1024;

/** The connection of a stream, as far as the stream knows it. */
export interface Http2Connection {
  readonly limits: { readonly responseTimeoutMs: number; readonly maxHeaderBytes: number };
  /** The `:authority` of every request. */
  readonly authority: string;
  /** Of the fields of a request, as the origin wants it. */
  readonly maxListBytes: number;
  /** Whether the origin has said how it speaks. */
  readonly hasSettings: boolean;
  /** Bytes that may be sent on all streams together. */
  readonly room: number;
  /** Sends the head of a stream; the stream's number. */
  open(exchange: Http2Exchange, fields: RawHeaders, isEnd: boolean): number;
  sendData(stream: number, piece: Buffer): void;
  endData(stream: number): void;
  /** Ends a body with fields behind it. */
  endWith(stream: number, trailers: RawHeaders): void;
  /** Lets the origin send so much more; on stream 0, on all of them together. */
  giveWindow(stream: number, bytes: number): void;
  /** The stream is over; with a code, the origin is told. */
  leave(exchange: Http2Exchange, code: number | null): void;
  /** No answer has come to what was sent since then. */
  distrust(sinceMs: number): void;
}

/** A stream of a connection. */
export class Http2Exchange implements ExchangeController {
  /** 0 until it is sent. */
  id = 0;
  readonly response: Http2Response;
  readonly #transport: Http2Connection;
  readonly #request: OutgoingRequest;
  readonly #handler: ExchangeHandler;
  #sendWindow = 0;
  #receiveWindow = STREAM_WINDOW_BYTES;
  #owedWindowBytes = 0;
  #isPaused = false;
  /** Of the body: what is to be sent before more is read. */
  #pending: Buffer | null = null;
  /** Bytes of the body still to come; null when nobody has said. */
  #owedBytes: number | null = null;
  #isBodyOpen = false;
  #hasBodyEnded = false;
  #isSent = false;
  #isOver = false;
  #timer: NodeJS.Timeout | null = null;
  #timedSinceMs = 0;

  constructor(transport: Http2Connection, request: OutgoingRequest, handler: ExchangeHandler) {
    this.#transport = transport;
    this.#request = request;
    this.#handler = handler;
    this.response = new Http2Response(request.method, transport.limits.maxHeaderBytes);
  }

  /** Sends the head, and of the body what may be. */
  send(sendWindow: number): void {
    this.#handler.onRequestStart(this);
    if (this.#isOver) return;
    const { body, headers } = this.#request;
    let fields: RawHeaders;
    try {
      fields = requestFields(this.#request, this.#transport.authority, this.#transport.maxListBytes);
    } catch (fault) {
      this.fail(fault as Error);
      return;
    }
    this.#sendWindow = sendWindow;
    this.id = this.#transport.open(this, fields, body === null);
    this.#startTimer();
    if (body === null) {
      this.#isSent = true;
      return;
    }
    const length = valueOf(headers, "content-length");
    if (length !== null) this.#owedBytes = Number(length);
    body.once("close", this.#onBodyClose);
    if (this.#transport.hasSettings) this.openBody();
  }

  /**
   * The origin has said how it wants to be spoken to; until then nothing of a body is read. Nor
   * before all is seen that it said with it: it may not want the request at all.
   */
  onReady(): void {
    setImmediate(() => this.openBody());
  }

  openBody(): void {
    const { body } = this.#request;
    if (body === null || this.#isBodyOpen || this.#isOver) return;
    this.#isBodyOpen = true;
    this.#stopTimer();
    body.on("data", this.#onBodyData);
    body.once("end", this.#onBodyEnd);
  }

  /** A whole header block of it. */
  onHead(isEnd: boolean): void {
    this.#guard(() => {
      const head = this.response.endHead(isEnd);
      if (head !== null) {
        if (head.status >= 200) this.#stopTimer();
        this.#handler.onResponseStart(this, head.status, head.headers, null);
      }
      // An origin that ends such a stream late, or never, keeps nobody waiting.
      if (isEnd || this.response.isBodiless) this.#finish(isEnd);
    });
  }

  onData(piece: Buffer, windowBytes: number, isEnd: boolean): void {
    this.#receiveWindow -= windowBytes;
    if (this.#receiveWindow < 0) {
      this.fail(new EgressFault("response-malformed", "HTTP/2: FLOW_CONTROL_ERROR"), wire.FLOW_CONTROL_ERROR);
      return;
    }
    this.#guard(() => {
      this.response.onBody(piece.length);
      if (piece.length > 0) this.#handler.onResponseData(this, piece);
      if (this.#isOver) return;
      if (isEnd) {
        this.#finish(true);
      } else {
        this.#owedWindowBytes += windowBytes;
        this.#updateWindow();
      }
    });
  }

  /** The origin ended the stream in disorder, also when it calls that NO_ERROR (RFC 9113 section 8.1). */
  onReset(code: number): void {
    this.fail(this.resetFault(code), null);
  }

  /** What a code means for it. */
  resetFault(code: number): EgressFault {
    const detail = `HTTP/2: ${wire.errorName(code)}`;
    const hasAnswer = this.response.hasHead;
    if (!hasAnswer && code === wire.HTTP_1_1_REQUIRED) return new UnprocessedFault(detail, true);
    if (!hasAnswer && code === wire.REFUSED_STREAM) return new UnprocessedFault(detail, false);
    return new EgressFault("connection-terminated", detail);
  }

  /** What the window would be. */
  windowAfter(change: number): number {
    return this.#sendWindow + change;
  }

  /** More may be sent, or less. */
  onWindow(increment: number): void {
    this.#sendWindow += increment;
    if (this.#sendWindow > wire.MAX_31_BITS) {
      this.fail(new EgressFault("response-malformed", "HTTP/2: FLOW_CONTROL_ERROR"), wire.FLOW_CONTROL_ERROR);
    } else {
      this.flush();
    }
  }

  /** Sends what is there of the body, as far as the origin takes it. */
  flush(): void {
    while (this.#pending !== null && !this.#isOver) {
      const room = Math.min(this.#sendWindow, this.#transport.room);
      if (room <= 0) {
        // An origin that does not read must answer all the same.
        this.#startTimer();
        return;
      }
      const piece = this.#pending.subarray(0, room);
      this.#pending = piece.length === this.#pending.length ? null : this.#pending.subarray(piece.length);
      this.#sendWindow -= piece.length;
      this.#transport.sendData(this.id, piece);
      // It does read, however little at a time.
      this.#stopTimer();
    }
    if (this.#isOver || this.#isSent || !this.#isBodyOpen) return;
    this.#stopTimer();
    if (this.#hasBodyEnded) this.#endBody();
    else this.#request.body!.resume();
  }

  abort(fault: Error): void {
    this.fail(fault, wire.CANCEL);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#isOver) this.#updateWindow();
  }

  /** Ends it with a fault; the origin is told by a code, if it does not know. */
  fail(fault: Error, code: number | null = wire.CANCEL): void {
    if (this.#isOver) return;
    const { body } = this.#request;
    // Nothing has been read of it: it can be sent again.
    const isKept = body !== null && !this.#isBodyOpen && fault instanceof UnprocessedFault;
    this.#end(isKept);
    this.#transport.leave(this, code);
    this.#handler.onResponseError(this, fault);
  }

  readonly #onBodyData = (chunk: Buffer): void => {
    if (this.#owedBytes !== null) {
      this.#owedBytes -= chunk.length;
      if (this.#owedBytes < 0) return this.fail(new EgressFault("body-length-mismatch"));
    }
    this.#pending = this.#pending === null ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#request.body!.pause();
    this.flush();
  };

  readonly #onBodyEnd = (): void => {
    this.#hasBodyEnded = true;
    if ((this.#owedBytes ?? 0) > 0) this.fail(new EgressFault("body-length-mismatch"));
    else this.flush();
  };

  readonly #onBodyClose = (): void => {
    if (!this.#hasBodyEnded) {
      this.fail(this.#request.body!.errored ?? new EgressFault("connection-terminated"));
    }
  };

  #endBody(): void {
    const trailers = this.#request.trailers?.() ?? [];
    if (trailers.length === 0) {
      this.#transport.endData(this.id);
    } else {
      try {
        this.#transport.endWith(this.id, trailerFields(trailers, this.#transport.maxListBytes));
      } catch (fault) {
        this.fail(fault as Error);
        return;
      }
    }
    this.#isSent = true;
    this.#startTimer();
  }

  #updateWindow(): void {
    if (this.#isPaused || this.#owedWindowBytes < STREAM_WINDOW_BYTES / 2) return;
    this.#receiveWindow += this.#owedWindowBytes;
    this.#transport.giveWindow(this.id, this.#owedWindowBytes);
    this.#owedWindowBytes = 0;
  }

  /** Whatever goes wrong in here is wrong with this response only. */
  #guard(read: () => void): void {
    if (this.#isOver) return;
    try {
      read();
    } catch (fault) {
      this.fail(fault as Error, wire.PROTOCOL_ERROR);
    }
  }

  #finish(isEnded: boolean): void {
    if (this.#isOver) return;
    this.response.end();
    this.#end(false);
    // Nobody reads the rest of a request that has been answered, nor of an answer that is whole.
    this.#transport.leave(this, this.#isSent && isEnded ? null : wire.CANCEL);
    this.#handler.onResponseEnd(this, this.response.trailers);
  }

  #end(isBodyKept: boolean): void {
    this.#isOver = true;
    this.#pending = null;
    this.#stopTimer();
    const { body } = this.#request;
    if (body === null) return;
    body.off("data", this.#onBodyData);
    body.off("end", this.#onBodyEnd);
    body.off("close", this.#onBodyClose);
    if (!isBodyKept) body.destroy();
  }

  /** Interim responses do not stop it, however many there are. */
  #startTimer(): void {
    if (this.response.hasHead || this.#timer !== null) return;
    this.#timedSinceMs = monotonicMs();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // A connection on which nothing at all has come may be dead: no more requests for it.
      this.#transport.distrust(this.#timedSinceMs);
      this.fail(new EgressFault("response-timeout"));
    }, this.#transport.limits.responseTimeoutMs);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
