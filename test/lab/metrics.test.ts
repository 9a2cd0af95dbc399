/**
 * Debian's Prometheus scrapes a whole deployment: everything in the catalogue is there, the dashboard has
 * something to show, and the alerts fire in their drills and are silent otherwise.
 */
import assert from "node:assert/strict";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { METRIC_NAMES, METRICS } from "../../src/metrics/catalogue.ts";
import { Deployment, POOL } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import { type BookBlock, blocksUnder } from "./operating-book.ts";
import { EDGE, hostOnManagement, hostsOf, ORIGINS_IPV4, type Role, routerOnManagement } from "./plan.ts";
import { Prometheus } from "./prometheus.ts";
import { until } from "./until.ts";

const SIZE = { hosts: 2, routers: 1 };
const PORT = 9_464;
const TOKEN = "scraped-in-the-laboratory";
/** All of it is on two processors, together with whatever else runs. */
const LONG_MS = 90_000;
const RULES = join(import.meta.dirname, "../../ops/prometheus/ipshard.rules.yml");
const DASHBOARD = join(import.meta.dirname, "../../ops/grafana/ipshard.json");
/** Without a sample until it happens, and it does not happen here. */
const RARE: ReadonlySet<string> = new Set([
  // There is no standby.
  "ipshard_edge_standby_age_seconds",
  "ipshard_agent_lease_refusals_total",
  // There is no collector.
  "ipshard_agent_lost_spans_total",
  "ipshard_router_address_dropped_packets_total",
]);
/** What there is only where the kernel translates: `snat-metrics.test.ts` has it. */
const TRANSLATION = "ipshard_agent_translation_";
/** A machine that is busy with other things answers late: that is no false alarm. */
const OF_MACHINE = "IpshardDown";
/** Ports of a host while an address is to be full; else each has as few as can be. */
const FEW_PORTS = 64;
const ALL_PORTS = 64_512;

let deployment: Deployment;
let prometheus: Prometheus;
/** What was to fire so far. */
const drilled = new Set<string>([OF_MACHINE]);
/** Blocks of commands. */
const carriedOut: string[] = [];

beforeAll(async () => {
  deployment = await Deployment.start({
    ...SIZE,
    metrics: { port: PORT, token: TOKEN },
    settings: {
      leaseDurationMs: 24_000,
      quarantineMs: 1_000,
      routerSilenceMs: 30_000,
      firstBlockOrder: 6,
      minPortsPerHost: FEW_PORTS,
      maxPortsPerHost: FEW_PORTS,
    },
  });
  const { directory } = deployment.lab;
  const own = { tokenFile: join(directory, "metrics.token") };
  prometheus = await Prometheus.start(deployment.lab, [
    {
      name: "ipshard-hosts",
      targets: [1, 2].map((host) => `${hostOnManagement(host).ipv4}:${PORT}`),
      ...own,
    },
    { name: "ipshard-routers", targets: [`${routerOnManagement(1).ipv4}:${PORT}`], ...own },
    {
      name: "ipshard-edge",
      targets: [`${EDGE.ipv4}:8787`],
      tokenFile: join(directory, "edge", "tokens", "metrics"),
    },
  ]);
}, 180_000);

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

/** Begins a drill and waits for its alerts, as the start of each is written. None of them has fired before. */
async function expectAlerts(alerts: readonly string[], begin: () => Promise<unknown>): Promise<void> {
  const names = alerts.map((alert) => alert.split(" ")[0]!);
  const early = (await everFired()).filter((name) => names.includes(name) && !drilled.has(name));
  expect(early).toEqual([]);
  for (const name of names) drilled.add(name);
  await begin();
  for (const alert of alerts) await fires(alert);
}

async function fires(alert: string): Promise<void> {
  await until(async () => (await prometheus.firing()).some((firing) => firing.startsWith(alert)), LONG_MS);
}

async function expectSilence(): Promise<void> {
  const others = async (): Promise<readonly string[]> =>
    (await prometheus.firing()).filter((alert) => !alert.startsWith(OF_MACHINE));
  await until(async () => (await others()).length === 0, LONG_MS);
}

async function values(expression: string): Promise<readonly number[]> {
  return (await prometheus.query(expression)).map(({ value: [, text] }) => Number(text));
}

/** The commands for machines on the page of failures. */
async function commandsOfDrills(): Promise<BookBlock[]> {
  return (await blocksUnder("")).filter(
    ({ page, language, machine }) => page === "failures.md" && language === "sh" && machine !== "admin",
  );
}

/** Carries out what stands under a heading there. */
async function carryOut(heading: string, at = 0): Promise<void> {
  const { machine, text } = (await commandsOfDrills()).filter((block) => block.heading === heading)[at]!;
  carriedOut.push(text);
  const script = text.replaceAll("http://example.com/", `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}/seen`);
  await deployment.lab.exec(machine as Role, ["bash", "-e", "-c", script]);
}

/** What the tables of one address are said to be, while the edge is stopped: forwards, and back. */
async function moveSchema(by: number): Promise<void> {
  const storage = join(deployment.lab.directory, "edge/edge/storage/ipshard-EgressIp");
  const [file] = (await readdir(storage)).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).toSorted();
  assert(file !== undefined, "the edge has stored an address");
  const database = new DatabaseSync(join(storage, file));
  database.exec(`UPDATE schema_version SET version = version + ${by}`);
  database.close();
}

/** Every alert that has fired since Prometheus began. */
async function everFired(): Promise<readonly string[]> {
  const expression = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))';
  return (await prometheus.query(expression)).map(({ metric }) => metric["alertname"]!);
}

test("[MT2] [MT11] all parts are scraped, and no alert fires", { timeout: 180_000 }, async () => {
  await until(async () => (await values("sum(up)"))[0] === 4, LONG_MS);
  await expectSilence();
  const { status } = await deployment.client.request(await deployment.to("/seen"));
  expect(status).toBe(200);
  await until(async () => (await values("sum(ipshard_edge_requests_total)"))[0] === 1, LONG_MS);
  await until(async () => (await values("sum(ipshard_agent_first_byte_seconds_count)"))[0] === 1, LONG_MS);
  await until(async () => (await values("sum(ipshard_edge_address_hosts)"))[0] === 4, LONG_MS);
  expect(await values("min(ipshard_agent_guard_active)")).toEqual([1]);
  expect(await values("min(ipshard_router_ready)")).toEqual([1]);
});

test("[MT1] [MT16] what is scraped is what the catalogue has, and nothing of a translation that is not there", async () => {
  const scraped = new Set<string>(
    (await prometheus.names("ipshard_")).map((name) => {
      const whole = name.replace(/_(bucket|sum|count)$/, "");
      return whole in METRICS ? whole : name;
    }),
  );
  for (const name of scraped) expect(METRICS).toHaveProperty(name);
  expect([...scraped].filter((name) => name.startsWith(TRANSLATION))).toEqual([]);
  const expected = METRIC_NAMES.filter((name) => !RARE.has(name) && !name.startsWith(TRANSLATION));
  expect(expected.filter((name) => !scraped.has(name))).toEqual([]);
});

test("[MT11] Prometheus takes every question of the dashboard", async () => {
  const { panels } = JSON.parse(await readFile(DASHBOARD, "utf8")) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const empty: string[] = [];
  for (const { title, targets = [] } of panels) {
    if (targets.some(({ expr }) => expr.includes(TRANSLATION))) continue;
    const answers = await Promise.all(targets.map(({ expr }) => prometheus.query(expr)));
    if (targets.length > 0 && answers.every((answer) => answer.length === 0)) empty.push(title);
  }
  // Nothing was refused.
  expect(empty.filter((title) => title !== "Refusals")).toEqual([]);
});

test("[MT11] drill: ports towards one destination run short, then out", { timeout: 300_000 }, async () => {
  const [first, more] = [await deployment.newClient(), await deployment.newClient()];
  const long = await deployment.to("/stream?ticks=240&everyMs=250", { host: "h1" });
  await expectAlerts([`IpshardPortsNearlyExhausted ${hostOnManagement(1).ipv4}:${PORT}`], () =>
    first.load(58, [long]),
  );
  await expectAlerts(["IpshardHostRefuses port-block-exhausted"], () =>
    more.load(12, [{ ...long, retryAfterMs: 1_000 }]),
  );
  expect(await values("max(ipshard_agent_busiest_destination_ports)")).toEqual([FEW_PORTS]);
  await Promise.all([first.kill(), more.kill()]);
});

test(
  "[MT11] drill: an uplink is dead, and a router loses its rules and then its life",
  { timeout: 240_000 },
  async () => {
    const load = await deployment.newClient();
    // A destination to which the host has a port left for a trial.
    await load.load(4, [await deployment.to("/seen", { host: "h1", origin: 1 })]);
    await load.progresses(4);
    await expectAlerts([`IpshardUplinkBad ${hostOnManagement(1).ipv4}:${PORT}`], () =>
      carryOut("The uplink of a host dies"),
    );
    await carryOut("The uplink of a host dies", 1);
    await expectAlerts([`IpshardRouterKernel ${routerOnManagement(1).ipv4}:${PORT}`], () =>
      carryOut("The rules of a router are gone"),
    );
    expect(await values("ipshard_router_displacements_total > 0")).toHaveLength(1);
    await expectAlerts(["IpshardRouterAway", `${OF_MACHINE} ${routerOnManagement(1).ipv4}:${PORT}`], () =>
      deployment.end("r1", "SIGKILL"),
    );
    await deployment.startRouter("r1");
    await deployment.untilSteering(["r1"]);
    await load.kill();
  },
);

test(
  "[MT11] drill: something sends outside the leases, and a kernel has no memory",
  { timeout: 240_000 },
  async () => {
    await expectAlerts([`IpshardGuardDrops ${hostOnManagement(1).ipv4}:${PORT}`], () =>
      carryOut("A peer attacks"),
    );
    expect(await values("sum(ipshard_agent_guard_dropped_packets_total)")).not.toEqual([0]);
    // A kernel that refuses for want of memory, as the agent sees it.
    const { pid } = deployment.processOf("h2");
    const refuse = ["-e", "trace=connect", "-e", "inject=connect:error=ENOMEM"];
    const kernel = deployment.lab.spawn("h2", ["strace", "-f", "-p", `${pid}`, ...refuse]);
    await kernel.waitFor("attached");
    await expectAlerts([`IpshardFault ${hostOnManagement(2).ipv4}:${PORT}`], async () => {
      const request = await deployment.to("/seen", { host: "h2", origin: 1 });
      const { status, body } = await deployment.client.request(request);
      expect([status, JSON.parse(body)]).toEqual([500, expect.objectContaining({ code: "internal-fault" })]);
    });
    kernel.signal("SIGTERM");
    await kernel.exited;
  },
);

test(
  "[MT11] drill: a router does not follow, and an address is nearly full",
  { timeout: 240_000 },
  async () => {
    const router = deployment.processOf("r1");
    await expectAlerts(["IpshardRouterLags r1"], async () => {
      router.signal("SIGSTOP");
      await deployment.takePorts();
    });
    expect(await values("ipshard_edge_router_lagging")).toEqual([1]);
    router.signal("SIGCONT");
    await deployment.untilSteering(["r1"]);
    const settings = { maxPortsPerHost: ALL_PORTS };
    await deployment.api.putPool({ pool: POOL, settings });
    await expectAlerts(["IpshardAddressNearlyLeased"], () => deployment.takePorts(["taker-of-all"]));
    await deployment.api.putPool({ pool: POOL, settings: { maxPortsPerHost: FEW_PORTS } });
    await deployment.endTakers();
  },
);

test(
  "[MT11] drill: the edge is away for longer than a lease, and comes back on tables that it does not know",
  { timeout: 300_000 },
  async () => {
    await expectAlerts(["IpshardHostAlone", "IpshardLeaseOld", "IpshardLeasesLost"], () =>
      deployment.end("edge", "SIGTERM"),
    );
    const losses = await prometheus.query("sum by (reason) (ipshard_agent_lease_losses_total) > 0");
    expect(losses.map(({ metric }) => metric["reason"])).toEqual(["lapsed"]);
    await moveSchema(1);
    // What a standby said last, that has not been heard since.
    const heldFile = join(deployment.edgeState, "edge", "standby-held");
    await writeFile(heldFile, String(Date.now() - 120_000));
    await expectAlerts(["IpshardObjectsSilent", "IpshardStandbyBehind"], () => deployment.startEdge());
    await deployment.end("edge", "SIGTERM");
    await rm(heldFile);
    await moveSchema(-1);
    await deployment.startEdge();
    await deployment.untilServing(hostsOf(SIZE));
  },
);

test("[MT11] drill: a host is drained, and the last one dies", { timeout: 240_000 }, async () => {
  await deployment.api.drainHost({ pool: POOL, host: "h1" });
  await deployment.untilServing(["h2"]);
  const down = `${OF_MACHINE} ${hostOnManagement(2).ipv4}:${PORT}`;
  await expectAlerts([down, "IpshardEdgeRefuses no-host"], async () => {
    await deployment.end("h2", "SIGKILL");
    const request = await deployment.to("/seen");
    await until(async () => (await deployment.client.request(request)).body.includes('"no-host"'));
  });
  await deployment.api.resumeHost({ pool: POOL, host: "h1" });
  await deployment.startHost("h2");
  await until(async () => (await values("sum(up)"))[0] === 4, LONG_MS);
  await expectSilence();
  expect(await values('sum(ipshard_edge_pool_hosts{state="live"})')).toEqual([2]);
});

test("[MT11] every alert has had its drill and fired in it, every command of the drills was carried out", async () => {
  const [rules] = (await readFile(RULES, "utf8")).split("- name: ipshard-translation");
  const names = Array.from(rules!.matchAll(/- alert: (\w+)/g), ([, name]) => name!).toSorted();
  expect([...drilled].toSorted()).toEqual(names);
  expect((await everFired()).toSorted()).toEqual(names);
  expect(carriedOut.toSorted()).toEqual((await commandsOfDrills()).map(({ text }) => text).toSorted());
});
