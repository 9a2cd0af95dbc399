/**
 * One response of HTTP/2 as its fields and its bytes come, judged as strictly as one of HTTP/1.1
 * (RFC 9113 section 8): what is wrong with it is its own fault and no other stream's. [OR2] [OR5]
 */
import { EgressFault } from "../../egress/faults.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import { MAX_TRAILER_BYTES } from "../http/trailers.ts";

/** A head: below 200 another one follows. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: RawHeaders;
}

/** What a field takes besides its bytes when it is written in a line, so that both versions count alike. */
const LINE_OVERHEAD_BYTES = 4;

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// oxlint-disable-next-line no-control-regex
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const STATUS = /^[1-5]\d\d$/;
const LENGTH = /^\d{1,15}$/;
/** Of one connection, which HTTP/2 says in other ways (RFC 9113 section 8.2.2). */
const FORBIDDEN: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Reads one response, its interim heads included. Throws `EgressFault` for what is none. */
export class Http2Response {
  readonly #isHead: boolean;
  #leftHeadBytes: number;
  #status = 0;
  #fields: RawHeaders = [];
  #trailers: RawHeaders = [];
  #statusText: string | null = null;
  /** What is wrong with the head that is being read; told at its end, since all of it must be decoded. */
  #fault: EgressFault | null = null;
  #length: number | null = null;
  #bodyBytes = 0;

  constructor(method: string, maxHeaderBytes: number) {
    this.#isHead = method === "HEAD";
    this.#leftHeadBytes = maxHeaderBytes;
  }

  /** The final head has come. */
  get hasHead(): boolean {
    return this.#status >= 200;
  }

  /** What stood behind its body. */
  get trailers(): RawHeaders {
    return this.#trailers;
  }

  /** The final head has come and no body can follow it: what it says is whole. */
  get isBodiless(): boolean {
    return this.hasHead && this.#hasNoBody();
  }

  /** A field of a head or of trailers. */
  readonly onField = (name: string, value: string): void => {
    // Nothing is done for the fields after a wrong one: a byte of a block may stand for 4 KiB. [GW21]
    if (this.#leftHeadBytes < 0) return;
    this.#leftHeadBytes -= name.length + value.length + LINE_OVERHEAD_BYTES;
    if (this.#leftHeadBytes < 0) {
      this.#fault = new EgressFault("response-headers-too-large");
      this.#fields = [];
    }
    if (this.#fault !== null) return;
    if (name.startsWith(":")) this.#readPseudo(name, value);
    else if (!NAME.test(name) || !VALUE.test(value)) this.#fault = malformed("A field is not valid.");
    else if (FORBIDDEN.has(name)) this.#fault = malformed(`HTTP/2 has no ${name}.`);
    else this.#fields.push(name, value);
  };

  /** A head has ended; null for trailers. */
  endHead(isEnd: boolean): ResponseHead | null {
    const headers = this.#fields;
    const statusText = this.#statusText;
    this.#fields = [];
    this.#statusText = null;
    if (this.#fault !== null) throw this.#fault;
    if (this.hasHead) {
      if (!isEnd) throw malformed("There are two heads.");
      if (statusText !== null) throw malformed("Trailers have a status.");
      this.#trailers = headers;
      return null;
    }
    if (statusText === null || !STATUS.test(statusText)) throw malformed("The status is none.");
    const status = Number(statusText);
    if (status === 101) throw malformed("HTTP/2 has no 101.");
    if (status < 200 && isEnd) throw malformed("An interim response is the last.");
    this.#status = status;
    if (status >= 200) {
      this.#readLength(headers);
      this.#leftHeadBytes = Math.min(this.#leftHeadBytes, MAX_TRAILER_BYTES);
    }
    return { status, headers };
  }

  /** Some bytes of the body. */
  onBody(byteCount: number): void {
    if (!this.hasHead) throw malformed("The body comes before its head.");
    this.#bodyBytes += byteCount;
    const isTooLong = this.#hasNoBody()
      ? this.#bodyBytes > 0
      : this.#length !== null && this.#bodyBytes > this.#length;
    if (isTooLong) throw malformed("The body is longer than it may be.");
  }

  /** The stream has ended in order. */
  end(): void {
    if (!this.hasHead) throw malformed("There is no head.");
    if (this.#length !== null && !this.#hasNoBody() && this.#bodyBytes !== this.#length) {
      throw malformed("The body is shorter than its length.");
    }
  }

  #hasNoBody(): boolean {
    return this.#isHead || this.#status === 204 || this.#status === 304;
  }

  #readPseudo(name: string, value: string): void {
    if (name !== ":status" || this.#statusText !== null || this.#fields.length > 0) {
      this.#fault = malformed("A pseudo-field is not the status, or not where it belongs.");
    } else {
      this.#statusText = value;
    }
  }

  #readLength(headers: RawHeaders): void {
    for (let at = 0; at < headers.length; at += 2) {
      if (headers[at] !== "content-length") continue;
      const value = headers[at + 1]!;
      if (this.#length !== null || !LENGTH.test(value)) throw malformed("The length is not one number.");
      this.#length = Number(value);
    }
  }
}

function malformed(detail: string): EgressFault {
  return new EgressFault("response-malformed", detail);
}
