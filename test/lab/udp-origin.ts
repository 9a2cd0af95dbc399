/**
 * An origin of the laboratory for datagrams: on each of its addresses it sends back from where a datagram
 * came and what it says, from the address that was asked.
 *
 *     node udp-origin.ts PORT ADDRESS ...
 */
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";

const [port, ...addresses] = process.argv.slice(2);
let boundCount = 0;
for (const address of addresses) {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  socket.on("message", (text, from) => {
    socket.send(`${from.address} ${from.port} ${text.toString("latin1")}`, from.port, from.address, () => {});
  });
  socket.bind(Number(port), address, () => {
    boundCount += 1;
    if (boundCount === addresses.length) console.log("listening");
  });
}
