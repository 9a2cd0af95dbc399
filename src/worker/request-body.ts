/**
 * The body of a request that may have to be sent twice.
 *
 * A short body of known length is held whole. Any other is streamed, and what has been given
 * out is held as long as it is short, so that a host which refuses at once costs nothing; past
 * that the client's stream is joined to the host's inside the runtime and cannot come back. A
 * length that the client declared stays declared. [WK9] [WK10]
 */
import { grant, type Outcome, refuse } from "../core/outcome.ts";

/** The most that is held of one body. */
export const HELD_BYTES = 65_536;

/** A body, for one try after another. */
export interface RequestBody {
  /** The body for the next try. Only for the first, or while `isReplayable`. */
  next(): BodyInit;
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
  const declared = request.headers.get("content-length");
  const length = declared === null ? null : Number(declared);
  if (length === null || length > HELD_BYTES) return grant(new StreamedBody(request.body, length));
  try {
    return grant(new HeldBody(await request.arrayBuffer()));
  } catch {
    return refuse("body-length-mismatch");
  }
}

class HeldBody implements RequestBody {
  readonly #bytes: ArrayBuffer;

  constructor(bytes: ArrayBuffer) {
    this.#bytes = bytes;
  }

  next(): BodyInit {
    return this.#bytes;
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
  #endTry: () => void = () => {};

  constructor(source: ReadableStream<Uint8Array>, length: number | null) {
    this.#source = source;
    this.#length = length;
    this.#reader = source.getReader();
  }

  next(): BodyInit {
    this.#endTry();
    const { readable, writable } =
      this.#length === null ? new IdentityTransformStream() : new FixedLengthStream(this.#length);
    const writer: WritableStreamDefaultWriter<Uint8Array> = writable.getWriter();
    let isCurrent = true;
    this.#endTry = () => {
      isCurrent = false;
      writer.abort("another host is tried").catch(() => {});
    };
    this.#feed(writer, writable, () => isCurrent).catch((fault: unknown) => {
      // The other side of the pipe learns of it by the abort; the try fails there.
      if (isCurrent && !this.#isJoined) writer.abort(fault).catch(() => {});
    });
    return readable;
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

  async #feed(
    writer: WritableStreamDefaultWriter<Uint8Array>,
    writable: WritableStream,
    isCurrent: () => boolean,
  ): Promise<void> {
    for (let at = 0; isCurrent(); at += 1) {
      if (at === this.#held.length) {
        if (this.#heldBytes > HELD_BYTES) return this.#join(writer, writable);
        if (!this.#isEnded) await this.#readMore();
        if (!isCurrent()) return;
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

  async #join(writer: WritableStreamDefaultWriter<Uint8Array>, writable: WritableStream): Promise<void> {
    this.#isJoined = true;
    this.#held.length = 0;
    this.#reader.releaseLock();
    writer.releaseLock();
    await this.#source.pipeTo(writable);
  }
}
