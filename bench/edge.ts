/**
 * What does our Worker cost over a bare pass-through? Requests per second, p99 and CPU per
 * request of workerd, both Workers on the same binary in front of the same stub gateway that
 * answers at once. Beside it, without a goal, the whole path: Worker, agent, origin.
 */
import { fork } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import autocannon from "autocannon";
import { WebSocket } from "ws";
import { HEARTBEAT, PROTOCOL_VERSION } from "../src/core/messages.ts";
import { FETCH_PATH } from "../src/wire/header-names.ts";
import { Cluster, EGRESS_IP, freePort, POOL } from "../test/e2e/cluster.ts";
import { startBareWorker } from "./bare-worker.ts";
import { compared, median, plain, type Row } from "./report.ts";

const ROUNDS = 5;
const ROUND_S = 4;
const CONNECTION_COUNT = 32;
const TICKS_PER_SECOND = 100;
const DESTINATION = "http://stub.example/";

interface Figures {
  readonly perSecond: number[];
  readonly p99Ms: number[];
  readonly cpuUs: number[];
}

export async function measureEdge(): Promise<Row[]> {
  const stub = fork(join(import.meta.dirname, "stub-gateway.ts"));
  const stubPort = await new Promise<number>((resolve) => {
    stub.once("message", (message: { port: number }) => resolve(message.port));
  });
  const cluster = await Cluster.start({ hosts: [] });
  const gateway = `http://127.0.0.1:${stubPort}`;
  const bare = await startBareWorker(
    `export default { fetch: (request) => {
       const at = request.url.indexOf("/", 8);
       return fetch("${gateway}" + request.url.slice(at), request);
     } };`,
    await freePort(),
  );
  const enlisted = await enlist(cluster, gateway);
  const headers = await cluster.clientHeaders();
  const path = `${FETCH_PATH}?url=${encodeURIComponent(DESTINATION)}`;
  const ours: Figures = { perSecond: [], p99Ms: [], cpuUs: [] };
  const theirs: Figures = { perSecond: [], p99Ms: [], cpuUs: [] };
  try {
    await cluster.untilServing(["stub"]);
    const edgePid = await cluster.workerdPid();
    for (let round = 0; round <= ROUNDS; round += 1) {
      // The first round warms both up and is not counted.
      await measure(bare.url + path, headers, bare.pid, round === 0 ? null : theirs);
      await measure(cluster.edgeUrl + path, headers, edgePid, round === 0 ? null : ours);
    }
    enlisted.terminate();
    await cluster.startHost("h1");
    await cluster.untilServing(["h1"]);
    const whole: Figures = { perSecond: [], p99Ms: [], cpuUs: [] };
    const target = cluster.through(cluster.originUrl("/seen"));
    for (let round = 0; round < ROUNDS; round += 1) await measure(target, headers, edgePid, whole);
    const peerName = "bare pass-through Worker";
    const row = (
      name: string,
      unit: string,
      better: "more" | "less",
      figure: keyof Figures,
      goal: number | null,
    ) =>
      compared({
        case: name,
        unit,
        better,
        ours: median(ours[figure]),
        peer: median(theirs[figure]),
        peerName,
        goal,
      });
    return [
      row("to a stub gateway", "requests/s", "more", "perSecond", 0.9),
      row("to a stub gateway", "p99 ms", "less", "p99Ms", 0.9),
      row("to a stub gateway", "workerd CPU µs/request", "less", "cpuUs", null),
      plain("Worker, agent, origin", "requests/s", median(whole.perSecond)),
      plain("Worker, agent, origin", "p99 ms", median(whole.p99Ms)),
    ];
  } finally {
    enlisted.terminate();
    await bare.stop();
    await cluster.stop();
    stub.kill("SIGTERM");
  }
}

/** A host that exists for the pool only: it reports capacity at the stub's gateway. */
async function enlist(cluster: Cluster, gateway: string): Promise<WebSocket> {
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

async function measure(
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
