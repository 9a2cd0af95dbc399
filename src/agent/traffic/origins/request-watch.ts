/** How a request fares, for metrics and logs, and where its trace is recorded as a span of that. [MT6] [MT13] */
import { monotonicMs } from "../../../process/clock.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";

/** Told of an answer that begins: after how long, of which flow, its status, from which port. */
export type OnFirstByte = (tookMs: number, context: FlowContext, status: number, port: number | null) => void;

/** The part of a host in the trace of one request. */
export interface HopSpan {
  /** Its answer has begun. */
  answered(status: number, port: number | null): void;
  /** So many bytes went to the destination, and came from there. */
  carried(sentBytes: number, receivedBytes: number): void;
  /** It was refused, or broke off. The first reason counts. */
  refused(code: string): void;
  /** It is over, whatever became of it. Counts once. */
  end(): void;
}

/** Begins them. */
export interface HopSpans {
  /**
   * Of a request whose trace is recorded; null for any other. In the fields that go on to the destination this
   * host takes the place of who sent it. `what` is in its name, for what is more than its method.
   */
  begin(method: string, headers: RawHeaders, context: FlowContext, what?: string): HopSpan | null;
}

/** One request while it is here. */
export class RequestWatch {
  readonly #sinceMs = monotonicMs();
  readonly #context: FlowContext;
  readonly #onFirstByte: OnFirstByte | null;
  readonly #span: HopSpan | null;

  constructor(context: FlowContext, onFirstByte: OnFirstByte | null, span: HopSpan | null) {
    this.#context = context;
    this.#onFirstByte = onFirstByte;
    this.#span = span;
  }

  /** Its answer has begun. */
  answered(status: number, port: number | null): void {
    this.#onFirstByte?.(monotonicMs() - this.#sinceMs, this.#context, status, port);
    this.#span?.answered(status, port);
  }

  /** It was refused, or broke off. */
  refused(code: string): void {
    this.#span?.refused(code);
  }

  /** It is over, whatever became of it. */
  end(): void {
    this.#span?.end();
  }
}
