/** What a client wants, when it asks for a WebSocket. */
import type { IncomingMessage } from "node:http";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import type { WebSocketClient } from "./websocket-client.ts";

/** A client's upgrade request, taken off the HTTP server. */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly client: WebSocketClient;
  readonly url: URL;
  /** Path and query as the client wrote them; absent for those of the URL. */
  readonly target?: string;
  readonly headers: RawHeaders;
}
