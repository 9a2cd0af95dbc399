/** An origin that keeps every byte that reaches it, and answers what is a request by the letter with its name. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { readStrictly, type StrictRequest } from "./strict-request.ts";

/** One connection to it. */
export interface RecordedConnection {
  bytes: Buffer;
  readonly requests: StrictRequest[];
  /** Where the next request begins. */
  readAt: number;
  /** What came is no request, and why. */
  brokenBy: string | null;
  isClosed: boolean;
}

/** What reaches it, from one question to the next. */
export interface RecordingOrigin {
  readonly ip: string;
  readonly port: number;
  /** Connections on which something came since the last `forget`. */
  readonly connections: () => readonly RecordedConnection[];
  /** Keeps only what is still open, and of that only what is not read. */
  readonly forget: () => void;
  readonly close: () => void;
}

/** Its answer to a request, without its framing. */
export function answerTextOf(target: string, body: Buffer): string {
  return `${target} with ${body.length}`;
}

/** Starts one. */
export async function startRecordingOrigin(ip: string): Promise<RecordingOrigin> {
  let connections: RecordedConnection[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection: RecordedConnection = {
      bytes: Buffer.alloc(0),
      requests: [],
      readAt: 0,
      brokenBy: null,
      isClosed: false,
    };
    connections.push(connection);
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      connection.bytes = Buffer.concat([connection.bytes, chunk]);
      answer(connection, socket);
    });
    socket.once("end", () => socket.end());
    socket.once("close", () => {
      connection.isClosed = true;
      sockets.delete(socket);
    });
  });
  server.listen(0, ip, 4096);
  await once(server, "listening");
  return {
    ip,
    port: (server.address() as AddressInfo).port,
    connections: () => connections.filter(({ bytes }) => bytes.length > 0),
    forget: () => {
      connections = connections.filter(({ isClosed }) => !isClosed);
      for (const connection of connections) {
        connection.bytes = connection.bytes.subarray(connection.readAt);
        connection.readAt = 0;
        connection.requests.length = 0;
      }
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function answer(connection: RecordedConnection, socket: Socket): void {
  while (connection.brokenBy === null && connection.readAt < connection.bytes.length) {
    const reading = readStrictly(connection.bytes, connection.readAt);
    if (reading.kind === "cut") return;
    if (reading.kind === "broken") {
      connection.brokenBy = reading.why;
      return;
    }
    connection.readAt = reading.endAt;
    connection.requests.push(reading);
    const text = answerTextOf(reading.target, reading.body);
    const content = reading.method === "HEAD" ? "" : text;
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${content}`, "latin1");
  }
}
