/** What lists in the mode `report` met: counted always, logged now and then. */
import { expect, test } from "vitest";
import type { DestinationPolicy } from "../../src/policy/destination-policy.ts";
import { HostPolicies } from "../../src/agent/tenants/host-policies.ts";
import { PolicyReports } from "../../src/agent/tenants/policy-reports.ts";
import { DEFAULT_POOL_POLICY, NO_LIMITS, type PoolPolicy } from "../../src/core/pool-policy.ts";

const DENIED = { code: "destination-denied", reason: "denied by a.test on the pool's list" } as const;

test("[DE12] each kind is logged once a minute, with what has come since", () => {
  const logged: Readonly<Record<string, unknown>>[] = [];
  let nowMs = 0;
  const reports = new PolicyReports(
    (fields) => logged.push(fields),
    () => nowMs,
  );
  const note = (tenant: string, entry: string | null): void =>
    reports.note(tenant, { owner: "pool", entry, refusal: DENIED }, { name: "a.test", port: 443 });
  note("shop", "a.test");
  note("shop", "a.test");
  note("office", "a.test");
  nowMs = 59_999;
  note("shop", "a.test");
  expect(logged).toEqual([
    { tenant: "shop", ...DENIED, name: "a.test", port: 443, count: 1 },
    { tenant: "office", ...DENIED, name: "a.test", port: 443, count: 1 },
  ]);
  nowMs = 60_000;
  note("shop", "a.test");
  note("shop", null);
  expect(logged.slice(2).map(({ tenant, count }) => [tenant, count])).toEqual([
    ["shop", 3],
    ["shop", 1],
  ]);
  expect(reports.describe()).toEqual({
    shop: { "pool: deny a.test": 4, "pool: allow": 1 },
    office: { "pool: deny a.test": 1 },
  });
});

test("[DE12] however many tenants there are, what is kept is bounded, and nothing is uncounted", () => {
  let loggedCount = 0;
  const reports = new PolicyReports(
    () => (loggedCount += 1),
    () => 0,
  );
  for (let at = 0; at < 3_000; at += 1) {
    reports.note(`t${at}`, { owner: "tenant", entry: null, refusal: DENIED }, { name: null, port: 1 });
  }
  const counts = Object.values(reports.describe()).flatMap((rules) => Object.values(rules));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3_000);
  expect(counts.length).toBeLessThanOrEqual(1_025);
  expect(loggedCount).toBe(counts.length);
});

test("[DE9] [DE11] [DE12] a policy is made of what the host says, the pool, the tenant and the token", () => {
  const reports = new PolicyReports(
    () => {},
    () => 0,
  );
  const policies = new HostPolicies({ allowed: ["10.9.0.0/16"], denied: ["9.9.9.9/32"] }, reports);
  const pool: PoolPolicy = {
    ...DEFAULT_POOL_POLICY,
    special: ["10.8.0.0/16"],
    destinations: { mode: "enforce", allow: [], deny: ["1.1.1.1"] },
  };
  const tenant = {
    destinations: { mode: "report" as const, allow: ["8.8.8.8"], deny: [] },
    limits: NO_LIMITS,
  };
  const judge = (policy: DestinationPolicy, ip: string): string | null => {
    const refusal = policy.refusalOf(ip, { name: null, port: 443 });
    return refusal instanceof Promise ? "later" : (refusal?.code ?? null);
  };
  const made = policies.make(pool, tenant, {}, "shop");
  expect(
    ["10.9.0.1", "10.8.0.1", "10.7.0.1", "9.9.9.9", "1.1.1.1", "8.8.8.8"].map((ip) => judge(made, ip)),
  ).toEqual([null, null, "destination-prohibited", "destination-prohibited", "destination-denied", null]);
  expect(reports.describe()).toEqual({ shop: { "tenant: allow": 2 } });
  const narrow = policies.make(pool, tenant, { destinations: ["8.8.4.4"] }, "shop");
  expect(judge(narrow, "8.8.8.8")).toBe("destination-not-allowed");
  expect(judge(policies.make(DEFAULT_POOL_POLICY, tenant, {}, "shop"), "10.8.0.1")).toBe(
    "destination-prohibited",
  );
  // What the host itself tries is nobody's traffic: no pool's lists.
  expect(["1.1.1.1", "10.8.0.1", "10.9.0.1"].map((ip) => judge(policies.own(), ip))).toEqual([
    null,
    "destination-prohibited",
    null,
  ]);
});
