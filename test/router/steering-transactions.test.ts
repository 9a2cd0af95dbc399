/** What the kernel is told, to the letter. */
import { describe, expect, test } from "vitest";
import { localRuleLines, routingLines } from "../../src/router/kernel/policy-routing.ts";
import {
  configProblems,
  firstMarkOf,
  markOf,
  type HostWay,
  type RouterConfig,
} from "../../src/router/steering/router-config.ts";
import {
  contentsOf,
  differenceOf,
  elementCommands,
  printTransactions,
  ruleCommands,
  usedContainers,
} from "../../src/router/rules/steering-transactions.ts";
import { transactionText } from "../../src/linux/nftables/statements.ts";
import { dropCountsOf, snapshotOf } from "../../src/router/rules/steering-snapshot.ts";
import { parseListing } from "../../src/linux/nftables/listing.ts";
import { CONFIG, entry, IPV4, IPV6, NEXT_HOPS, table } from "./steering-fixture.ts";

const BLOCK = entry("h1", 2048, 11, 1);

function withHosts(...hosts: (readonly [string, HostWay])[]): RouterConfig {
  return { ...CONFIG, hosts: new Map(hosts) };
}

function elementsFor(config: RouterConfig, what = BLOCK): Record<string, Record<string, unknown>> {
  const { contents } = contentsOf(config, table(1, [what]));
  return Object.fromEntries(
    [...contents].flatMap(([id, elements]) =>
      /via|stack/.test(id) ? [[id, Object.fromEntries(elements)]] : [],
    ),
  );
}

describe("a block", () => {
  test("[RT1] goes to the next hop that the pool names, in either family", () => {
    expect(elementsFor(CONFIG)).toEqual({ "netdev via_lan0_ip4_11": { "3221225985 2048": "203.0.113.81" } });
    expect(elementsFor(CONFIG, entry("h2", 256 * 9, 8, 1, IPV6))).toEqual({
      "netdev via_lan0_ip6_8": { "0x20010db8000100000000000000000001 2304": "2001:db8:a::1:2" },
    });
  });

  test("[RT1] between two sizes of elements is written in the smaller", () => {
    expect(Object.values(elementsFor(CONFIG, entry("h1", 4096, 12, 1)))).toEqual([
      { "3221225985 4096": "203.0.113.81", "3221225985 6144": "203.0.113.81" },
    ]);
    expect(Object.values(elementsFor(CONFIG, entry("h1", 1152, 7, 1)))).toEqual([
      { "3221225985 1152": "203.0.113.81", "3221225985 1216": "203.0.113.81" },
    ]);
  });

  test("[RT1] goes where the operator says instead", () => {
    const nextHops = ["203.0.113.99", "2001:DB8::0:99"];
    const config = withHosts(["h1", { kind: "neighbour", device: "vxlan-7", nextHops }]);
    expect(elementsFor(config)).toEqual({
      "netdev via_vxlan_2d_7_ip4_11": { "3221225985 2048": "203.0.113.99" },
    });
    expect(Object.values(elementsFor(config, { ...BLOCK, ip: IPV6 }))).toEqual([
      { "0x20010db8000100000000000000000001 2048": "2001:db8::99" },
    ]);
  });

  test("[RT8] of a routed host gets its mark, and a routing table of that number", () => {
    const config = withHosts(
      ["h2", { kind: "routed", device: "tun0", nextHops: [] }],
      ["h1", { kind: "routed", device: "wg0", nextHops: ["203.0.113.99"] }],
    );
    const mark = markOf(config, "h1");
    expect(elementsFor(config)).toEqual({ "netdev stack_ip4_11": { "3221225985 2048": mark } });
    const [first, second] = [String(mark), String(mark + 1)];
    expect(
      routingLines(config, 4, [{ priority: 2, fwmark: `0x${mark.toString(16)}`, table: first }]),
    ).toEqual([
      ["route", "replace", "default", "via", "203.0.113.99", "dev", "wg0", "table", first],
      ["route", "replace", "default", "dev", "tun0", "table", second],
      ["rule", "add", "fwmark", second, "priority", "2", "lookup", second],
    ]);
    expect(routingLines(config, 6, []).map((words) => words.join(" "))).toEqual([
      `route replace default dev tun0 table ${second}`,
      `rule add fwmark ${second} priority 2 lookup ${second}`,
    ]);
  });

  test("[RT9] of this machine itself is delivered here, by a mark that leads nowhere else", () => {
    const config = withHosts(
      ["h1", { kind: "self" }],
      ["h2", { kind: "routed", device: "tun0", nextHops: [] }],
    );
    const mark = firstMarkOf(config);
    expect(elementsFor(config)).toEqual({ "netdev stack_ip4_11": { "3221225985 2048": mark } });
    expect(routingLines(config, 4, []).flat()).not.toContain(String(mark));
    expect(firstMarkOf({ ...config, table: "other" })).not.toBe(mark);
  });

  test("[RT9] of a routed host stands before local addresses where they are this machine's", () => {
    const config = withHosts(
      ["h1", { kind: "self" }],
      ["h2", { kind: "routed", device: "tun0", nextHops: [] }],
    );
    const mark = String(markOf(config, "h2"));
    const behind = { priority: 2, fwmark: `0x${Number(mark).toString(16)}`, table: mark };
    expect(routingLines(config, 4, [behind])).toContainEqual([
      "rule",
      "add",
      "fwmark",
      mark,
      "priority",
      "0",
      "lookup",
      mark,
    ]);
    const local = { priority: 0, table: "local" };
    expect(localRuleLines(true, [local]).map((words) => words.join(" "))).toEqual([
      "rule add priority 1 lookup local",
      "rule del priority 0 lookup local",
    ]);
    expect(localRuleLines(false, [local])).toEqual([]);
    // Another program's place for it is none of this router's business.
    expect(localRuleLines(false, [{ priority: 100, table: "local" }])).toEqual([]);
  });

  test("[RT4] of a host that nobody can reach is nobody's, and said to be", () => {
    const lost = table(1, [entry("h9", 2048, 11, 1)]);
    expect(contentsOf(CONFIG, lost).unreachable).toEqual([{ host: "h9", family: 4 }]);
    expect(elementsFor(CONFIG, entry("h9", 2048, 11, 1))).toEqual({});
  });
});

describe("a transaction", () => {
  test("[RT2] of a block's move is one deletion and one addition, and no rule", () => {
    const removed = [{ entry: BLOCK, nextHop: NEXT_HOPS[0]! }];
    const added = [{ entry: { ...BLOCK, host: "h2", epoch: 2 }, nextHop: NEXT_HOPS[1]! }];
    const delta = { removed, added, removedIps: [], addedIps: [] };
    expect(transactionText(elementCommands(CONFIG, differenceOf(CONFIG, delta)))).toBe(
      '{"nftables":[{"delete":{"element":{"family":"netdev","table":"ipshard","name":"via_lan0_ip4_11",' +
        '"elem":[{"concat":[3221225985,2048]}]}}},{"add":{"element":{"family":"netdev","table":"ipshard",' +
        '"name":"via_lan0_ip4_11","elem":[[{"concat":[3221225985,2048]},"203.0.113.82"]]}}}]}',
    );
  });

  test("[RT2] of a new epoch for the same host is empty", () => {
    const removed = [{ entry: BLOCK, nextHop: NEXT_HOPS[0]! }];
    const added = [{ entry: { ...BLOCK, epoch: 2 }, nextHop: NEXT_HOPS[0]! }];
    const delta = { removed, added, removedIps: [], addedIps: [] };
    expect(elementCommands(CONFIG, differenceOf(CONFIG, delta))).toEqual([]);
  });

  test("[RT1] asks only maps that have elements, the largest blocks first", () => {
    const { contents } = contentsOf(CONFIG, table(1, [BLOCK, entry("h2", 1024, 6, 2)]));
    const text = transactionText(ruleCommands(CONFIG, usedContainers(contents)));
    const asked = [...text.matchAll(/"chain":"ports_ip4"[^@]*"data":"@(\w+)"/g)].map(([, name]) => name);
    expect(asked).toEqual(["via_lan0_ip4_11", "via_lan0_ip4_6"]);
  });

  test("[RT2] on paper are the declarations, then all the rest at once", async () => {
    const [declarations, rest] = printTransactions(CONFIG, table(1, [BLOCK])) as [string, string];
    const { nftables } = JSON.parse(rest) as { nftables: unknown[] };
    const lines = [
      ...declarations.split(/ ; (?=add)/),
      "",
      ...nftables.map((command) => JSON.stringify(command)),
    ];
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("golden/one-block.txt");
  });
});

describe("a listing", () => {
  test("[RT5] tells elements, and what is not of this configuration", () => {
    const listed = parseListing(
      JSON.stringify({
        nftables: [
          { table: { family: "netdev", name: "ipshard" } },
          {
            map: {
              family: "netdev",
              name: "via_lan0_ip4_11",
              elem: [[{ concat: [3221225985, 2048] }, "203.0.113.81"]],
            },
          },
          {
            set: {
              family: "netdev",
              name: "drops_ip6",
              elem: [{ elem: { val: "0x64ff9b0000000000000000c0000201", counter: { packets: 3 } } }],
            },
          },
          { set: { family: "netdev", name: "stranger" } },
          { chain: { family: "netdev", name: "ingress_up0", dev: "up0" } },
          { chain: { family: "netdev", name: "ingress_up1", dev: "up1" } },
        ],
      }),
    );
    const { contents, foreign } = snapshotOf(CONFIG, listed);
    expect(contents.get("netdev via_lan0_ip4_11")).toEqual(new Map([["3221225985 2048", "203.0.113.81"]]));
    expect([...(contents.get("netdev drops_ip6")?.keys() ?? [])]).toEqual([
      "0x0064ff9b0000000000000000c0000201",
    ]);
    expect(foreign).toEqual([
      { kind: "set", table: "netdev", name: "stranger" },
      { kind: "chain", table: "netdev", name: "ingress_up1" },
    ]);
  });

  test("[RT4] tells drops by address and by reason", () => {
    const listed = parseListing(
      '{"nftables":[{"set":{"name":"reasons","elem":[{"elem":{"val":1,"counter":{"packets":5}}}]}},' +
        '{"set":{"name":"drops_ip4","elem":[{"elem":{"val":3221225985,"counter":{"packets":4}}}]}}]}',
    );
    const { byReason, byIp } = dropCountsOf(listed);
    expect(byReason).toMatchObject({ unleased: 5, fragment: 0 });
    expect(byIp).toEqual(new Map([[IPV4, 4]]));
  });
});

test("[CI1] a configuration that cannot work is refused before it begins", () => {
  expect(configProblems(CONFIG)).toEqual([]);
  expect(configProblems({ ...CONFIG, table: "a;b", ingressDevices: [] })).toHaveLength(2);
  const selves = withHosts(["h1", { kind: "self" }], ["h2", { kind: "self" }]);
  expect(configProblems(selves)).toEqual(["A machine is one host only: give --via host=self once."]);
});
