/** What the lists of a pool, a tenant and a token say together, and for what reason. */
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import type { DestinationRules, PolicyMode } from "../../src/core/pool-policy.ts";
import { AddressRules } from "../../src/policy/address-rules.ts";
import {
  type AskedPlace,
  DestinationPolicy,
  type PolicyReport,
} from "../../src/policy/destination-policy.ts";

const rules = (allow: string[], deny: string[] = [], mode: PolicyMode = "enforce"): DestinationRules => ({
  mode,
  allow,
  deny,
});
const named = (name: string, port = 443): AskedPlace => ({ name, port });
const literal = (port = 443): AskedPlace => ({ name: null, port });

describe("one list", () => {
  const denying = new DestinationPolicy({
    pool: rules([], ["bad.test", "*.worse.test", "8.8.8.0/24", "9.9.9.9:53", "*:25", "[2a00::/16]:80-90"]),
  });

  test.each<[string, string, AskedPlace]>([
    ["bad.test", "1.1.1.1", named("bad.test")],
    ["bad.test", "1.1.1.1", named("BAD.test.")],
    ["bad.test", "1.1.1.1", named("ｂａｄ.test")],
    ["*.worse.test", "1.1.1.1", named("a.worse.test")],
    ["*.worse.test", "1.1.1.1", named("a.b.worse.test")],
    ["*.worse.test", "1.1.1.1", named("xn--a.worse.test")],
    ["8.8.8.0/24", "8.8.8.8", literal()],
    ["8.8.8.0/24", "8.8.8.8", named("good.test")],
    ["8.8.8.0/24", "64:ff9b::8.8.8.8", literal()],
    ["8.8.8.0/24", "2002:808:808::1", literal()],
    ["8.8.8.0/24", "2a01::5efe:808:808", literal()],
    ["9.9.9.9:53", "9.9.9.9", literal(53)],
    ["*:25", "1.1.1.1", literal(25)],
    ["*:25", "1.1.1.1", named("good.test", 25)],
    ["[2a00::/16]:80-90", "2a00::1", literal(85)],
  ])("[DE11] [DE12] %s denies %s, asked for as %j", (entry, address, asked) => {
    expect(denying.refusalOf(address, asked)).toEqual({
      code: "destination-denied",
      reason: `denied by ${entry} on the pool's list`,
    });
  });

  test.each<[string, AskedPlace]>([
    ["1.1.1.1", named("abad.test")],
    ["1.1.1.1", named("a.bad.test")],
    ["1.1.1.1", named("worse.test")],
    ["1.1.1.1", named("aworse.test")],
    ["9.9.9.9", literal(443)],
    ["2a00::1", literal(443)],
    ["2a00::1", literal(91)],
  ])("[DE11] it does not deny %s, asked for as %j", (address, asked) => {
    expect(denying.refusalOf(address, asked)).toBeNull();
  });

  const allowing = new DestinationPolicy({
    tenant: rules(["good.test:443", "*.fine.test", "8.8.8.0/24", "*:853"]),
  });

  test.each<[string, AskedPlace]>([
    ["1.1.1.1", named("good.test")],
    ["1.1.1.1", named("www.fine.test", 80)],
    ["8.8.8.8", literal()],
    ["8.8.8.8", named("other.test")],
    ["64:ff9b::8.8.8.8", literal()],
    ["1.1.1.1", literal(853)],
  ])("[DE11] a list of what is allowed lets %s pass, asked for as %j", (address, asked) => {
    expect(allowing.refusalOf(address, asked)).toBeNull();
  });

  test.each<[string, AskedPlace]>([
    ["1.1.1.1", named("good.test", 80)],
    ["1.1.1.1", named("fine.test")],
    ["1.1.1.1", literal()],
    // What is carried decides only where nothing else does: this one is routed to 2a00.
    ["2a00::5efe:808:808", literal()],
    // Of Teredo's two only one is on the list.
    ["2001:0:808:808::fefe:fefe", literal()],
  ])("[DE11] and nothing else: %s, asked for as %j", (address, asked) => {
    expect(allowing.refusalOf(address, asked)).toEqual({
      code: "destination-not-allowed",
      reason: "not on the tenant's list of allowed destinations",
    });
  });
});

describe("several lists", () => {
  it("[DE11] denials come before what is allowed, and every list must agree", () => {
    const policy = new DestinationPolicy({
      pool: rules(["*.test"], ["no.test"]),
      tenant: rules(["yes.test", "no.test", "mine.test", "elsewhere.example"]),
      token: ["yes.test", "elsewhere.example"],
    });
    const codeOf = (name: string): unknown => {
      const refusal = policy.refusalOf("1.1.1.1", named(name));
      return refusal instanceof Promise ? "later" : refusal && `${refusal.code}: ${refusal.reason}`;
    };
    expect(codeOf("yes.test")).toBeNull();
    expect(codeOf("no.test")).toBe("destination-denied: denied by no.test on the pool's list");
    expect(codeOf("elsewhere.example")).toContain("not on the pool's list");
    expect(codeOf("theirs.test")).toContain("not on the tenant's list");
    expect(codeOf("mine.test")).toContain("not on the token's list");
  });

  it("[DE11] no list opens what is special, by name or by address", () => {
    const everything = new DestinationPolicy({
      pool: rules(["*", "a.test", "10.0.0.0/8"]),
      tenant: rules(["a.test", "10.0.0.1"]),
      token: ["a.test", "10.0.0.0/8"],
    });
    for (const asked of [named("a.test"), literal()]) {
      for (const address of ["10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]) {
        expect(everything.refusalOf(address, asked), address).toMatchObject({
          code: "destination-prohibited",
        });
      }
    }
  });

  it("[DE11] a token that is for no destination reaches none", () => {
    expect(new DestinationPolicy({ token: [] }).refusalOf("1.1.1.1", literal())).toMatchObject({
      code: "destination-not-allowed",
    });
  });

  it("[DE11] what is no entry denies everything, and allows nothing", () => {
    const denying = new DestinationPolicy({ pool: rules([], ["not an entry"]) });
    expect(denying.refusalOf("1.1.1.1", literal())).toMatchObject({ code: "destination-denied" });
    const allowing = new DestinationPolicy({ pool: rules(["not an entry"]) });
    expect(allowing.refusalOf("1.1.1.1", literal())).toMatchObject({ code: "destination-not-allowed" });
  });
});

describe("modes", () => {
  const heard: PolicyReport[] = [];
  const policyOf = (pool: PolicyMode, tenant: PolicyMode): DestinationPolicy =>
    new DestinationPolicy({
      pool: rules([], ["bad.test"], pool),
      tenant: rules(["good.test"], [], tenant),
      onReport: (report) => heard.push(report),
    });
  const effect = (policy: DestinationPolicy, name: string, address = "1.1.1.1"): unknown[] => {
    heard.length = 0;
    const refusal = policy.refusalOf(address, named(name));
    if (refusal instanceof Promise) throw new Error("later");
    return [refusal?.code ?? null, ...heard.map(({ owner, entry }) => [owner, entry])];
  };

  it("[DE12] a list that reports refuses nothing, and says each time what it would have", () => {
    const policy = policyOf("report", "report");
    const both = [null, ["pool", "bad.test"], ["tenant", null]];
    expect(effect(policy, "bad.test")).toEqual(both);
    expect(effect(policy, "bad.test")).toEqual(both);
    expect(effect(policy, "good.test")).toEqual([null]);
    expect(effect(policy, "bad.test", "10.0.0.1")).toEqual(["destination-prohibited"]);
  });

  it("[DE12] a list that is open is not looked at, each list for itself", () => {
    expect(effect(policyOf("open", "enforce"), "bad.test")).toEqual(["destination-not-allowed"]);
    expect(effect(policyOf("open", "report"), "bad.test")).toEqual([null, ["tenant", null]]);
    expect(effect(policyOf("enforce", "open"), "bad.test")).toEqual(["destination-denied"]);
    // What is refused is not reported besides.
    expect(effect(policyOf("enforce", "report"), "bad.test")).toEqual(["destination-denied"]);
    expect(effect(policyOf("report", "enforce"), "bad.test")).toEqual(["destination-not-allowed"]);
    expect(effect(policyOf("open", "open"), "bad.test", "10.0.0.1")).toEqual(["destination-prohibited"]);
  });
});

describe("a name by itself", () => {
  it("[DE13] is refused before it is looked up where no address could help", () => {
    const policy = new DestinationPolicy({ pool: rules(["good.test", "*.fine.test:443"], ["a.fine.test"]) });
    const codeOf = (name: string | null, port: number | null): unknown =>
      policy.refusalOfName({ name, port })?.code ?? null;
    expect(codeOf("good.test", 80)).toBeNull();
    expect(codeOf("other.test", 80)).toBe("destination-not-allowed");
    expect(codeOf("a.fine.test", 443)).toBe("destination-denied");
    expect(codeOf("b.fine.test", 80)).toBe("destination-not-allowed");
    expect(codeOf("b.fine.test", null)).toBeNull();
    expect(codeOf("a.fine.test", null)).toBe("destination-denied");
    expect(codeOf(null, 80)).toBeNull();
  });

  it("[DE13] is looked up where its addresses could be on the list, or it only reports", () => {
    for (const pool of [rules(["10.0.0.0/8"]), rules(["*:80"]), rules(["a.test"], ["b.test"], "report")]) {
      expect(new DestinationPolicy({ pool }).refusalOfName({ name: "b.test", port: 443 })).toBeNull();
    }
    const ported = new DestinationPolicy({ pool: rules([], ["b.test:25"]) });
    expect(ported.refusalOfName({ name: "b.test", port: null })).toBeNull();
    expect(ported.refusalOfName({ name: "b.test", port: 25 })).not.toBeNull();
  });

  it("[DE13] never is refused where an address would have been let through", () => {
    const entry = fc.constantFrom(
      "a.test",
      "*.test",
      "b.a.test:80",
      "*",
      "1.1.1.0/24",
      "*:443",
      "*.a.test:1-90",
    );
    const list = fc.uniqueArray(entry, { maxLength: 3 });
    const mode = fc.constantFrom<PolicyMode>("enforce", "report", "open");
    const side = fc.record({ mode, allow: list, deny: list });
    const name = fc.constantFrom("a.test", "b.a.test", "test", "c.example");
    fc.assert(
      fc.property(side, side, list, name, fc.constantFrom(80, 443, 25), (pool, tenant, token, host, port) => {
        const policy = new DestinationPolicy({ pool, tenant, token });
        for (const asked of [port, null]) {
          if (policy.refusalOfName({ name: host, port: asked }) === null) continue;
          for (const address of ["1.1.1.1", "9.9.9.9", "2a00::1"]) {
            expect(policy.refusalOf(address, { name: host, port })).not.toBeNull();
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("what a pool opens", () => {
  const isOwn = (ip: string): boolean => ip === "10.0.0.5";
  const policyWith = (opened: string[], isOwnToo = isOwn): DestinationPolicy =>
    new DestinationPolicy({ addresses: new AddressRules({ opened, machine: { isOwn: isOwnToo } }) });
  const codeOf = (policy: DestinationPolicy, address: string): unknown => {
    const refusal = policy.refusalOf(address, literal());
    return refusal instanceof Promise ? "later" : (refusal?.code ?? null);
  };

  it("[DE9] is special networks, in every embedding, and nothing else", () => {
    const policy = policyWith(["10.0.0.0/8", "fd00::/8", "168.63.129.16/32"]);
    for (const address of ["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fd00::1", "168.63.129.16"]) {
      expect(codeOf(policy, address), address).toBeNull();
    }
    for (const address of ["192.168.0.1", "fe80::1", "64:ff9b::c0a8:1", "2001:0:a00:1::3f57:fffe"]) {
      expect(codeOf(policy, address), address).toBe("destination-prohibited");
    }
  });

  it("[DE9] never is the host itself: an address of its own, in a wrapping too, or loopback", () => {
    const policy = policyWith(["0.0.0.0/0", "::/0"]);
    for (const address of [
      "10.0.0.5",
      "64:ff9b::a00:5",
      "2002:a00:5::1",
      "127.0.0.1",
      "127.255.0.1",
      "0.0.0.0",
      "::",
      "::1",
      "::ffff:127.0.0.1",
      "64:ff9b::7f00:1",
    ]) {
      expect(codeOf(policy, address), address).toBe("destination-prohibited");
    }
    expect(codeOf(policy, "10.0.0.6")).toBeNull();
  });

  it("[DE9] does not lift what the operator denies, and what is no network opens nothing", () => {
    const machine = { isOwn };
    const denied = new AddressRules({ opened: ["10.0.0.0/8", "nonsense"], denied: ["10.1.0.0/16"], machine });
    const policy = new DestinationPolicy({ addresses: denied });
    expect(codeOf(policy, "10.1.0.1")).toBe("destination-prohibited");
    expect(codeOf(policy, "10.2.0.1")).toBeNull();
  });
});

it("[DE14] a place of ours is refused where a range is allowed, and only where its address alone is, is it not", async () => {
  const machine = {
    isOwn: () => Promise.resolve(false),
    isOwnPlace: (ip: string, port: number) => ip === "127.0.0.1" && port === 8080,
    isOwnName: (name: string, port: number) => name === "edge.test" && port === 443,
  };
  const ranged = new AddressRules({ allowed: ["127.0.0.0/8"], machine });
  expect(ranged.refusalOf("127.0.0.1", 8080)).toContain("where the host or its edge listens");
  expect(ranged.refusalOf("127.0.0.1", 8081)).toBeNull();
  expect(new AddressRules({ allowed: ["127.0.0.1/32"], machine }).refusalOf("127.0.0.1", 8080)).toBeNull();
  expect(await new AddressRules({ machine }).refusalOf("9.9.9.9", 8080)).toBeNull();
  // What carries its address may lead to it.
  for (const ip of ["64:ff9b::7f00:1", "2002:7f00:1::1", "2a00::5efe:7f00:1"]) {
    const open = new AddressRules({ allowed: ["127.0.0.0/8", "::/0"], machine });
    expect(open.refusalOf(ip, 8080), ip).toContain("where the host or its edge listens");
    expect(open.refusalOf(ip, 8081), ip).toBeNull();
  }
  const asking = { ...machine, isOwnPlace: async (ip: string) => ip === "127.0.0.1" };
  const asked = new AddressRules({ allowed: ["127.0.0.0/8"], machine: asking });
  expect(await asked.refusalOf("64:ff9b::7f00:1", 1)).toContain("where the host or its edge listens");
  expect(await asked.refusalOf("64:ff9b::7f00:2", 1)).toBeNull();
  const policy = new DestinationPolicy({ addresses: ranged });
  expect(policy.refusalOfName({ name: "EDGE.test.", port: 443 })).toMatchObject({
    code: "destination-prohibited",
  });
  expect(policy.refusalOfName({ name: "edge.test", port: 80 })).toBeNull();
});

it("[DE11] what was said stays so, however much is asked in between", () => {
  const policy = new DestinationPolicy({ pool: rules([], ["8.8.8.8", "bad.test"]) });
  const ask = (): unknown[] => [
    policy.refusalOf("8.8.8.8", literal()),
    policy.refusalOf("1.1.1.1", named("bad.test")),
    policy.refusalOf("1.1.1.1", named("good.test")),
  ];
  const first = ask();
  for (let at = 0; at < 3_000; at += 1) void policy.refusalOf("1.1.1.1", named(`n${at}.test`));
  expect(ask()).toEqual(first);
  expect(first.map((refusal) => refusal === null)).toEqual([false, false, true]);
});
