/** The stand-in as a plain server of Node's, in the process of the test. [TE3] */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { WebSocketServer } from "ws";
import { problemReply } from "../../wire/problem-response.ts";
import { CARRIER_PROTOCOL } from "../../wire/tcp-carrier.ts";
import { controlBy, type EgressControl } from "../edge/control.ts";
import type { Origin } from "../edge/gateway.ts";
import { readCommand } from "../edge/script.ts";
import { type Arrival, DEFAULT_TOKEN, StandInEdge, type StandInOptions } from "../edge/stand-in-edge.ts";

/** How the server begins. */
export interface EgressServerOptions extends StandInOptions {
  /** A free one where none is named. */
  readonly port?: number;
  /** Answers in the place of every destination of which nothing was told; it gets what that would get. */
  readonly destination?: Origin;
}

/** A stand-in that listens. */
export interface EgressServer extends EgressControl {
  /** For `endpoint`. */
  readonly url: string;
  /** A token that it believes. */
  readonly token: string;
  stop(): Promise<void>;
}

const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);
/** What no Request can have; the edge's platform makes nothing of these either. */
const UNKNOWN_METHODS: ReadonlySet<string> = new Set(["TRACE", "TRACK", "CONNECT"]);

/** Starts a stand-in on this machine. */
export async function startEgress(options: EgressServerOptions = {}): Promise<EgressServer> {
  const edge = new StandInEdge(options, options.destination ?? null);
  const server = createServer((request, response) => void serve(edge, request, response));
  const stopCarrying = carryOn(edge, server);
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...controlBy(async (command) => {
      const read = readCommand(command);
      if (!read.ok) throw new TypeError(read.refusal.detail);
      return edge.script.command(read.value);
    }),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: options.token ?? Object.keys(options.tokens ?? {})[0] ?? DEFAULT_TOKEN,
    stop: async () => {
      stopCarrying();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** TCP connections, which WebSockets carry. */
function carryOn(edge: StandInEdge, server: Server): () => void {
  const fieldsOf = new WeakMap<IncomingMessage, Headers>();
  const webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => CARRIER_PROTOCOL });
  webSockets.on("headers", (lines, request) => {
    for (const [name, value] of fieldsOf.get(request) ?? []) lines.push(`${name}: ${value}`);
  });
  const answer = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    let isAgreed = false;
    const upgrade: Arrival["upgrade"] = (fields, serveIt) => {
      isAgreed = true;
      fieldsOf.set(request, fields);
      webSockets.handleUpgrade(request, socket, head, (webSocket) => serveIt(webSocket));
      return new Response(null);
    };
    const refusal = await edge.answer(requestOf(request), { bound: null, upgrade });
    if (isAgreed) return;
    const response = new ServerResponse(request);
    response.assignSocket(socket as Socket);
    response.shouldKeepAlive = false;
    response.on("finish", () => socket.end());
    await send(refusal, response);
  };
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    answer(request, socket, head).catch(() => socket.destroy());
  });
  return () => {
    for (const webSocket of webSockets.clients) webSocket.terminate();
  };
}

async function serve(edge: StandInEdge, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (UNKNOWN_METHODS.has(request.method!)) {
    const { status, headers, body } = problemReply({ code: "method-unsupported" });
    response
      .writeHead(status, { ...headers, allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" })
      .end(body);
    return;
  }
  try {
    await send(await edge.answer(requestOf(request), { bound: null, upgrade: null }), response);
  } catch (fault) {
    // What stands in the destination's place has failed: the test is to see it.
    console.error("the stand-in failed", fault);
    response.destroy();
  }
}

function requestOf(request: IncomingMessage): Request {
  const headers = new Headers();
  const { rawHeaders, method = "GET" } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
  const hasBody =
    !BODILESS.has(method) &&
    (headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0);
  return new Request(`http://${request.headers.host ?? "127.0.0.1"}${request.url}`, {
    method,
    headers,
    ...(hasBody ? { body: Readable.toWeb(request) as ReadableStream, duplex: "half" } : {}),
  });
}

/** Sends an answer; one whose body breaks off ends with its connection. */
async function send(answer: Response, response: ServerResponse): Promise<void> {
  response.statusCode = answer.status;
  if (answer.statusText !== "") response.statusMessage = answer.statusText;
  response.sendDate = false;
  for (const [name, value] of answer.headers) {
    // The edge's platform takes `upgrade` away, too: it is about a connection.
    if (name !== "set-cookie" && name !== "upgrade") response.setHeader(name, value);
  }
  const cookies = answer.headers.getSetCookie();
  if (cookies.length > 0) response.setHeader("set-cookie", cookies);
  if (answer.body === null || response.req.method === "HEAD") {
    await answer.body?.cancel();
    response.end();
    return;
  }
  response.flushHeaders();
  try {
    for await (const piece of answer.body) {
      if (!response.write(piece)) await Promise.race([once(response, "drain"), once(response, "close")]);
      if (response.destroyed) break;
    }
    response.end();
  } catch {
    response.destroy();
  }
}
