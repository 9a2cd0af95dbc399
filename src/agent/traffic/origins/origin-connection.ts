/** One connection to an origin, on one leased port: dialled for its first request, then kept. */
import type { Socket } from "node:net";
import { Flow } from "../../../process/flow.ts";
import type { AnswerWaits } from "./answer-waits.ts";
import type { Dialled, Dialler } from "../../egress/dial.ts";
import { EgressFault } from "../../egress/faults.ts";
import type { EgressContext } from "../../egress/flow-context.ts";
import type { FlowSender } from "../../egress/flow-recorder.ts";
import type { HeldPort } from "../../egress/held-port.ts";
import type { Http1Required } from "./http1-required.ts";
import { Http1Transport } from "../http1/http1-transport.ts";
import { Http2Transport } from "../http2/http2-transport.ts";
import type {
  ExchangeHandler,
  OriginTransport,
  OutgoingRequest,
  TransportWatcher,
} from "../http/origin-transport.ts";
import type { SecureSockets } from "../tls/secure-socket.ts";

/** What connections are made with. */
export interface ConnectionOptions {
  readonly dialler: Dialler;
  readonly secureSockets: SecureSockets;
  /** Origins that do not want HTTP/2. */
  readonly http1Required: Http1Required;
  /** Requests from the same address that wait for their answers. */
  readonly waits: AnswerWaits;
  /** From the end of the request to the final response head. */
  readonly responseTimeoutMs: number;
  /** How long an idle connection keeps its port. */
  readonly idleTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

/** Who keeps a connection and wants to know how it fares. */
export interface ConnectionKeeper {
  /** It stands now and `protocol` is settled, or its `limit` has changed. */
  readonly onConnected: (connection: OriginConnection) => void;
  /** The origin wants HTTP/1.1; that is remembered already. */
  readonly onHttp1Required: () => void;
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
  readonly #context: EgressContext;
  readonly #options: ConnectionOptions;
  readonly #keeper: ConnectionKeeper;
  /** Of its own: exchanges come and go on it. [GW11] */
  readonly #flow: Flow;
  #transport: OriginTransport | null = null;
  /** The request that it is dialled for. */
  #first: { readonly request: OutgoingRequest; readonly handler: ExchangeHandler } | null = null;
  #held: HeldPort | null = null;
  /** For whom it is dialled. */
  #sender: FlowSender | null = null;
  #socket: Socket | null = null;
  #dialling: AbortController | null = null;
  #idleTimer: NodeJS.Timeout | null = null;

  constructor(origin: string, context: EgressContext, options: ConnectionOptions, keeper: ConnectionKeeper) {
    this.origin = origin;
    this.#context = context;
    this.#options = options;
    this.#keeper = keeper;
    this.#flow = new Flow((fault) => {
      this.#flow.report(fault);
      this.#fail(fault as Error);
    });
  }

  /** The source port; null before it is connected. */
  get port(): number | null {
    return this.#held?.port ?? null;
  }

  /** Whether the transport failed, rather than ended. */
  get isBroken(): boolean {
    return this.#socket?.errored != null;
  }

  /** How many requests it may carry. */
  get limit(): number {
    return this.#transport?.capacity ?? 1;
  }

  /** Whose request goes out on it next: others of the same tenant may have used it before. [AT5] */
  usedBy(sender: FlowSender): void {
    if (this.#held !== null) this.#held.note?.usedBy(sender);
    else this.#sender ??= sender;
  }

  /** Sends a request. Whoever calls must call `done` once it has ended. */
  dispatch(request: OutgoingRequest, handler: ExchangeHandler): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    if (this.#transport !== null) {
      this.#send(this.#transport, request, handler);
      return;
    }
    this.#first = { request, handler };
    this.#flow.begin(() => this.#connect());
  }

  /** No request is on it any more. */
  endWait(): void {
    if (this.#socket !== null) this.#options.waits.ended(this.#socket);
  }

  /** Takes no more requests; closes now, or when the last has ended. */
  retire(): void {
    this.#markRetired();
    if (this.running === 0) this.close();
  }

  /** Ends it if no request comes for a while. Over HTTP/1.1 the transport does so, minding what the origin says. */
  watchIdleness(): void {
    if (this.protocol !== "h2") return;
    this.#idleTimer ??= setTimeout(() => {
      this.#idleTimer = null;
      if (this.running === 0) this.retire();
    }, this.#options.idleTimeoutMs).unref();
  }

  /** Ends it at once, whatever is on it. */
  close(): void {
    this.#markRetired();
    this.#dialling?.abort();
    if (this.#transport !== null) this.#transport.close();
    else this.#socket?.destroy();
  }

  async #connect(): Promise<void> {
    const { protocol, hostname, port } = new URL(this.origin);
    const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
    const isSecure = protocol === "https:";
    const dialling = new AbortController();
    this.#dialling = dialling;
    try {
      const dialled = await this.#options.dialler.dial(
        this.#context,
        host,
        Number(port) || (isSecure ? 443 : 80),
        dialling.signal,
        { sender: this.#sender },
      );
      this.#adopt(dialled);
      const timing = this.#sender?.timing;
      timing?.done("dial");
      const socket = isSecure ? await this.#secure(host, dialled.socket) : dialled.socket;
      if (isSecure) timing?.done("tls");
      this.#ready(socket);
    } catch (fault) {
      this.#fail(fault as Error);
    } finally {
      this.#dialling = null;
    }
  }

  #adopt({ socket, held }: Dialled): void {
    this.#held = held;
    this.#socket = socket;
    held.onDrain = () => this.retire();
    if (held.block.isDraining) this.retire();
  }

  #secure(host: string, socket: Socket): Promise<Socket> {
    const { secureSockets, http1Required } = this.#options;
    const port = Number(new URL(this.origin).port) || 443;
    const protocols = http1Required.has(this.origin)
      ? (["http/1.1"] as const)
      : (["h2", "http/1.1"] as const);
    return secureSockets.secure(socket, host, port, protocols);
  }

  #ready(socket: Socket): void {
    if (socket.destroyed) throw new EgressFault("connection-terminated");
    const { alpnProtocol } = socket as { readonly alpnProtocol?: string | false };
    this.protocol = alpnProtocol === "h2" ? "h2" : "h1";
    const transport = this.#socket!;
    this.#socket = socket;
    const { host } = new URL(this.origin);
    const watcher: TransportWatcher = {
      // With nothing on it nobody else would close it: an origin that says GOAWAY need not. [OR30]
      onGone: () => this.retire(),
      onCapacity: () => this.#keeper.onConnected(this),
      onHttp1Required: () => {
        this.#options.http1Required.add(this.origin);
        this.#keeper.onHttp1Required();
      },
    };
    this.#transport =
      this.protocol === "h2"
        ? new Http2Transport(socket, host, this.#options, watcher)
        : new Http1Transport(socket, transport, host, this.#options, watcher.onGone);
    const { request, handler } = this.#first!;
    this.#first = null;
    this.#send(this.#transport, request, handler);
    // Over HTTP/2 the origin first says how many requests it takes.
    if (this.protocol === "h1") this.#keeper.onConnected(this);
  }

  #send(transport: OriginTransport, request: OutgoingRequest, handler: ExchangeHandler): void {
    this.#options.waits.began(this.#socket!);
    transport.dispatch(request, handler);
  }

  #markRetired(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    if (this.isRetired) return;
    this.isRetired = true;
    this.#keeper.onGone(this);
  }

  #fail(fault: Error): void {
    const first = this.#first;
    this.#first = null;
    this.close();
    first?.handler.onResponseError(null, fault);
  }
}
