/**
 * Whoever reaches it is told where: `reached ADDRESS`. By HTTP, where it also redirects and speaks WebSocket; by
 * TCP, where it speaks first; and by datagrams, which it answers from the address that was asked.
 *
 *     node reached-origin.ts WEB_PORT,... GREETING_PORT,... UDP_PORT ADDRESS,...
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTcpServer, isIPv6, type Socket } from "node:net";
import { WebSocketServer } from "ws";

const [webPorts, greetingPorts, udpPort, addresses] = process.argv.slice(2).map((list) => list.split(","));

function greeting(socket: Socket): string {
  return `reached ${(socket.localAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "")}\n`;
}

for (const port of webPorts!) {
  const server = createServer((request, response) => {
    const to = new URL(request.url!, "http://origin").searchParams.get("to");
    response.setHeader("connection", "close");
    if (to === null) response.end(greeting(request.socket));
    // What no head can have leads nowhere.
    else if (Array.from(to).some((sign) => sign < " " && sign !== "\t")) response.writeHead(404).end();
    else response.writeHead(302, { location: Buffer.from(to, "utf8").toString("latin1") }).end();
  });
  const webSockets = new WebSocketServer({ server });
  webSockets.on("connection", (webSocket, request) => webSocket.send(greeting(request.socket)));
  server.listen(Number(port), "::");
  await once(server, "listening");
}

for (const port of greetingPorts!) {
  const server = createTcpServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(greeting(socket));
  });
  server.listen(Number(port), "::");
  await once(server, "listening");
}

for (const address of addresses!) {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  socket.on("message", (text, from) => socket.send(text, from.port, from.address, () => {}));
  socket.bind(Number(udpPort![0]), address);
  await once(socket, "listening");
}
console.log("listening");
