/**
 * The client of a tunnel while its destination is dialled. It may speak before it has its answer, and
 * is read from the first moment: a socket that nobody reads does not notice its peer's reset. [TN1]
 */
import type { Duplex } from "node:stream";
import type { Flow } from "../../../process/flow.ts";
import { PausedPeer } from "../clients/paused-peer.ts";

/** What is kept of an eager client before it is read no further. */
const MAX_EARLY_BYTES = 64 * 1024;

/** A client that waits for its destination. */
export class TunnelClient {
  readonly socket: Duplex;
  readonly #gone = new AbortController();
  readonly #peer: PausedPeer;
  readonly #early: Buffer[] = [];
  readonly #onData: (chunk: Buffer) => void;
  readonly #onClose: () => void;
  #earlyBytes = 0;

  /** `head` is what was read behind the question. */
  constructor(socket: Duplex, head: Buffer, flow: Flow) {
    this.socket = socket;
    this.#peer = new PausedPeer(socket);
    this.#onData = flow.guard((chunk) => this.#keep(chunk));
    this.#onClose = flow.guard(() => this.#gone.abort());
    socket.once("close", this.#onClose);
    socket.on("data", this.#onData);
    if (head.length > 0) this.#keep(head);
  }

  /** Aborted when nobody waits for the answer any more. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Nothing may come of it any more, whether or not the client is there. */
  giveUp(): void {
    this.#gone.abort();
  }

  /** Stops keeping, and gives what has come. Whoever takes it listens at once, and reads on. */
  takeOver(): readonly Buffer[] {
    this.#peer.resumed();
    this.socket.off("data", this.#onData);
    this.socket.off("close", this.#onClose);
    return this.#early;
  }

  #keep(chunk: Buffer): void {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes < MAX_EARLY_BYTES) return;
    this.socket.pause();
    this.#peer.paused();
  }
}
