/** A destination of the real edge that answers what it is told, as destinations of the stand-in do. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { StandInAnswer } from "../../src/testing/edge/stand-in-answer.ts";
import type { SeenByDestination } from "./egress-contract.ts";

/** Long enough for what was sent before to have been read. */
const CUT_AFTER_MS = 20;

export class ToldOrigin {
  readonly url: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #answers = new Map<string, StandInAnswer>();
  readonly #seen = new Map<string, SeenByDestination>();

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    const { address, port } = server.address() as AddressInfo;
    this.url = `http://${address}:${port}`;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      void this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(address: string): Promise<ToldOrigin> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    server.listen(0, address);
    await once(server, "listening");
    return new ToldOrigin(server);
  }

  /** A URL that answers so. */
  told(answer: StandInAnswer): string {
    const path = `/${this.#answers.size + 1}`;
    this.#answers.set(path, answer);
    return `${this.url}${path}`;
  }

  /** What a URL got last. */
  seen(url: string): SeenByDestination {
    return this.#seen.get(new URL(url).pathname)!;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    const path = request.url!;
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    this.#seen.set(path, { method: request.method!, headers, body });
    const answer = this.#answers.get(path) ?? { status: 404 };
    await delay(answer.afterMs ?? 0);
    response.sendDate = false;
    response.statusCode = answer.status ?? 200;
    const text = answer.body ?? "";
    response.setHeader("content-type", "text/plain;charset=UTF-8");
    response.setHeader("content-length", Buffer.byteLength(text));
    for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
    response.flushHeaders();
    await delay(answer.bodyAfterMs ?? 0);
    if (answer.cutAfterBytes === undefined) {
      response.end(text);
      return;
    }
    response.write(text.slice(0, answer.cutAfterBytes));
    await delay(CUT_AFTER_MS);
    response.destroy();
  }
}
