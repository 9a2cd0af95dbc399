/**
 * Prometheus scrapes a host that translates for containers: all that the catalogue has of it is there, the dashboard has
 * something to show, and its alerts fire in their drills and are silent otherwise. `who` knows its ports.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { METRIC_NAMES } from "../../src/metrics/catalogue.ts";
import { Deployment } from "./deployment.ts";
import { CLI, EDGE_URL, ORIGIN_PORT } from "./edge-side.ts";
import type { LabProcess } from "./lab-process.ts";
import { hostOnManagement, ORIGINS_IPV4, SHARED_IPV4 } from "./plan.ts";
import { Prometheus } from "./prometheus.ts";
import { until } from "./until.ts";

const METRICS_PORT = 9_464;
const TOKEN = "scraped-in-the-laboratory";
const LONG_MS = 60_000;
const OPS = join(import.meta.dirname, "../../ops");
const OURS = "ipshard_agent_translation_";
/** A unit for the kernel, and one for the agent's sockets. */
const PORTS = 128;
const ORIGIN = `http://${ORIGINS_IPV4[0]}:${ORIGIN_PORT}`;

let deployment: Deployment;
let prometheus: Prometheus;
const drilled = new Set<string>();

beforeAll(async () => {
  deployment = await Deployment.start({
    hosts: 1,
    routers: 1,
    containers: true,
    agentArgs: ["--snat=source=10.88.0.0/16, name=pods"],
    metrics: { port: METRICS_PORT, token: TOKEN },
    settings: { firstBlockOrder: 6, minPortsPerHost: PORTS, maxPortsPerHost: PORTS },
  });
  const { directory } = deployment.lab;
  const targets = [`${hostOnManagement(1).ipv4}:${METRICS_PORT}`];
  const tokenFile = join(directory, "metrics.token");
  prometheus = await Prometheus.start(deployment.lab, [{ name: "ipshard-hosts", targets, tokenFile }]);
}, 180_000);

beforeEach(() => deployment.tellIfTestFails());

afterAll(() => deployment?.destroy());

async function value(expression: string): Promise<number | undefined> {
  const [sample] = await prometheus.query(expression);
  return sample === undefined ? undefined : Number(sample.value[1]);
}

async function onHost(command: string): Promise<string> {
  return (await deployment.lab.exec("h1", ["sh", "-ec", command])).stdout;
}

/** Connections of the container that last, all to one destination. */
function hold(count: number): LabProcess {
  const urls = `${ORIGIN}/stream?ticks=1000&everyMs=1000&at=[1-${count}]`;
  const together = ["--parallel", "--parallel-immediate", "--parallel-max", `${count}`];
  return deployment.lab.spawn("c1", ["curl", "-s", ...together, "-o", "/dev/null", urls]);
}

async function seenAs(): Promise<{ address: string; port: number }> {
  const { stdout } = await deployment.lab.exec("c1", ["curl", "-sf", "--max-time", "9", `${ORIGIN}/seen`]);
  return JSON.parse(stdout) as { address: string; port: number };
}

/** Nothing of this has fired before; now it does. */
async function expectAlert(name: string, begin: () => Promise<unknown>): Promise<void> {
  const past = `count_over_time(ALERTS{alertname="${name}", alertstate="firing"}[1h])`;
  expect(await prometheus.query(past)).toEqual([]);
  await begin();
  await until(async () => (await prometheus.firing()).some((alert) => alert.startsWith(name)), LONG_MS);
  drilled.add(name);
}

async function expectSilence(): Promise<void> {
  const ofTranslation = /^Ipshard(Translation|Tracking)/;
  await until(async () => (await prometheus.firing()).every((alert) => !ofTranslation.test(alert)), LONG_MS);
}

test(
  "[MT16] what the kernel translates is scraped, all that the catalogue has of it",
  { timeout: 120_000 },
  async () => {
    await until(async () => (await seenAs().catch(() => null))?.address === SHARED_IPV4);
    await until(async () => ((await value(`${OURS}flows_total`)) ?? 0) > 0);
    const scraped = (await prometheus.names(OURS)).map((name) => name.replace(/_(bucket|sum|count)$/, ""));
    expect([...new Set(scraped)].toSorted()).toEqual(
      METRIC_NAMES.filter((name) => name.startsWith(OURS)).toSorted(),
    );
    expect(await value(`${OURS}ports{ip="${SHARED_IPV4}"}`)).toBeGreaterThanOrEqual(64);
    expect(await value(`${OURS}trackable_entries`)).toBeGreaterThan(1_000);
    expect(await value(`${OURS}look_seconds_count`)).toBeGreaterThan(0);
    const reasons = await prometheus.query(`${OURS}dropped_packets_total`);
    expect(reasons.map(({ metric }) => `${metric["reason"]}`).toSorted()).toEqual([
      "destination",
      "full",
      "invalid",
      "midstream",
      "ports",
      "protocol",
      "stray",
      "untranslated",
    ]);
  },
);

test("[MT16] a destination that is forbidden is counted by its reason", async () => {
  const before = (await value(`${OURS}dropped_packets_total{reason="destination"}`)) ?? 0;
  const refused = deployment.lab.spawn("c1", ["curl", "-s", "--max-time", "2", "http://192.168.7.7/"]);
  expect(await refused.exited).toBe(7);
  await until(
    async () => ((await value(`${OURS}dropped_packets_total{reason="destination"}`)) ?? 0) > before,
  );
});

test("[MT11] Prometheus takes the dashboard's questions about translation, and has an answer", async () => {
  const { panels } = JSON.parse(await readFile(join(OPS, "grafana/ipshard.json"), "utf8")) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const asked = panels.filter(({ targets = [] }) => targets.some(({ expr }) => expr.includes(OURS)));
  expect(asked.length).toBeGreaterThan(0);
  for (const { title, targets } of asked) {
    const answers = await Promise.all(targets!.map(({ expr }) => prometheus.query(expr)));
    expect(
      answers.some((answer) => answer.length > 0),
      title,
    ).toBe(true);
  }
});

test("[AT12] who says of a translated port which host and which senders, and where to look on", async () => {
  const { address, port } = await seenAs();
  const tokenFile = await deployment.tokenFile("admin", "abuse");
  const args = ["who", `${address}:${port}`, `--edge=${EDGE_URL}`, `--token-file=${tokenFile}`];
  args.push("--allow-plain-http");
  const { stdout } = await deployment.lab.exec("edge", [process.execPath, CLI, ...args]);
  expect(stdout).toContain(`${address}:${port} at `);
  expect(stdout).toContain(": host h1 of pool default, by lease ");
  expect(stdout).toContain("The port was translated for senders of pods on h1, by its kernel, from ");
});

test("[MT11] drill: the ports for translation run short, then out", { timeout: 240_000 }, async () => {
  await expectSilence();
  const processes: LabProcess[] = [];
  await expectAlert("IpshardTranslationNearlyFull", async () => processes.push(hold(55)));
  expect(await value(`max(${OURS}busiest_destination_ports / ${OURS}ports)`)).toBeGreaterThan(0.8);
  await expectAlert("IpshardTranslationRefuses", async () => processes.push(hold(30)));
  for (const one of processes) await one.kill();
  await onHost("conntrack -F");
  await expectSilence();
});

test("[MT11] drill: another program translates first", { timeout: 120_000 }, async () => {
  await expectAlert("IpshardTranslationMissed", async () => {
    await onHost("nft add table inet others");
    await onHost("nft 'add chain inet others leave { type nat hook postrouting priority 50; }'");
    await onHost("nft add rule inet others leave oifname lan0 ip saddr 10.88.0.0/16 masquerade");
    await deployment.lab.spawn("c1", ["curl", "-s", "--max-time", "4", `${ORIGIN}/seen`]).exited;
  });
  await onHost("nft delete table inet others && conntrack -F");
  await expectSilence();
  expect((await seenAs()).address).toBe(SHARED_IPV4);
});

test("[MT11] drill: the tracking table is nearly full", { timeout: 120_000 }, async () => {
  const limit = (await value(`${OURS}trackable_entries`))!;
  const entries = Array.from({ length: Math.ceil(limit * 0.81) }, (_, at) => {
    const [port, host] = [1_024 + (at % 60_000), Math.floor(at / 60_000)];
    return `-I -p udp -s 10.200.0.${host + 1} -d 10.201.0.1 --sport ${port} --dport 9 -t 600`;
  });
  const file = join(deployment.lab.directory, "entries");
  await writeFile(file, `${entries.join("\n")}\n`);
  await expectAlert("IpshardTrackingTableNearlyFull", () => onHost(`conntrack -R ${file} >/dev/null`));
  expect(await value(`${OURS}tracked_entries`)).toBeGreaterThan(limit * 0.8);
  await onHost("conntrack -F");
  await expectSilence();
});

test("[MT11] every alert of translation has had its drill", async () => {
  const rules = (await readFile(join(OPS, "prometheus/ipshard.rules.yml"), "utf8")).split(
    "- name: ipshard-translation",
  )[1]!;
  expect([...drilled].toSorted()).toEqual(
    Array.from(rules.matchAll(/- alert: (\w+)/g), ([, name]) => name!).toSorted(),
  );
});
