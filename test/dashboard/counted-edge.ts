/** A way to the edge on which the messages of a host's WebSockets are noted, in both directions. */
import { createServer, type IncomingMessage, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { HEARTBEAT, HEARTBEAT_ANSWER } from "../../src/core/messages.ts";

/** Headers that are of one connection alone. */
const OF_CONNECTION = /^(?:host|connection|upgrade|sec-websocket-.*)$/;

/** The way. */
export class CountedEdge {
  /** As `pools > report` and `ips < answer`, in their order. */
  readonly said: string[] = [];
  readonly #edge: URL;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });

  private constructor(edge: string) {
    this.#edge = new URL(edge);
    this.#server = createServer((question, answer) => {
      const { method, url, headers } = question;
      const on = httpRequest(new URL(url!, this.#edge), { method: method!, headers }, (reply) => {
        answer.writeHead(reply.statusCode!, reply.headers);
        reply.pipe(answer);
      });
      on.on("error", () => answer.destroy());
      question.pipe(on);
    });
    this.#server.on("upgrade", (question, socket, head) => this.#join(question, socket, head));
  }

  static async start(edge: string): Promise<CountedEdge> {
    const made = new CountedEdge(edge);
    await new Promise<void>((resolve) => {
      made.#server.listen(0, "127.0.0.1", resolve);
    });
    return made;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #join(question: IncomingMessage, socket: Duplex, head: Buffer): void {
    const kept = Object.entries(question.headers).filter(([name]) => !OF_CONNECTION.test(name));
    const url = new URL(question.url!, this.#edge.href.replace(/^http/, "ws"));
    const edge = new WebSocket(url, { headers: Object.fromEntries(kept) as Record<string, string> });
    edge.on("error", () => socket.destroy());
    edge.on("open", () => {
      this.#sockets.handleUpgrade(question, socket, head, (host) => {
        const [, , kind] = url.pathname.split("/");
        this.#pass(host, edge, `${kind} >`);
        this.#pass(edge, host, `${kind} <`);
      });
    });
  }

  #pass(from: WebSocket, to: WebSocket, direction: string): void {
    from.on("message", (data: Buffer, isBinary) => {
      this.said.push(`${direction} ${kindOf(data.toString("utf8"))}`);
      to.send(data, { binary: isBinary });
    });
    from.on("close", () => to.close());
    from.on("error", () => to.terminate());
  }
}

function kindOf(text: string): string {
  if (text === HEARTBEAT || text === HEARTBEAT_ANSWER) return text;
  return (JSON.parse(text) as { readonly type: string }).type;
}
