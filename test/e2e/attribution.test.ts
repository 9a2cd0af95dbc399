/** From a request of a client to the sentence that names it, through several data processes of a host. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { Cluster, EGRESS_IP } from "./cluster.ts";
import { testedProgram } from "../runner/tested-program.ts";

const PROCESSES = 2;
const CLIENTS = ["cart", "shop"] as const;

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start({
    hosts: ["h1"],
    agentArgs: [`--processes=${PROCESSES}`, "--allow=127.0.0.24/30", "--flow-log=flows"],
  });
});
afterAll(() => cluster?.stop());

interface Sent {
  readonly client: string;
  readonly port: number;
  readonly atMs: number;
}

/** One request straight to the gateway, on a connection of its own, so that each process gets some. */
async function send(client: string): Promise<Sent> {
  const { token } = await cluster.apiAs("client", client).makeGatewayToken();
  const dispatcher = new Agent();
  const url = cluster.through(cluster.originUrl("/hello"), cluster.gatewayOf("h1"));
  const answer = await request(url, { headers: { "egress-authorization": `Bearer ${token}` }, dispatcher });
  await answer.body.text();
  await dispatcher.destroy();
  expect(answer.headers["egress-ip"]).toBe(EGRESS_IP);
  return { client, port: Number(answer.headers["egress-port"]), atMs: Date.now() };
}

async function who(...args: readonly string[]): Promise<string> {
  const tokenFile = join(cluster.directory, "abuse-desk.token");
  await writeFile(tokenFile, await cluster.token("admin", "abuse-desk"));
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [testedProgram("cli"), "who", ...args, "--edge", cluster.edgeUrl, "--token-file", tokenFile],
      (fault, stdout) => (fault ? reject(fault) : resolve(stdout)),
    );
  });
}

test("[AT4] [AT6] [AT8] whoever sent is named by any process of the host, and nobody where nobody did", async () => {
  const sent: Sent[] = [];
  for (let count = 0; count < 16; count += 1) sent.push(await send(CLIENTS[count % 2]!));
  for (const { client, port, atMs } of sent) {
    const found = await cluster.api.findHolders({
      ip: EGRESS_IP,
      port: String(port),
      at: String(atMs),
    });
    expect(found).toMatchObject({ state: "held", holders: [{ host: "h1", flows: { state: "answered" } }] });
    const { log } = found.holders[0]!.flows;
    expect(log).toMatchObject({ level: "flows", destinations: false, blocks: [{ endMs: null }] });
    // Kept for the next request of the same tenant, a connection outlives the one that made it.
    const tenants = [...log!.flows, ...log!.ended].map(({ tenant }) => tenant);
    expect(tenants).toContain(client);
  }
  const [{ client, port, atMs }] = sent as [Sent];
  const place = `${EGRESS_IP}:${port}`;
  expect(await who(place, "--at", String(atMs))).toMatch(
    new RegExp(
      `^${place} at .*: host h1 of pool default, by lease .*\\n- tcp: tenant ${client}, client ${client} at 127\\.`,
    ),
  );
  expect(await who(`${EGRESS_IP}:80`)).toContain("nobody. Ports below 1024 are never leased.");
  expect(await who(place, "--at", "2020-01-01T00:00:00Z")).toContain("unknown. All that is known of");
});
