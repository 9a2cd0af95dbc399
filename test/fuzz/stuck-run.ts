/**
 * A program of its own, for a network namespace of its own: 2,000 tunnels that are stuck at once, and
 * what they cost. The kernel keeps little of each connection there; of loopback's usual 8 MB for each
 * tunnel a machine has no room for so many, and it is the agent's own memory that is asked for.
 */
import { writeFile } from "node:fs/promises";
import { delay, memoryOf, until } from "../e2e/cluster.ts";
import { openStuckCarriers } from "./stuck-carriers.ts";
import { openStuckTunnels, type StuckTunnels } from "./stuck-tunnels.ts";
import { type Held, SoakedAgent } from "./tunnel-soak.ts";

/** What they cost. */
export interface StuckReport {
  readonly tunnelCount: number;
  readonly stoppedCount: number;
  /** Memory before there was any, when all were stuck, and at most. */
  readonly restingBytes: number;
  readonly stuckBytes: number;
  readonly peakBytes: number;
  /** How many were ended meanwhile since all together kept too much. */
  readonly endedCount: number;
  readonly before: Held;
  readonly after: Held;
  readonly warnings: readonly string[];
}

const TUNNEL_COUNT = Number(process.argv[2] ?? 2_000);
/** `tunnels` of a proxy, or `carriers`: TCP in WebSockets. */
const KIND = process.argv[3] ?? "tunnels";
/** Several looks of those who watch a peer that is not read. */
const RESTING_MS = 3_000;

async function run(): Promise<StuckReport> {
  const agent = await SoakedAgent.start();
  try {
    const before = await agent.look();
    const restingBytes = (await memoryOf(agent.pid)).presentBytes;
    const tunnels = await openStuck(agent);
    let takenBytes = -1;
    await until(
      "nothing is taken any more",
      async () => {
        const beforeBytes = takenBytes;
        takenBytes = tunnels.takenBytes();
        await delay(500);
        return tunnels.takenBytes() === takenBytes && takenBytes === beforeBytes;
      },
      120_000,
    );
    await delay(RESTING_MS);
    const { presentBytes, peakBytes } = await memoryOf(agent.pid);
    const endedCount = (await agent.refusals())["untaken-exhausted"] ?? 0;
    const stoppedCount = tunnels.stoppedCount();
    await tunnels.close();
    await agent.untilNothingIsHeld(tunnels.ports);
    const after = await agent.look();
    return {
      tunnelCount: TUNNEL_COUNT,
      stoppedCount,
      restingBytes,
      stuckBytes: presentBytes,
      peakBytes,
      endedCount,
      before,
      after,
      warnings: await agent.warnings(),
    };
  } finally {
    await agent.stop();
  }
}

async function openStuck(agent: SoakedAgent): Promise<StuckTunnels> {
  if (KIND === "tunnels") return openStuckTunnels(agent.proxy, TUNNEL_COUNT);
  const { cluster, host } = agent;
  const { token } = await cluster.apiAs("client", "tester").makeGatewayToken();
  const { hostname, port } = new URL(cluster.gatewayOf(host));
  return openStuckCarriers({ host: hostname, port: Number(port), token }, TUNNEL_COUNT);
}

await Promise.all([
  writeFile("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 32768"),
  writeFile("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 131072"),
]);
process.stdout.write(`${JSON.stringify(await run())}\n`, () => process.exit());
