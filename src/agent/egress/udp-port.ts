/**
 * One leased port for UDP, and the socket on it: whatever it sends, to whomever, leaves from there.
 *
 *     port of a leased block → bound, alone → lease ends, or closed → held down → free
 *
 * The port is held as a connection's is: it is a flow of its block, and is closed at the end of the
 * term. [UD1] [UD2]
 */
import { ok, type Outcome, refuse } from "../../core/outcome.ts";
import type { Problem } from "../../core/problems.ts";
import type { AddressPorts } from "./address-ports.ts";
import { DatagramSocket, type OnDatagram } from "./datagram-socket.ts";
import { UDP_KEY } from "./destination-key.ts";
import { problemOf } from "./faults.ts";
import type { FlowNote, FlowPlace } from "./flow-recorder.ts";
import { type PortMeter, UNMETERED } from "./flow-use.ts";
import type { HeldPort } from "./held-port.ts";
import { takeMetered } from "./metered-port.ts";
import type { OpenSockets } from "./open-sockets.ts";

/** How a port is come by. */
export interface UdpPortOptions {
  readonly sockets: OpenSockets;
  /** Counts it for a tenant. */
  readonly meter?: PortMeter;
  /** How long to wait for a port while growth is outstanding. */
  readonly portWaitMs: number;
  /** Notes what it sends and receives, as a flow. */
  readonly begins?: ((place: FlowPlace) => FlowNote | null) | undefined;
  /** Whether nobody wants it any more. */
  readonly signal?: AbortSignal | undefined;
}

/** Ports tried when somebody else on this machine has bound them. */
const MAX_PORT_ATTEMPTS = 8;

/** From `open` until `close`, or until its lease ends. */
export class UdpPort {
  /** Called when the lease has ended, and with it the socket. */
  onLost: (() => void) | null = null;
  /** The block wants to be given back. */
  onDrain: (() => void) | null = null;
  readonly #from: AddressPorts;
  readonly #held: HeldPort;
  readonly #socket: DatagramSocket;
  readonly #note: FlowNote | null;
  #isOver = false;
  #sentBytes = 0;
  #receivedBytes = 0;

  private constructor(from: AddressPorts, held: HeldPort, socket: DatagramSocket, note: FlowNote | null) {
    this.#from = from;
    this.#note = note;
    this.#held = held;
    this.#socket = socket;
    held.onReset = () => {
      this.close();
      this.onLost?.();
    };
    held.onDrain = () => this.onDrain?.();
  }

  get ip(): string {
    return this.#from.ip;
  }

  get port(): number {
    return this.#held.port;
  }

  /** Whether the lease has ended. */
  get isLost(): boolean {
    return this.#held.isLost;
  }

  set onDatagram(listener: OnDatagram) {
    this.#socket.onDatagram = (payload, ip, port) => {
      this.#receivedBytes += payload.length;
      listener(payload, ip, port);
    };
  }

  set onFault(listener: (fault: unknown) => void) {
    this.#socket.onFault = listener;
  }

  /** Takes a port of the address and binds it, or says why there is none. */
  static async open(from: AddressPorts, options: UdpPortOptions): Promise<Outcome<UdpPort, Problem>> {
    const { sockets, portWaitMs, signal, meter = UNMETERED } = options;
    for (let attempt = 1; attempt <= MAX_PORT_ATTEMPTS; attempt += 1) {
      if (sockets.isFull) return refuse({ code: "connections-exhausted" });
      const taken = await takeMetered(from, meter, UDP_KEY, portWaitMs, signal);
      if (!taken.ok) return refuse({ detail: `${from.ip} for UDP`, ...taken.refusal });
      const bound = await UdpPort.#bind(from, taken.value, options);
      if (bound.ok || !taken.value.isRefused) return bound;
    }
    return refuse({ code: "port-block-exhausted", detail: "Others have bound the ports of the block." });
  }

  /** Whatever becomes of it, the port is given back once. */
  static async #bind(
    from: AddressPorts,
    held: HeldPort,
    { sockets, begins }: UdpPortOptions,
  ): Promise<Outcome<UdpPort, Problem>> {
    let socket: DatagramSocket | null = null;
    try {
      // Between the choice of the port and this moment its lease may have ended.
      if (!held.isLost) socket = await DatagramSocket.bind(from.ip, held.port, sockets);
    } catch (fault) {
      const { code } = fault as { readonly code?: string };
      held.isRefused = code === "EADDRINUSE";
      held.release();
      // As a dial has it: the kernel does not know the address.
      if (code === "EADDRNOTAVAIL")
        return refuse({ code: "port-block-exhausted", detail: `${from.ip}: ${code}` });
      return refuse(problemOf(fault));
    }
    if (socket !== null && !held.isLost) {
      const note = begins?.({ ip: from.ip, port: held.port }) ?? null;
      return ok(new UdpPort(from, held, socket, note));
    }
    socket?.close();
    held.release();
    return refuse({ code: "lease-lost" });
  }

  /**
   * Sends a datagram; false when too much waits already, or the term is over, and then it is not sent.
   * A process that was paused past the end finds what has come meanwhile before its timers tell it.
   */
  send(payload: Buffer, ip: string, port: number): boolean {
    if (!this.#from.hasTerm) {
      this.#held.reset();
      return false;
    }
    this.#note?.sentTo({ ip, port });
    if (!this.#socket.send(payload, ip, port)) return false;
    this.#sentBytes += payload.length;
    return true;
  }

  /** Closes the socket, and gives the port back once. */
  close(): void {
    this.#socket.close();
    if (!this.#isOver) this.#note?.ended(this.#sentBytes, this.#receivedBytes);
    this.#isOver = true;
    this.#held.release();
  }
}
