/**
 * An HTTP origin for tens of thousands of connections: it says who called, at once or once it is told
 * to. Several run on one port, and the kernel spreads connections over them, since none of them may
 * have as many descriptors as there are ports.
 *
 *     node crowd-origin.ts PORT
 *     /seen?nonce=N    is answered at once
 *     /hold?nonce=N    is answered when the origin is told to
 *
 * Told on its input, each line answered by one:
 *
 *     held             how many requests wait
 *     ports            the ports that they came from, as JSON
 *     answer           answers all of them, and says how many; those that come from then on at once
 *     hold             lets requests wait again
 */
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

interface Waiting {
  readonly socket: Socket;
  readonly nonce: string;
}

const HEAD_END = "\r\n\r\n";
const BACKLOG = 4_096;
const waiting = new Set<Waiting>();
let isHolding = true;

const server = createServer({ noDelay: true }, (socket) => {
  let received = "";
  let held: Waiting | null = null;
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    if (held !== null) waiting.delete(held);
  });
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    const end = received.indexOf(HEAD_END);
    if (end < 0) return;
    const target = received.slice(received.indexOf(" ") + 1, received.indexOf(" HTTP/1.1"));
    received = received.slice(end + HEAD_END.length);
    const { pathname, searchParams } = new URL(target, "http://origin");
    const asked: Waiting = { socket, nonce: searchParams.get("nonce") ?? "" };
    if (pathname !== "/hold" || !isHolding) return answer(asked);
    held = asked;
    waiting.add(asked);
  });
});

function answer({ socket, nonce }: Waiting): void {
  const address = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  const body = `${JSON.stringify({ address, port: socket.remotePort, nonce })}\n`;
  socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}${HEAD_END}${body}`);
}

function obey(order: string): unknown {
  switch (order) {
    case "held":
      return waiting.size;
    case "ports":
      return [...waiting].map(({ socket }) => socket.remotePort);
    case "answer": {
      isHolding = false;
      const count = waiting.size;
      for (const one of waiting) answer(one);
      waiting.clear();
      return count;
    }
    case "hold":
      isHolding = true;
      return true;
    default:
      throw new Error(`unknown order ${order}`);
  }
}

server.listen({ port: Number(process.argv[2]), host: "::", reusePort: true, backlog: BACKLOG }, () => {
  console.log("listening");
});
for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(obey(line)));
