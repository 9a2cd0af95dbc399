/**
 * What becomes of translated flows when the agent does not do its part, or another program takes the rules away:
 * judged by what came by at the Internet's side and by whether flows go on.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { SENDERS } from "./containers.ts";
import { Deployment, SHARED } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import type { LabProcess } from "./lab-process.ts";
import { ORIGINS_IPV4, ORIGINS_IPV6 } from "./plan.ts";
import { sightingsIn } from "./sightings.ts";
import { sendSteadily, startEcho, SteadyConnection } from "./steady-flows.ts";

const TIMEOUT = { timeout: 30_000, interval: 100 };
const LEASE_MS = 6_000;
const ORIGINS = [ORIGINS_IPV4[0], ORIGINS_IPV6[0]];
const SNAT = `--snat=${SENDERS}`;
/** Datagrams linger in the tracking table, and nobody waits for them here. */
const DRAIN = "--drain-deadline=2s";
/** Whatever is not from a shared address, nor of the Internet and its routers themselves. */
const FOREIGN = "src net 10.0.0.0/8 or src net 172.16.0.0/12 or src net fd00::/8 or src net 203.0.113.64/26";

let deployment: Deployment;
const flows: (SteadyConnection | LabProcess)[] = [];

beforeAll(async () => {
  deployment = await Deployment.start({
    hosts: 1,
    routers: 1,
    containers: true,
    agentArgs: [SNAT, DRAIN],
    settings: { leaseDurationMs: LEASE_MS, quarantineMs: 1_000 },
  });
  await startEcho(deployment.lab);
});

beforeEach(() => deployment.tellIfTestFails());

afterEach(async () => {
  for (const flow of flows.splice(0)) await ("end" in flow ? flow.end() : flow.kill());
});

afterAll(() => deployment?.destroy());

async function connections(): Promise<SteadyConnection[]> {
  const begun = await Promise.all(
    ORIGINS.map((origin) => SteadyConnection.begin(deployment.lab, "c1", origin)),
  );
  flows.push(...begun);
  return begun;
}

async function streams(): Promise<LabProcess[]> {
  const begun = await Promise.all(ORIGINS.map((origin) => sendSteadily(deployment.lab, "b1", origin)));
  flows.push(...begun);
  return begun;
}

/** What a container is told by an origin of each family: as whom it is seen, or the exit code of curl. */
async function asked(role: "c1" | "b1"): Promise<(string | number)[]> {
  return Promise.all(
    ORIGINS.map(async (origin) => {
      const place = origin.includes(":") ? `[${origin}]` : origin;
      const asking = deployment.lab.spawn(role, [
        "curl",
        "-sgf",
        "-m",
        "4",
        `http://${place}:${ORIGIN_PORT}/seen`,
      ]);
      const code = await asking.exited;
      return code === 0 ? (JSON.parse(asking.said) as { address: string }).address : code!;
    }),
  );
}

/** Waits until containers get out, by both shared addresses. */
async function untilTranslating(): Promise<void> {
  await vi.waitFor(async () => expect(await asked("c1")).toEqual([...SHARED]), TIMEOUT);
}

test("[SN11] [MA4] an agent that is killed and started again within the lease ends no flow, of no family", async () => {
  const { lab } = deployment;
  await untilTranslating();
  const running = await connections();
  const wire = await lab.capture("internet", "eth0", "tcp");
  await deployment.end("h1", "SIGKILL");
  // Nobody is there, and the kernel goes on by itself.
  await Promise.all(running.map((flow) => flow.goesOn(30)));
  await deployment.startHost("h1");
  await untilTranslating();
  await Promise.all(running.map((flow) => flow.goesOn(50)));
  expect(await wire.count("tcp[tcpflags] & tcp-rst != 0 and port 7001")).toBe(0);
  expect(await wire.count(FOREIGN)).toBe(0);
});

test.each(["SIGKILL", "SIGSTOP"] as const)(
  "[GU3] [SN2] [SN7] after %s of the agent translated packets stop in the kernel at the end of the lease, and none leaves otherwise",
  async (signal) => {
    const { lab } = deployment;
    await untilTranslating();
    await streams();
    const running = await connections();
    const wire = await lab.capture(
      "internet",
      "eth0",
      `src host ${SHARED.join(" or src host ")} or ${FOREIGN}`,
    );
    const agent = deployment.processOf("h1");
    const stoppedAtMs = Date.now();
    if (signal === "SIGKILL") await deployment.end("h1", signal);
    else agent.signal(signal);
    await Promise.all(running.map((flow) => flow.goesOn(10)));
    // The last renewal may have been sent just before.
    await vi.waitUntil(() => Date.now() > stoppedAtMs + LEASE_MS + 1_000, TIMEOUT);
    // New flows are refused aloud, by the kernel alone: curl's "could not connect", at once.
    expect(await asked("c1")).toEqual([7, 7]);
    const seen = sightingsIn(await wire.packets());
    expect(seen.some(({ fromPort, toPort }) => toPort === 9 && fromPort > 0)).toBe(true);
    const last = Math.max(...seen.map(({ atMs }) => atMs));
    expect(last).toBeLessThan(stoppedAtMs + LEASE_MS);
    expect(await wire.count(FOREIGN)).toBe(0);
    if (signal === "SIGSTOP") agent.signal("SIGCONT");
    else await deployment.startHost("h1");
    await untilTranslating();
  },
);

test("[SN10] [GU8] a ruleset that another program has flushed is put back, and nothing leaves meanwhile with another address", async () => {
  const { lab } = deployment;
  await untilTranslating();
  await streams();
  const running = await connections();
  const wire = await lab.capture("internet", "eth0", "");
  for (let time = 0; time < 3; time += 1) {
    await lab.exec("h1", ["nft", "flush", "ruleset"]);
    await vi.waitFor(async () => {
      const { stdout } = await lab.exec("h1", ["nft", "list", "tables"]);
      expect(stdout).toContain("ipshard_snat");
      expect(stdout).toContain("inet ipshard_guard");
    }, TIMEOUT);
    await untilTranslating();
  }
  expect(await wire.count(FOREIGN)).toBe(0);
  for (const flow of running) await flow.end();
});

test("[SN2] [SN7] a container that begins while the agent is away is refused, and never sends as itself", async () => {
  const { lab } = deployment;
  await untilTranslating();
  const wire = await lab.capture("internet", "eth0", FOREIGN);
  await deployment.end("h1", "SIGTERM");
  expect(await asked("c1")).toEqual([7, 7]);
  expect(await asked("b1")).toEqual([7, 7]);
  expect(await wire.count()).toBe(0);
  await deployment.startHost("h1");
  await untilTranslating();
});

test("[SN13] a second agent of the machine cannot translate as well, and one that does not translate takes the rules away", async () => {
  const { lab } = deployment;
  await untilTranslating();
  const second = await deployment.secondAgent("h1", [SNAT]);
  expect(await second.exited).not.toBe(0);
  expect(second.said).toContain("kernel-unavailable");
  expect(second.said).toContain("another agent");
  await untilTranslating();

  await deployment.end("h1", "SIGTERM");
  await deployment.startHost("h1", undefined, [DRAIN]);
  await deployment.untilServing(["h1"]);
  // The one before may still be counted as there, and what it has left goes one by one.
  await vi.waitFor(async () => {
    const { stdout: tables } = await lab.exec("h1", ["nft", "list", "tables"]);
    expect(tables).not.toContain("ipshard_snat");
    for (const family of ["-4", "-6"]) {
      const { stdout: rules } = await lab.exec("h1", ["ip", family, "rule"]);
      expect(rules).not.toMatch(/0x1000|nop/);
    }
  }, TIMEOUT);
  const { stdout: guard } = await lab.exec("h1", ["nft", "list", "table", "inet", "ipshard_guard"]);
  expect(guard).not.toContain("ct status");
});
