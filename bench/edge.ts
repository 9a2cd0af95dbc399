/**
 * What does our Worker cost over a bare pass-through? Requests per second, p99 and CPU per
 * request of workerd, both Workers on the same binary in front of the same stub gateway that
 * answers at once. Beside it, without a goal, the whole path: Worker, agent, origin.
 */
import { FETCH_PATH } from "../src/wire/header-names.ts";
import { Cluster, freePort } from "../test/e2e/cluster.ts";
import { startBareWorker } from "./bare-worker.ts";
import { enlist, type Figures, measure, startStub } from "./edge-load.ts";
import { compared, median, plain, type Row } from "./report.ts";

const ROUNDS = 5;
const DESTINATION = "http://stub.example/";

export async function measureEdge(): Promise<Row[]> {
  const stub = await startStub();
  const cluster = await Cluster.start({ hosts: [] });
  const bare = await startBareWorker(
    `export default { fetch: (request) => {
       const at = request.url.indexOf("/", 8);
       return fetch("${stub.gateway}" + request.url.slice(at), request);
     } };`,
    await freePort(),
  );
  const enlisted = await enlist(cluster, stub.gateway);
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
    stub.child.kill("SIGTERM");
  }
}
