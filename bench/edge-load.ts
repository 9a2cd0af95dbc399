/** Load on an edge whose one host is a stub gateway that answers at once, and what comes of it. */
import { type ChildProcess, fork } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import autocannon from "autocannon";
import { WebSocket } from "ws";
import { HEARTBEAT, PROTOCOL_VERSION } from "../src/core/messages.ts";
import { type Cluster, EGRESS_IP, POOL } from "../test/e2e/cluster.ts";

/** Seconds of each round. */
const ROUND_S = 4;
const CONNECTION_COUNT = 32;
const TICKS_PER_SECOND = 100;

/** Of each round. */
export interface Figures {
  readonly perSecond: number[];
  readonly p99Ms: number[];
  readonly cpuUs: number[];
}

/** The stub, and where it listens. */
export async function startStub(): Promise<{ readonly child: ChildProcess; readonly gateway: string }> {
  const child = fork(join(import.meta.dirname, "stub-gateway.ts"));
  const port = await new Promise<number>((resolve) => {
    child.once("message", (message: { port: number }) => resolve(message.port));
  });
  return { child, gateway: `http://127.0.0.1:${port}` };
}

/** A host that exists for the pool only: it reports capacity at the stub's gateway. */
export async function enlist(cluster: Cluster, gateway: string): Promise<WebSocket> {
  const token = await cluster.token("host", "stub");
  const url = `${cluster.edgeUrl.replace("http:", "ws:")}/v1/pools/${POOL}/connect`;
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  const heartbeat = setInterval(() => socket.send(HEARTBEAT), 1_000);
  socket.once("close", () => clearInterval(heartbeat));
  const say = (message: Record<string, unknown>): void => socket.send(JSON.stringify(message));
  say({ type: "enlist", version: PROTOCOL_VERSION, instance: "bench-instance", gateway });
  say({ type: "report", draining: false, rooms: [{ ip: EGRESS_IP, portCount: 4_096, busiestCount: 0 }] });
  return socket;
}

/** One round against this URL; null for one that warms up. */
export async function measure(
  url: string,
  headers: Record<string, string>,
  pid: number,
  into: Figures | null,
): Promise<void> {
  const cpuBefore = await cpuSecondsOf(pid);
  const result = await autocannon({ url, headers, connections: CONNECTION_COUNT, duration: ROUND_S });
  const cpuAfter = await cpuSecondsOf(pid);
  if (result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${url}: ${result.non2xx} answers were not 2xx, ${result.errors} requests failed`);
  }
  into?.perSecond.push(result.requests.total / result.duration);
  into?.p99Ms.push(result.latency.p99);
  into?.cpuUs.push(((cpuAfter - cpuBefore) * 1e6) / result.requests.total);
}

/** CPU time a process has used, user and system, from /proc. */
async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
