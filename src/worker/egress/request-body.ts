/**
 * The body of a request that may have to be sent twice.
 *
 * A short body of known length is held whole. Any other is streamed, and what has been given
 * out is held as long as it is short, so that a host which refuses costs nothing; past that it
 * goes by piece for piece and cannot come back, and therefore not before the host can refuse it no
 * more (`upload-go-ahead.ts`). A length that the client declared stays declared. It is read and
 * written here rather than joined to the host's stream inside the runtime, which would not tell
 * which of both ends had failed. [WK9] [WK10] [WK43]
 *
 * A body that breaks off must break off for the host as well. The runtime ends a chunked body
 * neatly when its stream is aborted, which would make half a body look like a whole one; only
 * aborting the request itself breaks the connection. So a try that fails is aborted by its
 * signal, and its stream is left alone. A host that takes no more of a body fails nothing: its
 * answer may be there already. [WK10] [WK25]
 */
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import { GoAhead } from "./upload-go-ahead.ts";

/** The most that is held of one body. */
export const HELD_BYTES = 65_536;
/** Piece in which the rest of a long one goes by. */
const PIECE_BYTES = 65_536;

/** How long a client may go on sending what is not needed any more, so that it can read the answer. */
const LINGER_MS = 10_000;
/** The same where only the end of the answer shows that it is complete. */
const BRIEF_LINGER_MS = 2_000;
const BODILESS_STATUSES: ReadonlySet<number> = new Set([101, 204, 205, 304]);
const BROKEN_OFF = "the client broke its body off";
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** A request to a host but for its body. */
export interface BodilessRequest {
  /** Where the paths of the host's gateway begin. */
  readonly gateway: string;
  /** Path and query there. */
  readonly target: string;
  readonly method: string;
  readonly headers: Headers;
  readonly redirect: "manual";
}

/** A body, for one attempt after another. */
export interface RequestBody {
  /**
   * The request of the next try, with the body. Only for the first, or while `isReplayable`. The
   * try ends when `attempt` is aborted, and is aborted when the body breaks off.
   */
  next(request: BodilessRequest, attempt: AbortController): Request;
  /** Stops giving it out in the present try, as it is to be given out once more. */
  keep(): void;
  /** Whether it can be given out once more from its beginning. */
  isReplayable(): boolean;
  /** Whether all of it is here, so that it can be sent any number of times. */
  readonly isHeld: boolean;
  /** Whether nothing of it has been given out. */
  isUntouched(): boolean;
  /** Whether the client stopped before the end. */
  hasFailed(): boolean;
  /** The answer, kept open until the client has sent its body, for a while at most. */
  linger(answer: Response): Response;
  /** Whether a failure that is not the client's must be the host's. */
  canBlameHost(): boolean;
}

/** The body of a request; null when it has none. Refused when the client sends too little. */
export async function bodyOf(request: Request): Promise<Outcome<RequestBody | null, "body-length-mismatch">> {
  if (request.body === null) return ok(null);
  if (BODILESS.has(request.method)) return ok(new PassedBody(request));
  const declared = request.headers.get("content-length");
  const length = declared === null ? null : Number(declared);
  if (length === null || length > HELD_BYTES) return ok(new StreamedBody(request.body, length));
  try {
    return ok(new HeldBody(await request.arrayBuffer()));
  } catch {
    return refuse("body-length-mismatch");
  }
}

/**
 * The body of a method for which the runtime allows no new body. It can only be passed on
 * within its own request, and only once.
 */
class PassedBody implements RequestBody {
  readonly isHeld = false;
  readonly #request: Request;

  constructor(request: Request) {
    this.#request = request;
  }

  next({ gateway, target, headers, redirect }: BodilessRequest, { signal }: AbortController): Request {
    return new Request(new Request(gateway + target, this.#request), { headers, redirect, signal });
  }

  keep(): void {}

  isReplayable(): boolean {
    return false;
  }

  isUntouched(): boolean {
    return false;
  }

  hasFailed(): boolean {
    return false;
  }

  linger(answer: Response): Response {
    return answer;
  }

  canBlameHost(): boolean {
    return false;
  }
}

class HeldBody implements RequestBody {
  readonly isHeld = true;
  readonly #bytes: ArrayBuffer;

  constructor(bytes: ArrayBuffer) {
    this.#bytes = bytes;
  }

  next({ gateway, target, ...init }: BodilessRequest, { signal }: AbortController): Request {
    return new Request(gateway + target, { ...init, body: this.#bytes, signal });
  }

  keep(): void {}

  isReplayable(): boolean {
    return true;
  }

  /** It is unknown how much of it a lost host has seen. */
  isUntouched(): boolean {
    return false;
  }

  hasFailed(): boolean {
    return false;
  }

  linger(answer: Response): Response {
    return answer;
  }

  canBlameHost(): boolean {
    return true;
  }
}

class StreamedBody implements RequestBody {
  readonly isHeld = false;
  readonly #source: ReadableStream<Uint8Array>;
  readonly #length: number | null;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isEnded = false;
  #isTouched = false;
  #feeding: Promise<void> = Promise.resolve();
  #readPiece: (() => Promise<Uint8Array | undefined>) | null = null;
  #isPassing = false;
  #hasFailed = false;
  #reading: Promise<void> | null = null;
  #try = new AbortController();
  /** Of the present try; null when nothing more is given out in it. */
  #goAhead: GoAhead | null = null;

  constructor(source: ReadableStream<Uint8Array>, length: number | null) {
    this.#source = source;
    this.#length = length;
    this.#reader = source.getReader();
  }

  next({ gateway, target, ...init }: BodilessRequest, attempt: AbortController): Request {
    this.keep();
    this.#try.abort();
    this.#try = attempt;
    const goAhead = new GoAhead(gateway, init.headers);
    this.#goAhead = goAhead;
    const { readable, writable } =
      this.#length === null ? new IdentityTransformStream() : new FixedLengthStream(this.#length);
    // A host takes no more of it: its answer, or the failure of the request, says why.
    this.#feeding = this.#feed(writable, attempt, goAhead).catch(() => {});
    return new Request(gateway + target, { ...init, body: readable, signal: attempt.signal });
  }

  keep(): void {
    this.#goAhead?.end();
    this.#goAhead = null;
  }

  isReplayable(): boolean {
    return !this.#isPassing && !this.#hasFailed;
  }

  isUntouched(): boolean {
    return !this.#isTouched && this.isReplayable();
  }

  hasFailed(): boolean {
    return this.#hasFailed;
  }

  /**
   * The runtime closes a connection soon after its response, and what the client still sends then
   * destroys the answer on its way. So the response is kept open until the body has come. [WK25]
   */
  linger(answer: Response): Response {
    this.#goAhead?.end();
    if (this.#isEnded || this.#hasFailed || !canBeKeptOpen(answer)) return answer;
    const length = answer.headers.get("content-length");
    const { readable, writable } =
      length === null ? new IdentityTransformStream() : new FixedLengthStream(Number(length));
    const lingerMs = length === null ? BRIEF_LINGER_MS : LINGER_MS;
    this.#keepOpen(answer, writable, lingerMs).catch(() => {});
    return new Response(readable, answer);
  }

  canBlameHost(): boolean {
    return true;
  }

  async #feed(writable: WritableStream, attempt: AbortController, goAhead: GoAhead): Promise<void> {
    const isOver = (): boolean => attempt.signal.aborted || this.#goAhead !== goAhead;
    const writer: WritableStreamDefaultWriter<Uint8Array> = writable.getWriter();
    for (let at = 0; !isOver(); at += 1) {
      if (at === this.#held.length) {
        if (this.#heldBytes > HELD_BYTES) {
          if (!(await goAhead.ask()) || isOver()) return;
          return this.#pass(writer, attempt);
        }
        if (!this.#isEnded) await this.#readMore();
        if (isOver()) return;
        if (this.#hasFailed) return attempt.abort(BROKEN_OFF);
      }
      const chunk = this.#held[at];
      if (chunk === undefined) return writer.close();
      this.#isTouched = true;
      // While the host gets this, its answer may come.
      if ((this.#length ?? this.#heldBytes) > HELD_BYTES) void goAhead.ask();
      // Done when the other side has taken it: the client is never read faster than the host.
      await writer.write(chunk);
    }
  }

  /** Reads one chunk, or learns of the end. A read outlives the try that began it. */
  #readMore(): Promise<void> {
    this.#reading ??= (async () => {
      try {
        const { done, value } = await this.#reader.read();
        if (done) {
          this.#isEnded = true;
        } else {
          this.#held.push(value);
          this.#heldBytes += value.length;
        }
      } catch {
        this.#hasFailed = true;
      } finally {
        this.#reading = null;
      }
    })();
    return this.#reading;
  }

  /** The rest goes by in larger pieces, and is gone when it has been sent. */
  async #pass(writer: WritableStreamDefaultWriter<Uint8Array>, attempt: AbortController): Promise<void> {
    this.#isPassing = true;
    this.#held.length = 0;
    while (!attempt.signal.aborted) {
      const piece = await this.#nextPiece();
      if (this.#hasFailed) return attempt.abort(BROKEN_OFF);
      if (piece === undefined) return writer.close();
      await writer.write(piece);
    }
  }

  async #nextPiece(): Promise<Uint8Array | undefined> {
    if (this.#readPiece === null) {
      this.#reader.releaseLock();
      this.#readPiece = pieceReader(this.#source);
    }
    try {
      const piece = await this.#readPiece();
      this.#isEnded = piece === undefined;
      return piece;
    } catch {
      this.#hasFailed = true;
      return undefined;
    }
  }

  async #keepOpen(answer: Response, writable: WritableStream, lingerMs: number): Promise<void> {
    if (answer.body !== null) await answer.body.pipeTo(writable, { preventClose: true });
    await Promise.race([this.#hearOut(), scheduler.wait(lingerMs)]);
    await writable.close();
  }

  /** Reads the body to its end; what the host does not want is dropped. */
  async #hearOut(): Promise<void> {
    await this.#feeding;
    await this.#reading;
    while (!this.#isEnded && !this.#hasFailed) await this.#nextPiece();
  }
}

/** Whether a response can be sent in another stream and stay what it is. */
function canBeKeptOpen({ status, headers }: Response): boolean {
  return !BODILESS_STATUSES.has(status) && !headers.has("content-encoding");
}

/** Reads a stream to its end, in one buffer if it lets itself be read so. */
function pieceReader(stream: ReadableStream<Uint8Array>): () => Promise<Uint8Array | undefined> {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    const plain = stream.getReader();
    return async () => (await plain.read()).value;
  }
  let buffer = new ArrayBuffer(PIECE_BYTES);
  return async () => {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (done) return undefined;
    buffer = value.buffer;
    return value;
  };
}
