/** A WebSocket to the edge that asks one thing after the other, as a host does. */
import { WebSocket } from "ws";

/** A connection on which every message has one answer, and answers come in order. */
export interface Asker {
  /** Sends one request, with an id of its own, and waits for its answer. */
  readonly ask: (message: Record<string, unknown>) => Promise<Record<string, any>>;
  /** Sends a message as it is, and waits for its answer. */
  readonly say: (message: Record<string, unknown>) => Promise<Record<string, any>>;
  readonly close: () => void;
}

/** Opens one. */
export async function openAsker(url: string, token: string): Promise<Asker> {
  const socket = new WebSocket(url.replace("http:", "ws:"), {
    headers: { authorization: `Bearer ${token}` },
  });
  const waiting: ((answer: Record<string, any>) => void)[] = [];
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  // Stays on for good: an edge that is ended takes its connections along.
  socket.on("error", () => {});
  const say: Asker["say"] = (message) => {
    socket.send(JSON.stringify(message));
    return new Promise((resolve) => {
      waiting.push(resolve);
    });
  };
  let requestCount = 0;
  socket.on("message", (data: Buffer) => {
    const text = data.toString();
    const answer = text.startsWith("{") ? (JSON.parse(text) as Record<string, any>) : {};
    // That is told unasked. [LK12]
    if (answer["type"] !== "changed") waiting.shift()?.(answer);
  });
  return {
    ask: (message) => {
      requestCount += 1;
      return say({ ...message, requestId: `r${requestCount}` });
    },
    say,
    close: () => socket.terminate(),
  };
}
