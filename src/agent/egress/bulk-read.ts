/**
 * Reading without garbage: a socket reads into a buffer of its own, again and again, and what was read is
 * passed on before the next read. Node's usual way makes a buffer of 64 KiB for each read, which is
 * garbage at once; with 10 Gbit/s that is more work than the bytes themselves.
 *
 * The buffer grows while reads fill it and shrinks when they do not, so that a connection which is idle
 * keeps little. Of what a reader that rests does not take a whole buffer is kept, so only a few may be
 * large at a time: thousands of tunnels that are stuck must not be thousands of large buffers. [TN3]
 */
import type { OnReadOpts, Socket } from "node:net";

/**
 * Is given what was read. `goesOn`: read on; without it not before `resume`. `isKept`: the bytes are still
 * needed after the call, so the next ones go elsewhere.
 */
export type ReadSink = (bytes: Buffer) => { readonly goesOn: boolean; readonly isKept: boolean };

/** From the pool that Node has for small buffers. */
const LEAST_BYTES = 2 * 1024;
const MOST_BYTES = 64 * 1024;
/** Of the few. */
const LARGE_BYTES = 256 * 1024;
/** Enough for whatever one process can serve at full speed. */
const MOST_LARGE = 128;
/** A buffer that is filled is too small; one of which so little is used is too large. */
const GROWTH = 4;
const SPARE_SHARE = 1 / 16;

const reads = new WeakMap<Socket, BulkRead>();
let largeCount = 0;

/** Of one socket. */
export class BulkRead {
  /** For `connect`. */
  readonly onread: OnReadOpts;
  #buffer = Buffer.allocUnsafe(LEAST_BYTES);
  #sink: ReadSink | null = null;
  /** It is one of the few. */
  #isLarge = false;
  readonly #early: Buffer[] = [];

  constructor() {
    this.onread = { buffer: () => this.#buffer, callback: (byteCount) => this.#read(byteCount) };
  }

  /** The one of a socket, if it reads so. */
  static of(socket: Socket): BulkRead | undefined {
    return reads.get(socket);
  }

  /** Remembers that a socket, which was made with `onread`, reads so. */
  static note(socket: Socket, read: BulkRead): void {
    reads.set(socket, read);
    socket.once("close", () => read.#setLarge(false));
  }

  /** Gives all that is read from now on, and what has been read by now. */
  begin(sink: ReadSink): void {
    this.#sink = sink;
    for (const bytes of this.#early.splice(0)) sink(bytes);
  }

  #read(byteCount: number): boolean {
    const buffer = this.#buffer;
    const bytes = buffer.subarray(0, byteCount);
    if (this.#sink === null) {
      // It speaks before anybody listens; that moment is short.
      this.#early.push(Buffer.from(bytes));
      return true;
    }
    const { goesOn, isKept } = this.#sink(bytes);
    const size = this.#sizeAfter(buffer.length, byteCount);
    if (isKept || size !== buffer.length) this.#buffer = Buffer.allocUnsafe(size);
    return goesOn;
  }

  #sizeAfter(size: number, byteCount: number): number {
    if (byteCount < size * SPARE_SHARE) {
      this.#setLarge(false);
      return LEAST_BYTES;
    }
    if (byteCount < size) return size;
    if (size >= MOST_BYTES && !this.#isLarge) this.#setLarge(largeCount < MOST_LARGE);
    return Math.min(this.#isLarge ? LARGE_BYTES : MOST_BYTES, size * GROWTH);
  }

  #setLarge(isLarge: boolean): void {
    if (isLarge === this.#isLarge) return;
    this.#isLarge = isLarge;
    largeCount += isLarge ? 1 : -1;
  }
}
