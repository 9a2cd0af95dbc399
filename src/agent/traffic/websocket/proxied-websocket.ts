/**
 * A WebSocket through the gateway: the handshake goes to the destination over a leased port as
 * an HTTP/1.1 request, and once it has agreed the two sockets are joined, whatever is said on
 * them. The port is held until both have ended. [GW9]
 */
import type { Dialler } from "../../egress/dial.ts";
import { type FlowContext, toldAs } from "../../egress/flow-context.ts";
import type { Flow } from "../../../process/flow.ts";
import type { SecureSockets } from "../tls/secure-socket.ts";
import { watchTlsEnd } from "../tls/tls-end.ts";
import { agreementHead, relayDecline } from "./websocket-answer.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";
import { shakeHands } from "./websocket-handshake.ts";
import { WebSocketRelay } from "./websocket-relay.ts";

/** What all WebSockets of a gateway share. */
export interface ProxiedWebSocketOptions {
  readonly dialler: Dialler;
  /** Name of this host. */
  readonly host: string;
  /** Those of all other requests: a name is verified and sent in one way. */
  readonly secureSockets: SecureSockets;
  /** Until the destination answers, once the connection stands. */
  readonly answerTimeoutMs: number;
}

/** Relays a handshake and then the frames. Throws as long as the client has been told nothing. */
export async function relayWebSocket(
  options: ProxiedWebSocketOptions,
  context: FlowContext,
  upgrade: UpgradeRequest,
  flow: Flow,
): Promise<void> {
  const { url, client } = upgrade;
  const isSecure = url.protocol === "https:";
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  const port = Number(url.port) || (isSecure ? 443 : 80);
  const { socket, held } = await options.dialler.dial(context, host, port, client.gone, {
    sender: context,
  });
  const { watch } = context.running;
  watch?.leaves(held, socket);
  // From here on the end of the client is the end of the destination's socket, and of the port.
  client.gone.addEventListener(
    "abort",
    flow.guard(() => socket.destroy()),
  );
  if (client.gone.aborted) socket.destroy();
  const transport = isSecure ? await options.secureSockets.secure(socket, host, port, ["http/1.1"]) : socket;
  // Over TLS a connection ends in order by the peer's word alone. [OR27]
  const isTlsEndInOrder = isSecure ? watchTlsEnd(transport, socket) : () => true;
  const endedInOrder = (): boolean => transport.errored === null && isTlsEndInOrder();
  const answer = await shakeHands(transport, upgrade, options.answerTimeoutMs, flow);
  const { address, requestId } = context;
  const own = { ip: toldAs(address), port: held.port, host: options.host, requestId };
  watch?.answered(answer.response.statusCode ?? 0);
  if (answer.kind === "declined") {
    await relayDecline(upgrade, { ...answer, endedInOrder }, own, flow);
    socket.destroy();
    return;
  }
  client.isAnswered = true;
  client.socket.write(agreementHead(answer.response, own), "latin1");
  const relay = new WebSocketRelay(client.socket, transport, flow, context.running);
  relay.join(held, client.takeOver(), answer.firstBytes);
}
