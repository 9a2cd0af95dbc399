import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Exposition } from "../../src/metrics/exposition.ts";
import { TimeHistogram } from "../../src/metrics/time-histogram.ts";

test("[MT2] samples of a name stand together, under what it is", () => {
  const exposition = new Exposition();
  exposition.add("ipshard_edge_requests_total", {}, 3);
  exposition.add("ipshard_edge_pool_hosts", { pool: "eu", state: "live" }, 2);
  exposition.add("ipshard_edge_silent_objects", {}, 0);
  exposition.add("ipshard_edge_pool_hosts", { pool: "eu", state: "away" }, 1);
  const lines = exposition.text().split("\n");
  expect(lines.filter((line) => !line.startsWith("# HELP"))).toEqual([
    "# TYPE ipshard_edge_requests_total counter",
    "ipshard_edge_requests_total 3",
    "# TYPE ipshard_edge_pool_hosts gauge",
    'ipshard_edge_pool_hosts{pool="eu",state="live"} 2',
    'ipshard_edge_pool_hosts{pool="eu",state="away"} 1',
    "# TYPE ipshard_edge_silent_objects gauge",
    "ipshard_edge_silent_objects 0",
    "",
  ]);
});

test("[MT15] a histogram counts at each bound what was as long or shorter", () => {
  const times = new TimeHistogram([0.005, 0.1, 2.5]);
  for (const ms of [0, 5, 5.1, 100, 3_000, -7]) times.note(ms);
  const exposition = new Exposition();
  exposition.addTimes("ipshard_edge_first_byte_seconds", { answerer: "host" }, times);
  const lines = exposition.text().split("\n");
  expect(lines.filter((line) => !line.startsWith("# HELP"))).toEqual([
    "# TYPE ipshard_edge_first_byte_seconds histogram",
    'ipshard_edge_first_byte_seconds_bucket{answerer="host",le="0.005"} 3',
    'ipshard_edge_first_byte_seconds_bucket{answerer="host",le="0.1"} 5',
    'ipshard_edge_first_byte_seconds_bucket{answerer="host",le="2.5"} 5',
    'ipshard_edge_first_byte_seconds_bucket{answerer="host",le="+Inf"} 6',
    'ipshard_edge_first_byte_seconds_sum{answerer="host"} 3.1101',
    'ipshard_edge_first_byte_seconds_count{answerer="host"} 6',
    "",
  ]);
});

test("[MT15] whatever the times are, the buckets rise to the count, and each time is in the first that holds it", () => {
  const bounds = fc.uniqueArray(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(bounds, fc.array(fc.nat(12_000)), (drawn, durations) => {
      const rising = drawn.toSorted((a, b) => a - b);
      const times = new TimeHistogram(rising.map((ms) => ms / 1_000));
      for (const ms of durations) times.note(ms);
      const { buckets, count } = times.read();
      expect(count).toBe(durations.length);
      expect(buckets.at(-1)).toEqual({ bound: "+Inf", count });
      for (const [at, bound] of rising.entries()) {
        expect(buckets[at]!.count).toBe(durations.filter((ms) => ms <= bound).length);
      }
    }),
  );
});

test("[MT2] a label cannot end its own value", () => {
  const exposition = new Exposition();
  exposition.add("ipshard_edge_refusals_total", { code: 'a"b\\c\nd' }, 1);
  expect(exposition.text()).toContain('{code="a\\"b\\\\c\\nd"} 1');
});
