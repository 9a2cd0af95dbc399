/** HTTP/2 over one connection to an origin, by undici's client on a socket that is there already. */
import type { Socket } from "node:net";
import type { buildConnector } from "undici";
import Client from "undici/lib/dispatcher/client.js";
import { EgressFault } from "./faults.ts";
import type { ExchangeHandler, OriginTransport, OutgoingRequest } from "./origin-transport.ts";

/** A connection of HTTP/2. */
export class UndiciTransport implements OriginTransport {
  readonly #client: Client;

  /** `onGone` is called when it takes no more requests. */
  constructor(
    origin: string,
    socket: Socket,
    limits: { readonly responseTimeoutMs: number; readonly maxHeaderBytes: number },
    maxStreams: number,
    onGone: () => void,
  ) {
    let isUsed = false;
    this.#client = new Client(origin, {
      connect: (_target: buildConnector.Options, callback: buildConnector.Callback) => {
        if (isUsed) {
          callback(new EgressFault("connection-terminated"), null);
          return;
        }
        isUsed = true;
        callback(null, socket);
      },
      allowH2: true,
      pipelining: maxStreams,
      headersTimeout: limits.responseTimeoutMs,
      // A stream may be silent for as long as its client waits; TCP keep-alive finds the dead.
      bodyTimeout: 0,
      maxHeaderSize: limits.maxHeaderBytes,
    });
    this.#client.on("disconnect", onGone);
  }

  dispatch({ method, path, headers, body }: OutgoingRequest, handler: ExchangeHandler): void {
    this.#client.dispatch(
      // Never repeated by undici; to it this only means that streams may run side by side.
      { method, path, headers, body, idempotent: body === null },
      handler,
    );
  }

  close(): void {
    if (!this.#client.destroyed) this.#client.destroy(null, ignore);
  }
}

function ignore(): void {
  // The end of a client that nobody waits for.
}
