/**
 * Three hosts that want more of a full address than there is: two that had everything and one that
 * comes late have the same in the end.
 *
 * Hosts that want no more than they have hold most of the address, so that a few hundred ports are
 * to be shared, and not tens of thousands.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { LEASABLE_PORT_COUNT } from "../../src/core/port-block.ts";
import { leasedByHost } from "./crowd.ts";
import { Deployment } from "./deployment.ts";
import type { WebClient } from "./driven-client.ts";
import { hostsOf, SHARED_IPV4 } from "./plan.ts";
import type { Sample } from "./web-client.ts";
import { until } from "./until.ts";

const HOSTS = hostsOf({ hosts: 3, routers: 2 });
const FAIR_SHARE = 512;
const MINIMUM = 128;
const SATISFIED_COUNT = LEASABLE_PORT_COUNT / FAIR_SHARE - HOSTS.length;
const LEASE_MS = 15_000;
const QUARANTINE_MS = 1_000;
const CONNECTION_MS = 2_000;
/** Longest pause of a host between two requests for more. */
const PAUSE_MS = 30_000;
/** As docs/operating/pools.md has it: one step to the minimum, and one more for each time that it is to be multiplied by four. */
const STEP_COUNT = 1 + Math.ceil(Math.log(FAIR_SHARE / MINIMUM) / Math.log(4));
const BOUND_MS = STEP_COUNT * (LEASE_MS / 3 + CONNECTION_MS + QUARANTINE_MS + PAUSE_MS);
/** More than a host could have at the same time. */
const LANES = 900;
const SLOWLY = { timeout: 300_000 };

let deployment: Deployment;
const clients: WebClient[] = [];

beforeAll(async () => {
  const settings = {
    leaseDurationMs: LEASE_MS,
    quarantineMs: QUARANTINE_MS,
    firstBlockOrder: 6,
    minPortsPerHost: MINIMUM,
    maxPortsPerHost: FAIR_SHARE,
  };
  deployment = await Deployment.start({ hosts: HOSTS.length, settings, idleHosts: ["h3"] });
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** As many requests at once as a host can have, each a while long; what is refused waits before it asks again. */
async function press(host: string): Promise<void> {
  const client = await deployment.newClient();
  clients.push(client);
  const request = await deployment.to(`/stream?ticks=1&everyMs=${CONNECTION_MS}`, { host });
  await client.load(LANES, [{ ...request, retryAfterMs: 2_000 }]);
}

async function portCountsOf(hosts: readonly string[]): Promise<number[]> {
  const leased = await leasedByHost(deployment);
  return hosts.map((host) => leased.get(host)?.length ?? 0);
}

test(
  "[AL7] three greedy hosts on a full address come to fair shares, though two of them had all of it",
  SLOWLY,
  async () => {
    const satisfied = Array.from({ length: SATISFIED_COUNT }, (_, at) => `satisfied-${at}`);
    await deployment.takePorts(satisfied, [SHARED_IPV4]);
    await deployment.api.putPool({
      pool: deployment.pool,
      settings: { maxPortsPerHost: LEASABLE_PORT_COUNT },
    });
    for (const host of ["h1", "h2"]) await press(host);
    await until(async () => {
      const counts = await portCountsOf(["h1", "h2"]);
      return counts.reduce((sum, count) => sum + count, 0) === HOSTS.length * FAIR_SHARE;
    });

    await deployment.startHost("h3");
    const beganMs = performance.now();
    await until(async () => (await portCountsOf(["h3"]))[0]! > 0, BOUND_MS / STEP_COUNT);
    await press("h3");
    await until(async () => {
      const counts = await portCountsOf(HOSTS);
      return counts.every((count) => count >= (FAIR_SHARE * 7) / 8);
    }, BOUND_MS);
    expect(performance.now() - beganMs).toBeLessThan(BOUND_MS);

    const samples = (await Promise.all(clients.map((client) => client.stop()))).flat();
    const codes = new Set(samples.map(({ code }) => code));
    // What finds no port is refused by name; no connection fails or is cut.
    expect([...codes].filter((code) => code !== null && code !== "port-block-exhausted")).toEqual([]);
    const late = samples.filter(({ host, isRight }: Sample) => host === "h3" && isRight);
    expect(late.length).toBeGreaterThan(FAIR_SHARE / 2);
  },
);
