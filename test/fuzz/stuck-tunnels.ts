/** Tunnels through which one side sends without end, and the other reads nothing. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { ORIGIN_IPS } from "./target.ts";
import type { ProxyPlace } from "./tunnel-client.ts";

/** Tunnels that are stuck. */
export interface StuckTunnels {
  /** Bytes that senders have got rid of, all together. */
  readonly takenBytes: () => number;
  /** Where the origins listen. */
  readonly ports: readonly number[];
  /** How many senders have been stopped. */
  readonly stoppedCount: () => number;
  /** Ends all of them, some by resets. */
  readonly close: () => Promise<void>;
}

const PIECE = Buffer.alloc(256 * 1024, "stuck ");
const LANES = 64;
const SOURCES = 16;

/** Opens so many: of one half the client reads nothing, of the other the origin. */
export async function openStuckTunnels(proxy: ProxyPlace, count: number): Promise<StuckTunnels> {
  const senders = new Set<Socket>();
  const sockets = new Set<Socket>();
  const flood = (socket: Socket): void => {
    senders.add(socket);
    const say = (): void => {
      while (!socket.destroyed && socket.write(PIECE));
    };
    socket.on("drain", say);
    say();
  };
  const mind = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true };
  const deaf = createServer(options, mind);
  const flooding = createServer(options, (socket) => {
    mind(socket);
    flood(socket);
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
      const client = await openTunnel(proxy, ports[id % 2]!, id, mind);
      if (id % 2 === 0) flood(client);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return {
    ports,
    takenBytes: () =>
      [...senders].reduce((sum, { bytesWritten, writableLength }) => sum + bytesWritten - writableLength, 0),
    stoppedCount: () => [...senders].filter(({ writableNeedDrain }) => writableNeedDrain).length,
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

async function openTunnel(
  proxy: ProxyPlace,
  port: number,
  id: number,
  mind: (socket: Socket) => void,
): Promise<Socket> {
  const socket = connect({
    host: proxy.host,
    port: proxy.port,
    localAddress: `127.0.1.${1 + (id % SOURCES)}`,
    allowHalfOpen: true,
  });
  mind(socket);
  const place = `${ORIGIN_IPS[0]}:${port}`;
  const isSocks = id % 4 < 2;
  socket.write(
    isSocks
      ? Buffer.from([5, 1, 0, 5, 1, 0, 1, ...ORIGIN_IPS[0].split(".").map(Number), port >> 8, port & 0xff])
      : `CONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\n\r\n`,
  );
  let read = "";
  while (!(isSocks ? read.length >= 12 : read.includes("\r\n\r\n"))) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    read += chunk.toString("latin1");
  }
  socket.removeAllListeners("data");
  socket.pause();
  if (isSocks ? read[3] !== "\0" : !read.startsWith("HTTP/1.1 200 ")) throw new Error(`no tunnel: ${read}`);
  return socket;
}
