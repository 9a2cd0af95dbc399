/** All connections of this host to destinations, by egress address and origin. */
import type { AddressPorts } from "../ports/address-ports.ts";
import type { Dialler } from "../ports/dial.ts";
import { Http1Origins } from "./http1-origins.ts";
import type { ConnectionOptions } from "./origin-connection.ts";
import { OriginConnections } from "./origin-connections.ts";
import { SecureSockets } from "./secure-socket.ts";

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
  readonly #options: ConnectionOptions;
  readonly #byAddress = new Map<AddressPorts, Map<string, OriginConnections>>();

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
      http1Origins: new Http1Origins(),
      responseTimeoutMs: options.responseTimeoutMs ?? 60_000,
      idleTimeoutMs: options.idleTimeoutMs ?? 4_000,
      maxHeaderBytes: MAX_RESPONSE_HEADER_BYTES,
    };
  }

  /** The connections from an address to an origin such as `https://example.com:8443`. */
  to(from: AddressPorts, origin: string): OriginConnections {
    let origins = this.#byAddress.get(from);
    if (origins === undefined) {
      origins = new Map();
      this.#byAddress.set(from, origins);
    }
    let connections = origins.get(origin);
    if (connections === undefined) {
      const ofAddress = origins;
      connections = new OriginConnections(origin, from, this.#options, (empty) => ofAddress.delete(empty));
      origins.set(origin, connections);
    }
    return connections;
  }

  /** Connections that stand or are being made. */
  get size(): number {
    let size = 0;
    for (const origins of this.#byAddress.values()) {
      for (const connections of origins.values()) size += connections.size;
    }
    return size;
  }

  /** Closes every connection at once. */
  close(): void {
    for (const origins of this.#byAddress.values()) {
      for (const connections of origins.values()) connections.close();
    }
    this.#byAddress.clear();
  }
}
