/** What a connection calls back, as part of the flow for which it does: the connection may be another's. [GW11] */
import type { Flow } from "../../../process/flow.ts";
import type { ExchangeHandler } from "../http/origin-transport.ts";

/** A handler of which every callback is part of a flow. No closures: it is on the hot path. */
export class HandlerInFlow implements ExchangeHandler {
  readonly #flow: Flow;
  readonly #handler: ExchangeHandler;

  constructor(flow: Flow, handler: ExchangeHandler) {
    this.#flow = flow;
    this.#handler = handler;
  }

  onRequestStart(...args: Parameters<ExchangeHandler["onRequestStart"]>): void {
    this.#call("onRequestStart", args);
  }

  onResponseStart(...args: Parameters<ExchangeHandler["onResponseStart"]>): void {
    this.#call("onResponseStart", args);
  }

  onResponseData(...args: Parameters<ExchangeHandler["onResponseData"]>): void {
    this.#call("onResponseData", args);
  }

  onResponseEnd(...args: Parameters<ExchangeHandler["onResponseEnd"]>): void {
    this.#call("onResponseEnd", args);
  }

  onResponseError(...args: Parameters<ExchangeHandler["onResponseError"]>): void {
    this.#call("onResponseError", args);
  }

  #call(method: keyof ExchangeHandler, args: unknown[]): void {
    try {
      (this.#handler[method] as (...args: unknown[]) => void)(...args);
    } catch (fault) {
      this.#flow.fail(fault);
    }
  }
}
