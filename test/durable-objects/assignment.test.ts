/** Which hosts a pool names which addresses to, over real connections. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { enlistAll, hostNames, hostsPlaced, type ObedientHost, type Pool, settle } from "./obedient-host.ts";
import { objects } from "./objects.ts";

let count = 0;

async function newPool(ipCount: number, minHostsPerIp: number) {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`assigned-${count}`);
  await stub.configure({ minHostsPerIp });
  const ips = Array.from({ length: ipCount }, (_, at) => `198.18.${count}.${at + 1}`);
  for (const ip of ips) await stub.addIp(ip, null);
  return { stub, ips };
}

async function enlisted(stub: Pool, hostCount: number): Promise<ObedientHost[]> {
  const hosts = await enlistAll(stub, hostNames(hostCount));
  await settle(stub, hosts);
  return hosts;
}

afterEach(() => {
  vi.useRealTimers();
});

describe("the addresses of a pool", () => {
  it("[AS1] [AS2] are few to a host, and each has hosts enough, evenly", async () => {
    const { stub, ips } = await newPool(4, 2);
    const hosts = await enlisted(stub, 12);
    expect(hosts.map((host) => host.ips.length)).toEqual(Array(12).fill(1));
    const placed = await hostsPlaced(stub);
    const sizes = ips.map((ip) => placed.get(ip)!.length);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(2);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(2);
    for (const { name, ips: own } of hosts) for (const ip of own) expect(placed.get(ip)).toContain(name);
  });

  it("[AS2] are all of them when hosts are few", async () => {
    const { stub, ips } = await newPool(3, 3);
    for (const { ips: own } of await enlisted(stub, 2)) expect(own.toSorted()).toEqual(ips);
  });

  it("[AS1] stay where they are when the object begins anew and hosts come back", async () => {
    const { stub } = await newPool(4, 1);
    const hosts = await enlisted(stub, 8);
    const before = await hostsPlaced(stub);
    await evictDurableObject(stub, { webSockets: "close" });
    const back = await enlistAll(stub, hosts.map(({ name }) => name).toReversed());
    await settle(stub, back);
    expect(await hostsPlaced(stub)).toEqual(before);
  });

  it("[AS3] [AS4] move to a new address no more than its share, and are left after it serves", async () => {
    const { stub, ips } = await newPool(2, 1);
    const hosts = await enlisted(stub, 12);
    const before = new Map(hosts.map(({ name, ips: own }) => [name, own]));
    const added = `198.18.${count}.9`;
    await stub.addIp(added, null);
    await vi.waitFor(() => {
      for (const host of hosts) host.listen();
      expect(hosts.some((host) => host.ips.includes(added))).toBe(true);
    });
    const movers = hosts.filter((host) => host.ips.includes(added));
    expect(movers.length).toBeGreaterThan(1);
    expect(movers.length).toBeLessThanOrEqual(4);
    // They serve both until they have ports of the new one.
    const [mover] = movers as [ObedientHost];
    const old = before.get(mover.name)![0]!;
    expect(mover.ips.toSorted()).toEqual([added, old].toSorted());
    mover.report([old]);
    expect((await hostsPlaced(stub)).get(old)).toContain(mover.name);
    expect(mover.listen()).toBe(false);
    mover.flows.set(old, 1);
    mover.report();
    expect((await hostsPlaced(stub)).get(old)).not.toContain(mover.name);
    await vi.waitFor(() => expect(mover.listen()).toBe(true));
    expect(mover.ips).toEqual([added]);
    for (const host of hosts) if (!movers.includes(host)) expect(host.ips).toEqual(before.get(host.name));
    await settle(stub, hosts);
    expect((await hostsPlaced(stub)).get(added)).toHaveLength(movers.length);
    expect(ips).not.toContain(added);
    // [AS7] What it still has ports of counts until it says that it has not.
    expect(await assigned(stub, mover.name)).toEqual([added, old].toSorted());
    mover.flows.clear();
    mover.report();
    await vi.waitFor(async () => expect(await assigned(stub, mover.name)).toEqual([added]));
  });

  it("[AS6] [AS7] get another host when one is away for longer than a restart takes", async () => {
    const { stub } = await newPool(2, 2);
    const hosts = await enlisted(stub, 4);
    const [lost, ...others] = hosts as [ObedientHost, ...ObedientHost[]];
    const before = await hostsPlaced(stub);
    const [ip] = lost.ips as [string];
    lost.connection.close();
    await lost.connection.closed;
    // Noticed, and nothing comes of it yet.
    expect((await hostsPlaced(stub)).get(ip)).toHaveLength(before.get(ip)!.length - 1);
    await settle(stub, others);
    expect((await hostsPlaced(stub)).get(ip)).toHaveLength(before.get(ip)!.length - 1);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 15_001 });
    await settle(stub, others);
    await settle(stub, others);
    expect((await hostsPlaced(stub)).get(ip)!.length).toBeGreaterThanOrEqual(2);
    expect(await assigned(stub, lost.name)).toContain(ip);
    vi.setSystemTime(Date.now() + 720_000);
    await settle(stub, others);
    expect(await assigned(stub, lost.name)).toEqual([]);
  });

  it("[AS8] are one more for a host that runs short, and one less after a long rest", async () => {
    const { stub, ips } = await newPool(3, 1);
    const hosts = await enlistAll(stub, ["a", "b", "c"]);
    await settle(stub, hosts);
    const [host] = hosts as [ObedientHost];
    const [own] = host.ips as [string];
    host.connection.send(use(host, 700));
    await vi.waitFor(() => expect(host.listen()).toBe(true));
    expect(host.ips).toHaveLength(2);
    expect(host.ips).toContain(own);
    // An object that begins anew knows of it.
    await evictDurableObject(stub);
    host.connection.send(use(host, 100));
    await stub.placement();
    expect(host.listen()).toBe(false);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 180_001 });
    // None of them was heard in that time, and only such as are heard make it dispensable.
    for (const other of hosts) other.connection.send(use(other, 100));
    await stub.placement();
    await vi.waitFor(() => expect(host.listen()).toBe(true));
    expect(host.ips).toHaveLength(1);
    expect(ips).toContain(host.ips[0]);
  });
  it("[AS3] are one more as soon as another has free ports, without any other news", async () => {
    const { stub } = await newPool(2, 1);
    const [host, other] = (await enlistAll(stub, ["a", "b"])) as [ObedientHost, ObedientHost];
    await settle(stub, [host, other]);
    expect([...host.ips, ...other.ips]).toHaveLength(2);
    other.connection.send(use(other, 100));
    host.connection.send(use(host, 700));
    await stub.placement();
    expect(host.listen()).toBe(false);
    other.connection.send(use(other, 100, 20_000));
    await stub.placement();
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 10_001 });
    await stub.placement();
    await vi.waitFor(() => expect(host.listen()).toBe(true));
    expect(host.ips).toHaveLength(2);
  });

  it("[AS3] are not as full as a host said that is gone", async () => {
    const { stub } = await newPool(2, 1);
    const [host, other] = (await enlistAll(stub, ["a", "b"])) as [ObedientHost, ObedientHost];
    await settle(stub, [host, other]);
    other.connection.send(use(other, 1_000));
    await stub.placement();
    other.connection.close();
    await other.connection.closed;
    host.connection.send(use(host, 700));
    await vi.waitFor(() => expect(host.listen()).toBe(true));
    expect(host.ips).toHaveLength(2);
  });

  it("[AS5] that are not on a host's machine are made up for", async () => {
    const { stub, ips } = await newPool(2, 1);
    const [host] = (await enlisted(stub, 1)) as [ObedientHost];
    const others = await enlistAll(stub, ["x", "y", "z"]);
    await settle(stub, [host, ...others]);
    const [own] = host.ips as [string];
    const rooms = host.ips.map((ip) => ({ ip, portCount: 0, busiestCount: 0, absent: true }));
    host.connection.send({ type: "report", draining: false, rooms });
    await vi.waitFor(() => expect(host.listen()).toBe(true));
    expect(host.ips.toSorted()).toEqual(ips);
    expect((await hostsPlaced(stub)).get(own)).not.toContain(host.name);
  });
});

/** A report by which a host has this many of 1,000 ports in use on each address, where it could have `limit`. */
function use(host: ObedientHost, busiestCount: number, limit = 1_000): object {
  const rooms = host.ips.map((ip) => ({ ip, portCount: 1_000, busiestCount, limit }));
  return { type: "report", draining: false, rooms, leaving: [] };
}

/** What the pool has on its disk for a host. */
function assigned(stub: Pool, host: string): Promise<string[]> {
  return runInDurableObject(stub, (_instance, state) =>
    state.storage.sql
      .exec<{ ip: string }>("SELECT ip FROM assignment WHERE host = ? ORDER BY ip", host)
      .toArray()
      .map(({ ip }) => ip),
  );
}
