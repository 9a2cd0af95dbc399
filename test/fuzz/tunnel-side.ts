/** One side of a tunnel as its plan has it. What it receives must be what the other side sends, byte for byte. */
import type { Socket } from "node:net";
import { LONGEST_BYTES, type SidePlan } from "./tunnel-plan.ts";

/** What everybody sends, from the beginning. No two pieces of it are alike. */
const SPEECH = createSpeech();
const SLOW_PAUSE_MS = 4;

/** Speaks and listens on one end of a tunnel that stands. */
export class TunnelSide {
  receivedBytes = 0;
  hasEnd = false;
  /** Something came that nobody had sent, or not in this place. */
  isWrong = false;
  /** When its connection is over. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #plan: SidePlan;

  constructor(socket: Socket, plan: SidePlan) {
    this.#socket = socket;
    this.#plan = plan;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => resolve());
    });
  }

  /** Begins; `head` has come already. */
  begin(head: Buffer): void {
    const socket = this.#socket;
    const { reading, ending, afterMs } = this.#plan;
    this.#take(head);
    socket.on("data", (chunk: Buffer) => {
      this.#take(chunk);
      if (reading !== "slow") return;
      socket.pause();
      setTimeout(() => socket.resume(), SLOW_PAUSE_MS);
    });
    socket.once("end", () => {
      this.hasEnd = true;
    });
    if (reading === "none") socket.pause();
    this.#say(0);
    if (ending === "orderly") return;
    setTimeout(() => {
      if (ending === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }, afterMs);
  }

  #take(chunk: Buffer): void {
    const at = this.receivedBytes;
    this.receivedBytes += chunk.length;
    this.isWrong ||= !chunk.equals(SPEECH.subarray(at, at + chunk.length));
  }

  #say(from: number): void {
    const socket = this.#socket;
    const { sendBytes, pieceBytes, ending } = this.#plan;
    let at = from;
    while (at < sendBytes && socket.writable) {
      const end = Math.min(sendBytes, at + pieceBytes);
      const isTaken = socket.write(SPEECH.subarray(at, end));
      at = end;
      if (isTaken) continue;
      socket.once("drain", () => this.#say(at));
      return;
    }
    if (ending === "orderly") socket.end();
  }
}

function createSpeech(): Buffer {
  const words = new Uint32Array(LONGEST_BYTES / 4);
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at + 1, 0x9e3779b1);
  return Buffer.from(words.buffer);
}
