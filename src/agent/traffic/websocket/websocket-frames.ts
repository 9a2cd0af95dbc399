/**
 * As much of WebSocket frames (RFC 6455 section 5.2) as a relay must know that wants to say
 * something itself: where one frame ends and the next begins. [GW17]
 */
import { randomBytes } from "node:crypto";

const CLOSE_OPCODE = 0x88;
const MASK_BIT = 0x80;
const MASK_BYTES = 4;
/** RFC 6455 section 7.4.1: an endpoint goes away, such as a server that goes down. */
const GOING_AWAY = 1001;

/** Follows one direction of a WebSocket. */
export class FrameBoundary {
  /** What has come of a frame's head. */
  #head: number[] = [];
  #payloadLeft = 0;

  /** Whether everything that has passed ends with the end of a frame. */
  get isBetweenFrames(): boolean {
    return this.#payloadLeft === 0 && this.#head.length === 0;
  }

  /** To be told of every byte that passes, in order. */
  pass(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const passed = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= passed;
        at += passed;
        continue;
      }
      this.#head.push(chunk[at]!);
      at += 1;
      if (this.#head.length < 2 || this.#head.length < headLength(this.#head[1]!)) continue;
      this.#payloadLeft = payloadLength(this.#head);
      this.#head = [];
    }
  }
}

function headLength(second: number): number {
  const length = second & ~MASK_BIT;
  const extended = length === 126 ? 2 : length === 127 ? 8 : 0;
  return 2 + extended + ((second & MASK_BIT) === 0 ? 0 : MASK_BYTES);
}

function payloadLength(head: readonly number[]): number {
  const length = head[1]! & ~MASK_BIT;
  if (length < 126) return length;
  const bytes = head.slice(2, length === 126 ? 4 : 10);
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** A close frame that says that this end goes away: masked as a client's, or not as a server's. */
export function goingAwayFrame(sender: "client" | "server"): Buffer {
  const code = Buffer.from([GOING_AWAY >> 8, GOING_AWAY & 0xff]);
  if (sender === "server") return Buffer.from([CLOSE_OPCODE, code.length, ...code]);
  const mask = randomBytes(MASK_BYTES);
  const masked = code.map((byte, at) => byte ^ mask[at]!);
  return Buffer.from([CLOSE_OPCODE, MASK_BIT | code.length, ...mask, ...masked]);
}
