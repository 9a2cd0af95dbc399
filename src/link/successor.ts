/**
 * The connection that takes the place of another when there is another token: it stands before the first one
 * is left, so nobody is away meanwhile. One that is not taken changes nothing. [EL5]
 */
import type { WebSocket } from "ws";

/** What is needed of the link. */
export interface SuccessorOptions {
  /** As it is now; may fail, half written say. */
  readonly token: () => Promise<string>;
  readonly dial: (token: string) => WebSocket;
  readonly everyMs: number;
  /** A connection by another token stands. */
  readonly onStand: (socket: WebSocket, token: string) => void;
  /** There is none by this token, told once; it is tried again. */
  readonly onUntaken: (fault: Error) => void;
}

/** One per link. */
export class Successor {
  readonly #options: SuccessorOptions;
  #timer: NodeJS.Timeout | null = null;
  /** By which the present connection was made; null without one. */
  #present: string | null = null;
  #socket: WebSocket | null = null;
  #untaken = "";

  constructor(options: SuccessorOptions) {
    this.#options = options;
  }

  /** A connection by this token stands: from now on another one is looked for. */
  watch(present: string): void {
    this.stop();
    this.#present = present;
    this.#timer = setInterval(() => void this.#look(), this.#options.everyMs);
  }

  /** There is no connection that could have a successor. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#present = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
  }

  async #look(): Promise<void> {
    const present = this.#present;
    let token: string;
    try {
      token = await this.#options.token();
    } catch {
      return;
    }
    if (present === null || this.#present !== present || this.#socket !== null || token === present) return;
    const socket = this.#options.dial(token);
    this.#socket = socket;
    const forget = (): boolean => {
      const isWanted = this.#socket === socket;
      if (isWanted) this.#socket = null;
      return isWanted;
    };
    socket.on("error", (fault) => {
      if (!forget() || token === this.#untaken) return;
      this.#untaken = token;
      this.#options.onUntaken(fault);
    });
    socket.on("close", forget);
    socket.once("open", () => {
      if (forget()) this.#options.onStand(socket, token);
      else socket.terminate();
    });
  }
}
