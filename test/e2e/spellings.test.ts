/** Every spelling of a destination through the edge: by requests and by WebSockets, and what its host then says. */
import { Agent, request as httpRequest } from "node:http";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RECORDS, SPELLINGS, trickyUrls } from "../spellings/spellings.ts";
import { codeIn, fetchTarget, POLICY_CODES } from "../spellings/ways.ts";
import { Cluster } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

const AT_ONCE = 8;

let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;
let headers: Record<string, string>;
let reachedCount = 0;
let privatePort = 0;
const listeners: Server[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

beforeAll(async () => {
  for (const ip of ["127.0.0.1", "127.0.0.2", "::1"]) {
    const server = createServer((socket) => {
      reachedCount += 1;
      socket.destroy();
    });
    server.listen(privatePort, ip);
    await once(server, "listening");
    privatePort = (server.address() as { port: number }).port;
    listeners.push(server);
  }
  names = await startNameServer(RECORDS);
  cluster = await Cluster.start({
    hosts: ["h1"],
    agentArgs: ["--dns", names.address, "--connect-timeout", "500"],
  });
  headers = await cluster.clientHeaders();
});
afterAll(async () => {
  for (const server of listeners) server.close();
  agent.destroy();
  names?.close();
  await cluster?.stop();
});

/** The code of the refusal; null for an answer that is none. */
function codeFor(url: string, more: Record<string, string>): Promise<string | null> {
  const path = fetchTarget(url);
  return new Promise((resolve, reject) => {
    const options = {
      port: cluster.edgePort,
      host: "127.0.0.1",
      path,
      headers: { ...headers, ...more },
      agent,
    };
    const request = httpRequest(options, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.on("end", () => resolve(codeIn(body)));
      response.on("error", reject);
    });
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve(null);
    });
    request.on("error", reject);
    request.end();
  });
}

const UPGRADE = {
  connection: "upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

test.each([
  ["a request", {}],
  ["a WebSocket", UPGRADE],
])(
  "[DE1] [DE2] [DE4] %s through the edge reaches nothing private, and nothing public is taken for it",
  async (_way, more) => {
    const left = [...SPELLINGS];
    const work = async (): Promise<void> => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const { host, dials } = next;
        const code = await codeFor(`http://${host}:${privatePort}/`, more);
        expect(code, host).not.toBeNull();
        if (dials !== null) expect(POLICY_CODES, `${host}: ${code}`).not.toContain(code);
        else
          expect(code, host).toMatch(/^(?:destination-prohibited|url-malformed|url-port-invalid|dns-error)$/);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    expect(reachedCount).toBe(0);
  },
);

test("[DE1] URLs that readers disagree on lead to nothing private through the edge", async () => {
  for (const ip of ["127.0.0.1", "[::1]", "0177.0.0.1"]) {
    for (const url of trickyUrls(`${ip}:${privatePort}`)) await codeFor(url, {});
  }
  expect(reachedCount).toBe(0);
});

test("[DE14] where loopback is allowed, the gateway and the edge are still no destinations", async () => {
  const open = await Cluster.start({ hosts: ["h1"], agentArgs: ["--allow=127.0.0.0/8"] });
  try {
    const by = await open.clientHeaders();
    const askFor = async (url: string): Promise<string> =>
      (await fetch(`${open.edgeUrl}/v1/fetch?url=${encodeURIComponent(url)}`, { headers: by })).text();
    for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"]) {
      for (const port of [open.edgePort, open.hosts.get("h1")!.port]) {
        expect(await askFor(`http://${host}:${port}/health`), `${host}:${port}`).toContain(
          "where the host or its edge listens",
        );
      }
    }
    const before = reachedCount;
    await askFor(`http://127.0.0.1:${privatePort}/`);
    expect(reachedCount).toBe(before + 1);
  } finally {
    await open.stop();
  }
});
