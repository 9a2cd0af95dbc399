/**
 * The other end of the reset fuzz: origins that speak bytes, over TCP and TLS, and one that
 * speaks HTTP/2. The path of a request says by which plan its answer ends.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { CERTIFICATE, KEY, transportsOf } from "../agent/tls-origin.ts";
import type { Ending, ResetPlan } from "./reset-plan.ts";
import { ORIGIN_IPS } from "./target.ts";

/** Ports of all of them. */
export interface ResetOrigin {
  readonly plainPort: number;
  readonly securePort: number;
  readonly h2Port: number;
  /** Ends each connection before a byte. */
  readonly closedPort: number;
  /** Requests that arrived. */
  arrivedCount: number;
  readonly plans: Map<number, ResetPlan>;
  readonly close: () => void;
}

const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const FILLING = Buffer.alloc(400_000, "ipshard ");
const HEAD_END = "\r\n\r\n";

/** Starts all of them. */
export async function startResetOrigin(): Promise<ResetOrigin> {
  const sockets = new Set<Socket>();
  const origin = { plans: new Map<number, ResetPlan>(), arrivedCount: 0 };
  const mind = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const plain = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => serve(socket, origin));
  const secure = createTlsServer({ cert: CERTIFICATE, key: KEY, ALPNProtocols: ["http/1.1"] }, (socket) =>
    serve(socket, origin, transportOf(socket)),
  );
  const transportOf = transportsOf(secure);
  const h2 = createSecureServer({ cert: CERTIFICATE, key: KEY });
  h2.on("stream", (stream, headers) => serveStream(stream, String(headers[":path"]), origin));
  h2.on("sessionError", () => {});
  let turn = 0;
  const closed = createServer((socket) => {
    turn += 1;
    // The other side's end is only seen by who reads.
    socket.resume();
    if (turn % 2 === 0) socket.resetAndDestroy();
    else socket.end();
  });
  const servers: Server[] = [plain, secure, h2, closed];
  for (const server of servers) {
    server.on("connection", mind);
    server.on("tlsClientError", () => {});
    server.listen(0, ORIGIN_IPS[0], 4096);
    await once(server, "listening");
  }
  const [plainPort, securePort, h2Port, closedPort] = servers.map(
    (server) => (server.address() as AddressInfo).port,
  ) as [number, number, number, number];
  return Object.assign(origin, {
    plainPort,
    securePort,
    h2Port,
    closedPort,
    close: () => {
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
    },
  });
}

type Book = Pick<ResetOrigin, "plans"> & { arrivedCount: number };

/** Answers requests on one connection, one after the other, bodies passed over. */
function serve(socket: Socket, book: Book, transport: Socket = socket): void {
  let read = "";
  let isAnswering = false;
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.end());
  socket.on("data", (chunk) => {
    if (isAnswering) return;
    read = (read + chunk.toString("latin1")).slice(-16_384);
    const end = read.indexOf(HEAD_END);
    if (end === -1) return;
    const head = read.slice(0, end);
    read = "";
    const [, id, hop] = /^\w+ \/(\d+)(\/next)? /.exec(head) ?? [];
    const plan = book.plans.get(Number(id));
    book.arrivedCount += 1;
    if (plan === undefined) {
      socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    isAnswering = true;
    const bytes = answerTo(plan, head, hop !== undefined);
    const finish = (): void => endBy(plan.ending === "reset" ? transport : socket, plan.ending);
    answer(socket, plan, bytes, finish, () => {
      isAnswering = false;
    });
  });
}

function answerTo(plan: ResetPlan, head: string, isNext: boolean): Buffer {
  const body = FILLING.subarray(0, plan.bodyLength);
  if (plan.path === "websocket") {
    const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? "";
    const accept = createHash("sha1")
      .update(key + WEBSOCKET_GUID)
      .digest("base64");
    const greeting = `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`;
    const text = Math.min(100, plan.bodyLength);
    return Buffer.concat([Buffer.from(greeting), Buffer.from([0x81, text]), body.subarray(0, text)]);
  }
  const start = plan.path === "redirect" && !isNext ? `302 Found\r\nlocation: /${plan.id}/next` : "200 OK";
  if (plan.id % 3 === 0) {
    const size = body.length.toString(16);
    const chunked = body.length === 0 ? [] : [Buffer.from(`${size}\r\n`), body, Buffer.from("\r\n")];
    const top = `HTTP/1.1 ${start}\r\ntransfer-encoding: chunked\r\n\r\n`;
    return Buffer.concat([Buffer.from(top), ...chunked, Buffer.from("0\r\n\r\n")]);
  }
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${start}\r\ncontent-length: ${body.length}\r\n\r\n`), body]);
}

function answer(socket: Socket, plan: ResetPlan, bytes: Buffer, finish: () => void, done: () => void): void {
  if (plan.who === "client") {
    socket.write(bytes);
    done();
    return;
  }
  const cut = Math.min(bytes.length, plan.afterByteCount);
  if (cut === 0) finish();
  else if (cut < bytes.length) socket.write(bytes.subarray(0, cut), finish);
  else {
    socket.write(bytes, () => {
      setTimeout(finish, plan.afterMs);
    });
    done();
  }
}

/** Ends a connection in the planned way. */
export function endBy(socket: Socket, ending: Ending): void {
  if (ending === "reset") socket.resetAndDestroy();
  else if (ending === "half-close") socket.end();
  else socket.destroySoon();
}

function serveStream(stream: ServerHttp2Stream, path: string, book: Book): void {
  stream.on("error", () => {});
  stream.resume();
  const plan = book.plans.get(Number(/^\/(\d+)/.exec(path)?.[1]));
  book.arrivedCount += 1;
  if (plan === undefined || stream.destroyed) {
    if (!stream.destroyed) stream.respond({ ":status": 404 }, { endStream: true });
    return;
  }
  const body = FILLING.subarray(0, plan.bodyLength);
  if (plan.who === "client") {
    stream.respond({ ":status": 200 });
    stream.end(body);
    return;
  }
  const { session } = stream;
  const ends = [
    () => stream.close(plan.id % 14),
    () => session?.destroy(),
    () => {
      if (session?.destroyed === false) session.goaway(plan.id % 14);
      session?.destroy();
    },
    () => session?.socket?.destroy(),
  ] as const;
  const finish = ends[plan.id % ends.length]!;
  const cut = Math.min(body.length, plan.afterByteCount);
  if (plan.afterByteCount === 0) {
    finish();
    return;
  }
  stream.respond({ ":status": 200 });
  stream.write(body.subarray(0, cut), () => {
    setTimeout(finish, plan.afterMs);
  });
}
