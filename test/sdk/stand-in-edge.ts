/** A real HTTP server in the edge's place: remembers what it was asked, answers as it is told. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Problem } from "../../src/core/problems.ts";
import { problemReply } from "../../src/wire/problem-response.ts";

/** A request as the edge saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  /** The destination in the query. */
  readonly destination: string | null;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers a request; its body has been read unless it streams. */
export type Answer = (seen: SeenRequest, response: ServerResponse, request: IncomingMessage) => void;

export class StandInEdge {
  readonly url: string;
  readonly seen: SeenRequest[] = [];
  /** How requests are answered; replaced at will. */
  answer: Answer = (_seen, response) => response.end("ok");
  /** Whether requests are answered before their body is there. */
  isEager = false;
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      void this.#serve(request, response);
    });
  }

  static async start(): Promise<StandInEdge> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new StandInEdge(server);
  }

  /** The one request since the last question. */
  takeSeen(): SeenRequest {
    const [only, ...others] = this.seen.splice(0);
    if (only === undefined || others.length > 0) throw new Error(`${others.length + 1} requests, not one`);
    return only;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.url);
    let body = "";
    if (!this.isEager) for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const seen: SeenRequest = {
      method: request.method!,
      path: url.pathname,
      destination: url.searchParams.get("url"),
      headers: request.headers,
      body,
    };
    this.seen.push(seen);
    this.answer(seen, response, request);
  }
}

/** Answers with a refusal of ipshard's own. */
export function refuseWith(problem: Problem): Answer {
  const { status, headers, body } = problemReply(problem);
  return (_seen, response) => response.writeHead(status, headers).end(body);
}
