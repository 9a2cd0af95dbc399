/** The code, the catalogue, the reference, the alerts and the dashboard speak of the same metrics. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { METRIC_NAMES, METRICS, type MetricKind, type MetricName } from "../../src/metrics/catalogue.ts";
import { withReference } from "../../src/metrics/reference.ts";

const ROOT = join(import.meta.dirname, "../..");
const NAME = /\bipshard_[a-z]+_[a-z0-9_]+\b/g;
/** What Prometheus adds to the name of a histogram. */
const PART = /_(bucket|sum|count)$/;

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

function namesIn(text: string): Set<string> {
  return new Set(Array.from(text.matchAll(NAME), ([name]) => name));
}

function filesOf(...folders: readonly string[]): string[] {
  return execFileSync("git", ["ls-files", "-co", "--exclude-standard", ...folders], {
    cwd: ROOT,
    encoding: "utf8",
  })
    .trim()
    .split("\n");
}

/** The metric behind a name that somebody reads: of a part of a histogram the histogram. */
function metricOf(name: string): string {
  const whole = name.replace(PART, "");
  const kind: MetricKind | undefined = METRICS[whole as MetricName];
  return kind?.type === "histogram" ? whole : name;
}

test("[MT1] every metric of the catalogue is told by some code, and every name in code is in the catalogue", () => {
  const sources = filesOf("src", "durable-objects").filter(
    (file) => file.endsWith(".ts") && file !== "src/metrics/catalogue.ts",
  );
  const told = namesIn(sources.map(read).join("\n"));
  expect([...told].toSorted()).toEqual([...METRIC_NAMES].toSorted());
});

test("[MT1] the reference is what the catalogue makes; else: npm run docs", () => {
  const document = read("docs/METRICS.md");
  expect(document).toBe(withReference(document));
  for (const name of namesIn(document)) expect(METRICS, name).toHaveProperty(metricOf(name));
});

test("[MT1] names end with their unit, counters with _total; a label is none of those that anybody can make up", () => {
  const units =
    /_(ports|seconds|bytes|packets|sequence|leases|requests|connections|processes|hosts|routers|objects|flows|entries)$/;
  const states = /_(good|connected|active|ready|lagging)$/;
  for (const name of METRIC_NAMES) {
    const { type, labels }: MetricKind = METRICS[name];
    expect(name.endsWith("_total"), name).toBe(type === "counter");
    if (type === "histogram") expect(name).toMatch(/_seconds$/);
    if (type === "gauge") expect(units.test(name) || states.test(name), name).toBe(true);
    expect(labels.length, name).toBeLessThanOrEqual(3);
    for (const label of labels)
      expect(["tenant", "client", "destination", "path", "token"]).not.toContain(label);
  }
});

test("[MT11] each alert has its section in the book of operators, and each section there is of an alert", () => {
  const rules = read("ops/prometheus/ipshard.rules.yml");
  const named = Array.from(
    rules.matchAll(/- alert: (\w+)\n[^]*?severity: (\w+)\n[^]*?runbook: (\S+)/g),
    ([, name, severity, runbook]) => ({ name: name!, severity: severity!, runbook: runbook! }),
  );
  expect(named).toHaveLength(rules.match(/- alert:/g)!.length);
  const [, ...sections] = read("docs/operating/alerts.md").split(/^## /m);
  expect(sections.map((section) => section.split("\n", 1)[0])).toEqual(named.map(({ name }) => name));
  for (const [at, { name, severity, runbook }] of named.entries()) {
    expect(runbook).toBe(`docs/operating/alerts.md#${name.toLowerCase()}`);
    const section = sections[at]!;
    expect(section, name).toContain(`\`${severity}\``);
    for (const part of ["First look", "Remedy"]) expect(section, name).toContain(`- **${part}.**`);
    expect(section, name).toMatch(/- \*\*Likely\.\*\*|By its `\w+`:/);
  }
});

test("[MT11] alerts and dashboard ask for metrics that there are", () => {
  for (const file of filesOf("ops").filter((name) => /\.(ya?ml|json)$/.test(name))) {
    for (const name of namesIn(read(file)))
      expect(METRICS, `${file}: ${name}`).toHaveProperty(metricOf(name));
  }
});
