/**
 * A WebSocket through the gateway: the handshake goes to the destination over a leased port as
 * an HTTP/1.1 request, and once it has agreed the two sockets are joined, whatever is said on
 * them. The port is held until both have ended. [GW9]
 */
import { isIP, type Socket } from "node:net";
import type { IncomingMessage } from "node:http";
import { connect as connectTls } from "node:tls";
import { outliveErrors } from "../../link/listener.ts";
import type { AddressPorts } from "../ports/address-ports.ts";
import type { Dialled, Dialler } from "../ports/dial.ts";
import { EgressFault } from "./faults.ts";
import type { Flow } from "../../link/flow.ts";
import type { RawHeaders } from "./forwarded-headers.ts";
import { agreementHead, relayDecline } from "./websocket-answer.ts";
import type { WebSocketClient } from "./websocket-client.ts";
import { shakeHands } from "./websocket-handshake.ts";
import { WebSocketRelay } from "./websocket-relay.ts";

/** What the upgrades of a gateway share. */
export interface WebSocketPath {
  readonly dialler: Dialler;
  /** Name of this host. */
  readonly host: string;
  readonly authorities: readonly string[] | undefined;
  /** Until TLS stands, and then until the destination answers. */
  readonly answerTimeoutMs: number;
}

/** A client's upgrade request, taken off the HTTP server. */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly client: WebSocketClient;
  readonly url: URL;
  readonly headers: RawHeaders;
}

/** Relays a handshake and then the frames. Throws as long as the client has been told nothing. */
export async function relayWebSocket(
  path: WebSocketPath,
  from: AddressPorts,
  upgrade: UpgradeRequest,
  flow: Flow,
): Promise<void> {
  const { url, client } = upgrade;
  const isSecure = url.protocol === "https:";
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  const port = Number(url.port) || (isSecure ? 443 : 80);
  const dialled = await path.dialler.dial(from, host, port, client.gone);
  const { socket, held } = dialled;
  // From here on the end of the client is the end of the destination's socket, and of the port.
  client.gone.addEventListener(
    "abort",
    flow.guard(() => socket.destroy()),
  );
  if (client.gone.aborted) socket.destroy();
  const transport = isSecure ? await encrypt(path, dialled, host, flow) : socket;
  const answer = await shakeHands(transport, upgrade, path.answerTimeoutMs, flow);
  const own = { ip: from.ip, port: held.port, host: path.host };
  if (answer.kind === "declined") {
    await relayDecline(upgrade, answer, own, flow);
    socket.destroy();
    return;
  }
  client.isAnswered = true;
  client.socket.write(agreementHead(answer.response, own), "latin1");
  new WebSocketRelay(client.socket, transport, flow).join(held, client.takeOver(), answer.firstBytes);
}

function encrypt(path: WebSocketPath, { socket }: Dialled, host: string, flow: Flow): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const secured = connectTls({
      socket,
      // RFC 6066: an address is no server name.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      host,
      ALPNProtocols: ["http/1.1"],
      ...(path.authorities === undefined ? {} : { ca: [...path.authorities] }),
    });
    outliveErrors(secured);
    secured.on("error", reject);
    secured.setTimeout(
      path.answerTimeoutMs,
      flow.guard(() => {
        secured.destroy(new EgressFault("connection-timeout"));
      }),
    );
    socket.once("close", () => reject(new EgressFault("connection-terminated")));
    secured.once(
      "secureConnect",
      flow.guard(() => {
        secured.setTimeout(0);
        resolve(secured);
      }),
    );
  });
}
