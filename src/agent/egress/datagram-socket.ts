/**
 * A UDP socket at a place of its own. Nobody else has its port; what the kernel does not take now waits
 * within a bound; and no datagram that cannot be sent ends it, nor does an ICMP error. [UD1] [UD7] [UD8]
 */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { OpenSockets } from "./open-sockets.ts";

/** What may wait for the kernel, in bytes, before the last datagram, which may be as large. */
const MAX_QUEUED_BYTES = 64 * 1024;

/** Told of each datagram that comes. */
export type OnDatagram = (payload: Buffer, fromIp: string, fromPort: number) => void;

/** From `bind` until `close`. */
export class DatagramSocket {
  onDatagram: OnDatagram = ignore;
  /** Told that a datagram could not be sent, or what came could not be read. */
  onFault: (fault: unknown) => void = ignore;
  readonly port: number;
  readonly #socket: Socket;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.port = socket.address().port;
    socket.on("message", (payload, from) => this.onDatagram(payload, from.address, from.port));
    socket.on("error", this.#failed);
  }

  /** Binds to an address of this machine and to a port, 0 for any. Rejects with the kernel's fault. */
  static bind(ip: string, port: number, sockets: OpenSockets): Promise<DatagramSocket> {
    return new Promise((resolve, reject) => {
      const type = isIPv6(ip) ? "udp6" : "udp4";
      const socket = createSocket({ type, ipv6Only: isIPv6(ip), lookup: takeLiteral });
      sockets.note(socket);
      const fail = (fault: Error): void => {
        socket.close();
        reject(fault);
      };
      socket.once("error", fail);
      socket.once("listening", () => {
        socket.off("error", fail);
        resolve(new DatagramSocket(socket));
      });
      // Without `reuseAddr`, with which two sockets would have the port and one of them nothing.
      socket.bind({ address: ip, port, exclusive: true });
    });
  }

  /** Sends a datagram; false when too much waits for the kernel, and then it is not sent. */
  send(payload: Buffer | readonly Buffer[], ip: string, port: number): boolean {
    if (this.#isClosed || this.#socket.getSendQueueSize() >= MAX_QUEUED_BYTES) return false;
    this.#socket.send(payload, port, ip, this.#failed);
    return true;
  }

  /** Closes it at once: nothing is sent or heard any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }

  /** One function for all datagrams, so that sending makes none. */
  readonly #failed = (fault: Error | null): void => {
    if (fault !== null && !this.#isClosed) this.onFault(fault);
  };
}

/** Node would look every address up, which takes a turn of the event loop for each datagram. */
function takeLiteral(
  ip: string,
  family: unknown,
  done: (fault: null, ip: string, family: number) => void,
): void {
  done(null, ip, Number(family));
}

function ignore(): void {
  // Until somebody listens.
}
