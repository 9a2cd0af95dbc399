/** What clients say to the proxies of real hosts, in HTTP and SOCKS, right, odd and broken. */
import { type CorpusTally, runHttpCorpus, runSocksCorpus, type TestedProxy } from "./proxy-corpus.ts";
import { startRecordingOrigin } from "./recording-origin.ts";
import { ORIGIN_IPS, PROXY_IP, type Target } from "./target.ts";

const SOCKS_SHARE = 0.3;

/** What a run came to. */
export interface RequestTally {
  readonly http: Omit<CorpusTally, "findings">;
  readonly socks: Omit<CorpusTally, "findings">;
  readonly findings: readonly string[];
}

/** Says cases until time is up. */
export async function runRequests(
  target: Target,
  seed: number,
  durationMs: number,
  mostCount = Infinity,
): Promise<RequestTally> {
  const origin = await startRecordingOrigin(ORIGIN_IPS[0]);
  const startMs = performance.now();
  try {
    const proxy = testedProxy(target);
    const token = await target.cluster.token("client", "tester");
    const socksEndMs = startMs + durationMs * SOCKS_SHARE;
    const socks = await runSocksCorpus(proxy, origin, token, seed, mostCount, socksEndMs);
    const http = await runHttpCorpus(proxy, origin, seed, mostCount, startMs + durationMs);
    return { http, socks, findings: [...http.findings, ...socks.findings] };
  } finally {
    origin.close();
  }
}

function testedProxy(target: Target): TestedProxy {
  const host = "h1";
  return {
    host: PROXY_IP,
    port: target.cluster.hosts.get(host)!.port,
    counts: async () => {
      const { refusals } = (await target.cluster.status(host)) as unknown as {
        refusals: Readonly<Record<string, number>>;
      };
      return new Map(Object.entries(refusals));
    },
  };
}
