/**
 * The far end of a TCP connection that is carried to the stand-in: it sends back what it gets, or says
 * what it was told to say. It speaks as a gateway does, and says that TLS stands without making any. [TE5]
 */
import { CarrierEnd, type CarrierWebSocket } from "../../sdk/carrier-end.ts";
import { CARRIER_CLOSE, formatCloseReason, formatControl, parseControl } from "../../wire/tcp-carrier.ts";
import type { StandInAnswer } from "./stand-in-answer.ts";

/** Serves a connection that has been agreed to, to its end. */
export async function serveCarried(webSocket: CarrierWebSocket, answer: StandInAnswer | null): Promise<void> {
  const end = new CarrierEnd();
  end.attach(withTls(webSocket));
  let leftBytes = answer?.cutAfterBytes ?? Infinity;
  const say = async (bytes: Uint8Array<ArrayBuffer>): Promise<boolean> => {
    await end.send(bytes.slice(0, Math.min(bytes.length, leftBytes)));
    leftBytes -= bytes.length;
    if (leftBytes > 0) return true;
    webSocket.close(CARRIER_CLOSE.failed, formatCloseReason("connection-terminated"));
    return false;
  };
  try {
    if (answer?.body !== undefined) {
      if (!(await say(new TextEncoder().encode(answer.body)))) return;
    } else {
      for (let bytes = await end.receive(end); bytes !== null; bytes = await end.receive(end)) {
        if (!(await say(bytes))) return;
      }
    }
    await end.end();
    // What still comes is of no interest, but its end is waited for.
    end.discard();
    while ((await end.receive(end)) !== null);
    end.close();
  } catch {
    // The client is gone; nobody else waits for this connection.
  }
}

/** The same WebSocket, on which the beginning of TLS is agreed to at once. */
function withTls(webSocket: CarrierWebSocket): CarrierWebSocket {
  return {
    send: (message) => webSocket.send(message),
    close: (code, reason) => webSocket.close(code, reason),
    accept: () => webSocket.accept?.(),
    addEventListener: (type: string, listener: (event: never) => void): void => {
      const heard = (event: { readonly data?: unknown }): void => {
        const control = typeof event.data === "string" ? parseControl(event.data) : null;
        if (type === "message" && control?.ok === true && control.value.type === "start-tls") {
          webSocket.send(formatControl({ type: "secured" }));
        } else listener(event as never);
      };
      webSocket.addEventListener(type as "message", heard);
    },
    set binaryType(type: string) {
      webSocket.binaryType = type;
    },
  };
}
