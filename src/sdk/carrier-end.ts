/**
 * The client's end of a TCP connection that a WebSocket carries: bytes in and out as far as credit
 * goes, the end of each direction, and what became of it. The gateway's end is its mirror. [RC4]
 *
 * There is one sender and one receiver at a time; both wait for any change, and look again.
 */
import {
  CARRIER_CLOSE,
  type CarrierControl,
  costOf,
  CREDIT_STEP_BYTES,
  formatCloseReason,
  formatControl,
  parseCloseReason,
  parseControl,
  sendableBytes,
  SILENCE_MS,
  WINDOW_BYTES,
} from "../wire/tcp-carrier.ts";
import { EgressError, type SDK_CODES } from "./egress-error.ts";

/** As much of a WebSocket as is needed, of whichever platform. */
export interface CarrierWebSocket {
  binaryType?: string;
  send(message: string | Uint8Array<ArrayBuffer>): void;
  close(code: number, reason: string): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { readonly code: number; readonly reason: string }) => void,
  ): void;
  addEventListener(type: "error", listener: () => void): void;
  /** Where a socket says nothing before it is asked to. */
  accept?(): void;
}

/** A connection that has failed was agreed to first. */
const AGREED_STATUS = 101;
const BROKEN_OFF = "The connection broke off.";
/** The SDK's own code, for a WebSocket that ended without a word of the gateway's. */
const CARRIER_LOST = "carrier-lost" satisfies keyof typeof SDK_CODES;

/** From the call on, before there is a WebSocket, to the end of it. */
export class CarrierEnd {
  /** Fulfilled when it is over in order or by our own wish; rejected when it failed. */
  readonly over: Promise<void>;
  #webSocket: CarrierWebSocket | null = null;
  #creditBytes = WINDOW_BYTES;
  #grantedBytes = WINDOW_BYTES;
  #takenBytes = 0;
  readonly #received: Uint8Array<ArrayBuffer>[] = [];
  /** Who may receive: with TLS a new one does, and what the old one waited for comes to nothing. */
  #receiver: object | null = null;
  #isDiscarding = false;
  #hasPeerEnded = false;
  #hasEnded = false;
  #isClosed = false;
  #isSecuring = false;
  #failure: Error | null = null;
  /** Looks in a row at which nothing had been heard. */
  #silentLooks = 0;
  #settle!: { readonly resolve: () => void; readonly reject: (failure: Error) => void };
  #change: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};

  constructor() {
    this.over = new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Nobody need look at it.
    this.over.catch(() => {});
    this.#renewChange();
  }

  /** There is a WebSocket now. */
  attach(webSocket: CarrierWebSocket): void {
    if (this.#isClosed || this.#failure !== null) {
      webSocket.accept?.();
      webSocket.close(CARRIER_CLOSE.failed, formatCloseReason("connection-terminated"));
      return;
    }
    webSocket.binaryType = "arraybuffer";
    webSocket.addEventListener("message", ({ data }) => this.#onMessage(data));
    webSocket.addEventListener("close", ({ code, reason }) => this.#onClose(code, reason));
    webSocket.addEventListener("error", () => this.fail(lost("It failed.")));
    webSocket.accept?.();
    this.#webSocket = webSocket;
    this.#watch();
    this.#changed();
  }

  /** Sends bytes as credit comes; fulfilled when all have been handed over. */
  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      const webSocket = this.#usable();
      const length = webSocket === null ? 0 : sendableBytes(bytes.length - at, this.#creditBytes);
      if (length === 0) {
        await this.#change;
        continue;
      }
      this.#creditBytes -= costOf(length);
      webSocket!.send(bytes.subarray(at, at + length));
      at += length;
    }
  }

  /** Says that nothing more will be sent. */
  async end(): Promise<void> {
    if (this.#hasEnded || this.#isClosed) return;
    await this.#untilOpen();
    this.#hasEnded = true;
    this.#say({ type: "end" });
  }

  /** The next bytes; null at the end, or when somebody else receives now. */
  async receive(receiver: object): Promise<Uint8Array<ArrayBuffer> | null> {
    this.#receiver ??= receiver;
    for (;;) {
      if (this.#receiver !== receiver || this.#isClosed) return null;
      const bytes = this.#received.shift();
      if (bytes !== undefined) {
        this.#taken(costOf(bytes.length));
        return bytes;
      }
      if (this.#failure !== null) throw this.#failure;
      if (this.#hasPeerEnded) return null;
      await this.#change;
    }
  }

  /** What else comes is of no interest. */
  discard(): void {
    this.#isDiscarding = true;
    for (const bytes of this.#received.splice(0)) this.#taken(costOf(bytes.length));
  }

  /** From now on `receiver` receives, and nobody until TLS stands. */
  async startTls(name: string | null, receiver: object, sent: Promise<void>): Promise<void> {
    this.#receiver = receiver;
    this.#isSecuring = true;
    this.#changed();
    await this.#untilOpen();
    await sent;
    this.#usable();
    // They came in the clear, and whoever reads on would take them for secure.
    if (this.#received.length > 0) this.#tooEarly();
    this.#say({ type: "start-tls", name });
    while (this.#isSecuring) {
      this.#usable();
      await this.#change;
    }
  }

  /** Ends it. What was sent arrives; with a fault it may not, and the destination is reset. */
  close(isFault = false): void {
    if (this.#isClosed || this.#failure !== null) return;
    this.#isClosed = true;
    this.#received.length = 0;
    this.#webSocket?.close(isFault ? CARRIER_CLOSE.failed : CARRIER_CLOSE.done, "");
    this.#settle.resolve();
    this.#changed();
  }

  /** It has failed, or was never agreed to. What has come is still received. */
  fail(failure: Error): void {
    if (this.#isClosed || this.#failure !== null) return;
    this.#failure = failure;
    this.#settle.reject(failure);
    this.#changed();
  }

  /** The WebSocket, if it is there already; throws when nothing can be sent any more. */
  #usable(): CarrierWebSocket | null {
    if (this.#failure !== null) throw this.#failure;
    if (this.#isClosed) throw new TypeError("The socket was closed.");
    return this.#webSocket;
  }

  async #untilOpen(): Promise<void> {
    while (this.#usable() === null) await this.#change;
  }

  /** A host may fall silent, and nothing on the way tells so. */
  #watch(): void {
    const timer: unknown = setInterval(() => {
      this.#silentLooks += 1;
      if (this.#silentLooks === 2) this.#say({ type: "ping" });
      if (this.#silentLooks > 3) this.#giveUp(lost("The host does not answer."));
    }, SILENCE_MS);
    const stop = (): void => clearInterval(timer as number);
    this.over.then(stop, stop);
    // In Node it would keep the process alive.
    (timer as { unref?: () => void }).unref?.();
  }

  #onMessage(data: unknown): void {
    this.#silentLooks = 0;
    if (this.#isClosed || this.#failure !== null) return;
    if (typeof data === "string") {
      const control = parseControl(data);
      if (control.ok) this.#onControl(control.value);
      else this.#broken(control.refusal);
    } else if (data instanceof ArrayBuffer) {
      this.#onBytes(new Uint8Array(data));
    }
    this.#changed();
  }

  #onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#hasPeerEnded) return this.#broken("Bytes came after the end.");
    const cost = costOf(bytes.length);
    if (cost > this.#grantedBytes) return this.#broken("More bytes came than there was credit for.");
    this.#grantedBytes -= cost;
    if (this.#isSecuring) return this.#tooEarly();
    if (this.#isDiscarding) this.#taken(cost);
    else this.#received.push(bytes);
  }

  #onControl(control: CarrierControl): void {
    if (control.type === "credit") {
      this.#creditBytes += control.bytes;
    } else if (control.type === "ping") {
      this.#say({ type: "pong" });
    } else if (control.type === "pong") {
      // It was heard.
    } else if (control.type === "end" && !this.#hasPeerEnded) {
      this.#hasPeerEnded = true;
    } else if (control.type === "secured" && this.#isSecuring) {
      this.#isSecuring = false;
    } else {
      this.#broken(`${control.type} came where none may.`);
    }
  }

  #onClose(code: number, reason: string): void {
    if (this.#isClosed || this.#failure !== null) return;
    if (code === CARRIER_CLOSE.done && this.#hasPeerEnded && this.#hasEnded) {
      this.#settle.resolve();
      return;
    }
    const isTold =
      code === CARRIER_CLOSE.failed || code === CARRIER_CLOSE.malformed || code === CARRIER_CLOSE.goingAway;
    const why = isTold ? parseCloseReason(reason) : null;
    if (why === null) this.fail(lost(`It was closed with ${code}.`));
    else this.fail(new EgressError(why.code, AGREED_STATUS, BROKEN_OFF, why.detail));
  }

  #taken(cost: number): void {
    this.#takenBytes += cost;
    if (this.#takenBytes < CREDIT_STEP_BYTES || this.#failure !== null || this.#isClosed) return;
    this.#grantedBytes += this.#takenBytes;
    this.#say({ type: "credit", bytes: this.#takenBytes });
    this.#takenBytes = 0;
  }

  #tooEarly(): void {
    this.#received.length = 0;
    this.#giveUp(new EgressError("tls-error", AGREED_STATUS, BROKEN_OFF, "Bytes came ahead of TLS."));
  }

  #broken(detail: string): void {
    this.#giveUp(new EgressError("carrier-malformed", AGREED_STATUS, BROKEN_OFF, detail));
  }

  #giveUp(failure: EgressError): void {
    this.fail(failure);
    this.#webSocket?.close(CARRIER_CLOSE.malformed, failure.code);
  }

  #say(control: CarrierControl): void {
    this.#webSocket?.send(formatControl(control));
  }

  #changed(): void {
    const wake = this.#wake;
    this.#renewChange();
    wake();
  }

  #renewChange(): void {
    this.#change = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function lost(detail: string): EgressError {
  return new EgressError(
    CARRIER_LOST,
    AGREED_STATUS,
    "The WebSocket that carried the connection ended.",
    detail,
  );
}
