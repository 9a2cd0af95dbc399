/**
 * The port of a gateway that speaks TLS: what begins a handshake goes through the door and then to the
 * server of requests, anything else is refused by name before anything of it is read. [TR1]
 */
import type { Server as HttpServer } from "node:http";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { outliveClients } from "../../../process/listener.ts";
import { flowOf } from "../clients/http-server.ts";
import type { Refusals } from "../clients/refusals.ts";
import type { Visitors } from "../clients/visitors.ts";
import type { PemPair } from "../tls/listener-certificate.ts";
import { beginsTls, SecureDoor } from "../tls/secure-door.ts";

/** What a gateway needs to speak TLS. */
export interface GatewayTls {
  /** For the next client. */
  readonly certificate: () => PemPair;
  readonly needsClientCertificate: boolean;
}

/** Whom the front hands its clients to. */
export interface SecureFrontOptions extends GatewayTls {
  readonly requests: HttpServer;
  readonly refusals: Refusals;
  readonly visitors: Visitors;
}

const FIRST_BYTES_MS = 30_000;
const CLIENT_SILENCE_MS = 60_000;

/** One listening socket. */
export class SecureFront {
  readonly server: Server;
  readonly #options: SecureFrontOptions;
  readonly #door: SecureDoor;
  readonly #clients = new Set<Socket>();

  constructor(options: SecureFrontOptions) {
    const { requests, refusals, needsClientCertificate, visitors } = options;
    this.#options = options;
    this.#door = new SecureDoor({
      protocols: ["http/1.1"],
      needsClientCertificate,
      onSecure: (socket, accepted) => {
        visitors.secured(accepted, socket);
        requests.emit("connection", socket);
      },
      onStranger: (socket, detail) => this.#refuseStranger(socket, detail),
      onFailure: (fault, socket) => {
        if (fault.code !== "ECONNRESET") {
          refusals.count({ code: "request-malformed", detail: "The TLS handshake failed." }, fault);
        }
        socket.destroy();
      },
    });
    this.server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: CLIENT_SILENCE_MS,
    });
    outliveClients(this.server, refusals.onFault);
    this.server.on("connection", (socket) => this.#onConnection(socket));
    // The server of requests never listens itself, but its limits on time begin with this event.
    requests.emit("listening");
  }

  /** Listens; events of the server tell when, or why not. */
  listen(options: ListenOptions): Server {
    return this.server.listen(options);
  }

  /** Ends everything at once. */
  close(): void {
    this.server.close();
    for (const client of this.#clients) client.destroy();
    this.#options.requests.emit("close");
  }

  #onConnection(socket: Socket): void {
    const { visitors, refusals, certificate } = this.#options;
    const visitor = visitors.welcome(socket, { refusals });
    if (visitor === null) return;
    this.#clients.add(socket);
    socket.once("close", () => this.#clients.delete(socket));
    this.#awaitBytes(socket, (bytes) => {
      if (!beginsTls(bytes)) return refusals.refuseOn(socket, { code: "tls-required" });
      visitor.isWithinTls = true;
      this.#door.secure(socket, bytes, certificate());
    });
  }

  /** It is told as the answer to its first request, for which it waits. */
  #refuseStranger(socket: TLSSocket, detail: string): void {
    this.#awaitBytes(socket, () =>
      this.#options.refusals.refuseOn(socket, { code: "client-certificate-invalid", detail }),
    );
  }

  /** Hangs up on who says nothing. */
  #awaitBytes(socket: Socket, onBytes: (bytes: Buffer) => void): void {
    const flow = flowOf(socket, this.#options.refusals);
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTES_MS).unref();
    const onClose = (): void => clearTimeout(timer);
    const onEnd = (): void => void socket.end();
    socket.once("close", onClose);
    socket.once("end", onEnd);
    socket.once(
      "data",
      flow.guard((bytes: Buffer) => {
        clearTimeout(timer);
        socket.off("end", onEnd);
        socket.off("close", onClose);
        onBytes(bytes);
      }),
    );
  }
}
