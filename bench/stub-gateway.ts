/** A gateway that answers every request at once and reads nothing but its end: a process of its own. */
import { createServer } from "node:net";

const ANSWER = Buffer.from(
  "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\negress-ip: 127.0.0.10\r\negress-port: 2048\r\n" +
    "egress-host: stub\r\nproxy-status: ipshard\r\ncontent-length: 3\r\n\r\nyes",
);
const END_OF_HEADERS = Buffer.from("\r\n\r\n");

const server = createServer({ noDelay: true }, (socket) => {
  let pending: Buffer | null = null;
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    let data = pending === null ? chunk : Buffer.concat([pending, chunk]);
    let end = data.indexOf(END_OF_HEADERS);
    while (end >= 0) {
      socket.write(ANSWER);
      data = data.subarray(end + END_OF_HEADERS.length);
      end = data.indexOf(END_OF_HEADERS);
    }
    pending = data.length > 0 ? data : null;
  });
});
server.listen(0, "127.0.0.1", () => {
  process.send?.({ port: (server.address() as { port: number }).port });
});
process.on("disconnect", () => process.exit(0));
