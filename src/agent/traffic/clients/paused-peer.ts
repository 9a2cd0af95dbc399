/**
 * The end of a peer that is not being read, since what it sends has nowhere to go: nobody polls
 * such a socket, so its reset would not be met, and a port would be held for nobody. [GW20]
 */
import { monotonicMs } from "../../../process/clock.ts";

const LOOK_EVERY_MS = 1_000;

/** What can be paused: a socket, or a stream of HTTP/2, whose reset its session meets by itself. */
export interface Peer {
  readonly destroyed: boolean;
  /** Whether a write may show that it is gone. */
  readonly writable: boolean;
  /** Bytes that wait to be taken. */
  readonly writableLength: number;
  write(text: string): unknown;
  once(event: "close", listener: () => void): unknown;
  off(event: "close", listener: () => void): unknown;
}

/** Looks for the reset of one peer while it is paused. */
export class PausedPeer {
  readonly #socket: Peer;
  readonly #onLook: ((pausedMs: number) => void) | null;
  #timer: NodeJS.Timeout | null = null;
  #sinceMs = 0;

  /** `onLook` is told how long it has been paused without a break. */
  constructor(socket: Peer, onLook: ((pausedMs: number) => void) | null = null) {
    this.#socket = socket;
    this.#onLook = onLook;
  }

  /** It is not read from now on. */
  paused(): void {
    if (this.#timer !== null || this.#socket.destroyed) return;
    this.#sinceMs = monotonicMs();
    this.#socket.once("close", this.resumed);
    this.#timer = setInterval(() => {
      // A write of nothing sends nothing, and fails on a socket that was reset. One that waits for its
      // peer already does the same, and behind it nothings would pile up.
      if (this.#socket.writable && this.#socket.writableLength === 0) this.#socket.write("");
      this.#onLook?.(monotonicMs() - this.#sinceMs);
    }, LOOK_EVERY_MS).unref();
  }

  /** It is read again, or has ended. Nothing of this stays on a socket that may have many requests. */
  readonly resumed = (): void => {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#socket.off("close", this.resumed);
  };
}
