/** Clients that go away before the answer's head: what becomes of the port, through the self-hosted edge. */
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, EGRESS_IP, kernelConnectionsFrom, until } from "./cluster.ts";

const RESPONSE_TIMEOUT_MS = 4_000;
const COUNT = 5;

let cluster: Cluster;
let authorization: string;

beforeAll(async () => {
  cluster = await Cluster.start({
    hosts: ["h1"],
    agentArgs: [`--response-timeout=${RESPONSE_TIMEOUT_MS}`],
  });
  authorization = (await cluster.clientHeaders())["egress-authorization"]!;
});
afterAll(async () => {
  await cluster?.stop();
});

/** Clients whose requests wait at an origin that does not answer. */
async function waitingClients(method: string, fields: string, body: string): Promise<Socket[]> {
  const target = `/v1/fetch?url=${encodeURIComponent(cluster.originUrl("/hold"))}`;
  const head = `${method} ${target} HTTP/1.1\r\nhost: edge\r\negress-authorization: ${authorization}\r\n${fields}`;
  const clients = Array.from({ length: COUNT }, () => {
    const socket = connect(cluster.edgePort, "127.0.0.1", () => socket.write(`${head}\r\n${body}`));
    socket.on("error", () => {});
    return socket;
  });
  await until("all requests wait", async () => (await cluster.askOrigin("held")) === COUNT);
  return clients;
}

async function untilFree(): Promise<void> {
  await until("no port is in use", async () => {
    const { addresses } = await cluster.status("h1");
    return (
      addresses.every(({ heldCount }) => heldCount === 0) && (await kernelConnectionsFrom(EGRESS_IP)) === 0
    );
  });
}

test.each([
  ["GET", "", ""],
  ["POST", "content-length: 3\r\n", "abc"],
])("[WK42] a client that resets frees its port at once: %s", async (method, fields, body) => {
  const clients = await waitingClients(method, fields, body);
  const atMs = Date.now();
  for (const socket of clients) socket.resetAndDestroy();
  await until("the origin sees the end", async () => (await cluster.askOrigin("held")) === 0);
  expect(Date.now() - atMs).toBeLessThan(RESPONSE_TIMEOUT_MS);
  await untilFree();
});

test("[WK42] a client that ends within its body frees its port at once", async () => {
  const clients = await waitingClients("POST", "content-length: 300000\r\n", "x".repeat(1_000));
  const atMs = Date.now();
  for (const socket of clients) socket.end();
  await until("the origin sees the end", async () => (await cluster.askOrigin("held")) === 0);
  expect(Date.now() - atMs).toBeLessThan(RESPONSE_TIMEOUT_MS);
  await untilFree();
});

test.each([
  ["GET", "", ""],
  ["POST", "content-length: 3\r\n", "abc"],
])(
  "[WK42] of a client that closes in good order nobody is told, so the time for an answer bounds it: %s",
  async (method, fields, body) => {
    const clients = await waitingClients(method, fields, body);
    for (const socket of clients) socket.destroy();
    await until("the origin sees the end", async () => (await cluster.askOrigin("held")) === 0);
    await untilFree();
    expect(await cluster.askOrigin("held")).toBe(0);
  },
);
