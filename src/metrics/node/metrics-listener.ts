/**
 * Where Prometheus finds the metrics of an agent or a router: a listener of its own, so that who may reach
 * the gateway need not reach this, and the other way round. [MT3]
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { Logger } from "pino";
import { isLoopback } from "../../core/plain-http.ts";
import type { Problem } from "../../core/problems.ts";
import { CommandFault, listenReason } from "../../process/command-fault.ts";
import { Flow } from "../../process/flow.ts";
import { outliveClients } from "../../process/listener.ts";
import { problemReply } from "../../wire/problem-response.ts";
import { bearerOf } from "../../wire/tokens.ts";
import { EXPOSITION_TYPE } from "../exposition.ts";
import { type MetricsPlace, readMetricsToken } from "./metrics-options.ts";

/** What it needs. */
export interface MetricsListenerOptions {
  readonly place: MetricsPlace;
  /** Makes the whole answer. */
  readonly text: () => Promise<string>;
  readonly log: Logger;
}

/** Scrapers are few, and none of them sends much. */
const MOST_CONNECTIONS = 16;

/** From `open` until `close`. */
export class MetricsListener {
  readonly #server: Server;
  readonly #text: () => Promise<string>;
  /** Of what must be shown; null where nothing need be. */
  readonly #tokenHash: Buffer | null;
  /** Whoever asks while an answer is made gets the same one. */
  #making: Promise<string> | null = null;

  private constructor({ text, log }: MetricsListenerOptions, tokenHash: Buffer | null) {
    this.#text = text;
    this.#tokenHash = tokenHash;
    const report = (fault: unknown): void => log.error({ err: fault }, "metrics could not be told");
    this.#server = createServer((request, response) => {
      const flow = new Flow((fault) => {
        report(fault);
        if (response.headersSent) response.destroy();
        else send(response, { code: "internal-fault" });
      }, report);
      flow.begin(() => this.#answer(request, response));
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
    outliveClients(this.#server, report);
  }

  /** Listens. Throws `listen-failed`, or `token-unreadable`. */
  static async open(options: MetricsListenerOptions): Promise<MetricsListener> {
    const { host, port, tokenFile } = options.place;
    const listener = new MetricsListener(
      options,
      tokenFile === null ? null : hashOf(await readMetricsToken(tokenFile)),
    );
    try {
      listener.#server.listen(port, host);
      await once(listener.#server, "listening");
    } catch (fault) {
      const message = `Cannot listen on ${host}:${port}: ${listenReason(fault)}. Choose another place with --metrics.`;
      throw new CommandFault("listen-failed", message, fault);
    }
    const at = listener.port;
    options.log.info(
      { port: at },
      `metrics are at http://${host.includes(":") ? `[${host}]` : host}:${at}/metrics`,
    );
    return listener;
  }

  /** Where it listens. */
  get port(): number {
    const address = this.#server.address();
    return address === null || typeof address === "string" ? 0 : address.port;
  }

  /** Ends everything at once. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const objection = this.#objectionTo(request);
    if (objection !== null) return send(response, objection);
    this.#making ??= this.#text().finally(() => (this.#making = null));
    const text = await this.#making;
    const length = Buffer.byteLength(text);
    response.writeHead(200, { "content-type": EXPOSITION_TYPE, "content-length": length });
    response.end(request.method === "HEAD" ? undefined : text);
  }

  #objectionTo({ headers, method, url = "" }: IncomingMessage): Problem | null {
    if (this.#tokenHash !== null) {
      const token = bearerOf(headers.authorization);
      if (token === null) return { code: "token-missing" };
      const isRight = timingSafeEqual(hashOf(token), this.#tokenHash);
      if (!isRight) return { code: "token-malformed", detail: "It is not what --metrics-token-file has." };
    } else if (!isOwnName(headers.host)) {
      // A page of some site may have its name lead to this machine: a browser then asks here for it.
      return { code: "route-unknown", detail: "Ask by the address of this machine." };
    }
    if (url.split("?", 1)[0] !== "/metrics") return { code: "route-unknown" };
    return method === "GET" || method === "HEAD" ? null : { code: "method-unsupported" };
  }
}

function isOwnName(host: string | undefined): boolean {
  const name = (host ?? "").replace(/:\d+$/, "");
  const bare = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
  return isIP(bare) !== 0 || isLoopback(bare);
}

function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function send(response: ServerResponse, problem: Problem): void {
  const { status, headers, body } = problemReply(problem);
  const challenge = status === 401 ? { "www-authenticate": "Bearer" } : {};
  const allow = status === 405 ? { allow: "GET, HEAD" } : {};
  response.writeHead(status, { ...headers, ...challenge, ...allow }).end(body);
}
