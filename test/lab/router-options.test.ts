/** A router's options that are easily given wrong, and the run that only shows what they would do. */
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Deployment, POOL } from "./deployment.ts";
import { CLI, EDGE_URL } from "./edge-side.ts";
import type { LabProcess } from "./lab-process.ts";
import { until } from "./until.ts";

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ hosts: 1, routers: 1 });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** A router of this name beside the one that runs on r1. */
async function startRouter(name: string, ...more: readonly string[]): Promise<LabProcess> {
  const args = [
    "router",
    `--edge=${EDGE_URL}`,
    "--allow-plain-http",
    `--pool=${POOL}`,
    `--token-file=${await deployment.tokenFile("router", name)}`,
    `--state=${join(deployment.lab.directory, name)}`,
    "--link=lan0",
    ...more,
  ];
  return deployment.lab.spawnNode("r1", CLI, args);
}

/** Without the time at which they were last heard. */
async function routerNames(): Promise<string[]> {
  const routers = await deployment.routers();
  return routers.map(({ router, live, ready, lagging }) => [router, live, ready, lagging].join(" "));
}

async function tablesOnRouter(): Promise<string> {
  return (await deployment.lab.exec("r1", ["nft", "-t", "list", "ruleset"])).stdout;
}

test("[RT13] a dry run with the options of the running router prints its rules and changes nothing", async () => {
  const before = [await tablesOnRouter(), await routerNames()];
  const dry = await startRouter("r1", "--ingress=up0", "--dry-run");
  expect(await dry.exited, dry.said).toBe(0);
  const [structure, ...transactions] = dry.said.trim().split("\n");
  expect(structure).toMatch(/^add table netdev ipshard ; /);
  expect(transactions.map((line) => Object.keys(JSON.parse(line) as object))).toEqual([["nftables"]]);
  expect(dry.said).toContain("ingress_up0");
  expect([await tablesOnRouter(), await routerNames()]).toEqual(before);
});

test("[RT13] a dry run without an edge ends, and says why", async () => {
  await deployment.lab.cutManagement("r1");
  const dry = await startRouter("r1", "--ingress=up0", "--dry-run");
  expect(await dry.exited).toBe(1);
  await deployment.lab.healManagement("r1");
  expect(dry.said).toMatch(
    /^ipshard router: The edge at \S+ does not tell of the pool .* \[edge-not-answering\]$/m,
  );
});

test("[RT14] a router without its device is not ready, and says so, until the device is there", async () => {
  const before = await tablesOnRouter();
  const router = await startRouter("r9", "--ingress=up0", "--ingress=late0", "--table=late");
  await router.waitFor("there is no device late0");
  const r9 = (await deployment.routers()).find((one) => one.router === "r9");
  expect(r9).toMatchObject({ live: true, ready: false });
  expect(await tablesOnRouter()).toBe(before);
  await deployment.lab.exec("r1", ["ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
  await deployment.untilSteering(["r9"]);
  router.signal("SIGTERM");
  expect(await router.exited).toBe(0);
  await until(async () =>
    (await deployment.routers()).every(({ router: name, live }) => name !== "r9" || !live),
  );
});
