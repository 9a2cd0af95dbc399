/** A forward proxy as one writes it in an hour with `node:http`: what ours has to be better than at least. */
import { Agent, createServer, request as ask } from "node:http";
import { connect } from "node:net";
import { pipeline } from "node:stream";

const agent = new Agent({ keepAlive: true });
const server = createServer((request, response) => {
  const { method, headers, url = "" } = request;
  const asked = ask(url, { method, headers, agent }, (answer) => {
    if (response.destroyed) {
      answer.destroy();
      return;
    }
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    pipeline(answer, response, () => {});
  });
  asked.on("error", () => response.destroy());
  pipeline(request, asked, () => {});
});
server.on("connect", (request, client, head) => {
  const { hostname, port } = new URL(`http://${request.url}`);
  const origin = connect({ host: hostname, port: Number(port), noDelay: true }, () => {
    client.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (head.length > 0) origin.write(head);
    origin.pipe(client);
    client.pipe(origin);
  });
  origin.on("error", () => client.destroy());
  client.on("error", () => origin.destroy());
  client.once("close", () => origin.destroy());
  origin.once("close", () => client.destroy());
});
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
