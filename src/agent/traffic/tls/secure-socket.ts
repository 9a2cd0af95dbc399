/**
 * TLS to origins over a socket that is there already. A name is verified and sent as server name
 * without a dot at its end, which the name server needs and nobody else (RFC 6066 section 3);
 * `host` and `:authority` stay as the client wrote them. [OR10]
 */
import { isIP, type Socket } from "node:net";
import { connect, createSecureContext, type SecureContext } from "node:tls";
import { EgressFault } from "../../egress/faults.ts";

/** What TLS is made with. */
export interface SecureOptions {
  /** Certificate authorities in PEM form instead of the system's. */
  readonly authorities?: readonly string[];
  /** Until TLS stands. */
  readonly timeoutMs: number;
}

/** What is spoken within, the first preferred. */
export type SecureProtocol = "h2" | "http/1.1";

/** Sessions that are kept for a shorter handshake. */
const MAX_SESSIONS = 200;

/** Makes sockets secure. */
export class SecureSockets {
  readonly #timeoutMs: number;
  readonly #context: SecureContext;
  readonly #sessions = new Map<string, Buffer>();

  constructor({ authorities, timeoutMs }: SecureOptions) {
    this.#timeoutMs = timeoutMs;
    this.#context = createSecureContext(authorities === undefined ? {} : { ca: [...authorities] });
  }

  /**
   * Makes a socket to a host (a name or an address, IPv6 without brackets) secure; it ends with it. Without
   * protocols none is negotiated.
   */
  secure(socket: Socket, host: string, port: number, protocols: readonly SecureProtocol[]): Promise<Socket> {
    const name = verifiedName(host);
    const key = `${name} ${port}`;
    const session = this.#sessions.get(key);
    return new Promise((resolve, reject) => {
      const secured = connect({
        socket,
        host: name,
        // An address is no server name.
        ...(isIP(name) === 0 ? { servername: name } : {}),
        ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
        secureContext: this.#context,
        ...(session === undefined ? {} : { session }),
      });
      const fail = (fault: unknown): void => {
        clearTimeout(timer);
        reject(fault);
        secured.destroy();
        socket.destroy();
      };
      const timer = setTimeout(() => fail(new EgressFault("connection-timeout", "TLS")), this.#timeoutMs);
      // Without an error, as when its block is taken away, TLS would say nothing of the end.
      const onClose = (): void => fail(new EgressFault("connection-terminated"));
      socket.once("close", onClose);
      // Never removed: the new owner of the socket adds its own listener a moment later.
      secured.on("error", fail);
      secured.on("session", (latest: Buffer) => this.#keep(key, latest));
      secured.once("secureConnect", () => {
        clearTimeout(timer);
        socket.off("close", onClose);
        resolve(secured);
      });
    });
  }

  #keep(key: string, session: Buffer): void {
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    if (this.#sessions.size <= MAX_SESSIONS) return;
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest);
      return;
    }
  }
}

/** A host's name as certificates have it. */
export function verifiedName(host: string): string {
  return host.endsWith(".") ? host.slice(0, -1) : host;
}
