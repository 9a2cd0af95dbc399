/** What a client hears of the destination's answer to its handshake. [GW3] [GW18] */
import { type IncomingMessage, ServerResponse } from "node:http";
import {
  EGRESS_HOST,
  EGRESS_IP,
  EGRESS_PORT,
  EGRESS_REQUEST_ID,
  PROXY_STATUS,
} from "../../../wire/header-names.ts";
import { EgressFault } from "../../egress/faults.ts";
import type { Flow } from "../../../process/flow.ts";
import { type RawHeaders, readResponseHeaders, relayedProxyStatus } from "../http/forwarded-headers.ts";
import { endInPeace } from "../clients/problem-reply.ts";
import { writablePhrase } from "../http/reason-phrase.ts";
import type { Declined } from "./websocket-handshake.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";

/** From where the handshake was made. */
export interface Departure {
  readonly ip: string;
  readonly port: number;
  readonly host: string;
  readonly requestId: string | null;
}

/** A refusal of the handshake whose body may still be on its way. */
export interface DeclineUnderWay extends Declined {
  /** Whether the connection, once it has ended, did so in order. */
  readonly endedInOrder: () => boolean;
}

const BODILESS: ReadonlySet<number> = new Set([204, 304]);

/** The head of a 101, as bytes of latin1: none of the destination's is changed. */
export function agreementHead(response: IncomingMessage, departure: Departure): string {
  const fields = ["connection", "Upgrade", "upgrade", "websocket", ...fieldsOf(response, departure)];
  let text = `HTTP/1.1 101 ${writablePhrase(response.statusMessage) ?? ""}\r\n`;
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  return `${text}\r\n`;
}

/** Passes a refusal of the handshake on, body and all; resolves when it is over, or the client is gone. */
export async function relayDecline(
  { request, client }: UpgradeRequest,
  { response: received, endedInOrder }: DeclineUnderWay,
  departure: Departure,
  flow: Flow,
): Promise<void> {
  const { socket } = client;
  const { statusCode: status = 502, statusMessage } = received;
  const isWhole = (): boolean => !endsWithConnection(received) || endedInOrder();
  // As long as the client has been told nothing it can be told this.
  if (received.readableEnded && !isWhole()) throw new EgressFault("connection-terminated");
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  response.shouldKeepAlive = false;
  response.sendDate = false;
  client.takeOver();
  socket.resume();
  response.writeHead(status, writablePhrase(statusMessage) ?? "", fieldsOf(received, departure));
  client.isAnswered = true;
  await new Promise<void>((resolve, reject) => {
    const onFault = (fault: unknown): void => {
      // It broke off, and must not look whole. What has come of it goes out.
      socket.destroySoon();
      reject(fault);
    };
    response.on("error", onFault);
    received.on("error", onFault);
    received.on(
      "data",
      flow.guard((chunk: Buffer) => {
        if (!response.write(chunk)) received.pause();
      }),
    );
    // Not that of the response: Node hands it on only on sockets that it has not handed over.
    socket.on(
      "drain",
      flow.guard(() => {
        received.resume();
      }),
    );
    const onEnd = flow.guard(() => {
      if (!isWhole()) return onFault(new EgressFault("connection-terminated"));
      response.end(() => {
        endInPeace(socket);
        resolve();
      });
    });
    if (received.readableEnded) onEnd();
    else received.once("end", onEnd);
    socket.once("close", () => resolve());
    // It was held until it began.
    received.resume();
  });
}

/** Whether nothing but the end of the connection is the end of the body. */
function endsWithConnection({ statusCode = 502, headers }: IncomingMessage): boolean {
  const isFramed = headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
  return !isFramed && !BODILESS.has(statusCode);
}

function fieldsOf(response: IncomingMessage, { ip, port, host, requestId }: Departure): RawHeaders {
  const { statusCode: status = 502 } = response;
  const { forwarded, proxyStatus } = readResponseHeaders(response.rawHeaders, status);
  return [
    ...forwarded,
    EGRESS_IP,
    ip,
    EGRESS_PORT,
    String(port),
    EGRESS_HOST,
    host,
    ...(requestId === null ? [] : [EGRESS_REQUEST_ID, requestId]),
    PROXY_STATUS,
    relayedProxyStatus(proxyStatus, status),
  ];
}
