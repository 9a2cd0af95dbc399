/** Hosts with few ports: while one is full towards a destination, the others serve what comes. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, until } from "./cluster.ts";

const HOSTS = ["h1", "h2", "h3"];
const PORTS = 64;

/** Each test has an address of the origin to itself: ports rest for a while towards where they were used. */
let cluster: Cluster;
const client = new Agent({ connections: null });

beforeAll(async () => {
  const settings = { firstBlockOrder: 6, minPortsPerHost: PORTS, maxPortsPerHost: PORTS };
  cluster = await Cluster.start({ hosts: HOSTS, settings });
});
afterEach(async () => {
  await cluster.askOrigin("release");
  await until("nothing is held", async () => (await cluster.askOrigin("held")) === 0);
});
afterAll(async () => {
  await client.destroy();
  await cluster?.stop();
});

/** Has gateways hold so many ports towards an address of the origin; `released` tells how they ended. */
async function fill(
  counts: Readonly<Record<string, number>>,
  index: number,
): Promise<{ released: Promise<number[]> }> {
  const reply = await fetch(`${cluster.edgeUrl}/v1/gateway-tokens`, {
    method: "POST",
    headers: await cluster.clientHeaders(),
  });
  const { token } = (await reply.json()) as { token: string };
  const headers = { "egress-authorization": `Bearer ${token}` };
  const held = Object.entries(counts).flatMap(([host, count]) =>
    Array.from({ length: count }, async () => {
      const url = cluster.through(cluster.originUrl("/hold", index), cluster.gatewayOf(host));
      const answer = await request(url, { headers, dispatcher: client });
      await answer.body.dump();
      return answer.statusCode;
    }),
  );
  const released = Promise.all(held);
  released.catch(() => {});
  const wanted = Object.values(counts).reduce((sum, count) => sum + count, 0);
  await until("the ports are held", async () => (await cluster.askOrigin("held")) === wanted);
  return { released };
}

/** Sends unpinned requests through the edge, some at a time, and counts them by status, code and host. */
async function spread(count: number, atATime: number, index: number): Promise<Record<string, number>> {
  const headers = await cluster.clientHeaders();
  const seen: Record<string, number> = {};
  let sent = 0;
  const lines = Array.from({ length: atATime }, async () => {
    while (sent < count) {
      sent += 1;
      const answer = await request(cluster.through(cluster.originUrl("/seen", index)), {
        headers,
        dispatcher: client,
      });
      const body = (await answer.body.json()) as { code?: string };
      const key = `${answer.statusCode} ${body.code ?? String(answer.headers["egress-host"])}`;
      seen[key] = (seen[key] ?? 0) + 1;
    }
  });
  await Promise.all(lines);
  return seen;
}

test("[WK22] one host is full: 200 requests right after, and none is refused", async () => {
  await fill({ h1: PORTS }, 0);
  const seen = await spread(200, 10, 0);
  expect(Object.keys(seen).toSorted()).toEqual(["200 h2", "200 h3"]);
  expect((seen["200 h2"] ?? 0) + (seen["200 h3"] ?? 0)).toBe(200);
});

test("[WK22] all but one are full, and that one nearly: none is refused", async () => {
  await fill({ h1: PORTS, h2: PORTS - 8, h3: PORTS }, 1);
  expect(await spread(200, 6, 1)).toEqual({ "200 h2": 200 });
});

test("[WK22] [PM3] a few seconds after a host was full all serve again, and none is refused", async () => {
  const { released } = await fill({ h1: PORTS, h2: PORTS }, 2);
  const before = await spread(50, 6, 2);
  expect(before).toEqual({ "200 h3": 50 });
  await cluster.askOrigin("release");
  expect(new Set(await released)).toEqual(new Set([200]));
  const after = await spread(200, 10, 2);
  expect(Object.keys(after).filter((key) => !key.startsWith("200 "))).toEqual([]);
  await until("all serve again", async () => Object.keys(await spread(40, 10, 2)).length === HOSTS.length);
});

test("[WK22] every port of every host is used before anything is refused, and then it is by name", async () => {
  await fill({ h1: PORTS, h2: PORTS, h3: PORTS }, 3);
  expect(await spread(20, 5, 3)).toEqual({ "503 port-block-exhausted": 20 });
});
