/** Origins that answer each request with the bytes of its plan, in segments as asked. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { CERTIFICATE, KEY, transportsOf } from "../agent/tls-origin.ts";
import type { AnswerPlan } from "./answer-plan.ts";
import { ORIGIN_IPS } from "./target.ts";

/** What a request gets: the plan's bytes, in these segments. */
export interface Script {
  readonly plan: AnswerPlan;
  readonly segments: readonly number[];
}

export interface AnswerOrigin {
  readonly plainPort: number;
  readonly securePort: number;
  readonly scripts: Map<string, Script>;
  /** Ends all connections. */
  readonly disconnect: () => void;
  readonly close: () => void;
}

/** Starts both, plain and secure. */
export async function startAnswerOrigin(): Promise<AnswerOrigin> {
  const scripts = new Map<string, Script>();
  const sockets = new Set<Socket>();
  const plain = createServer({ noDelay: true }, (socket) => serve(socket, scripts, socket));
  const secure = createTlsServer(
    { cert: CERTIFICATE, key: KEY, ALPNProtocols: ["http/1.1"], noDelay: true },
    (socket) => serve(socket, scripts, transportOf(socket)),
  );
  const transportOf = transportsOf(secure);
  secure.on("tlsClientError", () => {});
  for (const server of [plain, secure]) {
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => sockets.delete(socket));
    });
    server.listen(0, ORIGIN_IPS[0], 4096);
    await once(server, "listening");
  }
  const disconnect = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    plainPort: (plain.address() as AddressInfo).port,
    securePort: (secure.address() as AddressInfo).port,
    scripts,
    disconnect,
    close: () => {
      disconnect();
      plain.close();
      secure.close();
    },
  };
}

function serve(socket: Socket, scripts: ReadonlyMap<string, Script>, transport: Socket): void {
  let read = "";
  /** It is about to be ended: what is asked now would be cut off by the end of the answer before. */
  let isEnding = false;
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    read += chunk.toString("latin1");
    const end = read.indexOf("\r\n\r\n");
    if (end === -1) return;
    const [, key] = /^\w+ \/(\S+) /.exec(read) ?? [];
    read = read.slice(end + 4);
    if (isEnding) return;
    const script = scripts.get(key ?? "");
    isEnding = script?.plan.ending !== null;
    if (script === undefined) socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    else void speak(socket, script, transport);
  });
}

async function speak(socket: Socket, { plan, segments }: Script, transport: Socket): Promise<void> {
  let at = 0;
  for (const size of segments) {
    if (socket.destroyed) return;
    socket.write(plan.bytes.subarray(at, at + size));
    at += size;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  if (socket.destroyed) return;
  if (plan.ending === "fin") socket.end();
  // What was written must be on its way, or the reset takes it along.
  else if (plan.ending === "reset") socket.write("", () => transport.resetAndDestroy());
}
