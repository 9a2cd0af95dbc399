/**
 * TLS for connections that a listener has accepted: each is made secure with the certificate that there is
 * at that moment. Where clients have to show one of their own, nobody passes without.
 *
 *     accepted socket → handshake → a client's certificate, if it is needed → onSecure
 *
 * A client without the right certificate is told so within TLS, by whoever was handed it: an alert would
 * reach few people, and with TLS 1.3 few programs. [TR1] [TR3]
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { outliveErrors } from "../../../process/listener.ts";
import type { SecureProtocol } from "./secure-socket.ts";
import type { PemPair } from "./listener-certificate.ts";

/** Who takes what has been made secure. */
export interface SecureDoorOptions {
  /** The first preferred. */
  readonly protocols: readonly SecureProtocol[];
  /** Whether a client needs a certificate: then each pair that is shown has its authorities (`ca`). */
  readonly needsClientCertificate: boolean;
  readonly onSecure: (socket: TLSSocket, accepted: Socket) => void;
  /** TLS stands, and the client has shown no certificate, or none that counts; why, in a word. */
  readonly onStranger: (socket: TLSSocket, why: string, accepted: Socket) => void;
  /** No TLS came of it. */
  readonly onFailure: (fault: NodeJS.ErrnoException, socket: Socket) => void;
}

/** The type of a record of TLS that holds a handshake. */
const TLS_HANDSHAKE = 0x16;
const HANDSHAKE_MS = 10_000;

/** Whether these are the first bytes of TLS. */
export function beginsTls(bytes: Buffer): boolean {
  return bytes[0] === TLS_HANDSHAKE;
}

/** One for all listeners of a kind. */
export class SecureDoor {
  readonly #server: Server;
  /** What was accepted, and has not finished its handshake, by its two ends: Node does not tell what TLS is over. */
  readonly #accepted = new Map<string, Socket>();
  /** With which it was told to speak. */
  #pair: PemPair | null = null;

  constructor(options: SecureDoorOptions) {
    const { protocols, needsClientCertificate, onFailure } = options;
    this.#server = createServer({
      ALPNProtocols: [...protocols],
      allowHalfOpen: true,
      handshakeTimeout: HANDSHAKE_MS,
      requestCert: needsClientCertificate,
      // Looked at below.
      rejectUnauthorized: false,
    });
    this.#server.on("secureConnection", (socket) => {
      outliveErrors(socket);
      const accepted = this.#accepted.get(endsOf(socket));
      // It has closed in this very moment.
      if (accepted === undefined) return void socket.destroy();
      this.#accepted.delete(endsOf(socket));
      // Node resets no TLS socket. Without the word by which TLS ends it is broken off just as well.
      socket.resetAndDestroy = () => socket.destroy();
      const objection = needsClientCertificate ? objectionTo(socket) : null;
      if (objection === null) options.onSecure(socket, accepted);
      else options.onStranger(socket, objection, accepted);
    });
    this.#server.on("tlsClientError", onFailure);
  }

  /** Begins the handshake on a socket of which these bytes were read. */
  secure(socket: Socket, bytes: Buffer, pair: PemPair): void {
    // New keys for tickets as well: no session outlives the authorities that let it in.
    if (pair !== this.#pair) this.#server.setSecureContext({ ...pair, minVersion: "TLSv1.2" });
    this.#pair = pair;
    const ends = endsOf(socket);
    this.#accepted.set(ends, socket);
    socket.once("close", () => {
      if (this.#accepted.get(ends) === socket) this.#accepted.delete(ends);
    });
    socket.pause();
    socket.unshift(bytes);
    this.#server.emit("connection", socket);
  }
}

/** No two connections that are open have both in common. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/**
 * What is wrong with a client's certificate; null for nothing. Where a session is taken up again there is
 * nothing to verify, so it does not suffice that verification found no fault: there must be one.
 */
function objectionTo(socket: TLSSocket): string | null {
  if (socket.getPeerX509Certificate() === undefined) return "none was shown";
  if (socket.authorized) return null;
  return String(socket.authorizationError ?? "it is not trusted");
}
