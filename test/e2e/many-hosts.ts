/**
 * A pool of very many hosts and addresses at a real edge: how long until each serves, how evenly
 * they spread, and what the edge needs for it.
 *
 *     node test/e2e/many-hosts.ts 2000 40
 */
import { readFile } from "node:fs/promises";
import { LeasingHost } from "./agents-in-one-process.ts";
import { Cluster, until } from "./cluster.ts";

/** What came of it. */
export interface ManyHosts {
  /** Hosts that have ports of some address. */
  readonly servingCount: number;
  /** Addresses of the host that has most. */
  readonly mostAddresses: number;
  /** Hosts that are placed on each address, fewest first. */
  readonly placedCounts: readonly number[];
  /** Memory of workerd, in bytes. */
  readonly edgeBytes: number;
  /** Until all served, in seconds. */
  readonly seconds: number;
}

const POOL = "many";
/** Connections that are opened at the same time. */
const AT_ONCE = 20;

/** Starts them, waits until all serve or the time is over, and ends them. */
export async function runManyHosts(
  hostCount: number,
  ipCount: number,
  timeoutMs: number,
): Promise<ManyHosts> {
  const cluster = await Cluster.start({ hosts: [] });
  const hosts: LeasingHost[] = [];
  try {
    await cluster.api.putPool({ pool: POOL, settings: {} });
    const ips = Array.from({ length: ipCount }, (_, at) => `198.18.0.${at + 1}`);
    for (const ip of ips) await cluster.api.putIp({ pool: POOL, ip });
    const startMs = performance.now();
    const edge = new URL(cluster.edgeUrl);
    const token = (host: string): Promise<string> => cluster.token("host", host, [POOL]);
    const servingCount = (): number => hosts.filter(({ served }) => served.length > 0).length;
    while (hosts.length < hostCount) {
      const next = Math.min(hostCount, hosts.length + AT_ONCE);
      while (hosts.length < next)
        hosts.push(new LeasingHost(`h${hosts.length}`, { edge, pool: POOL, token }));
      await until(`${next} hosts serve`, () => servingCount() === next, timeoutMs);
    }
    const seconds = (performance.now() - startMs) / 1000;
    const client = cluster.apiAs("client", "tester", [POOL]);
    let placedCounts: number[] = [];
    // The last to come have told the pool a moment ago, and the Worker's copy of it is seconds old.
    const areAllPlaced = async (): Promise<boolean> => {
      const { hosts: placed } = await client.makeGatewayToken();
      placedCounts = ips.map((ip) => placed.filter((host) => host.ips.includes(ip)).length);
      return placedCounts.reduce((sum, count) => sum + count, 0) >= hostCount;
    };
    await until("all hosts are placed", areAllPlaced, timeoutMs);
    return {
      servingCount: servingCount(),
      mostAddresses: Math.max(...hosts.map(({ served }) => served.length)),
      placedCounts: placedCounts.toSorted((a, b) => a - b),
      edgeBytes: await residentBytes(await cluster.workerdPid()),
      seconds,
    };
  } finally {
    for (const host of hosts) host.stop();
    await cluster.stop();
  }
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
}

if (import.meta.main) {
  const [hostCount, ipCount] = process.argv.slice(2).map(Number) as [number, number];
  console.log(await runManyHosts(hostCount, ipCount, 120_000));
}
