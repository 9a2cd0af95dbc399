/**
 * The body of a client's request on its way out. A stream of its own, because the body of a request
 * that fails is destroyed, and with the client's own would go the connection on which the client
 * is to be told. Nothing is read before the destination's connection stands. [GW4]
 */
import type { ClientRequest, ClientResponse } from "./client-exchange.ts";
import { Readable } from "node:stream";
import { EgressFault } from "../../egress/faults.ts";
import type { RunningFlow } from "../../egress/flow-use.ts";
import { PausedPeer } from "./paused-peer.ts";
import { noteStreamed } from "./collect-garbage.ts";

/** How much may be read ahead of the destination. */
const READ_AHEAD_BYTES = 64 * 1024;
/** How long a destination may take nothing of a body. */
const MAX_STALL_MS = 300_000;
/** How long a client may go on sending what nobody wants, so that it gets to read our answer. */
const LINGER_MS = 10_000;

/** Streams a request's body; `onFirstRead` is called when the destination is ready for it. */
export class RequestBody extends Readable {
  readonly #request: ClientRequest;
  readonly #response: ClientResponse;
  readonly #running: RunningFlow;
  #onFirstRead: (() => void) | null;
  /** Made at the first pause. */
  #peer: PausedPeer | null = null;

  constructor(
    request: ClientRequest,
    response: ClientResponse,
    running: RunningFlow,
    onFirstRead: () => void,
  ) {
    super({ highWaterMark: READ_AHEAD_BYTES });
    this.#request = request;
    this.#response = response;
    this.#running = running;
    this.#onFirstRead = onFirstRead;
    request.pause();
    request.on("data", this.#onData);
    request.once("end", this.#onEnd);
    request.once("close", this.#onClose);
    // The end of a client shows as `close`; without a listener this would end the process.
    request.on("error", ignore);
    // Nor does everybody listen to this stream: a request to a destination only while it sends it.
    this.on("error", ignore);
  }

  override _read(): void {
    this.#onFirstRead?.();
    this.#onFirstRead = null;
    this.#peer?.resumed();
    this.#request.resume();
  }

  override _destroy(fault: Error | null, callback: (fault?: Error | null) => void): void {
    const request = this.#request;
    this.#peer?.resumed();
    request.off("data", this.#onData);
    request.off("end", this.#onEnd);
    request.off("close", this.#onClose);
    discardRest(request, this.#response);
    callback(fault);
  }

  readonly #onData = (chunk: Buffer): void => {
    noteStreamed(chunk.length);
    this.#running.moved();
    if (this.push(chunk)) return;
    this.#request.pause();
    this.#peer ??= new PausedPeer(this.#request.socket, (pausedMs) => {
      if (pausedMs > MAX_STALL_MS) {
        this.destroy(new EgressFault("response-timeout", "The destination takes nothing of the body."));
      }
    });
    this.#peer.paused();
  };

  readonly #onEnd = (): void => {
    // Over HTTP/2 a client that resets its stream and calls that NO_ERROR ends it here, too.
    if (this.#request.complete) this.push(null);
  };

  readonly #onClose = (): void => {
    // Never a shorter body that passes for the whole one.
    if (!this.#request.complete) {
      this.destroy(new EgressFault("body-length-mismatch", "The client went away within its body."));
    }
  };
}

/**
 * Reads a request to its end without using it: as long as its response is on its way, for some
 * clients read nothing before they have sent everything, and then for a while. [OR23]
 */
export function discardRest(request: ClientRequest, response: ClientResponse): void {
  if (request.complete || request.destroyed) return;
  const linger = (): void => {
    const timer = setTimeout(() => request.destroy(), LINGER_MS).unref();
    request.once("close", () => clearTimeout(timer));
    request.once("end", () => clearTimeout(timer));
  };
  if (response.writableFinished) linger();
  else response.once("finish", linger);
  request.on("error", ignore);
  request.resume();
}

function ignore(): void {
  // Seen as `close`.
}
