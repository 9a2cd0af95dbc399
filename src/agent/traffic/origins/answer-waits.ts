/**
 * Which requests wait for their answer, and since when. A way out that dies under connections that
 * stood before fails no dial: requests that nothing comes of are its only sign. [UP1]
 */
import type { Socket } from "node:net";
import type { Wait } from "../../../core/uplink-health.ts";
import { monotonicMs } from "../../../process/clock.ts";

interface Asked {
  readonly sinceMs: number;
  readonly byteCount: number;
}

/** Of one egress address: connections with a request on them, the longest waiting first. */
export class AnswerWaits {
  readonly #asked = new Map<Socket, Asked>();
  /** When the latest request was sent that something came of: what waits for longer waits for its origin. */
  #answeredAskMs = -Infinity;

  /** A request goes out on a connection. */
  began(socket: Socket): void {
    const asked = this.#asked.get(socket);
    if (asked !== undefined) {
      // Over HTTP/2 others are on it: theirs is the longer wait, unless something has come of it.
      if (!this.#note(socket, asked)) return;
      this.#asked.delete(socket);
    }
    this.#asked.set(socket, { sinceMs: monotonicMs(), byteCount: socket.bytesRead });
  }

  /** No request is on it any more. */
  ended(socket: Socket): void {
    const asked = this.#asked.get(socket);
    if (asked === undefined) return;
    this.#asked.delete(socket);
    this.#note(socket, asked);
  }

  /** The request that has waited longest, unless a later one was answered; null for none. */
  oldest(): Wait | null {
    for (const [socket, asked] of this.#asked) {
      if (asked.sinceMs < this.#answeredAskMs) continue;
      if (this.#note(socket, asked)) {
        // It counts again with its next request; an answer may go on for hours.
        this.#asked.delete(socket);
        continue;
      }
      const { remoteAddress: ip, remotePort: port } = socket;
      if (ip !== undefined && port !== undefined) return { place: { ip, port }, sinceMs: asked.sinceMs };
    }
    return null;
  }

  #note(socket: Socket, { sinceMs, byteCount }: Asked): boolean {
    if (socket.bytesRead === byteCount) return false;
    this.#answeredAskMs = Math.max(this.#answeredAskMs, sinceMs);
    return true;
  }
}
