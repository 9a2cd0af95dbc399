/**
 * The body of a request that may have to be sent twice.
 *
 * A short body of known length is held whole. Any other is streamed, and what has been given
 * out is held as long as it is short, so that a host which refuses at once costs nothing; past
 * that the client's stream is joined to the host's inside the runtime and cannot come back. A
 * length that the client declared stays declared. [WK9] [WK10]
 *
 * A body that breaks off must break off for the host as well. The runtime ends a chunked body
 * neatly when its stream is aborted, which would make half a body look like a whole one; only
 * aborting the request itself breaks the connection. So a try that fails is aborted by its
 * signal, and its stream is left alone. [WK10]
 */
import { grant, type Outcome, refuse } from "../core/outcome.ts";

/** The most that is held of one body. */
export const HELD_BYTES = 65_536;

const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** A request to a host but for its body. */
export interface BodilessInit {
  readonly method: string;
  readonly headers: Headers;
  readonly redirect: "manual";
}

/** A body, for one try after another. */
export interface RequestBody {
  /** The request of the next try, with the body. Only for the first, or while `isReplayable`. */
  next(url: string, init: BodilessInit): Request;
  /** Whether it can be given out once more from its beginning. */
  isReplayable(): boolean;
  /** Whether nothing of it has been given out. */
  isUntouched(): boolean;
  /** Whether the client stopped before the end. */
  hasFailed(): boolean;
  /** Whether a failure can be told apart no longer: the streams are joined in the runtime. */
  isJoined(): boolean;
}

/** The body of a request; null when it has none. Refused when the client sends too little. */
export async function bodyOf(request: Request): Promise<Outcome<RequestBody | null, "body-length-mismatch">> {
  if (request.body === null) return grant(null);
  if (BODILESS.has(request.method)) return grant(new PassedBody(request));
  const declared = request.headers.get("content-length");
  const length = declared === null ? null : Number(declared);
  if (length === null || length > HELD_BYTES) return grant(new StreamedBody(request.body, length));
  try {
    return grant(new HeldBody(await request.arrayBuffer()));
  } catch {
    return refuse("body-length-mismatch");
  }
}

/**
 * The body of a method for which the runtime lets nobody make one. It can only be passed on
 * within its own request, and only once.
 */
class PassedBody implements RequestBody {
  readonly #request: Request;

  constructor(request: Request) {
    this.#request = request;
  }

  next(url: string, { headers, redirect }: BodilessInit): Request {
    return new Request(new Request(url, this.#request), { headers, redirect });
  }

  isReplayable(): boolean {
    return false;
  }

  isUntouched(): boolean {
    return false;
  }

  hasFailed(): boolean {
    return false;
  }

  isJoined(): boolean {
    return true;
  }
}

class HeldBody implements RequestBody {
  readonly #bytes: ArrayBuffer;

  constructor(bytes: ArrayBuffer) {
    this.#bytes = bytes;
  }

  next(url: string, init: BodilessInit): Request {
    return new Request(url, { ...init, body: this.#bytes });
  }

  isReplayable(): boolean {
    return true;
  }

  /** Nobody can tell how much of it a lost host has seen. */
  isUntouched(): boolean {
    return false;
  }

  hasFailed(): boolean {
    return false;
  }

  isJoined(): boolean {
    return false;
  }
}

class StreamedBody implements RequestBody {
  readonly #source: ReadableStream<Uint8Array>;
  readonly #length: number | null;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isEnded = false;
  #isJoined = false;
  #hasFailed = false;
  #reading: Promise<void> | null = null;
  #try = new AbortController();

  constructor(source: ReadableStream<Uint8Array>, length: number | null) {
    this.#source = source;
    this.#length = length;
    this.#reader = source.getReader();
  }

  next(url: string, init: BodilessInit): Request {
    this.#try.abort();
    const attempt = new AbortController();
    this.#try = attempt;
    const { readable, writable } =
      this.#length === null ? new IdentityTransformStream() : new FixedLengthStream(this.#length);
    this.#feed(writable, attempt.signal).catch((fault: unknown) => attempt.abort(fault));
    return new Request(url, { ...init, body: readable, signal: attempt.signal });
  }

  isReplayable(): boolean {
    return !this.#isJoined && !this.#hasFailed;
  }

  isUntouched(): boolean {
    return this.#heldBytes === 0 && this.isReplayable();
  }

  hasFailed(): boolean {
    return this.#hasFailed;
  }

  isJoined(): boolean {
    return this.#isJoined;
  }

  async #feed(writable: WritableStream, ended: AbortSignal): Promise<void> {
    const writer: WritableStreamDefaultWriter<Uint8Array> = writable.getWriter();
    for (let at = 0; !ended.aborted; at += 1) {
      if (at === this.#held.length) {
        if (this.#heldBytes > HELD_BYTES) {
          writer.releaseLock();
          return this.#join(writable);
        }
        if (!this.#isEnded) await this.#readMore();
        if (ended.aborted) return;
      }
      const chunk = this.#held[at];
      if (chunk === undefined) return writer.close();
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
      } catch (fault) {
        this.#hasFailed = true;
        throw fault;
      } finally {
        this.#reading = null;
      }
    })();
    return this.#reading;
  }

  async #join(writable: WritableStream): Promise<void> {
    this.#isJoined = true;
    this.#held.length = 0;
    this.#reader.releaseLock();
    try {
      await this.#source.pipeTo(writable, { preventAbort: true, preventCancel: true });
    } catch (fault) {
      this.#hasFailed = await isErrored(this.#source);
      throw fault;
    }
  }
}

/** Whether it was this stream that failed; if not, nothing more is wanted of it. */
async function isErrored(stream: ReadableStream): Promise<boolean> {
  const reader = stream.getReader();
  const failed = reader.closed.then(
    () => false,
    () => true,
  );
  const isFailed = await Promise.race([failed, scheduler.wait(0).then(() => false)]);
  if (!isFailed) await reader.cancel();
  return isFailed;
}
