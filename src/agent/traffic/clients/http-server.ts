/**
 * The HTTP server under a listener: its limits, its connections, and what Node cannot read or
 * leaves to its user. What is a request, or asks for a WebSocket, is handed on. [GW10] [GW13] [GW14]
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Problem } from "../../../core/problems.ts";
import { Flow } from "../../../process/flow.ts";
import { outliveClients } from "../../../process/listener.ts";
import { EgressFault, problemOf } from "../../egress/faults.ts";
import { ClientConnection } from "./client-connection.ts";
import type { Refusals } from "./refusals.ts";
import { isWebSocketRequest, TAKEN_FOR_A_PROXY } from "./request-head.ts";
import type { Visitor } from "./visitors.ts";

/** Who serves what comes. */
export interface RequestHandlers {
  readonly onRequest: (
    request: IncomingMessage,
    response: ServerResponse,
    client: ClientConnection | undefined,
  ) => void;
  readonly onWebSocket: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
  /** Asks for a tunnel, which nothing that came before waits for any more. Absent where there are none. */
  readonly onConnect?: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
}

/** Longest request line and header section, in bytes. */
const MAX_HEADER_BYTES = 32 * 1024;
const HEADERS_TIMEOUT_MS = 30_000;
/** Longer than any client keeps a connection for reuse, so that none is closed under a request. */
const IDLE_CONNECTION_MS = 120_000;
const CLIENT_SILENCE_MS = 60_000;

/** A server that does not listen yet. `visitorOf` says whose a connection is; null if it has ended it. */
export function createRequestServer(
  handlers: RequestHandlers,
  refusals: Refusals,
  visitorOf: (socket: Socket) => Visitor | null,
): Server {
  const clients = new WeakMap<Duplex, ClientConnection>();
  /** Asked for an upgrade that it does not get; what Node emits next is its request. */
  let declined: IncomingMessage | null = null;
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // A stream lasts as long as it lasts.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_CONNECTION_MS,
    noDelay: true,
    // A client whose machine is gone says nothing, and may be waited for: the kernel asks it. [GW23]
    keepAlive: true,
    keepAliveInitialDelay: CLIENT_SILENCE_MS,
    // Node's own refusal would have no name.
    requireHostHeader: false,
    shouldUpgradeCallback: (request) => {
      const client = clients.get(request.socket);
      // What is said on a connection with answers outstanding waits for its turn; frames cannot.
      const isTaken = isWebSocketRequest(request) && client?.isBusy === false && !client.isLast;
      if (!isTaken) declined = request;
      return isTaken;
    },
  });
  // Beyond the default of 2,000 Node drops fields silently; the limit on bytes is enough.
  server.maxHeadersCount = 0;
  // A client that has sent all it wants to may shut its side, and still wants its answers. [GW14]
  (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
  outliveClients(server, refusals.onFault);
  server.on("connection", (socket: Socket) => {
    const visitor = visitorOf(socket);
    if (visitor === null) return;
    const client = new ClientConnection(socket, flowOf(socket, refusals));
    visitor.carriesMore = () => client.isShared;
    clients.set(socket, client);
  });
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const client = clients.get(request.socket);
    const isDeclined = request === declined;
    declined = null;
    if (isDeclined) response.shouldKeepAlive = false;
    handlers.onRequest(request, response, client);
    // Of what came in one segment with such a request Node drops what is behind it: where the next one
    // begins nobody knows.
    if (isDeclined && client !== undefined) client.isLast = true;
  };
  server.on("request", onRequest);
  // `100 Continue` is sent when the destination is ready for the body.
  server.on("checkContinue", onRequest);
  server.on("checkExpectation", onRequest);
  server.on("upgrade", (request, socket, head) => handlers.onWebSocket(request, socket as Socket, head));
  server.on("connect", (request, socket, head) => {
    flowOf(socket, refusals).run(() => {
      const { onConnect } = handlers;
      // Node has left it paused, and so deaf to its end.
      if (onConnect === undefined) socket.resume();
      const say = (): void => {
        if (onConnect === undefined) {
          refusals.refuseOn(socket, { code: "method-unsupported", detail: TAKEN_FOR_A_PROXY });
        } else onConnect(request, socket as Socket, head);
      };
      const client = clients.get(socket);
      if (client?.isLast === true) return;
      if (client === undefined) say();
      else client.conclude(say);
    });
  });
  server.on("clientError", (fault, socket) => {
    flowOf(socket, refusals).run(() => onClientError(fault, socket, clients.get(socket), refusals));
  });
  return server;
}

/** What concerns a client's connection ends, when it fails, that connection. */
export function flowOf(socket: Duplex, refusals: Refusals): Flow {
  return new Flow((fault) => {
    refusals.count(problemOf(fault), fault);
    socket.destroy();
  }, refusals.onFault);
}

/** Node could not read what came: there is a socket, and perhaps requests on it. */
function onClientError(
  fault: Error & { readonly code?: string },
  socket: Duplex,
  client: ClientConnection | undefined,
  refusals: Refusals,
): void {
  if (fault.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem: Problem =
    fault.code === "HPE_HEADER_OVERFLOW"
      ? { code: "headers-too-large" }
      : { code: "request-malformed", detail: fault.code ?? "unreadable" };
  const say = (): void => refusals.refuseOn(socket, problem);
  // An end within a body whose length was announced, a chunk that is none, trailers without end. [GW10]
  const isOverflow = fault.code === "HPE_HEADER_OVERFLOW";
  const inBody = new EgressFault(isOverflow ? "headers-too-large" : "body-length-mismatch");
  if (client === undefined) say();
  else client.breakOff(inBody, say);
}
