/** Containers of one host open connections to one destination by the thousand, and end them: the host grows, and rests. */
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { CrowdOrigin, leasedByHost, ORIGIN_PORT } from "./crowd.ts";
import { SENDERS } from "./containers.ts";
import { Deployment } from "./deployment.ts";
import type { LabProcess } from "./lab-process.ts";
import { ORIGINS_IPV4, type Role, SHARED_IPV4 } from "./plan.ts";

const PROGRAM = join(import.meta.dirname, "crowd-container.py");
/** Debian's, which the laboratory's packages bring. */
const PYTHON = "/usr/bin/python3";
const CROWDED: readonly Role[] = ["c1", "b1"];
/** No process may have more than 20,000 descriptors here. */
const COUNT_EACH = 10_000;
const RISE_S = 30;
const SLOWLY = { timeout: 300_000 };
/** What a host holds at rest: its first block, and a spare of that size. */
const AT_REST = 512;
const SNAT = `--snat=${SENDERS}`;

let deployment: Deployment;
let origin: CrowdOrigin;

beforeAll(async () => {
  // Three minutes of rest before each block that is given back would make this test an hour long.
  const agentArgs = ["--rest=100", SNAT];
  const settings = { quarantineMs: 2_000 };
  deployment = await Deployment.start({ hosts: 2, containers: true, settings, agentArgs });
  origin = await CrowdOrigin.start(deployment);
  // The kernel would remember each connection for two minutes after its end.
  await deployment.lab.exec("h1", ["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1"]);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

interface Outcome {
  readonly right: number;
  readonly addresses: readonly string[];
  readonly faults: Readonly<Record<string, number>>;
}

async function outcomeOf(crowd: LabProcess): Promise<Outcome> {
  await crowd.exited;
  return JSON.parse(crowd.said.trim().split("\n").at(-1)!) as Outcome;
}

test(
  `[SN3] [SN6] [LK6] [LK7] ${COUNT_EACH * CROWDED.length} connections of containers towards one destination in ${RISE_S} s all come to be, and the host rests afterwards`,
  SLOWLY,
  async () => {
    const before = (await leasedByHost(deployment)).get("h1")!.length;
    expect(before).toBeLessThanOrEqual(AT_REST);
    const args = [ORIGINS_IPV4[0], `${ORIGIN_PORT}`, `${COUNT_EACH}`, `${COUNT_EACH / RISE_S}`];
    const crowds = CROWDED.map((role) => deployment.lab.spawn(role, [PYTHON, PROGRAM, ...args]));
    await Promise.all(crowds.map((crowd) => crowd.waitFor("sent")));
    await origin.holds(COUNT_EACH * CROWDED.length);
    const ports = await origin.ports();
    const leased = new Set((await leasedByHost(deployment)).get("h1"));
    expect(new Set(ports).size).toBe(COUNT_EACH * CROWDED.length);
    expect(ports.filter((port) => !leased.has(port))).toEqual([]);

    await origin.answer();
    for (const crowd of crowds) {
      expect(await outcomeOf(crowd)).toEqual({ right: COUNT_EACH, addresses: [SHARED_IPV4], faults: {} });
    }
    await expect
      .poll(async () => (await leasedByHost(deployment)).get("h1")!.length, {
        timeout: 120_000,
        interval: 500,
      })
      .toBeLessThanOrEqual(AT_REST);
  },
);
