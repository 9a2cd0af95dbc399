/** A gateway that carries TCP, as far as its messages go: what it is told to say, and what it was told. */
import { type CarrierControl, formatControl, parseControl } from "../../src/wire/tcp-carrier.ts";
import type { Gateway } from "./edge.ts";

/** One carrier, at the gateway's end. */
export class CarryingGateway {
  readonly requests: Request[] = [];
  /** Controls and the lengths of binary messages, in order. */
  readonly heard: (CarrierControl | number)[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  /** Whether bytes go back as they came. */
  isEcho = false;
  /** Whether it says nothing of an egress, as something else would. */
  isForeign = false;
  #webSocket: WebSocket | null = null;
  #wake: () => void = () => {};

  /** Agrees to every request. */
  readonly gateway: Gateway = (request) => {
    this.requests.push(request);
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    server.binaryType = "arraybuffer";
    server.addEventListener("message", ({ data }) => {
      if (this.isEcho) server.send(data as ArrayBuffer);
      const control = typeof data === "string" ? parseControl(data) : null;
      if (control === null) this.heard.push((data as ArrayBuffer).byteLength);
      else if (control.ok) this.heard.push(control.value);
      else throw new Error(control.refusal);
      this.#wake();
    });
    server.addEventListener("close", ({ code, reason }) => {
      this.closes.push({ code, reason });
      this.#wake();
    });
    this.#webSocket = server;
    this.#wake();
    if (this.isForeign) return new Response(null, { status: 101, webSocket: client });
    const headers = { "egress-ip": "192.0.2.1", "egress-port": "5312", "egress-host": "h1" };
    return new Response(null, {
      status: 101,
      webSocket: client,
      headers: { ...headers, "proxy-status": "ipshard", "sec-websocket-protocol": "ipshard.tcp.v1" },
    });
  };

  say(what: CarrierControl | Uint8Array<ArrayBuffer> | string): void {
    const isControl = typeof what === "object" && !ArrayBuffer.isView(what);
    this.#webSocket!.send(isControl ? formatControl(what) : what);
  }

  close(code: number, reason: string): void {
    this.#webSocket!.close(code, reason);
  }

  /** Waits until something was heard, or closed, that makes it true. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Bytes that came. */
  get byteCount(): number {
    return this.heard.reduce<number>((sum, one) => sum + (typeof one === "number" ? one : 0), 0);
  }
}
