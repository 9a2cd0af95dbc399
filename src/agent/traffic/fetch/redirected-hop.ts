/**
 * One hop while redirects are followed. A redirect is followed at its head; what is left of its
 * body is read for the connection's sake, within bounds, while the next hop is on its way. [OR26]
 */
import { EgressFault } from "../../egress/faults.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import type { ExchangeController, ExchangeHandler } from "../http/origin-transport.ts";

/** What a redirect's body may be, so that reading it costs less than a new connection. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_BODY_MS = 1_000;

/** Hands on what an exchange tells, until its answer is a redirect that is being followed. */
export class RedirectedHop implements ExchangeHandler {
  readonly #handler: ExchangeHandler;
  #onEnd: ((isWhole: boolean) => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #bodyBytes = 0;

  constructor(handler: ExchangeHandler) {
    this.#handler = handler;
  }

  /** From now on its handler hears nothing of it; `onEnd` is told when it has ended. */
  leave(controller: ExchangeController, onEnd: (isWhole: boolean) => void): void {
    this.#onEnd = onEnd;
    this.#timer = setTimeout(() => giveUp(controller), MAX_BODY_MS).unref();
  }

  onRequestStart(controller: ExchangeController): void {
    if (this.#onEnd === null) this.#handler.onRequestStart(controller);
  }

  onResponseStart(
    controller: ExchangeController,
    status: number,
    headers: RawHeaders,
    phrase: string | null,
  ): void {
    if (this.#onEnd === null) this.#handler.onResponseStart(controller, status, headers, phrase);
  }

  onResponseData(controller: ExchangeController, chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    if (this.#onEnd === null) this.#handler.onResponseData(controller, chunk);
    else if (this.#bodyBytes > MAX_BODY_BYTES) giveUp(controller);
  }

  onResponseEnd(controller: ExchangeController, trailers: RawHeaders): void {
    if (this.#onEnd === null) this.#handler.onResponseEnd(controller, trailers);
    else this.#end(true);
  }

  onResponseError(controller: ExchangeController | null, fault: Error): void {
    if (this.#onEnd === null) this.#handler.onResponseError(controller, fault);
    else this.#end(false);
  }

  #end(isWhole: boolean): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#onEnd!(isWhole);
  }
}

function giveUp(controller: ExchangeController): void {
  controller.abort(new EgressFault("connection-terminated", "The rest of a redirect is not wanted."));
}
