/**
 * What carries requests over one connection to an origin once it stands, whatever the version of
 * HTTP, and what it tells of each exchange.
 */
import type { Readable } from "node:stream";
import { EgressFault } from "../../egress/faults.ts";
import type { RawHeaders } from "./forwarded-headers.ts";

/** A request as it goes out. */
export interface OutgoingRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Names in lower case; without `host` and without fields of the connection. */
  readonly headers: RawHeaders;
  /** Destroyed as soon as nobody wants more of it. */
  readonly body: Readable | null;
  /** The origin is told that trailers are taken. */
  readonly takesTrailers: boolean;
  /** What goes behind the body, asked for when all of it has come; null for nothing. */
  readonly trailers: (() => RawHeaders) | null;
}

/** What an exchange's handler can do to it. All of it does nothing once the exchange has ended. */
export interface ExchangeController {
  /** Gives the exchange up: its handler is told `onResponseError` with this fault. */
  abort(fault: Error): void;
  /** Asks for no more of the body; what has been read already still comes. */
  pause(): void;
  resume(): void;
}

/** Is told of one exchange, in this order; the last is `onResponseEnd` or `onResponseError`, once. */
export interface ExchangeHandler {
  onRequestStart(controller: ExchangeController): void;
  /** A head: any number of interim ones before the final one, none with 101 or beyond 599. HTTP/2 has no phrase. */
  onResponseStart(
    controller: ExchangeController,
    status: number,
    headers: RawHeaders,
    phrase: string | null,
  ): void;
  onResponseData(controller: ExchangeController, chunk: Buffer): void;
  /** The response is whole; behind its body stood these fields. */
  onResponseEnd(controller: ExchangeController, trailers: RawHeaders): void;
  /** It never began or it is not whole. */
  onResponseError(controller: ExchangeController | null, fault: Error): void;
}

/**
 * The origin has said that it did not begin with a request, so that it may be sent once more,
 * whatever its method (RFC 9113 section 8.7). Of its body nothing has been read, unless it is destroyed.
 */
export class UnprocessedFault extends EgressFault {
  /** It asks for HTTP/1.1. */
  readonly needsHttp1: boolean;

  constructor(detail: string, needsHttp1: boolean) {
    super("connection-terminated", detail);
    this.needsHttp1 = needsHttp1;
  }
}

/** Who keeps a transport. */
export interface TransportWatcher {
  /** It takes no more requests. Called once. */
  readonly onGone: () => void;
  /** `capacity` has changed. */
  readonly onCapacity: () => void;
  /** The origin wants to be spoken to by HTTP/1.1. */
  readonly onHttp1Required: () => void;
}

/** One connection that stands. */
export interface OriginTransport {
  /** How many requests it takes at once. */
  readonly capacity: number;
  /** Sends a request. */
  dispatch(request: OutgoingRequest, handler: ExchangeHandler): void;
  /** Ends it at once; exchanges on it end with a fault. */
  close(): void;
}
