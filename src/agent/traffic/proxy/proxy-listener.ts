/**
 * A port to which programs come that speak *proxy*. The first byte says in which protocol:
 *
 *     05        SOCKS5
 *     04        SOCKS4, refused
 *     a letter  HTTP: a whole URL, or CONNECT
 *     16        TLS, where there is a certificate, and within it the same again, or HTTP/2
 *
 * A CONNECT that comes alone and clean, as nearly all do, is read here; all other HTTP goes to the
 * server that reads the gateway's requests, too. [PX1]
 */
import type { Server as HttpServer } from "node:http";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { isLoopback } from "../../../core/plain-http.ts";
import type { Problem } from "../../../core/problems.ts";
import type { Flow } from "../../../process/flow.ts";
import { outliveClients } from "../../../process/listener.ts";
import type { Admission } from "../../admission/admission.ts";
import { JOINED_KEPT_BYTES } from "../../egress/connect-from.ts";
import { createRequestServer, flowOf } from "../clients/http-server.ts";
import { endInPeace } from "../clients/problem-reply.ts";
import { type OnListenerFault, type RefusalCounts, Refusals } from "../clients/refusals.ts";
import { type Visitor, Visitors } from "../clients/visitors.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import { SocksConnection, type SocksOptions } from "../socks/socks-connection.ts";
import type { UdpAssociations } from "../socks/udp-associations.ts";
import type { PemPair } from "../tls/listener-certificate.ts";
import { beginsTls, SecureDoor } from "../tls/secure-door.ts";
import { IdleTunnels } from "../tunnel/idle-tunnels.ts";
import { readConnectHead } from "./connect-head.ts";
import { type ConnectOptions, connectReplyOn, serveConnect } from "./connect-method.ts";
import { ForwardProxy } from "./forward-proxy.ts";
import { Http2Proxy } from "./http2-proxy.ts";
import { ProxyAccess, type ProxySource } from "./proxy-access.ts";
import { credentialsOf } from "./proxy-credentials.ts";
import type { ProxyMarks } from "./proxy-marks.ts";
import { askerOf } from "./proxy-question.ts";

/** What the proxies of a host need. */
export interface ProxyOptions {
  /** Name of this host. */
  readonly host: string;
  readonly admission: Admission;
  readonly outgoing: Outgoing;
  /** Where clients may come from without credentials. */
  readonly sources: readonly ProxySource[];
  readonly marks: ProxyMarks;
  /** Shared with the gateway of the process. */
  readonly visitors?: Visitors;
  readonly idle?: IdleTunnels;
  /** For clients that send datagrams. */
  readonly associations: UdpAssociations;
  readonly refusalCounts?: RefusalCounts;
  readonly onFault: OnListenerFault;
  /** With what TLS is offered to the next client; without it, or null, it is not. */
  readonly certificate?: () => PemPair | null;
  /** Whether a client needs a certificate, too; then nothing is taken outside of TLS. */
  readonly needsClientCertificate?: boolean;
  /** Whether clients of other machines are served without TLS. [TR5] */
  readonly takesPlain?: boolean;
}

const FIRST_BYTES_MS = 30_000;
const CLIENT_SILENCE_MS = 60_000;
const SOCKS5 = 0x05;
const SOCKS4 = 0x04;
/** "Request rejected or failed", in the only words of SOCKS4. */
const SOCKS4_REFUSED = Buffer.from([0, 0x5b, 0, 0, 0, 0, 0, 0]);
/** "No acceptable methods": said to a client of SOCKS5 before it has sent its token. */
const SOCKS5_NO_METHOD = Buffer.from([SOCKS5, 0xff]);

/** All proxy ports of one process. */
export class ProxyListener {
  readonly #servers: Server[] = [];
  readonly #clients = new Set<Socket>();
  readonly #visitors: Visitors;
  readonly #refusals: Refusals;
  readonly #access: ProxyAccess;
  readonly #connect: ConnectOptions;
  readonly #socks: SocksOptions;
  readonly #forward: ForwardProxy;
  readonly #http: HttpServer;
  readonly #http2: Http2Proxy;
  readonly #certificate: () => PemPair | null;
  readonly #door: SecureDoor;
  readonly #needsClientCertificate: boolean;
  readonly #takesPlain: boolean;

  constructor(options: ProxyOptions) {
    const { host, admission, outgoing, marks, onFault, refusalCounts } = options;
    const { idle = new IdleTunnels() } = options;
    const refusals = new Refusals({ host, isProxy: true }, onFault, refusalCounts);
    const access = new ProxyAccess(admission, options.sources);
    this.#visitors = options.visitors ?? new Visitors();
    this.#refusals = refusals;
    this.#access = access;
    this.#connect = { host, admission, outgoing, idle, access, refusals };
    this.#socks = {
      admission,
      outgoing,
      idle,
      refusals,
      associations: options.associations,
      identify: ({ userName, password }, visitor) =>
        askerOf(access, credentialsOf(userName, password), visitor),
    };
    this.#forward = new ForwardProxy({ host, admission, access, outgoing, refusals, marks });
    this.#http = this.#createHttpServer();
    this.#http2 = new Http2Proxy({ connect: this.#connect, forward: this.#forward, refusals });
    this.#certificate = options.certificate ?? (() => null);
    this.#needsClientCertificate = options.needsClientCertificate ?? false;
    this.#takesPlain = options.takesPlain ?? false;
    this.#door = this.#createDoor();
  }

  /** Listens at one more place; events of the server tell when, or why not. */
  listen(options: ListenOptions): Server {
    const server = createServer({
      allowHalfOpen: true,
      highWaterMark: JOINED_KEPT_BYTES,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: CLIENT_SILENCE_MS,
    });
    outliveClients(server, this.#refusals.onFault);
    server.on("connection", (socket) => this.#onConnection(socket));
    this.#servers.push(server);
    server.listen(options);
    return server;
  }

  /** Connections of clients. */
  get clientCount(): number {
    return this.#clients.size;
  }

  /** Ends everything at once. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const client of this.#clients) client.destroy();
    this.#http.emit("close");
  }

  #createHttpServer(): HttpServer {
    const visitorOf = (socket: Socket): Visitor => this.#visitors.of(socket);
    const server = createRequestServer(
      {
        onRequest: (request, response, client) =>
          this.#forward.beginRequest(request, response, client, visitorOf(request.socket)),
        onWebSocket: (request, socket, head) =>
          this.#forward.beginWebSocket(request, socket, head, visitorOf(socket)),
        onConnect: (request, socket, head) => {
          const { url = "", rawHeaders: fields, httpVersion } = request;
          const asked = { target: url, httpVersion, fields, rest: head };
          const reply = connectReplyOn(socket, this.#refusals);
          serveConnect(this.#connect, socket, visitorOf(socket), asked, reply);
        },
      },
      this.#refusals,
      visitorOf,
    );
    // It is given its connections and never listens, but its limits on time begin with this event.
    server.emit("listening");
    return server;
  }

  #onConnection(socket: Socket): void {
    const clientAt = this.#access.clientAt(socket.remoteAddress);
    const isAskedForMore = this.#needsClientCertificate;
    const visitor = this.#visitors.welcome(socket, { refusals: this.#refusals, clientAt, isAskedForMore });
    if (visitor === null) return;
    this.#clients.add(socket);
    socket.once("close", () => this.#clients.delete(socket));
    this.#awaitBytes(socket, (bytes, flow) => this.#onFirstBytes(socket, visitor, bytes, flow));
  }

  /** Hangs up on who says nothing. */
  #awaitBytes(socket: Socket, onBytes: (bytes: Buffer, flow: Flow) => void): void {
    const flow = flowOf(socket, this.#refusals);
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
        onBytes(bytes, flow);
      }),
    );
  }

  #onFirstBytes(socket: Socket, visitor: Visitor, bytes: Buffer, flow: Flow): void {
    if (!(socket instanceof TLSSocket)) {
      const pair = beginsTls(bytes) ? this.#certificate() : null;
      if (pair !== null) {
        visitor.isWithinTls = true;
        return this.#door.secure(socket, bytes, pair);
      }
      if (!this.#isPlainTaken(socket)) return this.#turnAway(socket, bytes, { code: "tls-required" });
    }
    if (bytes[0] === SOCKS5) {
      new SocksConnection(this.#socks, socket, visitor).read(bytes);
      return;
    }
    if (bytes[0] === SOCKS4) {
      this.#refusals.count({ code: "socks-malformed", detail: "SOCKS4 is not spoken." }, null);
      endInPeace(socket, SOCKS4_REFUSED);
      return;
    }
    const connect = readConnectHead(bytes);
    if (connect !== null) {
      const reply = connectReplyOn(socket, this.#refusals);
      serveConnect(this.#connect, socket, visitor, { ...connect, httpVersion: "1.1" }, reply);
      return;
    }
    socket.pause();
    socket.unshift(bytes);
    this.#http.emit("connection", socket);
    flow.run(() => socket.resume());
  }

  /** A token that comes in plain text from elsewhere was read by whoever is on the way. [TR5] */
  #isPlainTaken({ remoteAddress = "" }: Socket): boolean {
    if (this.#needsClientCertificate) return false;
    return this.#takesPlain || isLoopback(remoteAddress);
  }

  /** What is within TLS is looked at like what came without, but for HTTP/2, which was agreed on. */
  #createDoor(): SecureDoor {
    return new SecureDoor({
      protocols: ["h2", "http/1.1"],
      needsClientCertificate: this.#needsClientCertificate,
      onSecure: (socket, accepted) => {
        const visitor = this.#visitors.secured(accepted, socket);
        if (visitor.clientAt !== null) visitor.showed(true);
        if (socket.alpnProtocol === "h2") return this.#http2.accept(socket, visitor);
        this.#awaitBytes(socket, (bytes, flow) => this.#onFirstBytes(socket, visitor, bytes, flow));
      },
      onStranger: (socket, detail) => {
        this.#awaitBytes(socket, (bytes) =>
          this.#turnAway(socket, bytes, { code: "client-certificate-invalid", detail }),
        );
      },
      onFailure: (fault, socket) => {
        if (fault.code !== "ECONNRESET") {
          this.#refusals.count({ code: "request-malformed", detail: "The TLS handshake failed." }, fault);
        }
        socket.destroy();
      },
    });
  }

  /** Says no before anything of a request is read, in the protocol that the first byte shows. */
  #turnAway(socket: Socket, bytes: Buffer, problem: Problem): void {
    if (bytes[0] !== SOCKS5) return this.#refusals.refuseOn(socket, problem);
    this.#refusals.count(problem, null);
    endInPeace(socket, SOCKS5_NO_METHOD);
  }
}
