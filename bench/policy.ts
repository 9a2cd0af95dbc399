/**
 * Within how long a change of a pool's policy holds everywhere: three hosts ask their gateways without a
 * pause, from when the change is sent until the last of them decides by it. [PY3]
 */
import { Agent, request } from "undici";
import { Cluster, POOL } from "../test/e2e/cluster.ts";
import { median, nowMs, plain, quantile, type Row } from "./report.ts";

const HOSTS = ["h1", "h2", "h3"];
const CHANGES = 50;

export async function measurePolicy(): Promise<Row[]> {
  const cluster = await Cluster.start({ hosts: HOSTS });
  const client = new Agent({ connections: HOSTS.length });
  try {
    await cluster.untilServing(HOSTS);
    const { token } = await cluster.apiAs("client", "shop").makeGatewayToken();
    const headers = { "egress-authorization": `Bearer ${token}` };
    const statusAt = async (host: string): Promise<number> => {
      const url = cluster.through(cluster.originUrl("/seen"), cluster.gatewayOf(host));
      const { statusCode, body } = await request(url, { headers, dispatcher: client });
      await body.dump();
      return statusCode;
    };
    const heldMs = async (host: string, status: number): Promise<number> => {
      while ((await statusAt(host)) !== status);
      return nowMs();
    };
    const answeredMs: number[] = [];
    const everywhereMs: number[] = [];
    for (let change = 0; change < CHANGES; change += 1) {
      const isDenied = change % 2 === 0;
      const sentMs = nowMs();
      await cluster.api.putPolicy({ pool: POOL, anyTenant: isDenied ? null : {} });
      answeredMs.push(nowMs() - sentMs);
      const held = await Promise.all(HOSTS.map((host) => heldMs(host, isDenied ? 403 : 200)));
      everywhereMs.push(Math.max(...held) - sentMs);
    }
    return [
      plain("a change is answered (median)", "ms", median(answeredMs)),
      plain("a change is answered (worst)", "ms", quantile(answeredMs, 1)),
      plain("a change holds at three hosts (median)", "ms", median(everywhereMs)),
      plain("a change holds at three hosts (worst)", "ms", quantile(everywhereMs, 1)),
    ];
  } finally {
    await client.close();
    await cluster.stop();
  }
}
