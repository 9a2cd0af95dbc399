/**
 * One TCP connection and the WebSocket that carries it, joined until both are over:
 *
 *     client ──messages──▶ WebSocket ──bytes──▶ destination     credit goes back as they are written
 *     client ◀──messages── WebSocket ◀──bytes── destination     read only as the client's credit lasts
 *
 * Each direction ends by itself (FIN), and a connection that fails does so on either side: the
 * destination by a reset, the client by a close that says why. [RC3] [RC4] [RC5]
 */
import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import type { Problem } from "../../../core/problems.ts";
import {
  CARRIER_CLOSE,
  type CarrierControl,
  costOf,
  CREDIT_STEP_BYTES,
  formatCloseReason,
  formatControl,
  MAX_CREDIT_BYTES,
  parseControl,
  sendableBytes,
  WINDOW_BYTES,
} from "../../../wire/tcp-carrier.ts";
import type { Flow } from "../../../process/flow.ts";
import { resetSocket } from "../../../process/socket-reset.ts";
import { problemOf } from "../../egress/faults.ts";
import type { RunningFlow } from "../../egress/flow-use.ts";
import type { HeldPort } from "../../egress/held-port.ts";
import { noteStreamed } from "../clients/collect-garbage.ts";
import { PausedPeer } from "../clients/paused-peer.ts";
import { CarrierWatch } from "./carrier-watch.ts";
import { watchTlsEnd } from "../tls/tls-end.ts";

/** What is joined. */
export interface CarriedConnectionOptions {
  readonly webSocket: WebSocket;
  /** To the destination; it may stay half open. */
  readonly socket: Socket;
  readonly held: HeldPort;
  /** TLS over the socket, if it was made already. */
  readonly secured: Socket | null;
  /** Makes TLS over the socket; the name is what the certificate must be for, if not the host. */
  readonly secure: (name: string | null) => Promise<Socket>;
  readonly flow: Flow;
  /** How long no bytes may pass. */
  readonly idleMs: number;
  /** After how much silence the client is asked; after twice that it is gone. */
  readonly silenceMs: number;
  readonly running: RunningFlow;
  /** Told why it failed, if it did; not of a client that went away. */
  readonly onFailure: (problem: Problem, fault: unknown) => void;
}

/** What may wait in this process for the client's socket, in bytes: a client may have credit and not read. */
const MAX_UNSENT_BYTES = 64 * 1024;
/** How long what the client sent last may take to reach the destination. */
const LINGER_MS = 30_000;

/** One of them, until both sides have ended. */
export class CarriedConnection {
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #options: CarriedConnectionOptions;
  /** What bytes are written to and read from: the socket, or TLS over it. */
  #transport: Socket;
  #peer: PausedPeer;
  #isSecure = false;
  #isSecuring = false;
  #endedInOrder: () => boolean = () => true;

  /** What may still be sent to the client. */
  #creditBytes = WINDOW_BYTES;
  /** Read, and not sent for want of credit. */
  #waiting: Buffer | null = null;
  #unsentBytes = 0;
  #hasDestinationEnded = false;
  #isEndSaid = false;

  /** What the client may still send. */
  #grantedBytes = WINDOW_BYTES;
  /** Taken by the destination, and not given back yet as credit. */
  #takenBytes = 0;
  #isCreditOnItsWay = false;
  /** One at a time: a client that asks, and does not read, gets no pile of answers. */
  #isPongOnItsWay = false;
  #hasClientEnded = false;

  #isOver = false;
  readonly #watch: CarrierWatch;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;

  constructor(options: CarriedConnectionOptions) {
    const { webSocket, socket, flow, idleMs, silenceMs } = options;
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#transport = socket;
    this.#peer = new PausedPeer(socket);
    this.#options = options;
    this.#watch = new CarrierWatch({
      idleMs,
      silenceMs,
      flow,
      onSilent: () => this.#say({ type: "ping" }),
      onOver: (problem) => this.#fail(problem),
    });
    this.#onData = flow.guard((chunk: Buffer) => this.#onBytes(chunk));
    this.#onEnd = flow.guard(() => this.#onDestinationEnd());
  }

  /** Begins, in both directions. */
  start(): void {
    const { flow, held, secured } = this.#options;
    held.onReset = flow.guard(() => {
      this.#fail({ code: "lease-lost" }, null, CARRIER_CLOSE.goingAway);
      this.#cutOff();
    });
    const onMessage = flow.guard((data: Buffer, isBinary: boolean) => this.#onMessage(data, isBinary));
    const onClose = flow.guard((code: number) => this.#onCarrierClose(code));
    // It has told the client already, by a close of its own.
    const onError = flow.guard((fault: Error) => this.#broken(fault.message));
    const onPing = flow.guard((data: Buffer) => this.#onPing(data));
    const onSocketClose = flow.guard(() => this.#onDestinationClose());
    this.#webSocket.on("message", onMessage).on("close", onClose).on("error", onError).on("ping", onPing);
    this.#socket.once("close", onSocketClose);
    if (secured !== null) this.#useTls(secured);
    this.#listen(secured ?? this.#socket);
    if (this.#socket.destroyed) onSocketClose();
  }

  #listen(transport: Socket): void {
    this.#transport = transport;
    this.#options.running.writesTo(transport);
    this.#peer = new PausedPeer(transport);
    transport.on("data", this.#onData);
    transport.once("end", this.#onEnd);
  }

  #useTls(secured: Socket): void {
    this.#isSecure = true;
    // Over TLS a connection ends in order by the peer's word alone. [OR27]
    this.#endedInOrder = watchTlsEnd(secured, this.#socket);
  }

  #passed(): void {
    this.#watch.passed();
    this.#options.running.moved();
  }

  // From the destination.

  #onBytes(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#isSecuring) return this.#fail({ code: "tls-error", detail: "Bytes came ahead of TLS." });
    this.#passed();
    noteStreamed(chunk.length);
    this.#waiting = chunk;
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    if (this.#isOver) return;
    while (this.#waiting !== null && this.#unsentBytes < MAX_UNSENT_BYTES) {
      const length = sendableBytes(this.#waiting.length, this.#creditBytes);
      if (length === 0) break;
      const piece = this.#waiting.subarray(0, length);
      this.#waiting = length === this.#waiting.length ? null : this.#waiting.subarray(length);
      this.#creditBytes -= costOf(length);
      this.#unsentBytes += length;
      const onSent = this.#options.flow.guard(() => {
        this.#unsentBytes -= length;
        this.#options.running.moved();
        this.#sendWaiting();
      });
      this.#webSocket.send(piece, { binary: true }, onSent);
    }
    // Already before there is more that could not be sent.
    if (this.#waiting !== null || this.#unsentBytes >= MAX_UNSENT_BYTES) {
      this.#transport.pause();
      this.#peer.paused();
    } else if (this.#hasDestinationEnded) {
      this.#sayEnd();
    } else {
      this.#peer.resumed();
      this.#transport.resume();
    }
  }

  #onDestinationEnd(): void {
    if (this.#isOver) return;
    if (!this.#endedInOrder()) {
      return this.#fail({ code: "connection-terminated", detail: "TLS ended without a word." });
    }
    this.#hasDestinationEnded = true;
    this.#sendWaiting();
    // Nobody reads it any more, so nobody would meet its reset.
    this.#peer.paused();
  }

  #sayEnd(): void {
    if (this.#isEndSaid) return;
    this.#isEndSaid = true;
    this.#say({ type: "end" });
    this.#settle();
  }

  #onDestinationClose(): void {
    if (this.#isOver) return;
    const fault = this.#transport.errored ?? this.#socket.errored;
    const isInOrder = fault === null && this.#hasDestinationEnded && this.#hasClientEnded;
    if (!isInOrder) this.#fail(fault === null ? { code: "connection-terminated" } : problemOf(fault), fault);
  }

  // From the client.

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.#isOver) return;
    this.#watch.heard();
    if (!isBinary) {
      const control = parseControl(data.toString());
      return control.ok ? this.#onControl(control.value) : this.#broken(control.refusal);
    }
    if (this.#hasClientEnded || this.#isSecuring) return this.#broken("Bytes came where none may.");
    this.#passed();
    const cost = costOf(data.length);
    if (data.length === 0) return this.#broken("A message is empty.");
    if (cost > this.#grantedBytes) return this.#broken("More bytes came than there was credit for.");
    this.#grantedBytes -= cost;
    noteStreamed(data.length);
    const onWritten = this.#options.flow.guard((fault?: Error | null) => {
      if (fault) return;
      this.#options.running.moved();
      this.#takenBytes += cost;
      this.#giveCredit();
    });
    this.#transport.write(data, onWritten);
  }

  #onControl(control: CarrierControl): void {
    switch (control.type) {
      case "credit":
        this.#creditBytes += control.bytes;
        if (this.#creditBytes > MAX_CREDIT_BYTES) return this.#broken("There is too much credit.");
        return this.#sendWaiting();
      case "end":
        if (this.#hasClientEnded || this.#isSecuring) return this.#broken("An end came where none may.");
        this.#hasClientEnded = true;
        this.#transport.end();
        return this.#settle();
      case "start-tls":
        return this.#startTls(control.name);
      case "ping":
        return this.#answer((onSent) => this.#say({ type: "pong" }, onSent));
      case "pong":
        return;
      case "secured":
        return this.#broken("A client secures nothing.");
    }
  }

  #giveCredit(): void {
    if (this.#isOver || this.#isCreditOnItsWay || this.#takenBytes < CREDIT_STEP_BYTES) return;
    const bytes = this.#takenBytes;
    this.#takenBytes = 0;
    this.#grantedBytes += bytes;
    this.#isCreditOnItsWay = true;
    this.#say({ type: "credit", bytes }, () => {
      this.#isCreditOnItsWay = false;
      this.#giveCredit();
    });
  }

  #onPing(data: Buffer): void {
    this.#watch.heard();
    this.#answer((onSent) => this.#webSocket.pong(data, false, this.#options.flow.guard(onSent)));
  }

  #answer(send: (onSent: () => void) => void): void {
    if (this.#isOver || this.#isPongOnItsWay) return;
    this.#isPongOnItsWay = true;
    send(() => {
      this.#isPongOnItsWay = false;
    });
  }

  /** TLS begins between two bytes: all before it are written, and nothing may come until it stands. [RC6] */
  #startTls(name: string | null): void {
    const isTooLate = this.#isSecure || this.#hasClientEnded || this.#hasDestinationEnded;
    if (isTooLate || this.#isSecuring) return this.#broken("TLS cannot begin here.");
    this.#isSecuring = true;
    if (this.#waiting !== null) return this.#fail({ code: "tls-error", detail: "Bytes came ahead of TLS." });
    const { flow, secure } = this.#options;
    const onFault = flow.guard((fault: unknown) => this.#fail(problemOf(fault), fault));
    const onSecured = flow.guard((secured: Socket) => {
      if (this.#isOver) return;
      this.#isSecuring = false;
      this.#useTls(secured);
      this.#say({ type: "secured" });
      this.#listen(secured);
    });
    const begin = flow.guard(() => {
      if (this.#isOver) return;
      this.#socket.off("data", this.#onData);
      this.#socket.off("end", this.#onEnd);
      secure(name).then(onSecured, onFault);
    });
    // It is called when what was written before has gone.
    this.#socket.write("", begin);
  }

  // The end.

  #onCarrierClose(code: number): void {
    this.#watch.stop();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#peer.resumed();
    if (code !== CARRIER_CLOSE.done) {
      this.#options.running.watch?.failed("connection-terminated");
      // Whoever broke off must not look to the destination as if it had said all.
      this.#cutOff();
      return;
    }
    this.#linger();
    this.#transport.end(this.#options.flow.guard(() => this.#socket.destroy()));
  }

  /** Both directions have ended: there is nothing more to carry. */
  #settle(): void {
    if (!this.#isEndSaid || !this.#hasClientEnded) return;
    this.#isOver = true;
    this.#watch.stop();
    this.#linger();
    this.#webSocket.close(CARRIER_CLOSE.done);
  }

  /** What is still to be taken by the destination has a time to be. */
  #linger(): void {
    const timer = setTimeout(
      this.#options.flow.guard(() => this.#cutOff()),
      LINGER_MS,
    ).unref();
    this.#socket.once("close", () => clearTimeout(timer));
  }

  /** Its port is free as soon as it has closed. */
  #cutOff(): void {
    const { writableEnded, writableFinished } = this.#transport;
    // The end of TLS may be on its way to the kernel, where nobody sees it, and a reset is refused then.
    const isEndingTls = this.#transport !== this.#socket && writableEnded && !writableFinished;
    if (isEndingTls) this.#socket.destroy();
    else resetSocket(this.#socket);
  }

  #broken(detail: string): void {
    this.#fail({ code: "carrier-malformed", detail }, null, CARRIER_CLOSE.malformed);
  }

  #fail(problem: Problem, fault: unknown = null, code: number = CARRIER_CLOSE.failed): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watch.stop();
    this.#peer.resumed();
    this.#waiting = null;
    this.#options.onFailure(problem, fault);
    this.#webSocket.close(code, formatCloseReason(problem.code, problem.detail));
    this.#cutOff();
  }

  #say(control: CarrierControl, onSent?: () => void): void {
    const { flow } = this.#options;
    this.#webSocket.send(formatControl(control), onSent === undefined ? undefined : flow.guard(onSent));
  }
}
