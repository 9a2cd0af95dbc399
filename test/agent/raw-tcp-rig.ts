/** A gateway, a destination that does as it is told, and clients: the SDK, and one that breaks the rules. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { WebSocket } from "ws";
import { createEgress, type ConnectOptions, type EgressSocket } from "../../src/sdk/egress.ts";
import { openWebSocket } from "../../src/sdk/node/open-websocket.ts";
import { CARRIER_PROTOCOL } from "../../src/wire/tcp-carrier.ts";
import { type Origin, type Rig, type RigOptions, startByteOrigin, startRig } from "./gateway-rig.ts";

/** A gateway and a destination. */
export interface TcpRig {
  readonly rig: Rig;
  readonly origin: Origin;
  /** The destination's address. */
  readonly to: string;
  /** Connects by the SDK. */
  readonly connect: (options?: ConnectOptions, to?: string) => EgressSocket;
  /** The next connection at the destination. */
  readonly accepted: () => Promise<Socket>;
  /** Connects by a bare WebSocket. */
  readonly carry: (query?: string) => Promise<BareCarrier>;
  readonly close: () => Promise<void>;
}

/** A WebSocket, what came over it, and how it was closed. */
export interface BareCarrier {
  readonly webSocket: WebSocket;
  readonly texts: unknown[];
  byteCount: number;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

/** Starts all of it. */
export async function startTcpRig(
  options: RigOptions & { readonly halfOpen?: boolean } = {},
): Promise<TcpRig> {
  const rig = await startRig(options);
  const waiting: Socket[] = [];
  let take: ((socket: Socket) => void) | null = null;
  const origin = await startByteOrigin((socket) => {
    // As the destination may go on after the client's end.
    socket.allowHalfOpen = true;
    if (take === null) waiting.push(socket);
    else take(socket);
    take = null;
  });
  const to = `127.0.0.1:${origin.port}`;
  const egress = createEgress({ endpoint: rig.url, token: rig.token, openWebSocket });
  return {
    rig,
    origin,
    to,
    connect: (how, elsewhere = to) => egress.connect(elsewhere, how),
    accepted: async () =>
      waiting.shift() ??
      new Promise<Socket>((resolve) => {
        take = resolve;
      }),
    carry: (query = `to=${to}`) => carry(rig, query),
    close: async () => {
      origin.close();
      await rig.close();
    },
  };
}

/** Connects by a bare WebSocket. */
export async function carry(rig: Rig, query: string): Promise<BareCarrier> {
  const webSocket = new WebSocket(`${rig.url.replace("http", "ws")}/v1/connect?${query}`, CARRIER_PROTOCOL, {
    headers: { "egress-authorization": `Bearer ${rig.token}` },
    perMessageDeflate: false,
  });
  const texts: unknown[] = [];
  const carrier: BareCarrier = {
    webSocket,
    texts,
    byteCount: 0,
    closed: once(webSocket, "close").then(([code, reason]) => ({
      code: code as number,
      reason: String(reason),
    })),
  };
  webSocket.on("message", (data: Buffer, isBinary) => {
    if (isBinary) carrier.byteCount += data.length;
    else texts.push(JSON.parse(data.toString()));
  });
  webSocket.on("error", () => {});
  await once(webSocket, "open");
  return carrier;
}

/** All that a stream gives, as text. */
export async function textOf(readable: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  return new Response(readable).text();
}

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
