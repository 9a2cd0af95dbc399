/**
 * Joins small pieces of a body that come in one segment. An origin that sends each byte in a chunk
 * of its own, or in a frame, would otherwise cost a write for each, here and at whoever is next:
 * a few megabytes per second would keep host and edge busy. Nothing waits for what has not come.
 * [GW22]
 */

/** Larger ones are not worth a copy. */
const SMALL_BYTES = 1_024;

/** Of one response. */
export class SmallPieces {
  readonly #write: (joined: Buffer) => void;
  #pieces: Buffer[] = [];

  /** `write` is called at the end of the turn in which pieces were taken, or when they are flushed. */
  constructor(write: (joined: Buffer) => void) {
    this.#write = write;
  }

  /** Takes a piece, if it is small. */
  take(piece: Buffer): boolean {
    if (piece.length >= SMALL_BYTES) return false;
    this.#pieces.push(piece);
    if (this.#pieces.length === 1) queueMicrotask(() => this.flush());
    return true;
  }

  /** Before anything else is written. */
  flush(): void {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    this.#write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
  }
}
