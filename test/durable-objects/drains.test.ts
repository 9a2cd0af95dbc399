/** What an operator drains: who serves it then, what is shown of it, and what survives. */
import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { enlistAll, hostNames, hostsPlaced, type ObedientHost, type Pool, settle } from "./obedient-host.ts";
import { HostConnection, objects } from "./objects.ts";

let count = 0;

async function newPool(ipCount: number, hostCount: number, minHostsPerIp = 3) {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`drained-${count}`);
  await stub.configure({ minHostsPerIp });
  const ips = Array.from({ length: ipCount }, (_, at) => `198.19.${count}.${at + 1}`);
  for (const ip of ips) await stub.addIp(ip, null);
  const hosts = await enlistAll(stub, hostNames(hostCount));
  await settle(stub, hosts);
  return { stub, ips, hosts };
}

async function described(stub: Pool) {
  const answer = await stub.describe();
  if (!answer.ok) throw new Error(answer.refusal);
  return answer.value;
}

async function hostOf(stub: Pool, name: string) {
  return (await described(stub)).hosts.find(({ host }) => host === name)!;
}

async function ipOf(stub: Pool, ip: string) {
  return (await described(stub)).ips.find((known) => known.ip === ip)!;
}

describe("a host that its operator drains", () => {
  it("[DR1] [DR5] serves nothing, is not cut, and shows what is left until nothing is", async () => {
    const { stub, ips, hosts } = await newPool(2, 3);
    const [h0] = hosts as [ObedientHost];
    h0.flows.set(ips[0]!, 2);
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: null, leaving: [] });
    const sinceMs = Date.now();
    expect(await stub.drainHost("h0", true)).toMatchObject({ ok: true });
    // The others have ports of both already, so nobody waits.
    await vi.waitFor(() => expect(h0.listen()).toBe(true));
    expect(h0.ips).toEqual([]);
    for (const names of (await hostsPlaced(stub)).values()) expect(names).toEqual(["h1", "h2"]);
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: { state: "draining", flowCount: null } });
    await settle(stub, hosts);
    const leaving = [{ ip: ips[0]!, portCount: 256, flowCount: 2 }];
    const left = { state: "draining", portCount: 256, flowCount: 2 };
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: left, leaving, live: true, draining: false });
    expect((await hostOf(stub, "h0")).drain!.sinceMs).toBeGreaterThanOrEqual(sinceMs);
    h0.flows.set(ips[0]!, 1);
    await settle(stub, hosts);
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: { ...left, flowCount: 1 } });
    h0.flows.clear();
    await settle(stub, hosts);
    const drained = { state: "drained", portCount: 0, flowCount: 0 };
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: drained, leaving: [] });
  });

  it("[DR1] that serves alone goes on until another has ports", async () => {
    const { stub, ips, hosts } = await newPool(2, 2, 1);
    const [h0, h1] = hosts as [ObedientHost, ObedientHost];
    const [own] = h0.ips as [string];
    expect([h0.ips, h1.ips]).toEqual([[own], ips.filter((ip) => ip !== own)]);
    await stub.drainHost("h0", true);
    await vi.waitFor(() => expect(h1.listen()).toBe(true));
    expect(h1.ips.toSorted()).toEqual(ips);
    h1.report(h1.ips.filter((ip) => ip !== own));
    expect((await hostsPlaced(stub)).get(own)).toEqual(["h0"]);
    expect([h0.listen(), h0.ips]).toEqual([false, [own]]);
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: { state: "draining", portCount: 256 } });
    h1.report();
    await vi.waitFor(() => expect(h0.listen()).toBe(true));
    expect(h0.ips).toEqual([]);
    expect((await hostsPlaced(stub)).get(own)).toEqual(["h1"]);
  });

  it("[DR1] is not relieved by one that takes no requests at the moment, ports or not", async () => {
    const { stub, ips, hosts } = await newPool(1, 2);
    const [ip] = ips as [string];
    const [h0, h1] = hosts as [ObedientHost, ObedientHost];
    const rooms = [{ ip, portCount: 256, busiestCount: 0 }];
    h1.connection.send({ type: "report", draining: true, rooms });
    await vi.waitFor(async () => expect((await hostsPlaced(stub)).get(ip)).toEqual(["h0"]));
    await stub.drainHost("h0", true);
    expect((await hostsPlaced(stub)).get(ip)).toEqual(["h0"]);
    expect([h0.listen(), h0.ips]).toEqual([false, [ip]]);
    h1.report();
    await vi.waitFor(() => expect(h0.listen()).toBe(true));
    expect((await hostsPlaced(stub)).get(ip)).toEqual(["h1"]);
  });

  it("[DR1] [DR4] is drained still when the object, the connection, and the host's instance are others", async () => {
    const { stub, ips, hosts } = await newPool(2, 3);
    const [h0] = hosts as [ObedientHost];
    h0.flows.set(ips[1]!, 5);
    await stub.drainHost("h0", true);
    await vi.waitFor(() => expect(h0.listen()).toBe(true));
    await settle(stub, hosts);
    const before = await hostOf(stub, "h0");
    await evictDurableObject(stub, { webSockets: "close" });
    // Its flows are known although nobody has reported since.
    expect(await hostOf(stub, "h0")).toEqual({ ...before, live: false });
    expect(before).toMatchObject({ drain: { flowCount: 5 } });
    const again = await HostConnection.open(stub, "h0");
    expect(await again.enlist("h0-another-instance", "http://127.0.0.1:8001")).toMatchObject({ ips: [] });
    again.send({ type: "report", draining: false, rooms: [], leaving: [] });
    await vi.waitFor(async () => {
      const { drain } = await hostOf(stub, "h0");
      expect(drain).toEqual({ ...before.drain, state: "drained", portCount: 0, flowCount: 0 });
    });
  });

  it("[DR3] resumed, serves again, with what it has not let go of first", async () => {
    const { stub, ips, hosts } = await newPool(2, 3);
    const [h0] = hosts as [ObedientHost];
    h0.flows.set(ips[0]!, 1);
    for (let time = 0; time < 2; time += 1) await stub.drainHost("h0", true);
    await vi.waitFor(() => expect(h0.listen()).toBe(true));
    await settle(stub, hosts);
    for (let time = 0; time < 2; time += 1)
      expect(await stub.drainHost("h0", false)).toMatchObject({ ok: true });
    await settle(stub, hosts);
    expect(h0.ips.toSorted()).toEqual(ips);
    for (const names of (await hostsPlaced(stub)).values()) expect(names).toEqual(["h0", "h1", "h2"]);
    expect(await hostOf(stub, "h0")).toMatchObject({ drain: null, leaving: [] });
  });

  it("[DR6] as the last one leaves its addresses without a host", async () => {
    const { stub, ips, hosts } = await newPool(2, 1);
    const [h0] = hosts as [ObedientHost];
    await stub.drainHost("h0", true);
    await vi.waitFor(() => expect(h0.listen()).toBe(true));
    expect(await hostsPlaced(stub)).toEqual(new Map(ips.map((ip) => [ip, []])));
    await stub.drainHost("h0", false);
    await settle(stub, hosts);
    for (const names of (await hostsPlaced(stub)).values()) expect(names).toEqual(["h0"]);
  });
});

describe("an address that its operator drains", () => {
  it("[DR2] [DR5] stays in the pool without hosts, which have others by then", async () => {
    const { stub, ips, hosts } = await newPool(2, 4, 1);
    const [drained, other] = ips as [string, string];
    const owners = hosts.filter((host) => host.ips.includes(drained));
    expect(owners.length).toBe(2);
    for (const host of owners) host.flows.set(drained, 3);
    const sinceMs = Date.now();
    expect(await stub.drainIp(drained, true)).toMatchObject({ ok: true });
    await vi.waitFor(() => {
      for (const host of owners) {
        host.listen();
        expect(host.ips.toSorted()).toEqual(ips);
      }
    });
    // It is served until what replaces it is.
    const [first, second] = owners as [ObedientHost, ObedientHost];
    expect((await hostsPlaced(stub)).get(drained)).toEqual(owners.map(({ name }) => name).toSorted());
    first.report();
    await vi.waitFor(() => expect(first.listen()).toBe(true));
    expect((await hostsPlaced(stub)).get(drained)).toEqual([second.name]);
    first.report();
    const served = await ipOf(stub, drained);
    expect(served).toMatchObject({
      retiring: null,
      drain: { state: "draining", portCount: 512, flowCount: null },
    });
    await settle(stub, hosts);
    expect((await ipOf(stub, drained)).drain).toMatchObject({
      state: "draining",
      portCount: 512,
      flowCount: 6,
    });
    expect((await ipOf(stub, drained)).drain!.sinceMs).toBeGreaterThanOrEqual(sinceMs);
    for (const host of owners) host.flows.clear();
    await settle(stub, hosts);
    expect(await ipOf(stub, drained)).toMatchObject({
      drain: { state: "drained", portCount: 0, flowCount: 0 },
    });
    expect(await hostsPlaced(stub)).toEqual(
      new Map([
        [drained, []],
        [other, ["h0", "h1", "h2", "h3"]],
      ]),
    );
  });

  it("[DR2] [DR3] [DR4] is drained after a restart, also while it drains, until it is resumed", async () => {
    const { stub, ips, hosts } = await newPool(2, 3);
    const [drained] = ips as [string];
    for (const host of hosts) host.flows.set(drained, 1);
    await stub.drainIp(drained, true);
    await settle(stub, hosts);
    const before = await ipOf(stub, drained);
    expect(before).toMatchObject({ drain: { flowCount: 3 } });
    await evictDurableObject(stub, { webSockets: "close" });
    expect(await ipOf(stub, drained)).toEqual(before);
    const back = await enlistAll(
      stub,
      hosts.map(({ name }) => name),
    );
    await settle(stub, back);
    expect((await hostsPlaced(stub)).get(drained)).toEqual([]);
    // Changing what it is advertised as says nothing of its drain.
    await stub.addIp(drained, { advertised: "203.0.113.1" });
    expect(await ipOf(stub, drained)).toMatchObject({ drain: { state: "drained" } });
    await stub.drainIp(drained, false);
    await settle(stub, back);
    expect((await hostsPlaced(stub)).get(drained)).toEqual(["h0", "h1", "h2"]);
    expect(await ipOf(stub, drained)).toMatchObject({ drain: null });
  });

  it("[DR2] [RE1] is removed as any other, and added again it is not drained", async () => {
    const { stub, ips } = await newPool(1, 0);
    const [ip] = ips as [string];
    await stub.drainIp(ip, true);
    await stub.removeIp(ip);
    expect(await stub.drainIp(ip, true)).toEqual({ ok: false, refusal: "ip-unknown" });
    await stub.addIp(ip, null);
    expect(await ipOf(stub, ip)).toMatchObject({ drain: null });
  });
});

describe("what there is not to be drained", () => {
  it("[DR1] [DR2] is refused by name", async () => {
    const { stub } = await newPool(1, 0);
    const nowhere = objects.EGRESS_POOL.getByName("drained-nowhere");
    for (const isDrained of [true, false]) {
      expect(await stub.drainHost("nobody", isDrained)).toEqual({ ok: false, refusal: "host-unknown" });
      expect(await stub.drainIp("192.0.2.99", isDrained)).toEqual({ ok: false, refusal: "ip-unknown" });
      expect(await nowhere.drainHost("h0", isDrained)).toEqual({ ok: false, refusal: "pool-unknown" });
      expect(await nowhere.drainIp("192.0.2.99", isDrained)).toEqual({ ok: false, refusal: "pool-unknown" });
    }
  });
});
