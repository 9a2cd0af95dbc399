/** Strangers at the listeners of a real agent, and what its operator sees of them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Flood, flood } from "../agent/stranger-flood.ts";
import { Cluster, until } from "./cluster.ts";

const HOST = "h1";
/** More than there may be of one address. */
const MORE = 300;

interface Strangers {
  readonly open: number;
  readonly most: number;
  readonly mostOfAddress: number;
  readonly reset: number;
}

let cluster: Cluster;
let floods: Flood[];

beforeAll(async () => {
  floods = [];
  cluster = await Cluster.start({
    hosts: [HOST],
    agentArgs: ["--proxy=127.0.0.2:PORT", "--proxy-source=none"],
  });
});
afterAll(async () => {
  for (const each of floods) each.close();
  await cluster?.stop();
});

async function strangers(): Promise<Strangers & { readonly refused: number }> {
  const status = (await cluster.status(HOST)) as unknown as Record<string, unknown>;
  const refusals = status["refusals"] as Readonly<Record<string, number>>;
  return { ...(status["strangers"] as Strangers), refused: refusals["strangers-exhausted"] ?? 0 };
}

test("[CN1] [CN2] [CN5] silent clients at gateway and proxy are counted together, told of in the log once, and keep nobody out", async () => {
  const { mostOfAddress, most, open, reset } = await strangers();
  expect([most, open, reset]).toEqual([2 * mostOfAddress, 0, 0]);
  const { port } = cluster.hosts.get(HOST)!;
  const half = Math.ceil((mostOfAddress + MORE) / 2);
  for (const host of ["127.0.0.1", "127.0.0.2"])
    floods.push(await flood({ port, host, count: half, addressCount: 1 }));
  await until(
    "those that are too many are reset",
    async () => (await strangers()).reset >= 2 * half - mostOfAddress,
  );
  const after = await strangers();
  expect([after.open, after.refused]).toEqual([mostOfAddress, after.reset]);
  const answer = await fetch(cluster.through(cluster.originUrl("/seen"), cluster.gatewayOf(HOST)), {
    headers: {
      "egress-authorization": `Bearer ${(await cluster.apiAs("client", "tester").makeGatewayToken()).token}`,
    },
  });
  expect(answer.status).toBe(200);
  await answer.body?.cancel();
  const log = await readFile(join(cluster.directory, `${HOST}.log`), "utf8");
  expect(log.split("\n").filter((line) => line.includes("strangers-exhausted"))).toHaveLength(1);
});
