/** Resets, in whatever state a connection is. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { resetSocket } from "../../src/process/socket-reset.ts";

const STATES: readonly (readonly [string, (socket: Socket) => void])[] = [
  ["open", () => {}],
  ["ended a moment ago", (socket) => void socket.end()],
  ["ended with its last words", (socket) => void socket.end("bye")],
  [
    "ended, with more to say than anybody takes",
    (socket) => {
      socket.write(Buffer.alloc(32 * 1024 * 1024));
      socket.end();
    },
  ],
  ["paused", (socket) => void socket.pause()],
];

test.each(STATES)(
  "[GW27] a connection that is %s is closed by a reset, and its peer told",
  async (_what, prepare) => {
    let told: string | undefined;
    const server = createServer((peer) => {
      // Looked for by writing, since nobody reads what is beyond an end.
      const writing = setInterval(() => peer.write("x"), 5);
      peer.on("error", (fault: NodeJS.ErrnoException) => {
        told = fault.code;
      });
      peer.once("close", () => clearInterval(writing));
      peer.allowHalfOpen = true;
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    prepare(socket);
    resetSocket(socket);
    await once(socket, "close");
    const closed = new Promise((resolve) => {
      server.close(resolve);
    });
    await closed;
    expect(["ECONNRESET", "EPIPE"]).toContain(told);
  },
);
