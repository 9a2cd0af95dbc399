/** Hosts whose operators say where the edge reaches their gateways, asked through the edge. */
import { once } from "node:events";
import { createServer, request } from "node:http";
import { afterEach, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

const BASE = "/gateways/h1";

let cluster: Cluster | null = null;

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
});

async function answers(asked: Cluster): Promise<string[]> {
  const headers = await asked.clientHeaders();
  const seen = new Set<string>();
  for (let count = 0; count < 6; count += 1) {
    const reply = await fetch(asked.through(asked.originUrl("/seen")), { headers });
    seen.add(`${reply.status} by ${reply.headers.get("egress-host")}`);
    await reply.body?.cancel();
  }
  return [...seen];
}

test.each(["http://127.0.0.1:PORT", "http://127.0.0.1:PORT/"])(
  "[DO14] a host that was started with --gateway %s answers through the edge",
  async (gateway) => {
    cluster = await Cluster.start({ hosts: ["h1"], agentArgs: [`--gateway=${gateway}`] });
    expect(await answers(cluster)).toEqual(["200 by h1"]);
  },
);

test.each([`${BASE}/`])(
  "[DO14] a gateway behind a proxy that serves it below %s answers through the edge",
  async (path) => {
    let upstreamPort = 0;
    const proxy = createServer((incoming, outgoing) => {
      if (!incoming.url!.startsWith(`${BASE}/v1/`)) return void outgoing.writeHead(404).end();
      const { method, headers } = incoming;
      const target = { host: "127.0.0.1", port: upstreamPort, path: incoming.url!.slice(BASE.length) };
      const sent = request({ ...target, method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(sent);
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    try {
      const { port } = proxy.address() as { port: number };
      const gateway = `http://127.0.0.1:${port}${path}`;
      cluster = await Cluster.start({ hosts: ["h1"], agentArgs: [`--gateway=${gateway}`] });
      upstreamPort = cluster.hosts.get("h1")!.port;
      expect(await answers(cluster)).toEqual(["200 by h1"]);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  },
);
