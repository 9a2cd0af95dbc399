/**
 * A WebSocket through the gateway: the handshake goes to the destination over a leased port as
 * an HTTP/1.1 request, and once it has agreed the two sockets are joined, whatever is said on
 * them. The port is held until both have ended. [GW9]
 */
import { createHash } from "node:crypto";
import { type IncomingMessage, request as httpRequest, ServerResponse } from "node:http";
import { isIP, type Socket } from "node:net";
import { type Duplex, pipeline } from "node:stream";
import { connect as connectTls } from "node:tls";
import { EGRESS_HOST, EGRESS_IP, EGRESS_PORT, PROXY_STATUS } from "../../wire/header-names.ts";
import type { AddressPorts } from "../ports/address-ports.ts";
import type { Dialled, Dialler } from "../ports/dial.ts";
import { EgressFault } from "./faults.ts";
import { type RawHeaders, readResponseHeaders, relayedProxyStatus } from "./forwarded-headers.ts";
import { noteStreamed } from "./stream-garbage.ts";

/** What the other side of a handshake hashes with the key (RFC 6455 section 1.3). */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

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
  readonly socket: Duplex;
  /** What the client sent beyond its request. */
  readonly head: Buffer;
  readonly url: URL;
  readonly headers: RawHeaders;
}

/** Relays a handshake and then the frames. Throws as long as the client has been told nothing. */
export async function relayWebSocket(
  path: WebSocketPath,
  from: AddressPorts,
  upgrade: UpgradeRequest,
): Promise<void> {
  const { url, socket: client } = upgrade;
  const gone = new AbortController();
  const giveUp = (): void => gone.abort();
  client.once("close", giveUp);
  const isSecure = url.protocol === "https:";
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  const dialled = await path.dialler.dial(from, host, Number(url.port) || (isSecure ? 443 : 80), gone.signal);
  // From here on the end of the client is the end of the destination's socket, and of the port.
  client.once("close", () => dialled.socket.destroy());
  client.off("close", giveUp);
  try {
    const transport = isSecure ? await encrypt(path, dialled, host) : dialled.socket;
    await shakeHands(path, from, upgrade, dialled, transport);
  } catch (fault) {
    dialled.socket.destroy();
    throw fault;
  }
}

function encrypt(path: WebSocketPath, { socket }: Dialled, host: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const secured = connectTls({
      socket,
      // RFC 6066: an address is no server name.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      host,
      ALPNProtocols: ["http/1.1"],
      ...(path.authorities === undefined ? {} : { ca: [...path.authorities] }),
    });
    secured.setTimeout(path.answerTimeoutMs, () => secured.destroy(new EgressFault("connection-timeout")));
    secured.on("error", reject);
    socket.once("close", () => reject(new EgressFault("connection-terminated")));
    secured.once("secureConnect", () => {
      secured.setTimeout(0);
      resolve(secured);
    });
  });
}

function shakeHands(
  path: WebSocketPath,
  from: AddressPorts,
  upgrade: UpgradeRequest,
  { held }: Dialled,
  transport: Socket,
): Promise<void> {
  const { url } = upgrade;
  const forwarded = ["host", url.host, "connection", "Upgrade", "upgrade", "websocket", ...upgrade.headers];
  const own = [EGRESS_IP, from.ip, EGRESS_PORT, String(held.port), EGRESS_HOST, path.host];
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      method: "GET",
      path: url.pathname + url.search,
      headers: forwarded,
      createConnection: () => transport,
      setHost: false,
      timeout: path.answerTimeoutMs,
    });
    outgoing.once("timeout", () => outgoing.destroy(new EgressFault("response-timeout")));
    outgoing.once("error", reject);
    outgoing.once("upgrade", (response, _socket, firstBytes) => {
      if (!accepts(response, upgrade.request)) return reject(new EgressFault("response-malformed"));
      transport.setTimeout(0);
      join(upgrade, transport, handshakeReply(response, own), firstBytes);
      resolve();
    });
    // It declined: its answer is the client's.
    outgoing.once("response", (response) => {
      transport.setTimeout(0);
      relayRefusal(upgrade, transport, response, own);
      resolve();
    });
    outgoing.end();
  });
}

/**
 * Whether a 101 agrees to this very handshake (RFC 6455 section 4.1). Passed on unseen, another
 * would make the edge take this host for broken.
 */
function accepts({ headers }: IncomingMessage, { headers: asked }: IncomingMessage): boolean {
  const key = asked["sec-websocket-key"];
  if (headers.upgrade?.toLowerCase() !== "websocket") return false;
  if (key === undefined) return true;
  const expected = createHash("sha1").update(`${key}${ACCEPT_SUFFIX}`).digest("base64");
  return headers["sec-websocket-accept"] === expected;
}

function handshakeReply(response: IncomingMessage, own: RawHeaders): string {
  const { forwarded, proxyStatus } = readResponseHeaders(response.rawHeaders);
  const fields = ["connection", "Upgrade", "upgrade", "websocket", ...forwarded, ...own];
  fields.push(PROXY_STATUS, relayedProxyStatus(proxyStatus, 101));
  let text = `HTTP/1.1 101 ${response.statusMessage ?? ""}\r\n`;
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  return `${text}\r\n`;
}

function join(
  { socket: client, head }: UpgradeRequest,
  transport: Socket,
  reply: string,
  firstBytes: Buffer,
): void {
  client.write(reply, "latin1");
  if (firstBytes.length > 0) client.write(firstBytes);
  if (head.length > 0) transport.write(head);
  for (const side of [client, transport]) side.on("data", (chunk: Buffer) => noteStreamed(chunk.length));
  // Either end's end, clean or not, is the end of both: a half-open WebSocket is of no use.
  pipeline(client, transport, () => client.destroy());
  pipeline(transport, client, () => transport.destroy());
}

function relayRefusal(
  { request, socket: client }: UpgradeRequest,
  transport: Socket,
  received: IncomingMessage,
  own: RawHeaders,
): void {
  const { forwarded, proxyStatus } = readResponseHeaders(received.rawHeaders);
  const status = received.statusCode ?? 502;
  const response = new ServerResponse(request);
  response.assignSocket(client as Socket);
  response.shouldKeepAlive = false;
  response.sendDate = false;
  const proxied = [PROXY_STATUS, relayedProxyStatus(proxyStatus, status)];
  response.writeHead(status, received.statusMessage ?? "", [...forwarded, ...own, ...proxied]);
  pipeline(received, response, (fault) => {
    transport.destroy();
    if (fault) client.destroy();
    else client.end();
  });
}
