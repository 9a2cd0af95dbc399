/**
 * What a flow uses, as those see it who open connections and pass bytes on: they count it, and are told
 * when there may be no more. How much that is, is said elsewhere (`tenants`). [LI5]
 */
import type { Problem } from "../../core/problems.ts";
import type { HeldPort } from "./held-port.ts";

/** A connection whose bytes can be counted. */
export interface CountedConnection {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  once(event: "close", listener: () => void): unknown;
}

/** Of everything that one tenant has towards destinations. */
export interface PortMeter {
  /** Counts a port, or says why there may be none. */
  takePort(): Problem | null;
  /** For each that was counted, once. */
  releasePort(): void;
  /** Counts what passes on a connection until it closes. */
  watch(connection: CountedConnection): void;
  /** Counts what passed elsewhere. */
  passed(byteCount: number): void;
}

/** Of what is no tenant's. */
export const UNMETERED: PortMeter = {
  takePort: () => null,
  releasePort: () => {},
  watch: () => {},
  passed: () => {},
};

/** Told how a flow fares that lasts. */
export interface FlowWatch {
  /** It leaves by this connection. */
  leaves(held: HeldPort, connection: CountedConnection): void;
  /** Its client has this answer. */
  answered(status: number): void;
  /** It was refused, or broke off. The first reason counts. */
  failed(code: string): void;
}

/** One flow while it runs. */
export interface RunningFlow {
  /** Null where nobody wants to know. */
  watch: FlowWatch | null;
  /** Something passed between its ends. */
  moved(): void;
  /** Beside its client this is what it writes to, from now on. */
  writesTo(destination: { readonly writableLength: number }): void;
}

/** Of what nobody watches. */
export const UNWATCHED: RunningFlow = { watch: null, moved: () => {}, writesTo: () => {} };
