/** Agrees to the WebSocket that carries a TCP connection, once there is one. [RC2] */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { CARRIER_PROTOCOL, MAX_MESSAGE_BYTES } from "../../../wire/tcp-carrier.ts";

/** Options that the types of `ws` do not know yet. */
const FURTHER_LIMITS: object = {
  /** How long a client may take to answer a close. */
  closeTimeout: 5_000,
  /** No sender that keeps the rules has reason to cut a message. */
  maxFragments: 64,
};

/** Answers handshakes that have been judged. */
export class CarrierServer {
  readonly #fields = new WeakMap<IncomingMessage, readonly string[]>();
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    ...FURTHER_LIMITS,
    // A client that asks and does not read would have its answers piled up here.
    autoPong: false,
    handleProtocols: () => CARRIER_PROTOCOL,
  });

  constructor() {
    this.#server.on("headers", (lines, request) => {
      lines.push(...(this.#fields.get(request) ?? []));
    });
  }

  /**
   * Sends the 101 with further fields (`name: value`); what has come meanwhile is read first. Null if the
   * client has gone.
   */
  agree(
    request: IncomingMessage,
    socket: Socket,
    early: Buffer,
    fields: readonly string[],
  ): WebSocket | null {
    this.#fields.set(request, fields);
    let agreed: WebSocket | null = null;
    this.#server.handleUpgrade(request, socket, early, (webSocket) => {
      agreed = webSocket;
    });
    return agreed;
  }
}
