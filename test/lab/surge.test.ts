/** The demand of one host rises a thousandfold within half a minute, and falls again. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Crowd, CrowdOrigin, leasedByHost, toCrowdOrigin } from "./crowd.ts";
import { descriptorLimit } from "../../src/process/descriptors.ts";
import { Deployment } from "./deployment.ts";

/** What an agent needs of its descriptors for all else: those it keeps [GW25], and those of the client. */
const OTHER_DESCRIPTORS = 500;
/** An agent is one process, which has a descriptor for each of these. */
const SURGE = Math.min(20_000, descriptorLimit() - OTHER_DESCRIPTORS);
const CALM = 10;
const RISE_S = 30;
const LANES = 6;
const SLOWLY = { timeout: 300_000 };
/** What a host holds at rest: its first block, and a spare of that size. */
const AT_REST = 512;

let deployment: Deployment;
let origin: CrowdOrigin;

beforeAll(async () => {
  // Three minutes of rest before each block that is given back would make this test an hour long.
  const agentArgs = ["--rest=100", "--response-timeout=300000"];
  deployment = await Deployment.start({ hosts: 3, settings: { quarantineMs: 2_000 }, agentArgs });
  origin = await CrowdOrigin.start(deployment);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

test(
  `[LK6] [LK7] from ${CALM} to ${SURGE} connections towards one destination in ${RISE_S} s, and back`,
  SLOWLY,
  async () => {
    const { client } = deployment;
    await client.load(LANES, [
      await toCrowdOrigin(deployment, "h2"),
      await toCrowdOrigin(deployment, "h3"),
      await toCrowdOrigin(deployment),
    ]);
    const crowd = await Crowd.through(deployment, "h1");
    await crowd.send(CALM, CALM);
    await origin.holds(CALM);
    await crowd.send(SURGE - CALM, (SURGE - CALM) / RISE_S);
    await origin.holds(SURGE);
    const ports = await origin.ports();
    const leased = new Set((await leasedByHost(deployment)).get("h1"));
    expect(new Set(ports).size).toBe(SURGE);
    expect(ports.filter((port) => !leased.has(port))).toEqual([]);

    await origin.answer();
    const { byCode, wrong } = await crowd.take();
    expect(byCode).toEqual({ 200: SURGE });
    expect(wrong).toEqual([]);
    await expect
      .poll(async () => (await leasedByHost(deployment)).get("h1")!.length, {
        timeout: 60_000,
        interval: 500,
      })
      .toBeLessThanOrEqual(AT_REST);

    const samples = await client.stop();
    expect(samples.filter(({ isRight }) => !isRight)).toEqual([]);
    expect(new Set(samples.map(({ host }) => host))).toEqual(new Set(["h1", "h2", "h3"]));
  },
);
