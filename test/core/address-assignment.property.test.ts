/** What holds of an assignment, whatever hosts and addresses do. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { EVEN_HOSTS, EVEN_SHARE } from "../../src/core/address-assignment.ts";
import { nthIp, PoolOfHosts } from "./pool-of-hosts.ts";

const plain = { noNullPrototype: true } as const;
const hostName = fc.nat(11).map((number) => `h${number}`);
const anyIp = fc.oneof(
  fc.nat(5).map((number) => nthIp(number)),
  fc.nat(2).map((number) => nthIp(number, 6)),
);
const site = fc.constantFrom(null, null, "a", "b");
const change = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      {
        type: fc.constant("host" as const),
        host: hostName,
        site,
        weight: fc.constantFrom(1, 1, 2, 0.1, 0.7, 1_000),
      },
      plain,
    ),
  },
  {
    weight: 4,
    arbitrary: fc.record(
      {
        type: fc.constant("address" as const),
        ip: anyIp,
        sites: fc.uniqueArray(fc.constantFrom("a", "b"), { maxLength: 2 }),
      },
      plain,
    ),
  },
  fc.record({ type: fc.constant("host gone" as const), host: hostName }, plain),
  fc.record({ type: fc.constant("address gone" as const), ip: anyIp }, plain),
  fc.record({ type: fc.constant("live" as const), host: hostName, isLive: fc.boolean() }, plain),
  fc.record({ type: fc.constant("drain host" as const), host: hostName, isDrained: fc.boolean() }, plain),
  fc.record({ type: fc.constant("drain address" as const), ip: anyIp, isDrained: fc.boolean() }, plain),
  fc.record(
    { type: fc.constant("demand" as const), host: hostName, addressCount: fc.integer({ min: 1, max: 4 }) },
    plain,
  ),
  fc.record(
    { type: fc.constant("absent" as const), host: hostName, ips: fc.uniqueArray(anyIp, { maxLength: 2 }) },
    plain,
  ),
);
type Change = typeof change extends fc.Arbitrary<infer Value> ? Value : never;
const histories = fc.array(fc.tuple(change, fc.boolean()), { minLength: 1, maxLength: 40, size: "max" });
const rules = fc.record({ leastHosts: fc.integer({ min: 1, max: 4 }) }, plain);

function apply(pool: PoolOfHosts, what: Change): void {
  const { hosts, addresses } = pool;
  switch (what.type) {
    case "host": {
      const { host, weight } = what;
      if (hosts.has(host)) pool.changeHost(host, { site: what.site, weight });
      else pool.addHost(host, { site: what.site, weight });
      return;
    }
    case "address":
      return pool.addAddress(what.ip, { sites: what.sites });
    case "host gone":
      return void hosts.delete(what.host);
    case "address gone":
      return void addresses.delete(what.ip);
    case "live":
      return hosts.has(what.host) ? pool.changeHost(what.host, { isLive: what.isLive }) : undefined;
    case "drain host":
      return hosts.has(what.host) ? pool.changeHost(what.host, { isDrained: what.isDrained }) : undefined;
    case "drain address":
      if (!addresses.has(what.ip)) return;
      return pool.addAddress(what.ip, { ...addresses.get(what.ip), isDrained: what.isDrained });
    case "demand":
      return hosts.has(what.host)
        ? pool.changeHost(what.host, { addressCount: what.addressCount })
        : undefined;
    case "absent":
      return hosts.has(what.host) ? pool.changeHost(what.host, { absent: new Set(what.ips) }) : undefined;
  }
}

/** What must hold at rest. */
function checkRest(pool: PoolOfHosts): void {
  const { leastHosts } = pool.rules;
  const hosts = [...pool.hosts.values()];
  const able = (ip: string) =>
    hosts.filter(
      (host) => host.isLive && !host.absent.has(ip) && pool.mayServe(host, pool.addresses.get(ip)!),
    );
  for (const address of pool.addresses.values()) {
    const live = pool.hostsOf(address.ip).filter(({ isLive }) => isLive);
    const least = Math.min(leastHosts, able(address.ip).length);
    expect(live.length, `[AS2] hosts of ${address.ip}`).toBeGreaterThanOrEqual(least);
  }
  for (const host of hosts) {
    const ips = pool.ipsOf(host.host);
    for (const ip of ips) {
      expect(pool.mayServe(host, pool.addresses.get(ip)!), `[AS5] ${host.host} on ${ip}`).toBe(true);
    }
    for (const isFour of [true, false]) {
      const own = ips.filter((ip) => !ip.includes(":") === isFour);
      const possible = [...pool.addresses.values()].filter(
        (address) =>
          !address.ip.includes(":") === isFour &&
          pool.mayServe(host, address) &&
          !host.absent.has(address.ip),
      );
      const needed = Math.min(host.addressCount, possible.length);
      expect(own.length, `[AS2] addresses of ${host.host}`).toBeGreaterThanOrEqual(needed);
      if (!host.isLive) continue;
      // No more than it needs, but where an address would have too few.
      if (own.length > needed) {
        for (const ip of own) {
          const live = pool.hostsOf(ip).filter(({ isLive }) => isLive);
          expect(live.length, `[AS2] ${host.host} serves ${ip} for nothing`).toBeLessThanOrEqual(leastHosts);
        }
      }
      if (own.length !== host.addressCount) continue;
      for (const from of own) {
        if (pool.hostsOf(from).filter(({ isLive }) => isLive).length <= leastHosts) continue;
        for (const { ip: to } of possible) {
          if (own.includes(to)) continue;
          const gap = pool.loadOf(from) - pool.loadOf(to);
          const even = Math.max(pool.loadOf(from) * EVEN_SHARE, EVEN_HOSTS * host.weight);
          expect(gap, `[AS3] ${host.host} from ${from} to ${to}`).toBeLessThanOrEqual(even);
        }
      }
    }
  }
  expect(pool.pairs("replaced", "leaving").size, "nothing is on its way").toBe(
    pool.assignments.filter(({ host, state }) => state !== "serving" && !pool.hosts.get(host)!.isLive).length,
  );
}

test("[AS2] [AS3] [AS5] it comes to rest, with hosts enough, evenly and where it may be", () => {
  fc.assert(
    fc.property(histories, rules, (history, drawn) => {
      const pool = new PoolOfHosts(drawn);
      for (const [what, isFollowed] of history) {
        apply(pool, what);
        pool.decide();
        if (isFollowed) pool.follow();
      }
      pool.settle();
      checkRest(pool);
    }),
    { numRuns: 2_000 },
  );
});

test("[AS4] nothing that serves is taken before its replacement serves", () => {
  fc.assert(
    fc.property(histories, rules, (history, drawn) => {
      const pool = new PoolOfHosts(drawn);
      const serving = (name: string): string[] =>
        pool.assignments
          .filter(({ host, state }) => host === name && state !== "leaving")
          .map(({ ip }) => ip)
          .filter((ip) => pool.isEstablished(name, ip) && pool.addresses.get(ip)?.isDrained === false);
      for (const [what, isFollowed] of history) {
        apply(pool, what);
        const before = new Map([...pool.hosts.keys()].map((name) => [name, serving(name)]));
        pool.decide();
        for (const [name, host] of pool.hosts) {
          for (const isFour of [true, false]) {
            const isOfFamily = (ip: string): boolean => !ip.includes(":") === isFour;
            // What has gone, or is absent now, cannot be kept; with nothing to serve nothing is.
            const had = before.get(name)!.filter((ip) => isOfFamily(ip) && !host.absent.has(ip));
            const mayServe = [...pool.addresses.values()].some(
              (address) =>
                isOfFamily(address.ip) && !host.absent.has(address.ip) && pool.mayServe(host, address),
            );
            if (had.length === 0 || host.isDrained || !mayServe) continue;
            expect(serving(name).filter(isOfFamily).length, name).toBeGreaterThan(0);
          }
        }
        if (isFollowed) pool.follow();
      }
    }),
    { numRuns: 2_000 },
  );
});
