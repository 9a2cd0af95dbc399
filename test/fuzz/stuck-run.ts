/**
 * A program of its own, for a network namespace of its own: 2,000 tunnels that are stuck at once, and
 * what they cost. The kernel keeps little of each connection there; of loopback's usual 8 MB for each
 * tunnel a machine has no room for so many, and it is the agent's own memory that is asked for.
 */
import { writeFile } from "node:fs/promises";
import { delay, memoryOf, until } from "../e2e/cluster.ts";
import { openStuckTunnels } from "./stuck-tunnels.ts";
import { type Held, SoakedAgent } from "./tunnel-soak.ts";

/** What they cost. */
export interface StuckReport {
  readonly tunnelCount: number;
  readonly stoppedCount: number;
  readonly stuckBytes: number;
  readonly peakBytes: number;
  readonly before: Held;
  readonly after: Held;
  readonly warnings: readonly string[];
}

const TUNNEL_COUNT = Number(process.argv[2] ?? 2_000);
/** Several looks of those who watch a peer that is not read. */
const RESTING_MS = 3_000;

async function run(): Promise<StuckReport> {
  const agent = await SoakedAgent.start();
  try {
    const before = await agent.look();
    const tunnels = await openStuckTunnels(agent.proxy, TUNNEL_COUNT);
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
    const stoppedCount = tunnels.stoppedCount();
    await tunnels.close();
    await agent.untilNothingIsHeld(tunnels.ports);
    const after = await agent.look();
    return {
      tunnelCount: TUNNEL_COUNT,
      stoppedCount,
      stuckBytes: presentBytes,
      peakBytes,
      before,
      after,
      warnings: await agent.warnings(),
    };
  } finally {
    await agent.stop();
  }
}

await Promise.all([
  writeFile("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 32768"),
  writeFile("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 131072"),
]);
process.stdout.write(`${JSON.stringify(await run())}\n`, () => process.exit());
