/**
 * Messages between an agent and one of its data processes: a line of JSON each, over a socket. Of
 * messages under one key only the newest counts, and while the other side does not read it is the only
 * one that waits: a process that is paused costs the other no memory.
 */
import type { Socket } from "node:net";
import { outliveErrors } from "../../process/listener.ts";

/** A message, and what it replaces if it has not been sent yet. */
interface Waiting<Message> {
  readonly key: string | null;
  readonly message: Message;
}

/** Far more than any message has. */
const MOST_BYTES = 64 * 1024 * 1024;

/** One end. */
export class MessageChannel<Sent, Received> {
  onMessage: ((message: Received) => void) | null = null;
  /** Called once, when the other end has gone. */
  onClose: (() => void) | null = null;
  readonly #socket: Socket;
  #waiting: Waiting<Sent>[] = [];
  #isBlocked = false;
  #received: Buffer[] = [];
  #receivedBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    outliveErrors(socket);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => this.#unblock());
    socket.once("close", () => this.onClose?.());
  }

  /** Sends a message; of those with one key that still wait the newest alone. */
  send(message: Sent, key: string | null = null): void {
    if (this.#socket.destroyed) return;
    if (!this.#isBlocked) return this.#write(message);
    if (key !== null) this.#waiting = this.#waiting.filter((other) => other.key !== key);
    this.#waiting.push({ key, message });
  }

  /** Ends it at once. */
  close(): void {
    this.#socket.destroy();
  }

  #write(message: Sent): void {
    this.#isBlocked = !this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  #unblock(): void {
    this.#isBlocked = false;
    while (!this.#isBlocked) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#write(next.message);
    }
  }

  #read(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...this.#received, chunk.subarray(from, end)]).toString("utf8");
      this.#received = [];
      this.#receivedBytes = 0;
      from = end + 1;
      this.onMessage?.(JSON.parse(line) as Received);
    }
    if (from === chunk.length) return;
    this.#received.push(chunk.subarray(from));
    this.#receivedBytes += chunk.length - from;
    if (this.#receivedBytes > MOST_BYTES) this.close();
  }
}
