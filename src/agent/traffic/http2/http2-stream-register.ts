/**
 * The streams of one connection of HTTP/2: those that run, and of those that are over enough to tell
 * frames that come late from frames that are wrong (RFC 9113 section 5.1).
 */
import type { Http2Exchange } from "./http2-exchange.ts";
import { Http2Error, PROTOCOL_ERROR, STREAM_CLOSED } from "./http2-frames.ts";

/** Streams that the origin has ended are remembered, so many. */
const MAX_ENDED = 200;
const LAST_STREAM = 2 ** 30;

/** All of them are opened by us. */
export class Http2StreamRegister {
  readonly #running = new Map<number, Http2Exchange>();
  /** Ended by the origin; the oldest first. */
  readonly #ended = new Set<number>();
  #next = 1;

  /** No further one can be opened. */
  get isExhausted(): boolean {
    return this.#next > LAST_STREAM;
  }

  /** Opens one. */
  open(exchange: Http2Exchange): number {
    const stream = this.#next;
    this.#next += 2;
    this.#running.set(stream, exchange);
    return stream;
  }

  /** Forgets one that is over; false when it is forgotten already. */
  close(stream: number): boolean {
    return this.#running.delete(stream);
  }

  /** Those that run, the oldest first. */
  running(): IterableIterator<Http2Exchange> {
    return this.#running.values();
  }

  /** One that runs. */
  get(stream: number): Http2Exchange | undefined {
    return this.#running.get(stream);
  }

  /** Throws for a frame of a stream that nobody has opened. */
  checkOpened(stream: number): void {
    if (stream % 2 === 0 || stream >= this.#next) {
      throw new Http2Error(PROTOCOL_ERROR, `Nobody has opened stream ${stream}.`);
    }
  }

  /** Whose answer goes on here; null for one that was given up here, on which frames may still come. */
  answeredOn(stream: number): Http2Exchange | null {
    const exchange = this.#running.get(stream) ?? null;
    if (exchange === null && this.#ended.has(stream)) {
      throw new Http2Error(STREAM_CLOSED, `Stream ${stream} has ended.`);
    }
    return exchange;
  }

  /** The origin has ended it: nothing may follow. */
  noteEnd(stream: number): void {
    this.#ended.add(stream);
    if (this.#ended.size <= MAX_ENDED) return;
    for (const oldest of this.#ended) {
      this.#ended.delete(oldest);
      return;
    }
  }
}
