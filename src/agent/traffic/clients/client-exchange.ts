/**
 * A client's request and the response to it, whichever version of HTTP they came by: what of Node's
 * own classes is used beyond the listeners. HTTP/1 has them as they are, HTTP/2 by way of
 * `proxy/http2-exchange.ts`.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Peer } from "./paused-peer.ts";

type Listener = (...args: any[]) => void;

/** What a client asks, and its body. */
export interface ClientRequest {
  readonly method?: string | undefined;
  /** The target, as it was written. */
  readonly url?: string | undefined;
  readonly httpVersion: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they were written. */
  readonly rawHeaders: readonly string[];
  /** Names and values in turn of what stood behind the body, once that has ended. */
  readonly rawTrailers: readonly string[];
  /** All of it has come. */
  readonly complete: boolean;
  readonly destroyed: boolean;
  /** Of the connection, or of the stream on it. */
  readonly socket: Peer & { readonly remoteAddress?: string | undefined };
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "error", listener: () => void): unknown;
  once(event: "end" | "close", listener: () => void): unknown;
  off(event: "data" | "end" | "close", listener: Listener): unknown;
  pause(): unknown;
  resume(): unknown;
  destroy(): unknown;
}

/** What a client is answered. */
export interface ClientResponse {
  /** Whether the connection may serve another request. Of no meaning in HTTP/2. */
  shouldKeepAlive: boolean;
  sendDate: boolean;
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  /** Bytes that the client has not taken yet. */
  readonly writableLength: number;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  /** What is under an answer of HTTP/1 alone; null for none. */
  readonly socket: ConnectionUnder | null;
  writeHead(status: number, headers: Record<string, string | number> | string[]): unknown;
  writeHead(status: number, phrase: string, headers: string[]): unknown;
  writeInformation(status: number, headers: string[]): unknown;
  writeContinue(): void;
  write(chunk: Buffer): boolean;
  write(text: string, encoding: "latin1"): boolean;
  /** What goes behind the body, where anything can. */
  addTrailers(fields: [string, string][]): void;
  end(chunk?: string | Buffer): unknown;
  destroy(): unknown;
  on(event: "drain" | "close", listener: () => void): unknown;
  once(event: "close" | "finish", listener: () => void): unknown;
}

/** A connection that ends with an answer. */
interface ConnectionUnder {
  write(text: string, done?: () => void): boolean;
  resetAndDestroy(): unknown;
  destroySoon(): void;
}
