/** The port is the sharding key: who sends from which port, as the origin saw it. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Agent, request } from "undici";
import { blockContains } from "../../src/core/port-block.ts";
import { Cluster, EGRESS_IP, kernelConnectionsFrom, until } from "./cluster.ts";
import type { SeenConnection } from "./origin.ts";

const HELD_COUNT = 3_000;
/** Requests that are on their way at one time: a rush of all is the laboratory's (surge.test.ts). */
const RUSH_COUNT = 250;

let cluster: Cluster;
let headers: Record<string, string>;
let client: Agent;

beforeAll(async () => {
  cluster = await Cluster.start({ hosts: ["h1", "h2"] });
  headers = await cluster.clientHeaders();
  client = new Agent({ connections: null, pipelining: 1 });
});
beforeEach(() => cluster.askOrigin("forget"));
afterAll(async () => {
  await client?.destroy();
  await cluster?.stop();
});

/** Opens held requests and returns their results once the origin holds them all. */
async function hold(count: number, destinationOf: (index: number) => string) {
  const early: unknown[] = [];
  const open = async (index: number) => {
    const reply = await request(cluster.through(destinationOf(index)), {
      headers,
      dispatcher: client,
      headersTimeout: 120_000,
    });
    return { status: reply.statusCode, headers: reply.headers, body: await reply.body.text() };
  };
  const results: ReturnType<typeof open>[] = [];
  while (results.length < count) {
    const more = Math.min(RUSH_COUNT, count - results.length);
    for (let at = 0; at < more; at += 1) {
      const result = open(results.length);
      results.push(result);
      void result.then(
        (reply) => reply.status === 200 || early.push(reply),
        (fault: unknown) => early.push(fault),
      );
    }
    await until(
      `the origin holds ${results.length} requests`,
      async () => {
        if (early.length > 0)
          throw new Error(`ended early: ${JSON.stringify(early[0])} and ${early.length - 1} more`);
        return (await cluster.askOrigin("held")) === results.length;
      },
      90_000,
    );
  }
  return results;
}

async function openConnections(): Promise<SeenConnection[]> {
  return (await cluster.seen()).filter((connection) => connection.closedAtMs === null);
}

test("3,000 requests held open towards one destination: 3,000 ports, each in its host's block", async () => {
  const results = await hold(HELD_COUNT, () => cluster.originUrl("/hold"));
  const open = await openConnections();
  expect(new Set(open.map((connection) => connection.address))).toEqual(new Set([EGRESS_IP]));
  const ports = open.map((connection) => connection.port);
  expect(new Set(ports).size).toBe(HELD_COUNT);
  const { blocks: all } = await cluster.table();
  const blocks = all.filter((lease) => lease.state === "leased");
  for (const port of ports) {
    expect(blocks.filter((block) => blockContains(block, port))).toHaveLength(1);
  }
  await cluster.askOrigin("release");
  const replies = await Promise.all(results);
  for (const reply of replies) {
    expect(reply.body).toBe("released");
    const port = Number(reply.headers["egress-port"]);
    const holder = blocks.find((block) => blockContains(block, port))!.host;
    expect(reply.headers["egress-host"]).toBe(holder);
  }
  // Both hosts carried a part: the address really is sharded.
  expect(new Set(replies.map((reply) => reply.headers["egress-host"]))).toEqual(new Set(["h1", "h2"]));
});

test("two hosts at full demand: never one port in both, by the origin's own log", async () => {
  const results = await hold(4_000, (index) => cluster.originUrl("/hold", index % 2));
  const seen = await cluster.seen();
  const blocks = (await cluster.table()).blocks.filter((lease) => lease.state === "leased");
  const hostsOfPort = new Map<number, Set<string>>();
  await cluster.askOrigin("release");
  for (const reply of await Promise.all(results)) {
    const port = Number(reply.headers["egress-port"]);
    const hosts = hostsOfPort.get(port) ?? new Set();
    hosts.add(String(reply.headers["egress-host"]));
    hostsOfPort.set(port, hosts);
  }
  for (const [port, hosts] of hostsOfPort) {
    expect([...hosts], `port ${port}`).toHaveLength(1);
    expect(blocks.find((block) => blockContains(block, port))?.host).toBe([...hosts][0]);
  }
  for (const connection of seen) expect(hostsOfPort.has(connection.port)).toBe(true);
});

test("one port serves many destinations at once: more connections than ports", async () => {
  const alone = await Cluster.start({
    hosts: ["h9"],
    settings: { maxPortsPerHost: 512, minPortsPerHost: 64 },
  });
  const outer = cluster;
  const outerHeaders = headers;
  try {
    cluster = alone;
    headers = await alone.clientHeaders();
    const results = await hold(1_200, (index) => alone.originUrl("/hold", index % 4));
    const open = await openConnections();
    const leased = (await alone.blocksOf("h9")).reduce((sum, block) => sum + 2 ** block.order, 0);
    expect(leased).toBeLessThanOrEqual(512);
    expect(open.length).toBe(1_200);
    expect(new Set(open.map((connection) => connection.port)).size).toBeLessThanOrEqual(leased);
    const flows = open.map(({ local, port }) => `${local}<${port}`);
    expect(new Set(flows).size).toBe(1_200);
    await alone.askOrigin("release");
    await Promise.all(results);
  } finally {
    cluster = outer;
    headers = outerHeaders;
    await alone.stop();
  }
});

test("when all is released, no port stays held, in the binder or in the kernel", async () => {
  await until(
    "nothing is held",
    async () => {
      for (const host of ["h1", "h2"]) {
        for (const address of (await cluster.status(host)).addresses) {
          if (address.heldCount > 0) return false;
        }
      }
      return (await kernelConnectionsFrom(EGRESS_IP)) === 0;
      // What the kernel refused, as while its own end of a connection rests, is held for a minute. [BI7]
    },
    90_000,
  );
  expect(await kernelConnectionsFrom(EGRESS_IP)).toBe(0);
});
