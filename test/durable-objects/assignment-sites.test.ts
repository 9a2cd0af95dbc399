/** Where hosts and addresses are, and what the pool makes of it, over real connections. */
import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { EgressPool } from "../../durable-objects/pool/egress-pool.ts";
import type { PlacedIp } from "../../src/core/placement.ts";
import { HostConnection, objects, type Reply } from "./objects.ts";

type Pool = DurableObjectStub<EgressPool>;

const GATEWAY = "http://127.0.0.1:8001";
let count = 0;

async function newPool(minHostsPerIp: number) {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`placed-${count}`);
  await stub.configure({ minHostsPerIp });
  const [fra, ams, all] = [1, 2, 3].map((at) => `198.19.${count}.${at}`) as [string, string, string];
  return { stub, fra, ams, all };
}

/** Three addresses, of which a host is given all that it may serve. */
async function poolOfSites() {
  const pool = await newPool(3);
  await pool.stub.addIp(pool.fra, { country: "de", sites: ["fra1", "fra2"] });
  await pool.stub.addIp(pool.ams, { country: "nl", sites: ["ams1"] });
  await pool.stub.addIp(pool.all, null);
  return pool;
}

/** Enlists a host from such a place, on a connection of its own. */
async function enlist(stub: Pool, name: string, place: { site?: string; weight?: number } = {}) {
  const connection = await HostConnection.open(stub, name);
  const told = await connection.enlist(`${name}-instance`, GATEWAY, undefined, place);
  return { connection, ips: ipsIn(told) };
}

function ipsIn(reply: Reply): string[] {
  return (reply["ips"] as string[]).toSorted();
}

function report(connection: HostConnection, ips: readonly string[]): void {
  const rooms = ips.map((ip) => ({ ip, portCount: 256, busiestCount: 0 }));
  connection.send({ type: "report", draining: false, rooms, leaving: [] });
}

/** The addresses that the host was told last, once it was told anything. */
async function toldNext(connection: HostConnection): Promise<string[]> {
  let ips = ipsIn(await connection.next());
  for (const text of connection.unread) ips = ipsIn(JSON.parse(text) as Reply);
  connection.forgetUnread();
  return ips;
}

async function placedIps(stub: Pool): Promise<(Omit<PlacedIp, "hosts"> & { readonly hosts: string[] })[]> {
  const placement = await stub.placement();
  if (!placement.ok) throw new Error(placement.refusal);
  return placement.value.ips.map((placed) =>
    Object.assign({}, placed, { hosts: placed.hosts.map(({ host }) => host) }),
  );
}

describe("a host's site", () => {
  it("[AS11] is where the addresses that it gets are announced", async () => {
    const { stub, fra, ams, all } = await poolOfSites();
    expect((await enlist(stub, "f", { site: "fra1" })).ips).toEqual([fra, all]);
    expect((await enlist(stub, "a", { site: "ams1" })).ips).toEqual([ams, all]);
    expect((await enlist(stub, "elsewhere", { site: "FRA1" })).ips).toEqual([all]);
    expect((await enlist(stub, "nowhere")).ips).toEqual([all]);
  });

  it("[AS11] [AS4] may change: what it had goes on until what it gets serves", async () => {
    const { stub, fra, ams, all } = await poolOfSites();
    const before = await enlist(stub, "f", { site: "fra1" });
    report(before.connection, before.ips);
    await evictDurableObject(stub);
    const after = await enlist(stub, "f", { site: "ams1" });
    expect(after.ips).toEqual([fra, ams, all]);
    report(after.connection, after.ips);
    expect(await toldNext(after.connection)).toEqual([ams, all]);
    expect(await placedIps(stub)).toMatchObject([{ hosts: [] }, { hosts: ["f"] }, { hosts: ["f"] }]);
  });

  it("[AS11] counts for addresses that are announced elsewhere from now on", async () => {
    const { stub, fra, ams, all } = await poolOfSites();
    const { connection, ips } = await enlist(stub, "f", { site: "fra1" });
    report(connection, ips);
    await stub.addIp(fra, { sites: ["ams1"] });
    expect(await toldNext(connection)).toEqual([all]);
    await stub.addIp(ams, { sites: [] });
    expect(await toldNext(connection)).toEqual([ams, all]);
  });

  it("[AS11] [ME5] and weight are shown, and are none and 1 when it says them no more", async () => {
    const { stub } = await poolOfSites();
    await enlist(stub, "f", { site: "Rack 7, Frankfurt", weight: 2.5 });
    await evictDurableObject(stub);
    expect(await stub.hosts()).toMatchObject({ value: [{ site: "Rack 7, Frankfurt", weight: 2.5 }] });
    await enlist(stub, "f");
    expect(await stub.hosts()).toMatchObject({ value: [{ site: null, weight: 1 }] });
  });
});

it("[AS12] a host of more weight has an address to itself while lighter ones share", async () => {
  const { stub, fra, ams } = await newPool(1);
  for (const ip of [fra, ams]) await stub.addIp(ip, null);
  const hosts = new Map<string, { connection: HostConnection; ips: string[] }>();
  for (const [name, weight] of [
    ["heavy", 8] as const,
    ["x", 1] as const,
    ["y", 1] as const,
    ["z", 1] as const,
  ]) {
    hosts.set(name, await enlist(stub, name, { weight }));
    // Each serves before the next one comes, and heard what that brought about.
    await vi.waitFor(async () => {
      for (const host of hosts.values()) {
        for (const text of host.connection.unread) host.ips = ipsIn(JSON.parse(text) as Reply);
        host.connection.forgetUnread();
        report(host.connection, host.ips);
      }
      for (const { hosts: placed } of await placedIps(stub)) expect(placed).not.toEqual([]);
    });
  }
  await vi.waitFor(async () => {
    const together = (await placedIps(stub)).map((ip) => ip.hosts.toSorted().join(" "));
    expect(together.toSorted()).toEqual(["heavy", "x y z"]);
  });
});

it("[DO10] [DO19] a placement says where addresses are, and nothing where nothing is said", async () => {
  const { stub, fra, ams, all } = await poolOfSites();
  expect(await placedIps(stub)).toEqual([
    { ip: fra, hosts: [], country: "de", sites: ["fra1", "fra2"] },
    { ip: ams, hosts: [], country: "nl", sites: ["ams1"] },
    { ip: all, hosts: [] },
  ]);
  await stub.addIp(fra, { advertised: "203.0.113.9" });
  await stub.addIp(ams, { country: null, sites: [] });
  await evictDurableObject(stub);
  expect(await placedIps(stub)).toEqual([
    { ip: fra, hosts: [], country: "de", sites: ["fra1", "fra2"], advertised: "203.0.113.9" },
    { ip: ams, hosts: [] },
    { ip: all, hosts: [] },
  ]);
});
