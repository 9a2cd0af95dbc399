/** Static pools: who gets which address, and that nothing but an operator moves anybody. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nthIp, PoolOfHosts } from "./pool-of-hosts.ts";

const [A, B, C] = [nthIp(1), nthIp(2), nthIp(3)] as const;

function settled(ips: readonly string[], hostCount: number, mostHosts = 15): PoolOfHosts {
  const pool = new PoolOfHosts({ leastHosts: 1, mostHosts, isStatic: true });
  for (const ip of ips) pool.addAddress(ip);
  for (let at = 0; at < hostCount; at += 1) pool.addHost(`h${at}`);
  pool.settle();
  return pool;
}

describe("a host of a static pool", () => {
  test("[SM7] gets one address of each family, the one with the fewest hosts", () => {
    const pool = settled([A, B, nthIp(1, 6)], 6);
    for (let at = 0; at < 6; at += 1) expect(pool.ipsOf(`h${at}`)).toHaveLength(2);
    expect([A, B].map((ip) => pool.hostsOf(ip).length)).toEqual([3, 3]);
  });

  test("[SM7] is moved by no new address, no other host's end, no weight", () => {
    const pool = settled([A], 10);
    const before = pool.pairs("serving");
    pool.addAddress(B);
    pool.settle();
    for (const host of ["h1", "h2"]) pool.changeHost(host, { isLive: false });
    pool.changeHost("h3", { weight: 50 });
    pool.settle();
    expect(pool.pairs("serving")).toEqual(before);
    pool.addHost("late");
    pool.settle();
    expect(pool.ipsOf("late")).toEqual([B]);
  });

  test("[SM7] has none while every slot is another's, heard or not, and one when there is room", () => {
    const pool = settled([A], 3, 3);
    pool.changeHost("h0", { isLive: false });
    pool.addHost("late");
    pool.settle();
    expect(pool.ipsOf("late")).toEqual([]);
    pool.hosts.delete("h0");
    pool.settle();
    expect(pool.ipsOf("late")).toEqual([A]);
  });

  test("[SM7] lets go of its address when it is drained, or the address is, or is elsewhere, and gets another", () => {
    const pool = settled([A, B], 4);
    pool.changeHost("h0", { isDrained: true });
    pool.settle();
    expect(pool.ipsOf("h0")).toEqual([]);
    const [moved] = pool.hostsOf(A);
    pool.addAddress(A, { isDrained: true });
    pool.settle();
    expect(pool.hostsOf(A)).toEqual([]);
    expect(pool.ipsOf(moved!.host)).toEqual([B]);
    pool.addAddress(C, { sites: ["fra1"] });
    pool.changeHost(moved!.host, { site: "fra1" });
    pool.addAddress(B, { sites: ["ams1"] });
    pool.settle();
    expect(pool.ipsOf(moved!.host)).toEqual([C]);
  });

  test("[SM7] [DR1] lets go when it is drained, though it is alone there: nobody comes in its place", () => {
    const pool = settled([A, B], 2);
    pool.changeHost("h0", { isDrained: true });
    pool.settle();
    expect(pool.assignments.filter(({ host }) => host === "h0")).toEqual([]);
    expect(pool.ipsOf("h1")).toHaveLength(1);
  });
});

const change = fc.oneof(
  fc.record({ what: fc.constant("host" as const), at: fc.nat(11) }),
  fc.record({ what: fc.constant("gone" as const), at: fc.nat(11) }),
  fc.record({ what: fc.constant("live" as const), at: fc.nat(11), isLive: fc.boolean() }),
  fc.record({ what: fc.constant("address" as const), at: fc.nat(3) }),
);

test("[SM7] whatever hosts and addresses come, and whoever falls silent, an address is a host's for good", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.integer({ min: 1, max: 5 }), (changes, mostHosts) => {
      const pool = settled([A], 2, mostHosts);
      for (const { what, at, ...rest } of changes) {
        const before = pool.pairs("serving");
        if (what === "address") pool.addAddress(nthIp(at + 1));
        else if (what === "gone") pool.hosts.delete(`h${at}`);
        else if (what === "live" && pool.hosts.has(`h${at}`)) pool.changeHost(`h${at}`, rest);
        else if (what === "host" && !pool.hosts.has(`h${at}`)) pool.addHost(`h${at}`);
        pool.settle();
        const now = pool.pairs("serving");
        const lost = [...before].filter((pair) => !now.has(pair));
        expect(lost.filter((pair) => what !== "gone" || !pair.startsWith(`h${at} `))).toEqual([]);
        for (const ip of pool.addresses.keys()) {
          expect(pool.hostsOf(ip).length).toBeLessThanOrEqual(Math.max(mostHosts, 0));
        }
        for (const host of pool.hosts.keys()) expect(pool.ipsOf(host).length).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 200 },
  );
});
