/**
 * An origin of the laboratory: over TCP it says who calls and, when the caller has ended, how
 * many bytes came; over UDP it sends back who called and what was said. Both families.
 *
 *     node echo-origin.ts PORT
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const port = Number(process.argv[2]);

const server = createServer({ allowHalfOpen: true }, (socket) => {
  let byteCount = 0;
  socket.on("error", () => socket.destroy());
  socket.write(`${plain(socket.remoteAddress)} ${socket.remotePort}\n`);
  socket.on("data", (chunk: Buffer) => (byteCount += chunk.length));
  socket.on("end", () => socket.end(`${byteCount}\n`));
});

for (const type of ["udp4", "udp6"] as const) {
  const socket = createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("message", (message, from) => {
    // From the address that was asked, and not the one that the kernel would prefer.
    const answer = `${from.address} ${from.port} ${message.toString("latin1").slice(0, 64)}`;
    socket.send(answer, from.port, from.address, () => {});
  });
  socket.bind(port);
}
server.listen(port, "::", () => console.log("listening"));

function plain(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}
