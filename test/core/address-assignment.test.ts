/** An assignment in cases that are too rare for chance to find. */
import { expect, test } from "vitest";
import { nthIp, PoolOfHosts } from "./pool-of-hosts.ts";

test("[DR1] a drained host makes way on an address that has room for no other beside it", () => {
  const pool = new PoolOfHosts({ mostHosts: 1 });
  const ip = nthIp(1);
  pool.addAddress(ip);
  for (const host of ["a", "b"]) pool.addHost(host);
  pool.settle();
  const [owner] = pool.hostsOf(ip);
  pool.changeHost(owner!.host, { isDrained: true });
  pool.decide();
  expect(pool.pairs("leaving")).toEqual(new Set([`${owner!.host} ${ip}`]));
  pool.settle();
  expect(pool.hostsOf(ip).map(({ host }) => host)).toEqual(["a", "b"].filter((host) => host !== owner!.host));
});
