/** One connection to an origin, on one leased port: an undici client that dials through us. */
import type { Socket } from "node:net";
import type { buildConnector, Dispatcher } from "undici";
import Client from "undici/lib/dispatcher/client.js";
import type { AddressPorts } from "../ports/address-ports.ts";
import type { Dialled, Dialler } from "../ports/dial.ts";
import { EgressFault } from "./faults.ts";
import type { HeldPort } from "../ports/held-port.ts";

/** Requests at once on one HTTP/2 connection. */
const MAX_STREAMS = 100;

/** What connections are made with. */
export interface ConnectionOptions {
  readonly dialler: Dialler;
  /** undici's own connector, for TLS over a socket that is there already. */
  readonly secure: buildConnector.connector;
  /** Until the first byte of the response head. */
  readonly responseTimeoutMs: number;
  /** How long an idle connection keeps its port. */
  readonly idleTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

/** Who keeps a connection and wants to know how it fares. */
export interface ConnectionKeeper {
  /** It stands now; `protocol` is settled. */
  readonly onConnected: (connection: OriginConnection) => void;
  /** It has ended, or is of no more use once its requests have. */
  readonly onGone: (connection: OriginConnection) => void;
}

/** A connection, before, while and after it stands. */
export class OriginConnection {
  readonly origin: string;
  /** Requests on it. */
  running = 0;
  /** Responses it has brought. */
  servedCount = 0;
  protocol: "unknown" | "h1" | "h2" = "unknown";
  /** No new request may go on it. */
  isRetired = false;
  /** Its place among the idle ones, for whoever keeps it; -1 for none. */
  idleAt = -1;
  readonly #from: AddressPorts;
  readonly #options: ConnectionOptions;
  readonly #keeper: ConnectionKeeper;
  readonly #client: Client;
  #held: HeldPort | null = null;
  #socket: Socket | null = null;
  #dialling: AbortController | null = null;
  #idleTimer: NodeJS.Timeout | null = null;

  constructor(origin: string, from: AddressPorts, options: ConnectionOptions, keeper: ConnectionKeeper) {
    this.origin = origin;
    this.#from = from;
    this.#options = options;
    this.#keeper = keeper;
    this.#client = new Client(origin, {
      connect: (target: buildConnector.Options, callback: buildConnector.Callback) => {
        void this.#connect(target, callback);
      },
      allowH2: true,
      pipelining: 1,
      headersTimeout: options.responseTimeoutMs,
      // A stream may be silent for as long as its client waits; TCP keep-alive finds the dead.
      bodyTimeout: 0,
      keepAliveTimeout: options.idleTimeoutMs,
      keepAliveMaxTimeout: options.idleTimeoutMs,
      maxHeaderSize: options.maxHeaderBytes,
    });
    this.#client.on("disconnect", () => {
      this.#held = null;
      this.#socket = null;
      if (this.running === 0) this.retire();
    });
  }

  /** The source port in use; null when it is not connected. */
  get port(): number | null {
    return this.#held?.port ?? null;
  }

  /** Whether the transport failed, rather than ended. */
  get isBroken(): boolean {
    return this.#socket?.errored != null;
  }

  /** How many requests it may carry. */
  get limit(): number {
    return this.protocol === "h2" ? MAX_STREAMS : 1;
  }

  /** Sends a request. Whoever calls must call `done` once it has ended. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    this.#client.dispatch(options, handler);
  }

  /** Takes no more requests; closes now, or when the last has ended. */
  retire(): void {
    if (!this.isRetired) {
      this.isRetired = true;
      this.#keeper.onGone(this);
    }
    if (this.running === 0) this.close();
  }

  /** Ends it if no request comes for a while. undici does so for HTTP/1.1, minding what the origin says. */
  watchIdleness(): void {
    if (this.protocol !== "h2") return;
    this.#idleTimer ??= setTimeout(() => {
      this.#idleTimer = null;
      if (this.running === 0) this.retire();
    }, this.#options.idleTimeoutMs).unref();
  }

  /** Ends it at once, whatever is on it. */
  close(): void {
    if (!this.isRetired) {
      this.isRetired = true;
      this.#keeper.onGone(this);
    }
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#dialling?.abort();
    // Until the client has the socket, nobody else would end it.
    if (this.protocol === "unknown") this.#socket?.destroy();
    if (!this.#client.destroyed) this.#client.destroy(null, ignore);
  }

  async #connect(target: buildConnector.Options, callback: buildConnector.Callback): Promise<void> {
    const isSecure = target.protocol === "https:";
    const port = Number(target.port) || (isSecure ? 443 : 80);
    const dialling = new AbortController();
    this.#dialling = dialling;
    let socket: Socket;
    try {
      const dialled = await this.#options.dialler.dial(this.#from, target.hostname, port, dialling.signal);
      this.#adopt(dialled);
      socket = dialled.socket;
    } catch (fault) {
      callback(fault as Error, null);
      return;
    } finally {
      this.#dialling = null;
    }
    if (isSecure) this.#encrypt(target, socket, callback);
    else this.#ready(socket, callback);
  }

  #adopt({ socket, held }: Dialled): void {
    this.#held = held;
    this.#socket = socket;
    held.onDrain = () => this.retire();
    if (held.block.isDraining) this.retire();
  }

  #encrypt(target: buildConnector.Options, socket: Socket, callback: buildConnector.Callback): void {
    let isSettled = false;
    const settle: buildConnector.Callback = (fault, secured) => {
      if (isSettled) return;
      isSettled = true;
      socket.off("close", onClose);
      if (fault === null) {
        this.#ready(secured, callback);
      } else {
        socket.destroy();
        callback(fault, null);
      }
    };
    // Without an error, as when its block is taken away, TLS would say nothing of the end.
    const onClose = (): void => settle(new EgressFault("connection-terminated"), null);
    socket.once("close", onClose);
    this.#options.secure({ ...target, httpSocket: socket }, settle);
  }

  #ready(socket: Socket, callback: buildConnector.Callback): void {
    const { alpnProtocol } = socket as { readonly alpnProtocol?: string | false };
    this.protocol = alpnProtocol === "h2" ? "h2" : "h1";
    this.#client.pipelining = this.limit;
    this.#socket = socket;
    callback(null, socket);
    this.#keeper.onConnected(this);
  }
}

function ignore(): void {
  // The end of a client that nobody waits for.
}
