import { expect, test } from "vitest";
import { ProcessCounts } from "../../src/agent/processes/process-counts.ts";
import { MetricRegistry, type Samples, textOf } from "../../src/metrics/node/registry.ts";
import { readScrape } from "../e2e/scraped.ts";

/** A registry of a process that has counted this much. */
function counted(requests: () => number, waits: readonly number[] = []): MetricRegistry {
  const registry = new MetricRegistry();
  const note = registry.times("ipshard_agent_first_byte_seconds", {});
  for (const ms of waits) note(ms);
  registry.readAtScrape((add) => {
    add("ipshard_agent_flows_total", { kind: "request" }, requests());
    add("ipshard_agent_running_requests", {}, 1);
  });
  return registry;
}

/** As it comes from another process. */
async function said(registry: MetricRegistry): Promise<Samples> {
  return JSON.parse(JSON.stringify(await registry.samples())) as Samples;
}

test("[MT6] what is read is as it is at each scrape, and a time falls into its buckets", async () => {
  let requests = 3;
  const registry = counted(() => requests, [0.4, 40, 1_200]);
  const first = readScrape(await textOf([await registry.samples()]));
  expect(first.get('ipshard_agent_flows_total{kind="request"}')).toBe(3);
  expect(first.get('ipshard_agent_first_byte_seconds_bucket{le="0.001"}')).toBe(1);
  expect(first.get('ipshard_agent_first_byte_seconds_bucket{le="0.05"}')).toBe(2);
  expect(first.get('ipshard_agent_first_byte_seconds_bucket{le="+Inf"}')).toBe(3);
  expect(first.get("ipshard_agent_first_byte_seconds_sum")).toBeCloseTo(1.2404);
  requests = 4;
  const second = readScrape(await textOf([await registry.samples()]));
  expect(second.get('ipshard_agent_flows_total{kind="request"}')).toBe(4);
});

test("[MT4] processes are added up, histograms too; scrapes at the same time do not mix", async () => {
  const [one, other] = [counted(() => 3, [1]), counted(() => 4, [2, 3])];
  const both = await Promise.all([said(one), said(other), one.samples(), other.samples()]);
  for (const pair of [both.slice(0, 2), both.slice(2)]) {
    const sum = readScrape(await textOf(pair));
    expect(sum.get('ipshard_agent_flows_total{kind="request"}')).toBe(7);
    expect(sum.get("ipshard_agent_running_requests")).toBe(2);
    expect(sum.get("ipshard_agent_first_byte_seconds_count")).toBe(3);
  }
});

test("[MT4] of a process that has ended, or is silent, its counts stay, and of the ended one nothing else", async () => {
  const counts = new ProcessCounts();
  const [one, other, third] = [counted(() => 3, [1]), counted(() => 4, [2, 3]), counted(() => 5)];
  const sumOf = async (scrape: [number, Samples | null][]): Promise<(number | undefined)[]> => {
    const told = readScrape(await textOf(await counts.after(new Map(scrape))));
    const names = [
      'ipshard_agent_flows_total{kind="request"}',
      "ipshard_agent_running_requests",
      "ipshard_agent_first_byte_seconds_count",
    ];
    return names.map((name) => told.get(name));
  };
  expect(
    await sumOf([
      [1, await said(one)],
      [2, await said(other)],
    ]),
  ).toEqual([7, 2, 3]);
  expect(
    await sumOf([
      [1, await said(one)],
      [2, null],
    ]),
  ).toEqual([7, 2, 3]);
  expect(
    await sumOf([
      [1, await said(one)],
      [3, await said(third)],
    ]),
  ).toEqual([12, 2, 3]);
  expect(await sumOf([[3, await said(third)]])).toEqual([12, 1, 3]);
  expect(await sumOf([])).toEqual([12, undefined, 3]);
});
