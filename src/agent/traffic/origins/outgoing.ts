/** All connections of this host to destinations, by what the flows on them have in common, and by origin. */
import type { AddressPorts } from "../../egress/address-ports.ts";
import type { Dialler } from "../../egress/dial.ts";
import type { EgressContext, FlowContext } from "../../egress/flow-context.ts";
import type { Wait } from "../../../core/uplink-health.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import { AnswerWaits } from "./answer-waits.ts";
import { connectionKey } from "./connection-key.ts";
import { Http1Required } from "./http1-required.ts";
import { FlowSpan } from "./flow-span.ts";
import { type HopSpans, type OnFirstByte, RequestWatch } from "./request-watch.ts";
import type { ConnectionOptions } from "./origin-connection.ts";
import { OriginConnections } from "./origin-connections.ts";
import { SecureSockets } from "../tls/secure-socket.ts";

/** What the outgoing side can be told. */
export interface OutgoingOptions {
  /** Certificate authorities in PEM form instead of the system's. */
  readonly authorities?: readonly string[];
  /** Until the destination begins to answer. */
  readonly responseTimeoutMs?: number;
  /** How long an idle connection keeps its port. */
  readonly idleTimeoutMs?: number;
  /** Until TLS stands. */
  readonly handshakeTimeoutMs?: number;
}

/** Largest head of a response, in bytes. */
export const MAX_RESPONSE_HEADER_BYTES = 128 * 1024;

/** Keeps connections for every address. */
export class Outgoing {
  readonly dialler: Dialler;
  readonly secureSockets: SecureSockets;
  /** Requests whose answer has begun. */
  answeredCount = 0;
  /** Told how long a request has waited for its answer to begin, and of that. [MT6] */
  onFirstByte: OnFirstByte | null = null;
  /** Records requests whose traces are recorded; null for nobody. */
  spans: HopSpans | null = null;
  readonly #options: Omit<ConnectionOptions, "waits">;
  readonly #ofAddress = new WeakMap<AddressPorts, ConnectionOptions>();
  /** By key. */
  readonly #connections = new Map<string, OriginConnections>();

  constructor(dialler: Dialler, options: OutgoingOptions = {}) {
    this.dialler = dialler;
    const { authorities } = options;
    this.secureSockets = new SecureSockets({
      timeoutMs: options.handshakeTimeoutMs ?? 10_000,
      ...(authorities === undefined ? {} : { authorities }),
    });
    this.#options = {
      dialler,
      secureSockets: this.secureSockets,
      http1Required: new Http1Required(),
      responseTimeoutMs: options.responseTimeoutMs ?? 60_000,
      idleTimeoutMs: options.idleTimeoutMs ?? 4_000,
      maxHeaderBytes: MAX_RESPONSE_HEADER_BYTES,
    };
  }

  /** The connections on which a flow may go to an origin such as `https://example.com:8443`. */
  to(context: EgressContext, origin: string): OriginConnections {
    const key = connectionKey(context, origin);
    let connections = this.#connections.get(key);
    if (connections === undefined) {
      const { pool, address, tenant, policy, meter } = context;
      // Nothing more of the flow that happens to be the first.
      const shared: EgressContext = { pool, address, tenant, policy, meter };
      connections = new OriginConnections(origin, shared, this.#optionsOf(address), () => {
        this.#connections.delete(key);
      });
      this.#connections.set(key, connections);
    }
    return connections;
  }

  /** Watches a request for whoever wants to know how it fares; null if nobody does. */
  watch(method: string, headers: RawHeaders, context: FlowContext): RequestWatch | null {
    const { onFirstByte, spans } = this;
    if (onFirstByte === null && spans === null) return null;
    return new RequestWatch(context, onFirstByte, spans?.begin(method, headers, context) ?? null);
  }

  /**
   * Watches a flow that lasts, if its trace is recorded; `headers` are what was asked with and, of a WebSocket,
   * what goes on. `client` is what it came by.
   */
  watchFlow(
    what: "CONNECT" | "websocket" | "tcp",
    headers: RawHeaders,
    context: FlowContext,
    client: ConstructorParameters<typeof FlowSpan>[1],
  ): void {
    const span = this.spans?.begin(what === "CONNECT" ? what : "GET", headers, context, what) ?? null;
    if (span !== null) context.running.watch = new FlowSpan(span, client);
  }

  /** The request from an address that has waited longest for anything of its answer; null for none. */
  oldestWait(from: AddressPorts): Wait | null {
    return this.#ofAddress.get(from)?.waits.oldest() ?? null;
  }

  /** Connections that stand or are being made. */
  get size(): number {
    let size = 0;
    for (const connections of this.#connections.values()) size += connections.size;
    return size;
  }

  /** Closes every connection at once. */
  close(): void {
    for (const connections of this.#connections.values()) connections.close();
    this.#connections.clear();
  }

  #optionsOf(address: AddressPorts): ConnectionOptions {
    let options = this.#ofAddress.get(address);
    if (options === undefined) {
      options = { ...this.#options, waits: new AnswerWaits() };
      this.#ofAddress.set(address, options);
    }
    return options;
  }
}
