/**
 * HTTP/2 over one connection to an origin (RFC 9113), the client's side of it.
 *
 *     socket ─▶ FrameReader ─▶ this ─▶ Http2Exchange ─▶ handler
 *
 * Of the connection itself: settings, windows, who may still open a stream, and how much that is
 * of no use an origin may send. What is wrong with the connection ends it, by name; what is wrong
 * with a stream ends that stream. Every stream's answer is buffered within its window only, and
 * the connection's window never waits for a reader, so that none stalls another. [OR4] [OR7]
 */
import type { Socket } from "node:net";
import { EgressFault } from "../../egress/faults.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import { HpackDecoder, HpackError } from "./hpack-decoder.ts";
import { encodeFields } from "./hpack-encoder.ts";
import { Http2Exchange, STREAM_WINDOW_BYTES } from "./http2-exchange.ts";
import * as wire from "./http2-frames.ts";
import { Http2Settings } from "./http2-settings.ts";
import { Http2StreamRegister } from "./http2-stream-register.ts";
import { NuisanceBudget } from "./nuisance-budget.ts";
import {
  type ExchangeHandler,
  type OriginTransport,
  type OutgoingRequest,
  type TransportWatcher,
  UnprocessedFault,
} from "../http/origin-transport.ts";
import { monotonicMs } from "../../../process/clock.ts";

/** What bounds an exchange. */
export interface Http2Limits {
  /** From the end of the request to the final head. */
  readonly responseTimeoutMs: number;
  /** Of all heads of a response together. */
  readonly maxHeaderBytes: number;
}

/** Requests at once. */
const MAX_STREAMS = 100;
const DEFAULT_WINDOW_BYTES = 65_535;
/** Of all streams together: what may be on its way. */
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024;
/** An encoded header block and the frames it may come in. */
const MAX_BLOCK_BYTES = 512 * 1024;
const MAX_BLOCK_FRAMES = 256;
/** What may wait to be sent to an origin that does not read, besides bodies. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;
/** An origin may give windows back for as little as this, of the stream and of the connection. */
const WINDOW_STEP_BYTES = 1_024;
/** Frames that may be on their way of a stream that is given up here. */
const LATE_FRAMES = STREAM_WINDOW_BYTES / 512;
/** Until an origin has said its settings, the first request is alone. */
const SETTINGS_WAIT_MS = 1_000;
/** For the last words to an origin that broke the rules. */
const GOODBYE_MS = 1_000;

/** A connection of HTTP/2. */
export class Http2Transport implements OriginTransport, wire.FrameSink {
  readonly limits: Http2Limits;
  /** The `:authority` of every request. */
  readonly authority: string;
  readonly #socket: Socket;
  readonly #watcher: TransportWatcher;
  readonly #decoder = new HpackDecoder();
  readonly #settings = new Http2Settings();
  readonly #nuisance = new NuisanceBudget();
  readonly #streams = new Http2StreamRegister();
  #sendWindow = DEFAULT_WINDOW_BYTES;
  #receiveWindow = CONNECTION_WINDOW_BYTES;
  #owedWindowBytes = 0;
  #block: { readonly stream: number; readonly isEnd: boolean; readonly pieces: Buffer[] } | null = null;
  #blockBytes = 0;
  #lastHeardMs = monotonicMs();
  #isCorked = false;
  #isFull = false;
  #isGone = false;
  #isClosed = false;
  #settingsTimer: NodeJS.Timeout | null;

  constructor(socket: Socket, authority: string, limits: Http2Limits, watcher: TransportWatcher) {
    this.#socket = socket;
    this.authority = authority;
    this.limits = limits;
    this.#watcher = watcher;
    const reader = new wire.FrameReader(this);
    socket.on("data", (bytes: Buffer) => this.#read(reader, bytes));
    socket.on("drain", () => {
      this.#isFull = false;
      this.#flush();
    });
    socket.once("end", () => this.#end(new EgressFault("connection-terminated")));
    socket.on("error", (fault) => this.#end(fault));
    socket.once("close", () => this.#end(socket.errored ?? new EgressFault("connection-terminated")));
    this.#settingsTimer = setTimeout(() => this.#onReady(), SETTINGS_WAIT_MS).unref();
    this.#write(wire.PREFACE);
    this.#write(
      wire.settingsFrame([
        [wire.SETTINGS_ENABLE_PUSH, 0],
        [wire.SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES],
      ]),
    );
    this.#write(wire.numberFrame(wire.WINDOW_UPDATE, 0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES));
  }

  get capacity(): number {
    return this.#settings.hasCome ? Math.min(MAX_STREAMS, this.#settings.maxStreams) : 1;
  }

  get hasSettings(): boolean {
    return this.#settings.hasCome;
  }

  get maxListBytes(): number {
    return this.#settings.maxListBytes;
  }

  /** How much of a body may be sent now, by all but the stream's own window. */
  get room(): number {
    return this.#isFull ? 0 : Math.min(this.#sendWindow, wire.MAX_FRAME_BYTES);
  }

  dispatch(request: OutgoingRequest, handler: ExchangeHandler): void {
    const exchange = new Http2Exchange(this, request, handler);
    if (this.#isGone)
      exchange.fail(new UnprocessedFault("The connection takes no more streams.", false), null);
    else exchange.send(this.#settings.initialWindow);
  }

  close(): void {
    // Its last words may still be on their way.
    if (this.#isClosed) return;
    this.#end(new EgressFault("connection-terminated"));
    this.#socket.destroy();
  }

  /** From an exchange: opens its stream. */
  open(exchange: Http2Exchange, fields: RawHeaders, isEnd: boolean): number {
    const stream = this.#streams.open(exchange);
    this.#writeFields(stream, fields, isEnd);
    if (this.#streams.isExhausted) this.#retire();
    return stream;
  }

  sendData(stream: number, piece: Buffer): void {
    this.#sendWindow -= piece.length;
    this.#nuisance.forgive(2 * Math.ceil(piece.length / WINDOW_STEP_BYTES));
    this.#write(wire.frameHead(wire.DATA, 0, stream, piece.length));
    if (!this.#write(piece)) this.#isFull = true;
  }

  endData(stream: number): void {
    this.#write(wire.frameHead(wire.DATA, wire.END_STREAM, stream, 0));
  }

  endWith(stream: number, trailers: RawHeaders): void {
    this.#writeFields(stream, trailers, true);
  }

  giveWindow(stream: number, bytes: number): void {
    this.#write(wire.numberFrame(wire.WINDOW_UPDATE, stream, bytes));
  }

  /** From an exchange: it is over. With a code, the origin is told. */
  leave({ id }: Http2Exchange, code: number | null): void {
    if (!this.#streams.close(id) || code === null) return;
    this.#nuisance.forgive(LATE_FRAMES);
    this.#write(wire.numberFrame(wire.RST_STREAM, id, code));
  }

  /** No more requests, unless something has come since. */
  distrust(sinceMs: number): void {
    if (this.#lastHeardMs < sinceMs) this.#retire();
  }

  onFrameBegin(type: number, flags: number, stream: number): void {
    if (!this.#settings.hasCome && (type !== wire.SETTINGS || (flags & wire.ACK) !== 0)) {
      throw new wire.Http2Error(wire.PROTOCOL_ERROR, "The settings do not come first.");
    }
    const isContinued = this.#block !== null;
    if (isContinued !== (type === wire.CONTINUATION) || (isContinued && stream !== this.#block!.stream)) {
      throw new wire.Http2Error(wire.PROTOCOL_ERROR, "A header block is interrupted, or never began.");
    }
    if (type === wire.DATA || type === wire.HEADERS || type === wire.RST_STREAM)
      this.#streams.checkOpened(stream);
  }

  onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (type === wire.HEADERS || type === wire.CONTINUATION) {
      this.#onHeaders(flags, stream, payload);
      return;
    }
    this.#nuisance.spend();
    if (type === wire.SETTINGS) this.#onSettings(flags, stream, payload);
    else if (type === wire.PING) this.#onPing(flags, stream, payload);
    else if (type === wire.GOAWAY) this.#onGoaway(stream, payload);
    else if (type === wire.WINDOW_UPDATE) this.#onWindowUpdate(stream, payload);
    else if (type === wire.RST_STREAM) this.#onReset(stream, payload);
    else if (type === wire.PUSH_PROMISE) {
      throw new wire.Http2Error(wire.PROTOCOL_ERROR, "Pushes are not allowed.");
    } else if (type === wire.PRIORITY && payload.length !== 5) {
      throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "A priority has 5 bytes.");
    }
  }

  onData(stream: number, piece: Buffer, windowBytes: number, isEnd: boolean): void {
    this.#receiveWindow -= windowBytes;
    if (this.#receiveWindow < 0) {
      throw new wire.Http2Error(wire.FLOW_CONTROL_ERROR, "More has come than the window allows.");
    }
    this.#owedWindowBytes += windowBytes;
    if (this.#owedWindowBytes >= CONNECTION_WINDOW_BYTES / 2) {
      this.#receiveWindow += this.#owedWindowBytes;
      this.giveWindow(0, this.#owedWindowBytes);
      this.#owedWindowBytes = 0;
    }
    const exchange = this.#streams.answeredOn(stream);
    if (exchange === null || (piece.length === 0 && !isEnd)) this.#nuisance.spend();
    else this.#nuisance.forgive();
    if (isEnd && exchange !== null) this.#streams.noteEnd(stream);
    exchange?.onData(piece, windowBytes, isEnd);
  }

  #read(reader: wire.FrameReader, bytes: Buffer): void {
    if (this.#isClosed) return;
    this.#lastHeardMs = monotonicMs();
    try {
      reader.read(bytes);
    } catch (fault) {
      if (fault instanceof wire.Http2Error) this.#endFor(fault.code, fault.message);
      else if (fault instanceof HpackError) this.#endFor(wire.COMPRESSION_ERROR, fault.message);
      else this.#end(fault as Error);
    }
  }

  #onHeaders(flags: number, stream: number, payload: Buffer): void {
    this.#block ??= { stream, isEnd: (flags & wire.END_STREAM) !== 0, pieces: [] };
    const { pieces, isEnd } = this.#block;
    this.#blockBytes += payload.length;
    if (this.#blockBytes > MAX_BLOCK_BYTES || pieces.length >= MAX_BLOCK_FRAMES) {
      this.#streams.get(stream)?.fail(new EgressFault("response-headers-too-large"), null);
      throw new wire.Http2Error(wire.ENHANCE_YOUR_CALM, "A header block is too large.");
    }
    pieces.push(payload);
    if ((flags & wire.END_HEADERS) === 0) return;
    this.#block = null;
    this.#blockBytes = 0;
    const exchange = this.#streams.answeredOn(stream);
    const block = pieces.length === 1 ? payload : Buffer.concat(pieces);
    this.#decoder.decode(block, exchange?.response.onField ?? ignore);
    if (isEnd && exchange !== null) this.#streams.noteEnd(stream);
    exchange?.onHead(isEnd);
    if (exchange?.response.hasHead === true) this.#nuisance.forgive();
    else this.#nuisance.spend();
  }

  #onSettings(flags: number, stream: number, payload: Buffer): void {
    if (stream !== 0) throw new wire.Http2Error(wire.PROTOCOL_ERROR, "Settings are of the connection.");
    if ((flags & wire.ACK) !== 0) {
      if (payload.length > 0) throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "An answer has no content.");
      return;
    }
    const windowChange = this.#settings.read(payload);
    this.#write(wire.frame(wire.SETTINGS, wire.ACK, 0));
    for (const exchange of this.#streams.running()) {
      if (exchange.windowAfter(windowChange) > wire.MAX_31_BITS) {
        throw new wire.Http2Error(wire.FLOW_CONTROL_ERROR, "A window is too large.");
      }
    }
    for (const exchange of this.#streams.running()) exchange.onWindow(windowChange);
    this.#onReady();
  }

  #onPing(flags: number, stream: number, payload: Buffer): void {
    if (stream !== 0) throw new wire.Http2Error(wire.PROTOCOL_ERROR, "A ping is of the connection.");
    if (payload.length !== 8) throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "A ping has 8 bytes.");
    if ((flags & wire.ACK) === 0) this.#write(wire.frame(wire.PING, wire.ACK, 0, payload));
  }

  #onGoaway(stream: number, payload: Buffer): void {
    if (stream !== 0) throw new wire.Http2Error(wire.PROTOCOL_ERROR, "The end is of the connection.");
    if (payload.length < 8) throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "The end has 8 bytes.");
    const last = payload.readUInt32BE(0) & wire.MAX_31_BITS;
    const code = payload.readUInt32BE(4);
    if (code === wire.HTTP_1_1_REQUIRED) this.#watcher.onHttp1Required();
    this.#retire();
    for (const exchange of this.#streams.running()) {
      // What has not been begun with may be sent again; what has goes on (RFC 9113 section 6.8).
      if (code === wire.HTTP_1_1_REQUIRED && !exchange.response.hasHead) exchange.onReset(code);
      else if (exchange.id > last) exchange.onReset(wire.REFUSED_STREAM);
    }
  }

  #onWindowUpdate(stream: number, payload: Buffer): void {
    if (payload.length !== 4) throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "A window has 4 bytes.");
    const increment = payload.readUInt32BE(0) & wire.MAX_31_BITS;
    if (stream !== 0) {
      this.#streams.checkOpened(stream);
      const exchange = this.#streams.get(stream);
      if (increment > 0) exchange?.onWindow(increment);
      else
        exchange?.fail(new EgressFault("response-malformed", "HTTP/2: an empty window"), wire.PROTOCOL_ERROR);
      return;
    }
    if (increment === 0) throw new wire.Http2Error(wire.PROTOCOL_ERROR, "The window does not grow.");
    this.#sendWindow += increment;
    if (this.#sendWindow > wire.MAX_31_BITS) {
      throw new wire.Http2Error(wire.FLOW_CONTROL_ERROR, "The window is too large.");
    }
    this.#flush();
  }

  #onReset(stream: number, payload: Buffer): void {
    if (payload.length !== 4) throw new wire.Http2Error(wire.FRAME_SIZE_ERROR, "A reset has 4 bytes.");
    const code = payload.readUInt32BE(0);
    const exchange = this.#streams.get(stream);
    if (exchange === undefined) return;
    this.#streams.noteEnd(stream);
    if (code === wire.HTTP_1_1_REQUIRED && !exchange.response.hasHead) this.#watcher.onHttp1Required();
    exchange.onReset(code);
  }

  #writeFields(stream: number, fields: RawHeaders, isEnd: boolean): void {
    const block = encodeFields(fields, this.#settings.hasSmallTable);
    for (const piece of wire.headerFrames(stream, isEnd ? wire.END_STREAM : 0, block)) this.#write(piece);
  }

  #onReady(): void {
    if (this.#settingsTimer !== null) clearTimeout(this.#settingsTimer);
    this.#settingsTimer = null;
    for (const exchange of this.#streams.running()) exchange.onReady();
    if (!this.#isGone) this.#watcher.onCapacity();
  }

  #flush(): void {
    for (const exchange of this.#streams.running()) {
      if (this.room <= 0) return;
      exchange.flush();
    }
  }

  /** Everything of one turn goes out together. */
  #write(bytes: Buffer): boolean {
    if (this.#isClosed) return true;
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.#end(new EgressFault("connection-terminated", "The destination does not read."));
      this.#socket.destroy();
      return true;
    }
    return this.#socket.write(bytes);
  }

  /** The origin broke the rules. */
  #endFor(code: number, message: string): void {
    this.#write(wire.goawayFrame(0, code));
    this.#end(new EgressFault("response-malformed", `HTTP/2: ${wire.errorName(code)}: ${message}`));
  }

  #retire(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#watcher.onGone();
  }

  #end(fault: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#settingsTimer !== null) clearTimeout(this.#settingsTimer);
    this.#retire();
    for (const exchange of this.#streams.running()) exchange.fail(fault, null);
    this.#socket.destroySoon();
    setTimeout(() => this.#socket.destroy(), GOODBYE_MS).unref();
  }
}

function ignore(): void {
  // A field of a stream that was given up.
}
