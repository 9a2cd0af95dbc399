/**
 * A TCP connection for a client that has none, such as a Worker: dialled from a leased port, and
 * carried to the client by a WebSocket. [RC1] [RC3]
 *
 *     judge → dial → TLS, if wanted → 101 → bytes, both ways
 *
 * Nothing is agreed to before the destination's connection stands, so every refusal is an answer of
 * HTTP, which the edge can follow by another host.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import {
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_PORT,
  EGRESS_REQUEST_ID,
  PROXY_NAME,
  PROXY_STATUS,
} from "../../../wire/header-names.ts";
import type { Problem } from "../../../core/problems.ts";
import type { Flow } from "../../../process/flow.ts";
import { resetSocket } from "../../../process/socket-reset.ts";
import { dialHostOf } from "../../egress/destination-place.ts";
import type { Dialler } from "../../egress/dial.ts";
import { type FlowContext, toldAs } from "../../egress/flow-context.ts";
import type { SecureSockets } from "../tls/secure-socket.ts";
import type { WebSocketClient } from "../websocket/websocket-client.ts";
import { CarriedConnection } from "./carried-connection.ts";
import type { CarrierServer } from "./carrier-server.ts";
import type { TcpDestination } from "./connect-request.ts";

const SWITCHED = 101;

/** What all TCP connections of a gateway share. */
export interface CarriedTcpOptions {
  readonly carriers: CarrierServer;
  readonly dialler: Dialler;
  readonly secureSockets: SecureSockets;
  /** Name of this host. */
  readonly host: string;
  /** How long a connection may rest. */
  readonly idleMs: number;
  /** After how much silence a client is asked whether it is there. */
  readonly silenceMs: number;
  /** Told how a connection ended that did not end in order. */
  readonly onFailure: (problem: Problem, fault: unknown, context: FlowContext) => void;
}

/** A client's request, taken off the HTTP server and found good. */
export interface TcpRequest {
  readonly request: IncomingMessage;
  readonly client: WebSocketClient;
  readonly destination: TcpDestination;
}

/** Dials, agrees, and joins the two. Throws as long as the client has been told nothing. */
export async function carryTcp(
  options: CarriedTcpOptions,
  context: FlowContext,
  { request, client, destination }: TcpRequest,
  flow: Flow,
): Promise<void> {
  const { port, isSecure, certificateName } = destination;
  const host = dialHostOf(destination);
  // Either direction may end before the other.
  const { socket, held } = await options.dialler.dial(context, host, port, client.gone, {
    allowHalfOpen: true,
    sender: context,
  });
  // Until it is agreed, the end of the client is the end of the destination's socket, and of the port.
  const onGone = flow.guard(() => resetSocket(socket));
  client.gone.addEventListener("abort", onGone);
  if (client.gone.aborted) return onGone();
  const secure = (name: string | null): Promise<Socket> =>
    options.secureSockets.secure(socket, name ?? host, port, []);
  const secured = isSecure ? await secure(certificateName) : null;
  const fields = departureFields(context, held.port, options.host);
  client.gone.removeEventListener("abort", onGone);
  if (client.gone.aborted) return onGone();
  client.isAnswered = true;
  const early = Buffer.concat(client.takeOver());
  const webSocket = options.carriers.agree(request, client.socket, early, fields);
  if (webSocket === null) return onGone();
  context.running.watch?.leaves(held, socket);
  context.running.watch?.answered(SWITCHED);
  new CarriedConnection({
    webSocket,
    socket,
    held,
    secure,
    secured,
    flow,
    idleMs: options.idleMs,
    silenceMs: options.silenceMs,
    running: context.running,
    onFailure: (problem, fault) => options.onFailure(problem, fault, context),
  }).start();
}

function departureFields({ address, requestId }: FlowContext, port: number, host: string): string[] {
  return [
    `${EGRESS_IP}: ${toldAs(address)}`,
    `${EGRESS_PORT}: ${port}`,
    `${EGRESS_HOST}: ${host}`,
    ...(requestId === null ? [] : [`${EGRESS_REQUEST_ID}: ${requestId}`]),
    `${PROXY_STATUS}: ${PROXY_NAME}`,
  ];
}
