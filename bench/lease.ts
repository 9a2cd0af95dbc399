/**
 * What does a lease cost its object? Grants and renewals per second of one EgressIp, against
 * one bare SQLite insert per request in one Durable Object, on the same workerd.
 *
 * 31 hosts ask at once, each with one request outstanding, as the protocol has it. Beside it,
 * without a goal, the stricter peer: a bare insert for each WebSocket message.
 */
import { Agent, request } from "undici";
import { PROTOCOL_VERSION } from "../src/core/messages.ts";
import { Cluster, EGRESS_IP, freePort } from "../test/e2e/cluster.ts";
import { type Asker, openAsker } from "./asker.ts";
import { startBareWorker } from "./bare-worker.ts";
import { compared, median, type Row } from "./report.ts";

const HOST_COUNT = 31;
const ROUNDS = 5;
const ROUND_MS = 2_000;
const SMALLEST_ORDER = 6;

const BARE = `
export class Bare {
  constructor(ctx) {
    this.ctx = ctx;
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, host TEXT, at INTEGER)");
  }
  fetch(request) {
    if (request.headers.get("upgrade") === "websocket") {
      const [near, far] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(far);
      return new Response(null, { status: 101, webSocket: near });
    }
    this.insert();
    return new Response("ok");
  }
  webSocketMessage(socket) {
    this.insert();
    socket.send("ok");
  }
  insert() {
    this.sql.exec("INSERT INTO rows (host, at) VALUES (?, ?)", "h1", Date.now());
  }
}
export default { fetch: (request, env) => env.OBJECT.get(env.OBJECT.idFromName("one")).fetch(request) };
`;

export async function measureLease(): Promise<Row[]> {
  const cluster = await Cluster.start({
    hosts: [],
    settings: { quarantineMs: 0, minPortsPerHost: 0, maxPortsPerHost: 64_512, leaseDurationMs: 600_000 },
  });
  const bare = await startBareWorker(BARE, await freePort(), "Bare");
  const client = new Agent({ connections: HOST_COUNT });
  const hosts: Asker[] = [];
  const bareSockets: Asker[] = [];
  try {
    for (let count = 0; count < HOST_COUNT; count += 1) {
      const token = await cluster.token("host", `bench-${count}`);
      hosts.push(await openAsker(`${cluster.edgeUrl}/v1/ips/${EGRESS_IP}/connect`, token));
      bareSockets.push(await openAsker(bare.url, ""));
    }
    await Promise.all(
      hosts.map((host, at) =>
        host.ask({ type: "join", version: PROTOCOL_VERSION, instance: `bench-instance-${at}` }),
      ),
    );
    const renew = (host: Asker) => host.ask({ type: "renew" });
    const insert = async (): Promise<void> => {
      await (await request(bare.url, { dispatcher: client })).body.text();
    };
    const figures = { renewals: [], grants: [], inserts: [], messages: [] } as Record<string, number[]>;
    for (let round = 0; round < ROUNDS; round += 1) {
      figures["renewals"]!.push(await perSecond(hosts, renew));
      figures["inserts"]!.push(await perSecond(hosts, insert));
      figures["grants"]!.push(await grantsPerSecond(hosts));
      figures["messages"]!.push(await perSecond(bareSockets, (socket) => socket.ask({ type: "renew" })));
    }
    const peer = { peer: median(figures["inserts"]!), peerName: "bare insert per request", goal: 0.9 };
    const strict = { peer: median(figures["messages"]!), peerName: "bare insert per message", goal: null };
    const ours = { unit: "per second", better: "more" } as const;
    return [
      compared({ ...ours, ...peer, case: "grants", ours: median(figures["grants"]!) }),
      compared({ ...ours, ...peer, case: "renewals", ours: median(figures["renewals"]!) }),
      compared({ ...ours, ...strict, case: "grants", ours: median(figures["grants"]!) }),
      compared({ ...ours, ...strict, case: "renewals", ours: median(figures["renewals"]!) }),
    ];
  } finally {
    for (const asker of [...hosts, ...bareSockets]) asker.close();
    await client.destroy();
    await bare.stop();
    await cluster.stop();
  }
}

/** How many times a second all askers together get an answer. */
async function perSecond(askers: readonly Asker[], ask: (asker: Asker) => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  let count = 0;
  await Promise.all(
    askers.map(async (asker) => {
      while (performance.now() - startedAtMs < ROUND_MS) {
        await ask(asker);
        count += 1;
      }
    }),
  );
  return (count * 1000) / (performance.now() - startedAtMs);
}

/** Grants until the address has nothing left, timed; then all is given back, untimed. */
async function grantsPerSecond(hosts: readonly Asker[]): Promise<number> {
  let elapsedMs = 0;
  let count = 0;
  while (elapsedMs < ROUND_MS) {
    const startedAtMs = performance.now();
    const granted = await Promise.all(hosts.map(acquireAll));
    elapsedMs += performance.now() - startedAtMs;
    count += granted.flat().length;
    await Promise.all(
      hosts.map(async (host, at) => {
        for (const { base, epoch } of granted[at]!) await host.ask({ type: "release", base, epoch });
      }),
    );
  }
  return (count * 1000) / elapsedMs;
}

async function acquireAll(host: Asker): Promise<{ base: number; epoch: number }[]> {
  const granted: { base: number; epoch: number }[] = [];
  for (;;) {
    const answer = await host.ask({ type: "acquire", order: SMALLEST_ORDER });
    if (answer["type"] !== "answer") return granted;
    granted.push(answer["granted"]);
  }
}
