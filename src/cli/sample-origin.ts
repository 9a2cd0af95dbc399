/** Stands for the Internet in `ipshard start`: answers every request with what it saw of it. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";

/** Serves until it is closed. */
export async function startSampleOrigin(host: string, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    request.once("end", () => {
      const seen = {
        address: request.socket.remoteAddress,
        port: request.socket.remotePort,
        method: request.method,
        path: request.url,
        headerCount: request.rawHeaders.length / 2,
      };
      response.setHeader("content-type", "application/json");
      response.end(`${JSON.stringify(seen)}\n`);
    });
  });
  server.listen({ host, port });
  await once(server, "listening");
  return server;
}
