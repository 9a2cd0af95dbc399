/**
 * One client's connection, between and beside the exchanges on it: what Node tells only of the
 * socket. Requests may follow each other before they are answered, so each answer has its turn. [GW13]
 *
 *     bytes that are no request   → answered by name when it is their turn, then the end
 *     the client's end (FIN)      → it wants its answers still, unless it is gone altogether
 *
 * Those two ends look alike, until something is sent: a client that is gone answers with a reset.
 * Before the answer a `100 Continue` is such a thing, which every client of HTTP/1.1 must bear
 * unasked (RFC 9110 section 15.2); within the answer it is the answer itself. [GW14]
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Flow } from "../../../process/flow.ts";
import { monotonicMs } from "../../../process/clock.ts";
import { EgressFault } from "../../egress/faults.ts";

/** How long after its end a client is given to get its answer unasked. */
const FIRST_LOOK_MS = 200;
/** How often its resets are looked for from then on, and how often it is given a reason for one. */
const LOOK_EVERY_MS = 100;
const ASK_EVERY_MS = 5_000;
/** The kernel asks one that has nothing to get. */
const KEEP_ALIVE_MS = 1_000;

/** A request that has no answer yet. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly flow: Flow;
  /** It ended within its answer, which can never be finished. */
  isBroken: boolean;
}

/** Keeps the order of what is said on one connection of a client. */
export class ClientConnection {
  /** What came last ends the connection: whatever follows it is no request, where it may begin is unknown. */
  isLast = false;
  readonly #socket: Socket;
  readonly #flow: Flow;
  /** In the order they came, which is that of the answers. */
  readonly #running: Exchange[] = [];
  /** What is said when all that runs has been answered. */
  #lastWord: (() => void) | null = null;
  #isUnreadable = false;
  #bytesAtEnd = 0;
  #askedAtMs = -Infinity;
  #lookTimer: NodeJS.Timeout | null = null;

  /** `flow` is the connection's own: its end is the end of the socket. */
  constructor(socket: Socket, flow: Flow) {
    this.#socket = socket;
    this.#flow = flow;
    const onEnd = flow.guard(() => this.#onEnd());
    const onClose = flow.guard(() => this.#onClose());
    socket.once("end", onEnd);
    socket.once("close", onClose);
  }

  /** Whether a request waits for its answer. */
  get isBusy(): boolean {
    return this.#running.length > 0;
  }

  /** Whether more than one does. */
  get isShared(): boolean {
    return this.#running.length > 1;
  }

  /** Notes a request until its response is over. */
  add(request: IncomingMessage, response: ServerResponse, flow: Flow): void {
    const exchange: Exchange = { request, response, flow, isBroken: false };
    this.#running.push(exchange);
    response.once(
      "close",
      this.#flow.guard(() => {
        // Those before it are to get their answers first.
        if (!response.writableFinished && !this.#socket.destroyed) exchange.isBroken = true;
        else this.#running.splice(this.#running.indexOf(exchange), 1);
        this.#speakInTurn();
      }),
    );
  }

  /**
   * What came is no HTTP. Within a request it is the fault of that one, which is ended with
   * `fault`; else it is what comes last, and `lastWord` is said when everything before it has
   * been answered.
   */
  breakOff(fault: unknown, lastWord: () => void): void {
    // Node tells again for every further byte.
    if (this.#isUnreadable) return;
    this.#isUnreadable = true;
    const last = this.#running.at(-1);
    if (last === undefined || last.request.complete) {
      this.conclude(lastWord);
      return;
    }
    last.response.shouldKeepAlive = false;
    last.flow.fail(fault);
  }

  /** Says something on the bare socket when everything before it has been answered. */
  conclude(lastWord: () => void): void {
    this.#lastWord = lastWord;
    this.#speakInTurn();
  }

  #speakInTurn(): void {
    const [first] = this.#running;
    if (first?.isBroken === true) {
      this.#socket.destroy();
    } else if (first === undefined && this.#lastWord !== null) {
      const lastWord = this.#lastWord;
      this.#lastWord = null;
      lastWord();
    }
  }

  #onEnd(): void {
    if (!this.isBusy) return;
    // Node's parser tells of an end within a body, unless its request spoke of an upgrade.
    const { request, response: last } = this.#running.at(-1)!;
    if (!request.complete) this.breakOff(new EgressFault("body-length-mismatch"), ignore);
    if (!this.isBusy) return;
    this.#bytesAtEnd = this.#socket.bytesWritten;
    this.#socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Nothing can follow the last of them but a tunnel that was asked for behind it.
    const isFollowed = this.#lastWord !== null && !this.#isUnreadable;
    if (!last.headersSent && !isFollowed) last.shouldKeepAlive = false;
    this.#lookIn(FIRST_LOOK_MS);
  }

  #lookIn(delayMs: number): void {
    const look = this.#flow.guard(() => this.#look());
    this.#lookTimer = setTimeout(look, delayMs).unref();
  }

  /** A client that took what was sent since its end is there. */
  #look(): void {
    const [first] = this.#running;
    if (first === undefined) return;
    const { request, response } = first;
    const nowMs = monotonicMs();
    if (response.headersSent) {
      if (this.#socket.bytesWritten === this.#bytesAtEnd) {
        // An answer that pauses cannot tell; a client that is gone is far more common.
        this.#socket.destroy();
        return;
      }
    } else if (request.httpVersion === "1.1" && nowMs - this.#askedAtMs >= ASK_EVERY_MS) {
      this.#askedAtMs = nowMs;
      response.writeContinue();
    }
    // Nobody reads a socket that has come to its end, so only a write meets the reset. This one
    // sends nothing.
    this.#socket.write("");
    this.#lookIn(LOOK_EVERY_MS);
  }

  #onClose(): void {
    if (this.#lookTimer !== null) clearTimeout(this.#lookTimer);
    // Node does so itself, but not for a socket that it has handed over.
    const left = this.#running.splice(0);
    for (const { response } of left) response.destroy();
    this.#lastWord = null;
  }
}

function ignore(): void {
  // There is nothing to say beside the answer to what was broken off.
}
