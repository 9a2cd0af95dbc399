/** All connections of this host to destinations, by egress address and origin. */
import type { AddressPorts } from "../../egress/address-ports.ts";
import type { Dialler } from "../../egress/dial.ts";
import type { Wait } from "../../../core/uplink-health.ts";
import { AnswerWaits } from "./answer-waits.ts";
import { Http1Origins } from "./http1-origins.ts";
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

interface OfAddress {
  readonly options: ConnectionOptions;
  readonly byOrigin: Map<string, OriginConnections>;
}

/** Keeps connections for every address. */
export class Outgoing {
  readonly dialler: Dialler;
  readonly secureSockets: SecureSockets;
  readonly #options: Omit<ConnectionOptions, "waits">;
  readonly #byAddress = new Map<AddressPorts, OfAddress>();

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
    let ofAddress = this.#byAddress.get(from);
    if (ofAddress === undefined) {
      ofAddress = { options: { ...this.#options, waits: new AnswerWaits() }, byOrigin: new Map() };
      this.#byAddress.set(from, ofAddress);
    }
    const { options, byOrigin } = ofAddress;
    let connections = byOrigin.get(origin);
    if (connections === undefined) {
      connections = new OriginConnections(origin, from, options, (empty) => byOrigin.delete(empty));
      byOrigin.set(origin, connections);
    }
    return connections;
  }

  /** The request from an address that has waited longest for anything of its answer; null for none. */
  oldestWait(from: AddressPorts): Wait | null {
    return this.#byAddress.get(from)?.options.waits.oldest() ?? null;
  }

  /** Connections that stand or are being made. */
  get size(): number {
    let size = 0;
    for (const { byOrigin } of this.#byAddress.values()) {
      for (const connections of byOrigin.values()) size += connections.size;
    }
    return size;
  }

  /** Closes every connection at once. */
  close(): void {
    for (const { byOrigin } of this.#byAddress.values()) {
      for (const connections of byOrigin.values()) connections.close();
    }
    this.#byAddress.clear();
  }
}
