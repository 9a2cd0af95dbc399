/**
 * The client of a WebSocket while its handshake runs. It is read from the first moment: a socket
 * that nobody reads does not notice its peer's end, and a port would be held for nobody. [GW16]
 */
import type { Socket } from "node:net";
import { outliveErrors } from "../../../process/listener.ts";
import { EgressFault } from "../../egress/faults.ts";
import type { Flow } from "../../../process/flow.ts";

/** What a client may send before it has its answer; it should send nothing (RFC 6455 section 4.1). */
const MAX_EARLY_BYTES = 64 * 1024;

/** A client that waits for an answer. */
export class WebSocketClient {
  readonly socket: Socket;
  /** The answer is on its way: no other can be given. */
  isAnswered = false;
  readonly #gone = new AbortController();
  #early: Buffer[] = [];
  #earlyBytes = 0;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;

  constructor(socket: Socket, head: Buffer, flow: Flow) {
    this.socket = socket;
    this.#onData = flow.guard((chunk) => this.#keep(chunk));
    // An end is the end of both directions here.
    this.#onEnd = flow.guard(() => {
      this.giveUp();
      socket.end();
    });
    outliveErrors(socket);
    socket.once(
      "close",
      flow.guard(() => this.giveUp()),
    );
    socket.once("end", this.#onEnd);
    if (head.length > 0) this.#keep(head);
    socket.on("data", this.#onData);
  }

  /** Aborted when nobody waits for the answer any more. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Nobody wants it any more, or it failed: whatever was begun for it is to end. */
  giveUp(): void {
    this.#gone.abort();
  }

  /** Stops keeping, and gives what has come. Whoever takes it reads on. */
  takeOver(): Buffer[] {
    this.socket.off("data", this.#onData);
    this.socket.off("end", this.#onEnd);
    const early = this.#early;
    this.#early = [];
    return early;
  }

  #keep(chunk: Buffer): void {
    this.#earlyBytes += chunk.length;
    if (this.#gone.signal.aborted) return;
    if (this.#earlyBytes > MAX_EARLY_BYTES) {
      throw new EgressFault("request-malformed", "Frames came before the handshake was answered.");
    }
    this.#early.push(chunk);
  }
}
