/**
 * One response of HTTP/1.x as its bytes come, judged strictly (RFC 9112): what two readers could
 * frame differently is refused, never guessed. Heads are read line by line and bodies counted, so
 * that the same bytes mean the same however they are cut into segments. [OR20] [OR21]
 */
import { EgressFault } from "../../egress/faults.ts";
import { trimmed } from "../http/field-value.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import { MAX_TRAILER_BYTES } from "../http/trailers.ts";

/** Who is told what the bytes say. */
export interface ResponseSink {
  /** A head; below 200 another one follows. Values are Latin-1, a character for each byte. */
  onHead(status: number, phrase: string, headers: RawHeaders): void;
  onBody(chunk: Buffer): void;
}

/** What comes next. Of a body: a counted one, a chunk and what is around it, one that the end ends. */
type Stage =
  | "status"
  | "fields"
  | "counted"
  | "chunk-size"
  | "chunk"
  | "chunk-end"
  | "trailers"
  | "end"
  | "over";

/** Longest line that says how long a chunk is; what else stands there is of no meaning. */
const MAX_CHUNK_LINE_BYTES = 16 * 1024;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

// oxlint-disable-next-line no-control-regex
const STATUS_LINE = /^HTTP\/1\.(\d) (\d{3})(?: ([^\r]*))?$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// oxlint-disable-next-line no-control-regex
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const CHUNK_SIZE = /^([0-9a-fA-F]+)(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;
const KEEP_ALIVE_TIMEOUT = /(?:^|[,; \t])timeout\s*=\s*(\d+)/i;

/** Reads one response, its interim heads included. Throws `EgressFault` for what is none. */
export class ResponseReader {
  readonly #sink: ResponseSink;
  readonly #isHead: boolean;
  readonly #maxHeadBytes: number;
  #stage: Stage = "status";
  /** The beginning of a line whose end has not come. */
  #line = "";
  #headBytes = 0;
  #leftBytes = 0;
  #minor = 1;
  #status = 0;
  #phrase = "";
  #headers: RawHeaders = [];
  readonly #trailers: RawHeaders = [];
  #length: number | null = null;
  #coding: string | null = null;
  #connection = "";
  #keepAlive = "";
  /** Some byte of it has come. */
  hasBegun = false;
  /** No other response may follow: it ends with the connection, or more came than it, or may come. */
  #isLast = false;

  constructor(method: string, maxHeadBytes: number, sink: ResponseSink) {
    this.#sink = sink;
    this.#isHead = method === "HEAD";
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** The whole of it has been read. */
  get isOver(): boolean {
    return this.#stage === "over";
  }

  /** What stood behind its body. */
  get trailers(): RawHeaders {
    return this.#trailers;
  }

  /** Only the end of the connection will be the end of its body. */
  get endsWithConnection(): boolean {
    return this.#stage === "end";
  }

  /** How long the connection is good for another request, in ms; 0 when it is not. */
  get keptAliveMs(): number {
    if (this.#isLast) return 0;
    const options = `,${this.#connection.toLowerCase()},`.replaceAll(/[ \t]/g, "");
    if (options.includes(",close,")) return 0;
    if (this.#minor === 0 && !options.includes(",keep-alive,")) return 0;
    const timeout = KEEP_ALIVE_TIMEOUT.exec(this.#keepAlive);
    // A second less than the origin says, so that it does not end under a request.
    return timeout === null ? Infinity : Math.max(0, (Number(timeout[1]) - 1) * 1000);
  }

  /** Reads the next segment. */
  read(segment: Buffer): void {
    this.hasBegun = true;
    let at = 0;
    while (at < segment.length) {
      switch (this.#stage) {
        case "counted":
        case "chunk":
          at = this.#readCounted(segment, at);
          break;
        case "end":
          this.#sink.onBody(at === 0 ? segment : segment.subarray(at));
          return;
        case "over":
          this.#isLast = true;
          return;
        case "status":
        case "fields":
        case "chunk-size":
        case "chunk-end":
        case "trailers":
          at = this.#readLine(segment, at);
      }
    }
  }

  /** The connection has ended; in good order is what makes the end of a body without a length. */
  end(isInOrder: boolean): void {
    if (this.#stage === "end" && isInOrder) this.#stage = "over";
    else if (this.#stage !== "over") throw new EgressFault("connection-terminated");
  }

  #readCounted(segment: Buffer, at: number): number {
    const end = Math.min(segment.length, at + this.#leftBytes);
    this.#leftBytes -= end - at;
    this.#sink.onBody(at === 0 && end === segment.length ? segment : segment.subarray(at, end));
    if (this.#leftBytes === 0) {
      this.#stage = this.#stage === "chunk" ? "chunk-end" : "over";
    }
    return end;
  }

  #readLine(segment: Buffer, at: number): number {
    const found = segment.indexOf(LINE_FEED, at);
    const end = found === -1 ? segment.length : found;
    this.#count(end - at + (found === -1 ? 0 : 1));
    const text = segment.toString("latin1", at, end);
    if (found === -1) {
      this.#line += text;
      return end;
    }
    const line = this.#line === "" ? text : this.#line + text;
    this.#line = "";
    // A line feed alone ends a line for some readers and not for others.
    if (line.charCodeAt(line.length - 1) !== CARRIAGE_RETURN) throw malformed("A line ends without CR.");
    this.#onLine(line.slice(0, -1));
    return end + 1;
  }

  #count(byteCount: number): void {
    this.#headBytes += byteCount;
    if (this.#stage === "chunk-size" || this.#stage === "chunk-end") {
      if (this.#headBytes > MAX_CHUNK_LINE_BYTES) throw malformed("The line of a chunk is too long.");
    } else if (
      this.#headBytes > this.#maxHeadBytes ||
      (this.#stage === "trailers" && this.#headBytes > MAX_TRAILER_BYTES)
    ) {
      throw new EgressFault("response-headers-too-large");
    }
  }

  #onLine(line: string): void {
    if (this.#stage === "status") {
      this.#onStatusLine(line);
    } else if (this.#stage === "chunk-size") {
      this.#onChunkSize(line);
    } else if (this.#stage === "chunk-end") {
      if (line !== "") throw malformed("A chunk is longer than it says.");
      this.#headBytes = 0;
      this.#stage = "chunk-size";
    } else if (line !== "") {
      // Trailers are judged as fields are.
      this.#onField(line);
    } else if (this.#stage === "fields") {
      this.#onHead();
    } else {
      this.#stage = "over";
    }
  }

  #onStatusLine(line: string): void {
    // As Node does, and as some origins need that end a body with a line too many.
    if (line === "") return;
    const found = STATUS_LINE.exec(line);
    if (found === null) throw malformed("The status line is none.");
    this.#minor = Number(found[1]);
    this.#status = Number(found[2]);
    this.#phrase = found[3] ?? "";
    if (this.#status < 100 || this.#status > 599) throw malformed("The status is none.");
    // An upgrade that nobody asked for.
    if (this.#status === 101) throw malformed("The status is 101.");
    this.#stage = "fields";
  }

  #onField(line: string): void {
    const first = line.charCodeAt(0);
    const isFolded = first === 0x20 || first === 0x09;
    const colonAt = line.indexOf(":");
    const value = trimmed(line, isFolded ? 0 : colonAt + 1);
    if (NOT_IN_VALUE.test(value)) throw malformed("A field's value has a control character.");
    if (isFolded) {
      this.#unfold(value);
      return;
    }
    const name = line.slice(0, Math.max(colonAt, 0));
    if (!FIELD_NAME.test(name)) throw malformed("A field's name is none.");
    if (this.#stage === "trailers") {
      this.#trailers.push(name, value);
      return;
    }
    this.#headers.push(name, value);
    if (name.length === 10 || name.length === 14 || name.length === 17) {
      this.#onFraming(name.toLowerCase(), value);
    }
  }

  /** A value that goes on in the next line: RFC 9112 5.2 wants it in one, or refused. */
  #unfold(value: string): void {
    const fields = this.#stage === "trailers" ? this.#trailers : this.#headers;
    const last = fields.length - 1;
    if (last < 0) throw malformed("The head begins with a blank.");
    const name = fields[last - 1]!.toLowerCase();
    if (name === "content-length" || name === "transfer-encoding" || name === "connection") {
      throw malformed(`The field ${name} is folded.`);
    }
    // Both are without blanks around them. Looked at each time, a value in thousands of lines would
    // be copied as often.
    const before = fields[last]!;
    fields[last] = before === "" || value === "" ? before + value : `${before} ${value}`;
  }

  #onFraming(name: string, value: string): void {
    if (name === "content-length") {
      // Two lengths, even equal ones, are what smuggling is made of.
      if (this.#length !== null) throw malformed("The length is told twice.");
      this.#length = Number(value);
      if (!/^\d+$/.test(value) || !Number.isSafeInteger(this.#length)) throw malformed("The length is none.");
      // Zeros before it would be octal to some.
      this.#headers[this.#headers.length - 1] = String(this.#length);
    } else if (name === "transfer-encoding") {
      this.#coding = this.#coding === null ? value.toLowerCase() : `${this.#coding}, ${value.toLowerCase()}`;
    } else if (name === "connection") {
      this.#connection += `,${value}`;
    } else if (name === "keep-alive") {
      this.#keepAlive += `,${value}`;
    }
  }

  #onHead(): void {
    const status = this.#status;
    const headers = this.#headers;
    const isInterim = status < 200;
    const isEmpty = this.#isHead || status === 204 || status === 304;
    if (!isInterim && this.#coding !== null) this.#judgeCoding(isEmpty);
    this.#stage = isInterim ? "status" : "over";
    // Empty: whatever length is told is that of another response.
    if (isInterim) this.#forgetHead();
    else if (!isEmpty) this.#stage = this.#frame();
    // A body that must not be may come nevertheless, and must not become the next response.
    else if (this.#isHead || this.#coding !== null || (this.#length ?? 0) > 0) this.#isLast = true;
    this.#sink.onHead(status, this.#phrase, headers);
  }

  #judgeCoding(isEmpty: boolean): void {
    // RFC 9112 6.3: the one overrides the other, and who disagrees can be made to read two responses.
    if (this.#length !== null) throw malformed("The length is told in two ways.");
    // The body would be passed on coded, as if it were the content.
    if (this.#coding !== "chunked" && !isEmpty) {
      throw new EgressFault("response-coding-unsupported", this.#coding!.slice(0, 100));
    }
  }

  /** The stage that the body begins in. */
  #frame(): Stage {
    this.#headBytes = 0;
    if (this.#coding !== null) {
      // In HTTP/1.0 it may be of some other proxy's making (RFC 9112 6.1).
      if (this.#minor === 0) this.#isLast = true;
      return "chunk-size";
    }
    if (this.#length === null) {
      this.#isLast = true;
      return "end";
    }
    this.#leftBytes = this.#length;
    return this.#length === 0 ? "over" : "counted";
  }

  #forgetHead(): void {
    this.#headers = [];
    this.#length = null;
    this.#coding = null;
    this.#connection = "";
    this.#keepAlive = "";
  }

  #onChunkSize(line: string): void {
    const found = CHUNK_SIZE.exec(line);
    const size = found === null ? Number.NaN : Number.parseInt(found[1]!, 16);
    if (!Number.isSafeInteger(size)) throw malformed("The size of a chunk is none.");
    this.#headBytes = 0;
    this.#leftBytes = size;
    this.#stage = size === 0 ? "trailers" : "chunk";
  }
}

function malformed(detail: string): EgressFault {
  return new EgressFault("response-malformed", detail);
}
