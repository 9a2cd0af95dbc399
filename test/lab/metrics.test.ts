/**
 * Debian's Prometheus scrapes a whole deployment: everything in the catalogue is there, the dashboard has
 * something to show, and the alerts fire in their drills and are silent otherwise.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { METRIC_NAMES, METRICS } from "../../src/metrics/catalogue.ts";
import { Deployment } from "./deployment.ts";
import { ORIGIN_PORT } from "./edge-side.ts";
import { EDGE, hostOnManagement, hostsOf, ORIGINS_IPV4, routerOnManagement, SHARED_IPV4 } from "./plan.ts";
import { Prometheus } from "./prometheus.ts";
import { until } from "./until.ts";

const SIZE = { hosts: 2, routers: 1 };
const PORT = 9_464;
const TOKEN = "scraped-in-the-laboratory";
/** All of it is on two processors, together with whatever else runs. */
const LONG_MS = 90_000;
const DASHBOARD = join(import.meta.dirname, "../../ops/grafana/ipshard.json");
/** Without a sample until it happens, and it does not happen here. */
const RARE: ReadonlySet<string> = new Set([
  "ipshard_agent_lease_refusals_total",
  // There is no collector.
  "ipshard_agent_lost_spans_total",
  "ipshard_router_address_dropped_packets_total",
]);
/** A machine that is busy with other things answers late: that is no false alarm. */
const OF_MACHINE = "IpshardDown";

let deployment: Deployment;
let prometheus: Prometheus;
/** What was to fire so far. */
const drilled = new Set<string>([OF_MACHINE]);

beforeAll(async () => {
  deployment = await Deployment.start({
    ...SIZE,
    metrics: { port: PORT, token: TOKEN },
    settings: {
      leaseDurationMs: 24_000,
      quarantineMs: 1_000,
      routerSilenceMs: 30_000,
      firstBlockOrder: 6,
      minPortsPerHost: 64,
      maxPortsPerHost: 64,
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

/** Waits for an alert, as the start of it is written. */
async function fires(alert: string, ...besides: readonly string[]): Promise<void> {
  drilled.add(alert.split(" ")[0]!);
  for (const name of besides) drilled.add(name);
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

test("[MT1] what is scraped is what the catalogue has", async () => {
  const scraped = new Set<string>(
    (await prometheus.names("ipshard_")).map((name) => {
      const whole = name.replace(/_(bucket|sum|count)$/, "");
      return whole in METRICS ? whole : name;
    }),
  );
  for (const name of scraped) expect(METRICS).toHaveProperty(name);
  expect(METRIC_NAMES.filter((name) => !scraped.has(name) && !RARE.has(name))).toEqual([]);
});

test("[MT11] Prometheus takes every question of the dashboard", async () => {
  const { panels } = JSON.parse(await readFile(DASHBOARD, "utf8")) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const empty: string[] = [];
  for (const { title, targets = [] } of panels) {
    const answers = await Promise.all(targets.map(({ expr }) => prometheus.query(expr)));
    if (targets.length > 0 && answers.every((answer) => answer.length === 0)) empty.push(title);
  }
  // Nothing was refused.
  expect(empty.filter((title) => title !== "Refusals")).toEqual([]);
});

test("[MT11] drill: ports towards one destination run short, then out", { timeout: 300_000 }, async () => {
  const [first, more] = [deployment.client, await deployment.newClient()];
  const long = await deployment.to("/stream?ticks=240&everyMs=250", { host: "h1" });
  await first.load(58, [long]);
  await fires(`IpshardPortsNearlyExhausted ${hostOnManagement(1).ipv4}:${PORT}`);
  expect(await everFired()).not.toContain("IpshardHostRefuses");
  await more.load(12, [{ ...long, retryAfterMs: 1_000 }]);
  await fires("IpshardHostRefuses port-block-exhausted");
  await Promise.all([first.stop(), more.stop()]);
  await expectSilence();
});

test(
  "[MT11] drill: something sends from the shared address outside the leases",
  { timeout: 240_000 },
  async () => {
    const stranger = deployment.lab.spawnNode("h1", join(import.meta.dirname, "caller.ts"));
    stranger.write(`connect ${SHARED_IPV4} 1024 ${ORIGINS_IPV4[0]} ${ORIGIN_PORT}`);
    await fires("IpshardGuardDrops");
    expect(await values("sum(ipshard_agent_guard_dropped_packets_total)")).not.toEqual([0]);
    await stranger.kill();
    await expectSilence();
  },
);

test("[MT11] drill: a router does not follow", { timeout: 240_000 }, async () => {
  const router = deployment.processOf("r1");
  router.signal("SIGSTOP");
  await deployment.takePorts();
  await fires("IpshardRouterLags r1", "IpshardRouterAway");
  expect(await values("ipshard_edge_router_lagging")).toEqual([1]);
  router.signal("SIGCONT");
  await expectSilence();
});

test("[MT11] drill: the edge is away for longer than a lease", { timeout: 300_000 }, async () => {
  await deployment.end("edge", "SIGTERM");
  await fires("IpshardLeaseOld", "IpshardHostAlone", "IpshardRouterAway");
  await fires("IpshardLeasesLost");
  const losses = await prometheus.query("sum by (reason) (ipshard_agent_lease_losses_total) > 0");
  expect(losses.map(({ metric }) => metric["reason"])).toEqual(["lapsed"]);
  await deployment.startEdge();
  await deployment.untilServing(hostsOf(SIZE));
  await expectSilence();
});

test(
  "[MT11] drill: a host is gone; and in all that time nothing fired that was not to",
  { timeout: 240_000 },
  async () => {
    await deployment.end("h2", "SIGKILL");
    const gone = `IpshardDown ${hostOnManagement(2).ipv4}:${PORT}`;
    await fires(gone);
    await deployment.startHost("h2");
    await until(async () => (await values("sum(up)"))[0] === 4, LONG_MS);
    await expectSilence();
    expect((await everFired()).filter((name) => !drilled.has(name))).toEqual([]);
  },
);
