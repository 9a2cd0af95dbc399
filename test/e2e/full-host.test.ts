/** Hosts with few ports: while one is full towards a destination, the others serve what comes. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, until } from "./cluster.ts";
import { startNameServer } from "./name-server.ts";

const HOSTS = ["h1", "h2", "h3"];
const PORTS = 64;

/** Each test has an address of the origin to itself: ports rest for a while towards where they were used. */
let cluster: Cluster;
let names: Awaited<ReturnType<typeof startNameServer>>;
const client = new Agent({ connections: null });

beforeAll(async () => {
  const settings = { firstBlockOrder: 6, minPortsPerHost: PORTS, maxPortsPerHost: PORTS };
  names = await startNameServer(
    Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`n${at}.late.test`, ["127.0.0.25"]])),
  );
  const agentArgs = [`--dns=${names.address}`, "--allow=127.0.0.24/30"];
  cluster = await Cluster.start({ hosts: HOSTS, settings, agentArgs });
});
afterEach(async () => {
  await cluster.askOrigin("release");
  await until("nothing is held", async () => (await cluster.askOrigin("held")) === 0);
});
afterAll(async () => {
  await client.destroy();
  await cluster?.stop();
  names?.close();
});

/** Has gateways hold so many ports towards an address of the origin; `released` tells how they ended. */
async function fill(
  counts: Readonly<Record<string, number>>,
  index: number,
): Promise<{ released: Promise<number[]> }> {
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
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

/** Calls so often, some at a time, and counts what comes of it. */
async function tally(
  count: number,
  atATime: number,
  call: (index: number) => Promise<string>,
): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  let sent = 0;
  const lines = Array.from({ length: atATime }, async () => {
    while (sent < count) {
      const key = await call(sent++);
      seen[key] = (seen[key] ?? 0) + 1;
    }
  });
  await Promise.all(lines);
  return seen;
}

/** Sends unpinned requests through the edge, some at a time, and counts them by status, code and host. */
async function spread(count: number, atATime: number, index: number): Promise<Record<string, number>> {
  const headers = await cluster.clientHeaders();
  return tally(count, atATime, async () => {
    const url = cluster.through(cluster.originUrl("/seen", index));
    const answer = await request(url, { headers, dispatcher: client });
    const body = (await answer.body.json()) as { code?: string };
    return `${answer.statusCode} ${body.code ?? String(answer.headers["egress-host"])}`;
  });
}

const UPLOAD = Buffer.alloc(2_000_000, "ipshard, in a long upload. ");
const UPLOAD_HASH = createHash("sha256").update(UPLOAD).digest("hex");

/** The same with long uploads, every other one in chunks, that are `whole` or not. */
async function upload(
  count: number,
  atATime: number,
  urlOf: (at: number) => string,
): Promise<Record<string, number>> {
  const headers = await cluster.clientHeaders();
  return tally(count, atATime, async (at) => {
    const url = cluster.through(urlOf(at));
    const body = at % 2 === 0 ? UPLOAD : Readable.from(pieces(UPLOAD));
    const answer = await request(url, { method: "POST", headers, body, dispatcher: client });
    const said = (await answer.body.json()) as { code?: string; sha256?: string };
    const what = said.code ?? (said.sha256 === UPLOAD_HASH ? "whole" : "broken");
    return `${answer.statusCode} ${what} ${String(answer.headers["egress-host"])}`;
  });
}

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
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

test("[WK43] one host is full: 200 uploads right after, and each is taken whole by another", async () => {
  await fill({ h1: PORTS }, 4);
  const seen = await upload(200, 5, () => cluster.originUrl("/upload", 4));
  expect(Object.keys(seen).toSorted()).toEqual(["200 whole h2", "200 whole h3"]);
  expect((seen["200 whole h2"] ?? 0) + (seen["200 whole h3"] ?? 0)).toBe(200);
});

test("[WK43] so are uploads to names that take a host a while to look up before it refuses", async () => {
  await until("all serve again", async () => Object.keys(await spread(40, 10, 6)).length === HOSTS.length);
  await fill({ h1: PORTS }, 5);
  const seen = await upload(40, 10, (at) => `http://n${at}.late.test:${cluster.origin.port}/upload`);
  expect(Object.keys(seen).toSorted()).toEqual(["200 whole h2", "200 whole h3"]);
});
