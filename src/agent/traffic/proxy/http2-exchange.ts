/**
 * One stream of HTTP/2 as a client's request and the response to it. Node's compatibility classes are
 * not used: they take a stream that was broken off for a whole one, in both directions. [PX12]
 */
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { ClientRequest, ClientResponse } from "../clients/client-exchange.ts";
import { endInOrder, WAITING } from "../clients/stream-end.ts";
import type { Peer } from "../clients/paused-peer.ts";

/** A request whose head has come. */
export class Http2Request implements ClientRequest {
  readonly httpVersion = "2.0";
  readonly headers: IncomingHttpHeaders;
  /** As HTTP/1.1 would have them: without pseudo-header fields, and cookies in one piece. */
  readonly rawHeaders: readonly string[];
  rawTrailers: readonly string[] = [];
  readonly hasBody: boolean;
  readonly socket: Peer & { readonly remoteAddress?: string | undefined };
  readonly #stream: ServerHttp2Stream;
  #hasEnded = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]) {
    this.#stream = stream;
    this.headers = headers;
    this.rawHeaders = fieldsOf(rawHeaders);
    this.hasBody = !stream.endAfterHeaders;
    this.socket = peerOf(stream);
    stream.once("trailers", (_trailers: object, _flags: number, raw: readonly string[]) => {
      this.rawTrailers = raw;
    });
    stream.once("end", () => {
      this.#hasEnded = !stream.aborted;
    });
  }

  get method(): string {
    return this.headers[":method"] ?? "";
  }

  /** The whole URL; empty where it has no scheme or no authority. */
  get url(): string {
    const { ":scheme": scheme, ":path": path } = this.headers;
    // RFC 9113 section 8.3.1: an authority without its field is in `host`.
    const authority = this.authority;
    return typeof scheme !== "string" || typeof path !== "string" || authority === ""
      ? ""
      : `${scheme}://${authority}${path}`;
  }

  get authority(): string {
    const { ":authority": authority, host } = this.headers;
    return typeof authority === "string" ? authority : (host ?? "");
  }

  get complete(): boolean {
    return !this.hasBody || this.#hasEnded;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed;
  }

  on(event: string, listener: (...args: any[]) => void): void {
    this.#stream.on(event, listener);
  }

  once(event: string, listener: (...args: any[]) => void): void {
    this.#stream.once(event, listener);
  }

  off(event: string, listener: (...args: any[]) => void): void {
    this.#stream.off(event, listener);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** RFC 9113 section 8.1: so a client is asked to send no more of what nobody reads. */
  destroy(): void {
    this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }
}

/** A response. */
export class Http2Response implements ClientResponse {
  shouldKeepAlive = true;
  sendDate = true;
  readonly socket = null;
  readonly #stream: ServerHttp2Stream;
  /** Kept until something follows: an answer that is all head ends with it. */
  #head: OutgoingHttpHeaders | null = null;
  #hasHead = false;
  #trailers: OutgoingHttpHeaders = {};

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  get headersSent(): boolean {
    return this.#hasHead;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed;
  }

  get writableEnded(): boolean {
    return this.#stream.writableEnded;
  }

  get writableFinished(): boolean {
    return this.#stream.writableFinished;
  }

  writeHead(
    status: number,
    phraseOrHeaders: string | readonly string[] | Readonly<Record<string, string | number>>,
    headers?: readonly string[],
  ): void {
    // HTTP/2 has no phrase.
    const written = typeof phraseOrHeaders === "string" ? headers! : phraseOrHeaders;
    this.#hasHead = true;
    this.#head = { ...joined(written), ":status": status };
  }

  writeInformation(status: number, headers: readonly string[]): void {
    if (this.headersSent || this.#stream.destroyed) return;
    this.#stream.additionalHeaders({ ...joined(headers), ":status": status });
  }

  writeContinue(): void {
    this.writeInformation(100, []);
  }

  write(chunk: Buffer | string, encoding?: "latin1"): boolean {
    this.#sendHead(false);
    if (chunk.length === 0 || this.#stream.destroyed) return true;
    return typeof chunk === "string"
      ? this.#stream.write(chunk, encoding ?? "latin1")
      : this.#stream.write(chunk);
  }

  addTrailers(fields: [string, string][]): void {
    this.#trailers = joined(fields.flat());
  }

  end(chunk?: Buffer | string): void {
    // gRPC knows an answer without messages by its head being all of it.
    this.#sendHead((chunk === undefined || chunk.length === 0) && Object.keys(this.#trailers).length === 0);
    if (this.#stream.writableEnded) return;
    if (chunk === undefined) this.#stream.end();
    else this.#stream.end(chunk);
  }

  /** What breaks off must not look whole. */
  destroy(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  on(event: "drain" | "close", listener: () => void): void {
    this.#stream.on(event, listener);
  }

  once(event: "close" | "finish", listener: () => void): void {
    this.#stream.once(event, listener);
  }

  #sendHead(isAll: boolean): void {
    const head = this.#head;
    const stream = this.#stream;
    this.#head = null;
    if (head === null || stream.destroyed || stream.closed) return;
    if (!isAll) endInOrder(stream, () => this.#trailers);
    const ending = isAll ? { endStream: true } : WAITING;
    stream.respond(head, { ...ending, sendDate: this.sendDate } as typeof WAITING);
  }
}

/** A stream that is paused needs no looking after: its connection is read, whatever becomes of it. */
function peerOf(stream: ServerHttp2Stream): Http2Request["socket"] {
  return {
    remoteAddress: stream.session?.socket.remoteAddress,
    get destroyed() {
      return stream.destroyed;
    },
    writable: false,
    writableLength: 0,
    write: () => false,
    once: (event, listener) => stream.once(event, listener),
    off: (event, listener) => stream.off(event, listener),
  };
}

/** RFC 9113 section 8.2.3: crumbs of a cookie are one field again. */
function fieldsOf(rawHeaders: readonly string[]): string[] {
  const fields: string[] = [];
  const cookies: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.startsWith(":")) continue;
    if (name === "cookie") cookies.push(rawHeaders[at + 1]!);
    else fields.push(name, rawHeaders[at + 1]!);
  }
  if (cookies.length > 0) fields.push("cookie", cookies.join("; "));
  return fields;
}

/** Fields by name in lower case, repeated ones as a list. RFC 9113 section 8.2.2: none of a connection. */
function joined(
  headers: readonly string[] | Readonly<Record<string, string | number>>,
): Record<string, string | string[]> {
  const entries: (readonly [string, string])[] = [];
  if (Array.isArray(headers)) {
    for (let at = 0; at < headers.length; at += 2) entries.push([headers[at]!, headers[at + 1]!]);
  } else {
    for (const [name, value] of Object.entries(headers)) entries.push([name, String(value)]);
  }
  const byName: Record<string, string | string[]> = Object.create(null);
  for (const [written, value] of entries) {
    const name = written.toLowerCase();
    if (name === "connection") continue;
    const before = byName[name];
    if (before === undefined) byName[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else byName[name] = [before, value];
  }
  return byName;
}
