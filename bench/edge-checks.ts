/**
 * What do the checks cost on the edge? Two edges as they are, in front of one stub gateway that answers at
 * once. The one is made of sources whose `identify` takes every client for the same one without a look at the
 * token. On the other the token has a tenant and restrictions, and the pool a policy with long lists and limits.
 */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identity } from "../src/core/identity.ts";
import { FETCH_PATH } from "../src/wire/header-names.ts";
import { signToken } from "../src/wire/tokens.ts";
import { Cluster, POOL } from "../test/e2e/cluster.ts";
import { enlist, type Figures, measure, startStub } from "./edge-load.ts";
import { compared, median, type Row } from "./report.ts";

const ROUNDS = 7;
const ENTRIES = 200;
const MUCH = 1e9;
const PATH = `${FETCH_PATH}?url=${encodeURIComponent("http://stub.example/")}`;
const PROJECT = join(import.meta.dirname, "..");
const PARTS = ["src", "durable-objects", "bin", "package.json", "wrangler.toml", "tsconfig.json"];
const JUDGE = "src/worker/identity/authenticate.ts";
const BEGINNING = '  if (token === null) return refuse("token-missing");\n';

interface Side {
  readonly cluster: Cluster;
  readonly headers: Record<string, string>;
  readonly figures: Figures;
}

export async function measureEdgeChecks(goal: number): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), "ipshard-bench-edge-"));
  const stub = await startStub();
  const sides: Side[] = [];
  const ends: (() => Promise<void> | void)[] = [];
  try {
    for (const edgeProgram of [await withoutChecks(directory), undefined]) {
      const cluster = await Cluster.start({ hosts: [], ...(edgeProgram && { edgeProgram }) });
      ends.push(() => cluster.stop());
      const enlisted = await enlist(cluster, stub.gateway);
      ends.push(() => enlisted.terminate());
      await cluster.untilServing(["stub"]);
      const headers = edgeProgram ? await cluster.clientHeaders() : await checkedClient(cluster);
      sides.push({ cluster, headers, figures: { perSecond: [], p99Ms: [], cpuUs: [] } });
    }
    for (let round = 0; round <= ROUNDS; round += 1) {
      // Who is first alternates; the first round warms both up.
      for (const { cluster, headers, figures } of round % 2 === 0 ? sides : sides.toReversed()) {
        const pid = await cluster.workerdPid();
        await measure(cluster.edgeUrl + PATH, headers, pid, round === 0 ? null : figures);
      }
    }
    const [off, on] = [sides[0]!.figures, sides[1]!.figures];
    const common = { case: "Worker with all checks", peerName: "none" };
    return [
      compared({
        ...common,
        unit: "/s",
        better: "more",
        ours: median(on.perSecond),
        peer: median(off.perSecond),
        goal,
      }),
      compared({
        ...common,
        unit: "CPU µs",
        better: "less",
        ours: median(on.cpuUs),
        peer: median(off.cpuUs),
        goal: null,
      }),
    ];
  } finally {
    for (const end of ends.toReversed()) await end();
    stub.child.kill("SIGTERM");
    await rm(directory, { recursive: true, force: true });
  }
}

/** The command line of a copy of the sources in which no client's token is looked at. */
async function withoutChecks(directory: string): Promise<string> {
  for (const part of PARTS) await cp(join(PROJECT, part), join(directory, part), { recursive: true });
  await symlink(join(PROJECT, "node_modules"), join(directory, "node_modules"));
  const source = await readFile(join(directory, JUDGE), "utf8");
  const client: Identity = { role: "client", subject: "any", pools: [POOL], expiresAtMs: 4e12 };
  const always = `  if (roles[0] === "client") return EVERYBODY;\n`;
  const changed = source.replace(BEGINNING, always + BEGINNING);
  if (changed === source) throw new Error(`${JUDGE} does not begin to judge as it did`);
  const everybody = `const EVERYBODY: Outcome<Identity, never> = ok(${JSON.stringify(client)});\n`;
  await writeFile(join(directory, JUDGE), changed + everybody);
  return join(directory, "src/cli/main.ts");
}

/** The fields of a client of whom there is as much to check as may be. */
async function checkedClient(cluster: Cluster): Promise<Record<string, string>> {
  const names = (kind: string): string[] =>
    Array.from({ length: ENTRIES }, (_, at) => `*.${kind}${at}.example`);
  const destinations = { mode: "enforce", deny: names("denied"), allow: [...names("allowed"), "*"] } as const;
  const limits = {
    requestsPerSecond: MUCH,
    requestsInFlight: MUCH,
    tunnels: MUCH,
    ports: MUCH,
    bytesPerDay: 1e15,
  };
  await cluster.api.putPolicy({ pool: POOL, destinations });
  await cluster.api.putTenant({ pool: POOL, tenant: "shop", destinations, limits });
  const key = JSON.parse(await readFile(join(cluster.directory, "keys", "issuer.json"), "utf8"));
  const identity: Identity = {
    role: "client",
    subject: "web",
    tenant: "shop",
    tokenId: "bench-token",
    pools: [POOL],
    restrictions: { destinations: ["*.example"], requestsPerSecond: MUCH },
    expiresAtMs: Date.now() + 3_600_000,
  };
  return { "egress-authorization": `Bearer ${await signToken(identity, key)}` };
}
