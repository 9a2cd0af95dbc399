/** A host with several data processes: one lease holder, ports by demand, and who dies loses only what is its own. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { viewProcess } from "../../src/process/process-identity.ts";
import { blockContains } from "../../src/core/port-block.ts";
import { Cluster, until } from "./cluster.ts";

const PROCESSES = 3;
/** Ports of its block, and those of them that no other program of this machine has on all addresses. */
const BLOCK_PORTS = 256;
let portCount = BLOCK_PORTS;
/** What a test leaves free: trials of the way out take a port now and then, and hold it down. */
const SPARE_PORTS = 6;
let fillCount = BLOCK_PORTS - SPARE_PORTS;

let cluster: Cluster;
let headers: Record<string, string>;
let client = new Agent({ connections: null });

beforeAll(async () => {
  const settings = { firstBlockOrder: 8, minPortsPerHost: BLOCK_PORTS, maxPortsPerHost: BLOCK_PORTS };
  cluster = await Cluster.start({
    hosts: ["h1"],
    settings,
    agentArgs: [`--processes=${PROCESSES}`, "--allow=127.0.0.24/30"],
  });
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  headers = { "egress-authorization": `Bearer ${token}` };
  const [block] = await cluster.blocksOf("h1");
  const taken = (await portsOnAllAddresses()).filter((port) => blockContains(block!, port));
  portCount = BLOCK_PORTS - new Set(taken).size;
  fillCount = portCount - SPARE_PORTS;
});
afterEach(async () => {
  await cluster.askOrigin("release");
  await until("nothing is held", async () => (await cluster.askOrigin("held")) === 0);
  await client.destroy();
  client = new Agent({ connections: null });
});
afterAll(async () => {
  await client.destroy();
  await cluster?.stop();
});

/** Holds so many requests at an address of the origin, each on a connection of its own; what became of each. */
function hold(count: number, index: number): Promise<string>[] {
  const url = cluster.through(cluster.originUrl("/hold", index), cluster.gatewayOf("h1"));
  return Array.from({ length: count }, async () => {
    try {
      const answer = await request(url, { headers, dispatcher: client });
      const text = await answer.body.text();
      return answer.statusCode === 200 ? "served" : (JSON.parse(text) as { code: string }).code;
    } catch {
      return "lost";
    }
  });
}

/** Waits until the origin holds so many; what ended early fails the test by its name. */
async function untilHeld(count: number, held: readonly Promise<string>[]): Promise<void> {
  const ended: string[] = [];
  for (const one of held) void one.then((result) => ended.push(result));
  await until(
    `${count} are held`,
    async () => {
      const early = ended.length - (held.length - count);
      assert(early <= 0, `${early} ended early: ${JSON.stringify(tally(ended))}`);
      return (await cluster.askOrigin("held")) === count;
    },
    30_000,
  );
}

const processes = async () => (await cluster.status("h1")).processes ?? [];

/** Ports at which some program listens on all addresses of this machine. */
async function portsOnAllAddresses(): Promise<number[]> {
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8")));
  return tables
    .join("\n")
    .split("\n")
    .flatMap((line) => {
      const [, port] = /^ *\d+: 0+:([0-9A-F]{4}) \S+ 0A /.exec(line) ?? [];
      return port === undefined ? [] : [Number.parseInt(port, 16)];
    });
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

function tally(results: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const result of results) counts[result] = (counts[result] ?? 0) + 1;
  return counts;
}

test("[MP7] [AG1] a place where data processes listen is another agent's no more than any other", async () => {
  const { port } = cluster.hosts.get("h1")!;
  cluster.hosts.set("h2", { port, running: null, args: [] });
  await cluster.startHost("h2", ["--processes=2"]);
  expect(await cluster.hosts.get("h2")!.running!.exited).toBe(1);
  cluster.hosts.delete("h2");
  expect(await readFile(`${cluster.directory}/h2.log`, "utf8")).toContain("listen-failed");
});

test("[MP5] [MP7] all ports of the host serve one destination from any of its processes, and then it is refused by name", async () => {
  const held = hold(fillCount, 0);
  await untilHeld(fillCount, held);
  const views = await processes();
  expect(views).toHaveLength(PROCESSES);
  expect(new Set(views.map(({ pid }) => pid)).size).toBe(PROCESSES);
  expect(views.reduce((sum, { units }) => sum + units, 0)).toBe(BLOCK_PORTS / 64);
  // The kernel shares the connections of clients out.
  for (const { flows } of views) expect(flows).toBeGreaterThan(fillCount / PROCESSES / 3);
  const refused: string[] = [];
  const more = hold(3 * SPARE_PORTS, 0);
  for (const one of more) void one.then((result) => refused.push(result));
  await until("the rest is refused", async () => {
    const heldCount = (await cluster.askOrigin("held")) as number;
    return heldCount + refused.length === fillCount + more.length;
  });
  const heldCount = (await cluster.askOrigin("held")) as number;
  expect(new Set(refused)).toEqual(new Set(["port-block-exhausted"]));
  // All but what trials of the way out use.
  expect(heldCount).toBeGreaterThanOrEqual(portCount - SPARE_PORTS);
  await until("the parent has heard", async () =>
    (await cluster.status("h1")).addresses.some((address) => address.heldCount >= heldCount),
  );
  const seen = (await cluster.seen()).filter(({ closedAtMs }) => closedAtMs === null);
  expect(new Set(seen.map(({ port }) => port)).size).toBe(seen.length);
  await cluster.askOrigin("release");
  expect(tally(await Promise.all(held))).toEqual({ served: fillCount });
});

test("[MP6] a data process that is killed loses its own connections only, and another takes its place and its ports", async () => {
  const held = hold(150, 1);
  await untilHeld(150, held);
  await until(
    "the parent has heard",
    async () => (await processes()).reduce((sum, { flows }) => sum + flows, 0) === 150,
  );
  const before = await processes();
  const doomed = before.toSorted((a, b) => b.flows - a.flows)[0]!;
  process.kill(doomed.pid, "SIGKILL");
  await until("it is replaced", async () => {
    const now = await processes();
    return now.length === PROCESSES && now.every(({ pid }) => pid !== doomed.pid);
  });
  await untilHeld(150 - doomed.flows, held);
  await cluster.askOrigin("release");
  expect(tally(await Promise.all(held))).toEqual({ served: 150 - doomed.flows, lost: doomed.flows });
  const again = hold(fillCount, 2);
  await untilHeld(fillCount, again);
  await cluster.askOrigin("release");
  expect(tally(await Promise.all(again))).toEqual({ served: fillCount });
});

test("[MP6] a data process that does not answer is ended, and replaced", async () => {
  const [stopped] = await processes();
  process.kill(stopped!.pid, "SIGSTOP");
  await until("it is gone", () => viewProcess(stopped!.pid) === null, 30_000);
  await until("it is replaced", async () => (await processes()).length === PROCESSES);
  const held = hold(fillCount, 3);
  await untilHeld(fillCount, held);
  await cluster.askOrigin("release");
  expect(tally(await Promise.all(held))).toEqual({ served: fillCount });
});

test("[MP6] without their agent data processes end; the next agent begins with the same leases", async () => {
  const blocks = await cluster.blocksOf("h1");
  const children = await childrenOf(cluster.pidOf("h1"));
  expect(children).toHaveLength(PROCESSES);
  // One that is paused does not notice.
  const [paused, ...others] = children as [number, ...number[]];
  process.kill(paused, "SIGSTOP");
  await cluster.stopHost("h1", "SIGKILL");
  await until("they are gone", () => others.every((pid) => viewProcess(pid) === null));
  expect(viewProcess(paused)).not.toBeNull();
  await cluster.startHost("h1");
  await until("the next agent has ended it", () => viewProcess(paused) === null);
  await until("it has its ports", async () =>
    (await cluster.status("h1")).addresses.some((address) => address.portCount === BLOCK_PORTS),
  );
  expect((await cluster.blocksOf("h1")).map(({ epoch }) => epoch)).toEqual(blocks.map(({ epoch }) => epoch));
  const held = hold(fillCount, 4);
  await untilHeld(fillCount, held);
  await cluster.askOrigin("release");
  expect(tally(await Promise.all(held))).toEqual({ served: fillCount });
});

test("[MP6] [AG3] a drain lets the flows of all processes end, gives everything back, and leaves no process", async () => {
  const children = await childrenOf(cluster.pidOf("h1"));
  const held = hold(60, 5);
  await untilHeld(60, held);
  const ended = cluster.stopHost("h1", "SIGTERM");
  await until("it drains", async () => (await cluster.blocksOf("h1")).length > 0);
  await new Promise((resolve) => {
    setTimeout(resolve, 500);
  });
  await cluster.askOrigin("release");
  expect(tally(await Promise.all(held))).toEqual({ served: 60 });
  expect(await ended).toBe(0);
  expect(children.filter((pid) => viewProcess(pid) !== null)).toEqual([]);
  expect(await cluster.blocksOf("h1")).toEqual([]);
});
