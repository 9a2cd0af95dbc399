/**
 * Every port of an address at once, towards one destination: three hosts, each with its third, and
 * every reply comes home.
 *
 * An agent is one process, which has a descriptor for each connection to an origin. Where it may have
 * fewer than its third of the ports, it holds what it can, and a further process of its machine sends
 * from the ports that are left: of the same leases, behind the same guard and routers.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { LEASABLE_PORT_COUNT } from "../../src/core/port-block.ts";
import { type CrowdAnswers, Crowd, CrowdOrigin, leasedByHost } from "./crowd.ts";
import { descriptorLimit } from "../../src/process/descriptors.ts";
import { Deployment } from "./deployment.ts";
import { hostsOf, SHARED_IPV4 } from "./plan.ts";

const HOSTS = 3;
const THIRD = LEASABLE_PORT_COUNT / HOSTS;
/** What an agent needs of its descriptors for all else: those it keeps [GW25], and those of the client. */
const OTHER_DESCRIPTORS = 500;
const BY_AGENT = Math.min(THIRD, descriptorLimit() - OTHER_DESCRIPTORS);
const PER_SECOND = 1_000;
const HOLD_MS = 60_000;
const SLOWLY = { timeout: 300_000 };

let deployment: Deployment;
let origin: CrowdOrigin;

beforeAll(async () => {
  const settings = { minPortsPerHost: THIRD, maxPortsPerHost: THIRD };
  const agentArgs = ["--response-timeout=300000"];
  deployment = await Deployment.start({ hosts: HOSTS, settings, agentArgs });
  origin = await CrowdOrigin.start(deployment);
});

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** Ports from which a host's kernel has a connection now. */
async function connectedPorts(host: `h${number}`): Promise<number[]> {
  const listing = ["ss", "-Htn", "state", "established", "src", SHARED_IPV4];
  const { stdout } = await deployment.lab.exec(host, listing);
  return Array.from(stdout.matchAll(new RegExp(`${SHARED_IPV4}:(\\d+)`, "g")), (match) => Number(match[1]));
}

test(
  `all ${LEASABLE_PORT_COUNT} ports are in use at once for a minute, and every reply comes home`,
  SLOWLY,
  async () => {
    const hosts = hostsOf(deployment.lab.size);
    const clients = await Promise.all(hosts.map((host) => Crowd.through(deployment, host)));
    await Promise.all(clients.map((client) => client.send(BY_AGENT, PER_SECOND)));
    await origin.holds(HOSTS * BY_AGENT);
    const leased = await leasedByHost(deployment);
    const used = new Set(await origin.ports());
    const senders = await Promise.all(
      hosts.map(async (host) => {
        const sender = await Crowd.on(deployment, host);
        await sender.sendFrom(leased.get(host)!.filter((port) => !used.has(port)));
        return sender;
      }),
    );
    await origin.holds(LEASABLE_PORT_COUNT);
    await delay(HOLD_MS);
    const atOrigin = await origin.ports();
    expect(atOrigin).toHaveLength(LEASABLE_PORT_COUNT);
    expect(new Set(atOrigin).size).toBe(LEASABLE_PORT_COUNT);
    for (const host of hosts) {
      const connected = await connectedPorts(host);
      expect(connected.toSorted((a, b) => a - b)).toEqual(leased.get(host)!.toSorted((a, b) => a - b));
    }

    await origin.answer();
    const taken: CrowdAnswers[] = await Promise.all([...clients, ...senders].map((crowd) => crowd.take()));
    expect(taken.flatMap(({ wrong }) => wrong)).toEqual([]);
    const byAgent = { sent: BY_AGENT, byCode: { 200: BY_AGENT } };
    expect(taken.slice(0, HOSTS)).toMatchObject(hosts.map(() => byAgent));
    const rest = THIRD - BY_AGENT;
    const bySender = { sent: rest, byCode: rest === 0 ? {} : { 200: rest } };
    expect(taken.slice(HOSTS)).toMatchObject(hosts.map(() => bySender));
    for (const [at, { ports }] of taken.entries()) {
      const own = new Set(leased.get(hosts[at % HOSTS]!));
      expect(ports.filter((port) => !own.has(port))).toEqual([]);
    }
  },
);
