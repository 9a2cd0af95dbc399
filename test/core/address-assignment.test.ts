/** Which hosts serve which addresses, case by case; that it holds in general is the property test's. */
import { describe, expect, test } from "vitest";
import { nthIp, PoolOfHosts } from "./pool-of-hosts.ts";

const [A, B, C, D] = [nthIp(1), nthIp(2), nthIp(3), nthIp(4)] as const;

/** A pool at rest. */
function settled(ips: readonly string[], hostCount: number, leastHosts = 1, mostHosts = 126): PoolOfHosts {
  const pool = new PoolOfHosts({ leastHosts, mostHosts });
  for (const ip of ips) pool.addAddress(ip);
  for (let at = 0; at < hostCount; at += 1) pool.addHost(`h${at}`);
  pool.settle();
  return pool;
}

function countsOf(pool: PoolOfHosts): number[] {
  return [...pool.addresses.keys()].map((ip) => pool.hostsOf(ip).length);
}

/** Pairs that were there before and are not any more. */
function lost(before: ReadonlySet<string>, pool: PoolOfHosts): string[] {
  const now = pool.pairs("serving");
  return [...before].filter((pair) => !now.has(pair));
}

describe("addresses", () => {
  test("[AS2] [AS3] are one to a host, as evenly as can be", () => {
    expect(countsOf(settled([A, B, C], 9))).toEqual([3, 3, 3]);
    expect(countsOf(settled([A, B, C], 10)).toSorted((a, b) => a - b)).toEqual([3, 3, 4]);
  });

  test("[AS2] have hosts enough, those with the fewest addresses first", () => {
    const pool = settled([A, B, C], 4, 2);
    expect(countsOf(pool)).toEqual([2, 2, 2]);
    const counts = [0, 1, 2, 3].map((at) => pool.ipsOf(`h${at}`).length);
    expect(counts.toSorted((a, b) => a - b)).toEqual([1, 1, 2, 2]);
    expect(countsOf(settled([A, B], 2, 3))).toEqual([2, 2]);
  });

  test("[AS2] of each family are assigned apart", () => {
    const pool = settled([A, B, nthIp(1, 6)], 4);
    for (let at = 0; at < 4; at += 1) {
      expect(pool.ipsOf(`h${at}`)).toContain(nthIp(1, 6));
      expect(pool.ipsOf(`h${at}`)).toHaveLength(2);
    }
  });

  test("[AS2] have no more hosts than fit, those included that let go of it", () => {
    const pool = settled([A], 3, 1, 3);
    pool.addHost("late");
    pool.settle();
    expect(pool.ipsOf("late")).toEqual([]);
    pool.changeHost("h0", { isDrained: true });
    pool.decide();
    expect(pool.pairs("leaving")).toEqual(new Set([`h0 ${A}`]));
    pool.decide();
    expect(pool.ipsOf("late")).toEqual([]);
    pool.follow();
    pool.settle();
    expect(pool.ipsOf("late")).toEqual([A]);
  });

  test("[AS3] a host that is added moves no other, and takes the one with the fewest", () => {
    const pool = settled([A, B, C], 8);
    const before = pool.pairs("serving");
    const [fewest] = [A, B, C].toSorted((a, b) => pool.hostsOf(a).length - pool.hostsOf(b).length);
    pool.addHost("late");
    pool.settle();
    expect(lost(before, pool)).toEqual([]);
    expect(pool.ipsOf("late")).toEqual([fewest]);
  });

  test("[AS3] a host that goes moves no other", () => {
    const pool = settled([A, B, C], 9);
    const before = pool.pairs("serving");
    pool.hosts.delete("h0");
    pool.settle();
    expect(lost(before, pool)).toHaveLength(1);
  });

  test("[AS3] one that is added takes hosts until it is even, and no more than its share", () => {
    const pool = settled([A, B, C], 30);
    const before = pool.pairs("serving");
    pool.addAddress(D);
    pool.settle();
    const taken = pool.hostsOf(D).length;
    // A quarter of thirty is seven and a half.
    expect(taken).toBe(7);
    expect(lost(before, pool)).toHaveLength(taken);
    expect(Math.max(...countsOf(pool))).toBe(8);
  });

  test("[AS3] one that goes moves its own hosts alone", () => {
    const pool = settled([A, B, C], 9);
    const before = pool.pairs("serving");
    pool.addresses.delete(A);
    pool.settle();
    expect(lost(before, pool).map((pair) => pair.split(" ")[1])).toEqual([A, A, A]);
    expect(countsOf(pool).toSorted((a, b) => a - b)).toEqual([4, 5]);
  });

  test("[AS3] are left alone while they are even: by two hosts, or by a fifth of many", () => {
    const pool = settled([A, B], 6);
    // 4 and 2.
    const [moving] = pool.hostsOf(A);
    const here = pool.assignments.findIndex(({ host, ip }) => host === moving!.host && ip === A);
    pool.assignments[here] = { ...pool.assignments[here]!, ip: B };
    pool.settle();
    expect(countsOf(pool)).toEqual([2, 4]);
    const many = settled([A, B], 90);
    for (const { host } of many.hostsOf(A).slice(0, 5)) many.hosts.delete(host);
    many.settle();
    // 40 and 45 differ by a ninth.
    expect(countsOf(many)).toEqual([40, 45]);
    for (const { host } of many.hostsOf(A).slice(0, 5)) many.hosts.delete(host);
    many.settle();
    expect(countsOf(many)).toEqual([36, 44]);
  });

  test("[AS3] a host of twice the weight counts for two", () => {
    const pool = new PoolOfHosts({ leastHosts: 1 });
    for (const ip of [A, B]) pool.addAddress(ip);
    pool.addHost("heavy", { weight: 4 });
    for (let at = 0; at < 4; at += 1) pool.addHost(`h${at}`);
    pool.settle();
    const [own] = pool.ipsOf("heavy");
    expect(pool.hostsOf(own!)).toHaveLength(1);
    expect(pool.loadOf(A)).toBe(pool.loadOf(B));
  });

  test("[AS12] are given to hosts of their sites, and everywhere where they have none", () => {
    const pool = new PoolOfHosts({ leastHosts: 1 });
    pool.addAddress(A, { sites: ["fra1"] });
    pool.addAddress(B, { sites: ["ams1", "fra1"] });
    for (const [host, site] of [
      ["f", "fra1"],
      ["a", "ams1"],
      ["n", null],
      ["x", "nowhere"],
    ] as const) {
      pool.addHost(host, { site });
    }
    pool.settle();
    expect([pool.ipsOf("f"), pool.ipsOf("a"), pool.ipsOf("n"), pool.ipsOf("x")]).toEqual([[A], [B], [], []]);
    pool.addAddress(C);
    pool.settle();
    expect([pool.ipsOf("n"), pool.ipsOf("x")]).toEqual([[C], [C]]);
  });
});

describe("what moves", () => {
  test("[AS4] serves beside its replacement until that has ports, and is then left", () => {
    const pool = settled([A, B], 12);
    pool.addAddress(C);
    pool.decide();
    const movers = pool.hostsOf(C).map(({ host }) => host);
    const replaced = pool.pairs("replaced");
    expect(replaced.size).toBe(movers.length);
    expect(movers.length).toBeGreaterThan(1);
    // Nothing has happened yet, so nothing more is decided.
    pool.decide();
    expect(pool.pairs("replaced")).toEqual(replaced);
    expect(pool.pairs("leaving").size).toBe(0);
    pool.follow();
    pool.decide();
    expect(pool.pairs("leaving")).toEqual(replaced);
    expect(pool.pairs("replaced").size).toBe(0);
  });

  test("[AS2] is not more than an address can spare", () => {
    const pool = settled([A], 2, 2);
    pool.addAddress(B);
    pool.settle();
    expect(countsOf(pool)).toEqual([2, 2]);
    pool.addHost("late");
    pool.settle();
    // The newcomer's address can spare one of the two.
    expect(countsOf(pool)).toEqual([2, 2]);
  });

  test("[AS8] with more demand is a further address, with less the one of most hosts goes", () => {
    const pool = settled([A, B, C], 9);
    pool.changeHost("h0", { addressCount: 2 });
    pool.settle();
    expect(pool.ipsOf("h0")).toHaveLength(2);
    const fullest = pool.ipsOf("h0").toSorted((a, b) => pool.loadOf(b) - pool.loadOf(a))[0];
    pool.changeHost("h0", { addressCount: 1 });
    pool.settle();
    expect(pool.ipsOf("h0")).toHaveLength(1);
    expect(pool.ipsOf("h0")).not.toContain(fullest);
    pool.changeHost("h0", { addressCount: 9 });
    pool.settle();
    expect(pool.ipsOf("h0").toSorted()).toEqual([A, B, C]);
  });

  test("[AS5] an absent address stays assigned and counts for nothing", () => {
    const pool = settled([A, B], 2);
    const [own] = pool.ipsOf("h0") as [string];
    pool.changeHost("h0", { absent: new Set([own]) });
    pool.settle();
    expect(pool.pairs("serving")).toContain(`h0 ${own}`);
    expect(pool.ipsOf("h0")).toEqual([own === A ? B : A]);
    // Another serves it instead, for nobody else would.
    expect(pool.hostsOf(own).map(({ host }) => host)).toEqual(["h1"]);
  });

  test("[AS6] a dead host keeps its address, which gets another host", () => {
    const pool = settled([A, B], 4, 2);
    const [own] = pool.ipsOf("h0") as [string];
    pool.changeHost("h0", { isLive: false });
    pool.settle();
    expect(pool.hostsOf(own).filter(({ isLive }) => isLive)).toHaveLength(2);
    expect(pool.pairs("serving")).toContain(`h0 ${own}`);
    pool.changeHost("h0", { isLive: true });
    pool.settle();
    expect(countsOf(pool)).toEqual([2, 2]);
    expect(pool.ipsOf("h0")).toEqual([own]);
  });
});

describe("a host is not moved", () => {
  /** Nine on A, and B that is new; what is said of all nine is said before. */
  function movedWith(told: Parameters<PoolOfHosts["changeHost"]>[1], leastHosts = 1): number {
    const pool = settled([A], 9, leastHosts);
    for (let at = 0; at < 9; at += 1) pool.changeHost(`h${at}`, told);
    // So that the new address has one that is not in question.
    pool.addHost("own", { site: "b" });
    pool.addAddress(B, { sites: ["b", "c"] });
    pool.decide();
    return pool.pairs("replaced").size;
  }

  test("[AS3] but when it could be", () => {
    expect(movedWith({ site: "c" })).toBeGreaterThan(2);
  });

  test.each([
    ["of another site", { site: null }],
    ["that is drained", { site: "c", isDrained: true }],
    ["that is away", { site: "c", isLive: false }],
    ["without the address on its machine", { site: "c", absent: new Set([B]) }],
    ["of a weight that would not make it more even", { site: "c", weight: 9 }],
  ] as const)("[AS3] %s", (what, told) => {
    const pool = settled([A], 4, 1);
    pool.addHost("own", { site: "b", weight: what.startsWith("of a weight") ? 20 : 1 });
    pool.addAddress(B, { sites: ["b", "c"] });
    pool.settle();
    for (let at = 0; at < 4; at += 1) pool.changeHost(`h${at}`, told);
    pool.decide();
    expect([...pool.pairs("serving")].filter((pair) => /^h. /.test(pair) && pair.endsWith(B))).toEqual([]);
  });

  test("[AS3] to where it would leave too few", () => {
    expect(movedWith({ site: "c" }, 9)).toBe(0);
  });

  test("[AS4] a second time before the first move is done", () => {
    const pool = settled([A], 9, 1);
    pool.addAddress(B);
    pool.decide();
    const moved = pool.pairs("replaced");
    pool.addAddress(C);
    pool.decide();
    for (const pair of moved) expect(pool.pairs("replaced")).toContain(pair);
    const busy = new Set([...moved].map((pair) => pair.split(" ")[0]));
    // The first, without whom nobody would serve it, may be anyone.
    expect(pool.hostsOf(C).filter(({ host }) => busy.has(host)).length).toBeLessThanOrEqual(1);
  });
});

describe("what is drained", () => {
  test("[DR1] a host leaves when another serves its address, and is given nothing", () => {
    const pool = settled([A, B], 2);
    const [own] = pool.ipsOf("h0") as [string];
    pool.changeHost("h0", { isDrained: true });
    pool.decide();
    expect(pool.pairs("replaced")).toEqual(new Set([`h0 ${own}`]));
    expect(pool.pairs("serving")).toContain(`h1 ${own}`);
    pool.follow();
    pool.decide();
    expect(pool.pairs("leaving")).toEqual(new Set([`h0 ${own}`]));
    pool.settle();
    expect(pool.ipsOf("h0")).toEqual([]);
    pool.changeHost("h0", { isDrained: false });
    pool.settle();
    expect(pool.ipsOf("h0")).toHaveLength(1);
  });

  test("[DR6] the last host leaves at once", () => {
    const pool = settled([A], 1);
    pool.changeHost("h0", { isDrained: true });
    pool.decide();
    expect(pool.pairs("leaving")).toEqual(new Set([`h0 ${A}`]));
  });

  test("[DR2] an address is left when its hosts have others", () => {
    const pool = settled([A, B], 4);
    const owners = pool.hostsOf(A).map(({ host }) => host);
    pool.addAddress(A, { isDrained: true });
    pool.decide();
    expect(pool.pairs("replaced")).toEqual(new Set(owners.map((host) => `${host} ${A}`)));
    pool.settle();
    expect(countsOf(pool)).toEqual([0, 4]);
    pool.addAddress(A, { isDrained: false });
    pool.settle();
    expect(countsOf(pool).every((count) => count >= 1)).toBe(true);
  });

  test("[RE1] [RE8] one that leaves the pool is left at once, and goes on where it was when it is taken back", () => {
    const pool = settled([A, B], 12, 3);
    const owners = pool.pairs("serving");
    pool.addAddress(A, { isRetiring: true });
    pool.decide();
    const left = pool.pairs("leaving");
    expect(left).toEqual(new Set([...owners].filter((pair) => pair.endsWith(` ${A}`))));
    pool.addAddress(A, { isRetiring: false });
    pool.decide();
    const back = [...pool.pairs("serving")].filter((pair) => pair.endsWith(` ${A}`));
    expect(back.length).toBeGreaterThanOrEqual(3);
    expect(back.filter((pair) => left.has(pair)).length).toBeGreaterThanOrEqual(3);
  });
});

describe("free ports", () => {
  const needy = { addressCount: 2, ports: { 4: { busyCount: 6_000, unusedCount: 2_000 } } };

  test("[AS3] decide which further address a host gets, not its hosts", () => {
    const pool = settled([A, B, C], 3);
    const [own] = pool.ipsOf("h0");
    const [many, few] = [A, B, C].filter((ip) => ip !== own);
    pool.changeAddress(own!, { freePortCount: 60_000 });
    pool.changeAddress(many!, { freePortCount: 9_000 });
    pool.changeAddress(few!, { freePortCount: 8_000 });
    pool.changeHost("h0", needy);
    pool.settle();
    expect(pool.ipsOf("h0").toSorted()).toEqual([own!, many!].toSorted());
  });

  test("[AS3] that are too few make no further address", () => {
    const pool = settled([A, B], 2);
    const [own] = pool.ipsOf("h0");
    const other = own === A ? B : A;
    pool.changeHost("h0", needy);
    pool.changeAddress(other, { freePortCount: 3_999 });
    pool.settle();
    expect(pool.ipsOf("h0")).toEqual([own]);
    pool.changeAddress(other, { freePortCount: 4_000 });
    pool.settle();
    expect(pool.ipsOf("h0")).toHaveLength(2);
  });

  test("[AS3] count once: hosts that come in one decision spread", () => {
    const pool = settled([A, B, C], 9, 1);
    for (const ip of [B, C]) pool.changeAddress(ip, { freePortCount: 6_000 });
    pool.changeAddress(A, { freePortCount: 0 });
    const full = pool.hostsOf(A).map(({ host }) => host);
    for (const host of full)
      pool.changeHost(host, { ...needy, ports: { 4: { busyCount: 1, unusedCount: 1 } } });
    pool.settle();
    const further = full.map((host) => pool.ipsOf(host).find((ip) => ip !== A));
    expect(new Set(further)).toEqual(new Set([B, C]));
  });

  test("[AS3] keep a host where it is, if the address with fewer hosts has too few for it", () => {
    const pool = settled([A], 9);
    for (let at = 0; at < 9; at += 1) {
      pool.changeHost(`h${at}`, { ports: { 4: { busyCount: 6_000, unusedCount: 2_000 } } });
    }
    pool.addAddress(B, { freePortCount: 11_999 });
    pool.settle();
    // One, since an address is to have a host.
    expect(countsOf(pool)).toEqual([8, 1]);
    pool.changeAddress(B, { freePortCount: 64_512 });
    pool.settle();
    expect(pool.hostsOf(B).length).toBeGreaterThan(2);
  });

  test("[AS3] of an address that is added suffice for a host that would bring its use of one, not of all", () => {
    const pool = new PoolOfHosts({ leastHosts: 1 });
    for (const ip of [A, B]) pool.addAddress(ip);
    for (let at = 0; at < 9; at += 1) {
      pool.addHost(`h${at}`, { addressCount: 2, ports: { 4: { busyCount: 40_000, unusedCount: 0 } } });
    }
    pool.settle();
    expect(countsOf(pool)).toEqual([9, 9]);
    pool.addAddress(C);
    pool.settle();
    expect(pool.hostsOf(C).length).toBeGreaterThan(2);
  });
});
