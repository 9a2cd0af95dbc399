/** Stands for the Internet in `ipshard start`: answers every request with what it saw of it. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { outliveClients } from "../../process/listener.ts";

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
  outliveClients(server, (fault) =>
    console.error(`The sample origin cannot accept a connection: ${fault.message}`),
  );
  server.listen({ host, port });
  await once(server, "listening");
  return server;
}
