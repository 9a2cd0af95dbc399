/**
 * A flow that lasts, as a span: a tunnel, a WebSocket, TCP in a WebSocket. It ends with the connection by which
 * the flow left, or with its client if it never left. [MT14]
 */
import type { CountedConnection, FlowWatch } from "../../egress/flow-use.ts";
import type { HeldPort } from "../../egress/held-port.ts";
import type { HopSpan } from "./request-watch.ts";

/** Of one flow whose trace is recorded. */
export class FlowSpan implements FlowWatch {
  readonly #span: HopSpan;
  #port: number | null = null;

  /** `client` is what asked for it. */
  constructor(span: HopSpan, client: { once(event: "close", listener: () => void): unknown }) {
    this.#span = span;
    client.once("close", () => {
      if (this.#port === null) this.#span.end();
    });
  }

  leaves(held: HeldPort, connection: CountedConnection): void {
    this.#port = held.port;
    const cut = held.onReset;
    held.onReset = () => {
      this.failed("lease-lost");
      cut?.();
    };
    connection.once("close", () => {
      this.#span.carried(connection.bytesWritten, connection.bytesRead);
      // Whoever else hears of this end may know why it came.
      queueMicrotask(() => this.#span.end());
    });
  }

  answered(status: number): void {
    this.#span.answered(status, this.#port);
  }

  failed(code: string): void {
    this.#span.refused(code);
    // What never left has nothing more to tell.
    if (this.#port === null) this.#span.end();
  }
}
