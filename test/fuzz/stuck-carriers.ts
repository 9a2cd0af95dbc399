/** TCP connections in WebSockets of which one side sends all that it may, and the other reads nothing. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { CARRIER_PROTOCOL, MAX_MESSAGE_BYTES, WINDOW_BYTES } from "../../src/wire/tcp-carrier.ts";
import type { StuckTunnels } from "./stuck-tunnels.ts";
import { ORIGIN_IPS } from "./target.ts";

const PIECE = Buffer.alloc(256 * 1024, "stuck ");
const LANES = 64;
const SOURCES = 16;
const BINARY = 0x82;
const TEXT = 0x81;
const MASKED = 0x80;
const LENGTH_IN_16_BITS = 126;
const LENGTH_IN_64_BITS = 127;

/** Where a gateway is, and with what token it is asked. */
export interface GatewayPlace {
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

/** Opens so many: of one half the client reads nothing, of the other the origin. */
export async function openStuckCarriers(gateway: GatewayPlace, count: number): Promise<StuckTunnels> {
  const senders = new Set<Socket>();
  const sockets = new Set<Socket>();
  const mind = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true };
  const deaf = createServer(options, mind);
  const flooding = createServer(options, (socket) => {
    mind(socket);
    senders.add(socket);
    const say = (): void => {
      while (!socket.destroyed && socket.write(PIECE));
    };
    socket.on("drain", say);
    say();
  });
  const servers = [deaf, flooding];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, ORIGIN_IPS[0], 4096);
    await once(server, "listening");
    ports.push((server.address() as AddressInfo).port);
  }
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const id = left;
      const client = await openCarrier(gateway, ports[id % 2]!, id, mind);
      if (id % 2 === 1) {
        client.write(frame(TEXT, Buffer.from(JSON.stringify({ type: "credit", bytes: 2 ** 30 }))));
        continue;
      }
      senders.add(client);
      const message = frame(BINARY, Buffer.alloc(MAX_MESSAGE_BYTES, "stuck "));
      for (let sent = 0; sent < WINDOW_BYTES; sent += MAX_MESSAGE_BYTES) client.write(message);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return {
    ports,
    takenBytes: () =>
      [...senders].reduce((sum, { bytesWritten, writableLength }) => sum + bytesWritten - writableLength, 0),
    // A client that has sent all that it may stops by itself.
    stoppedCount: () => senders.size,
    close: async () => {
      let at = 0;
      for (const socket of sockets) {
        at += 1;
        if (at % 2 === 0) socket.resetAndDestroy();
        else socket.destroy();
      }
      for (const server of servers) {
        server.close();
        await once(server, "close");
      }
    },
  };
}

async function openCarrier(
  gateway: GatewayPlace,
  port: number,
  id: number,
  mind: (socket: Socket) => void,
): Promise<Socket> {
  const { host, port: gatewayPort, token } = gateway;
  const socket = connect({ host, port: gatewayPort, localAddress: `127.0.1.${1 + (id % SOURCES)}` });
  mind(socket);
  socket.write(
    [
      `GET /v1/connect?to=${ORIGIN_IPS[0]}:${port} HTTP/1.1`,
      "host: gateway",
      `egress-authorization: Bearer ${token}`,
      "connection: upgrade",
      "upgrade: websocket",
      "sec-websocket-version: 13",
      `sec-websocket-key: ${randomBytes(16).toString("base64")}`,
      `sec-websocket-protocol: ${CARRIER_PROTOCOL}`,
      "",
      "",
    ].join("\r\n"),
  );
  let read = "";
  while (!read.includes("\r\n\r\n")) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    read += chunk.toString("latin1");
  }
  socket.removeAllListeners("data");
  socket.pause();
  if (!read.startsWith("HTTP/1.1 101 ")) throw new Error(`not carried: ${read}`);
  return socket;
}

/** One message, with a mask that changes nothing. */
function frame(kind: number, payload: Buffer): Buffer {
  const { length } = payload;
  let head = Buffer.from([kind, MASKED | length]);
  if (length > 0xffff) {
    head = Buffer.alloc(10);
    head[0] = kind;
    head[1] = MASKED | LENGTH_IN_64_BITS;
    head.writeBigUInt64BE(BigInt(length), 2);
  } else if (length >= LENGTH_IN_16_BITS) {
    head = Buffer.from([kind, MASKED | LENGTH_IN_16_BITS, length >> 8, length & 0xff]);
  }
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}
