/**
 * WebSockets for `connect` in Node, by the package `ws`: Node's own cannot say with which status a
 * handshake was refused. [CL11]
 */
import { Readable } from "node:stream";
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import type { CarrierWebSocket } from "../carrier-end.ts";
import type { OpenWebSocket, UpgradeAnswer } from "../connect.ts";

/** An answer to a handshake is a refusal; a longer one is none of ours. */
const MAX_REFUSAL_BYTES = 64 * 1024;

/** For the option of the same name. */
export const openWebSocket: OpenWebSocket = (url, { headers, protocol, signal }) =>
  new Promise<UpgradeAnswer>((resolve, reject) => {
    const address = url.replace(/^http/, "ws");
    const webSocket = new WebSocket(address, protocol, {
      headers: Object.fromEntries(headers),
      perMessageDeflate: false,
      // A WebSocket outlives the signal of its opening.
      finishRequest: (request) => {
        const abort = (): void => void request.destroy(new Error("The call was given up."));
        if (signal.aborted) abort();
        signal.addEventListener("abort", abort, { once: true });
        request.once("close", () => signal.removeEventListener("abort", abort));
        request.once("upgrade", () => signal.removeEventListener("abort", abort));
        request.end();
      },
    });
    let head: Headers = new Headers();
    webSocket.on("error", (fault) => reject(signal.aborted ? signal.reason : fault));
    webSocket.once("upgrade", (answer) => {
      head = headersOf(answer);
    });
    webSocket.once("unexpected-response", (_request, answer) => {
      resolve({ response: refusalFrom(answer), webSocket: null });
    });
    webSocket.once("open", () => {
      // What comes with the agreement is for whoever gets it.
      webSocket.pause();
      const accept = (): void => webSocket.resume();
      // A Response cannot have the status 101.
      const response = new Response(null, { headers: head });
      resolve({ response, webSocket: Object.assign(webSocket, { accept }) as unknown as CarrierWebSocket });
    });
  });

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at < rawHeaders.length; at += 2) headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
  return headers;
}

function refusalFrom(answer: IncomingMessage): Response {
  const { statusCode: status = 502, statusMessage: statusText = "" } = answer;
  const isReadable = status >= 200 && status <= 599 && status !== 204 && status !== 205 && status !== 304;
  let size = 0;
  answer.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_REFUSAL_BYTES) answer.destroy();
  });
  answer.pause();
  if (isReadable) {
    const body = Readable.toWeb(answer) as unknown as ReadableStream<Uint8Array<ArrayBuffer>>;
    return new Response(body, { status, statusText, headers: headersOf(answer) });
  }
  answer.destroy();
  return new Response(null, { status: 502, headers: headersOf(answer) });
}
