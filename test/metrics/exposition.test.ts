import { expect, test } from "vitest";
import { Exposition } from "../../src/metrics/exposition.ts";

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

test("[MT2] a label cannot end its own value", () => {
  const exposition = new Exposition();
  exposition.add("ipshard_edge_refusals_total", { code: 'a"b\\c\nd' }, 1);
  expect(exposition.text()).toContain('{code="a\\"b\\\\c\\nd"} 1');
});
