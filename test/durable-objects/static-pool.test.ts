/** A static pool over real connections: who gets which slot, for how long, and what the operator sees and says. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EgressIp } from "../../durable-objects/address/egress-ip.ts";
import { enlistAll, hostNames, type ObedientHost, settle } from "./obedient-host.ts";
import { HostConnection, objects, type Reply } from "./objects.ts";

const DAY = 86_400_000;
const QUARANTINE = 120_000;

let count = 0;

async function newPool(ipCount: number, staticPortsPerHost: number | null = 4_096) {
  count += 1;
  const stub = objects.EGRESS_POOL.getByName(`static-${count}`);
  await stub.configure({ staticPortsPerHost, hostSilenceMs: 500 });
  const ips = Array.from({ length: ipCount }, (_, at) => `198.19.${count}.${at + 1}`);
  for (const ip of ips) await stub.addIp(ip, null);
  return { stub, ips, ip: ips[0]! };
}

type World = Awaited<ReturnType<typeof newPool>>;

async function described({ stub }: World) {
  const answer = await stub.describe();
  if (!answer.ok) throw new Error(answer.refusal);
  return answer.value;
}

/** A host with its slot; its connection to the address goes on. */
async function slotted(
  world: World,
  name: string,
  ip = world.ip,
): Promise<{ address: HostConnection; slot: Reply }> {
  const address = await HostConnection.open(objects.EGRESS_IP.getByName(ip), name);
  expect((await address.join(`${name}-instance`))["type"]).toBe("answer");
  const slot = (await address.acquire(6))["granted"] as Reply;
  return { address, slot };
}

async function enlisted(world: World, name: string): Promise<ObedientHost> {
  const [host] = await enlistAll(world.stub, [name]);
  await settle(world.stub, [host!]);
  return host!;
}

/** The host is gone, for all that its pool hears. */
async function fallSilent(host: ObedientHost): Promise<void> {
  host.connection.close();
  await host.connection.closed;
}

/** Enlists, and waits until it hears why it has no address. */
async function toldShortage(host: HostConnection): Promise<unknown> {
  let told = await host.enlist("late-instance");
  while (told["shortage"] === undefined) told = await host.next();
  expect(told["ips"]).toEqual([]);
  return told["shortage"];
}

async function heldOf(ip: string) {
  return objects.EGRESS_IP.getByName(ip).held();
}

afterEach(() => {
  vi.useRealTimers();
});

describe("a static pool", () => {
  it("[SM8] states its exact capacity, and the slots of each host by number and ports", async () => {
    const world = await newPool(2);
    expect((await described(world)).slots).toEqual({
      portsPerSlot: 4_096,
      slotsPerIp: 15,
      lostPortsPerIp: 3_072,
      slotCount: 30,
      takenCount: 0,
    });
    const [host] = await enlistAll(world.stub, ["h0"]);
    const [ip] = host!.ips;
    await slotted(world, "h0", ip);
    const { slots, hosts } = await described(world);
    expect(slots).toMatchObject({ slotCount: 30, takenCount: 1 });
    expect(hosts[0]!.slots).toEqual([{ ip, slot: 0, firstPort: 4_096, lastPort: 8_191 }]);
  });

  it("[SM8] says that it does not know what is taken while an address does not answer", async () => {
    const world = await newPool(1);
    await runInDurableObject(objects.EGRESS_IP.getByName(world.ip), (instance: EgressIp) => {
      const held = { value: () => Promise.reject(new Error("away")) };
      Object.setPrototypeOf(instance, Object.create(EgressIp.prototype, { held }));
    });
    expect((await described(world)).slots).toMatchObject({ slotCount: 15, takenCount: null });
  });

  it("[SM8] of any other pool there is nothing to say", async () => {
    expect((await described(await newPool(1, null))).slots).toBeNull();
  });

  it("[SM7] gives each host one address, evenly, and moves none for another, nor for a new address", async () => {
    const world = await newPool(2);
    const hosts = await enlistAll(world.stub, hostNames(8));
    await settle(world.stub, hosts);
    const before = hosts.map(({ ips }) => [...ips]);
    expect(before.every((ips) => ips.length === 1)).toBe(true);
    for (const ip of world.ips) expect(before.filter(([own]) => own === ip)).toHaveLength(4);
    await world.stub.addIp(`198.19.${count}.99`, null);
    await settle(world.stub, hosts);
    expect(hosts.map(({ ips }) => ips)).toEqual(before);
  });

  it("[SM7] has as many hosts on an address as it has slots; the next is told why it has none, until there is room", async () => {
    const world = await newPool(1);
    await enlistAll(world.stub, hostNames(15));
    const late = await HostConnection.open(world.stub, "late");
    expect(await toldShortage(late)).toEqual("address-exhausted");
    const added = `198.19.${count}.99`;
    await world.stub.addIp(added, null);
    const told = await late.next();
    expect(told).toMatchObject({ ips: [added] });
    expect(told).not.toHaveProperty("shortage");
  });

  it("[SM7] gives no second address for one that is not on a host's machine, nor for demand", async () => {
    const world = await newPool(2);
    const [host] = await enlistAll(world.stub, ["h0"]);
    const own = [...host!.ips];
    const report = (room: object): void => {
      const rooms = [{ ip: own[0], portCount: 0, busiestCount: 0, limit: 4_096, ...room }];
      host!.connection.send({ type: "report", draining: false, rooms });
    };
    report({ absent: true });
    await settle(world.stub, []);
    report({ portCount: 4_096, busiestCount: 4_096 });
    await world.stub.placement();
    host!.listen();
    expect(host!.ips).toEqual(own);
  });

  it("[SM7] [AS6] keeps a silent host's place for good, for it alone", async () => {
    const world = await newPool(1);
    vi.useFakeTimers({ toFake: ["Date"] });
    const hosts = await enlistAll(world.stub, hostNames(15));
    for (const host of hosts) await fallSilent(host);
    vi.setSystemTime(Date.now() + 30 * DAY);
    const late = await HostConnection.open(world.stub, "late");
    expect(await toldShortage(late)).toEqual("address-exhausted");
    const back = await HostConnection.open(world.stub, "h3");
    expect(await back.enlist("h3-instance")).toMatchObject({ ips: [world.ip] });
  });

  it("[SM3] [DO3] a slot is its host's after any time, and after the object began anew", async () => {
    const world = await newPool(1);
    vi.useFakeTimers({ toFake: ["Date"] });
    const { slot } = await slotted(world, "h0");
    vi.setSystemTime(Date.now() + 400 * DAY);
    const stub = objects.EGRESS_IP.getByName(world.ip);
    await evictDurableObject(stub, { webSockets: "close" });
    const again = await HostConnection.open(stub, "h0");
    expect(await again.join("h0-instance")).toMatchObject({
      leases: [slot],
      settings: { staticPortsPerHost: 4_096 },
    });
    const address = await stub.describe();
    expect(address).toMatchObject({ value: { holders: [{ host: "h0", expiresAtMs: null }] } });
  });

  it("[SM3] [DO16] a renewal writes no row, and no alarm is set for a slot", async () => {
    const world = await newPool(1);
    const { address } = await slotted(world, "h0");
    const stub = objects.EGRESS_IP.getByName(world.ip);
    const holder = () =>
      runInDurableObject(stub, (_instance: EgressIp, state) =>
        state.storage.sql.exec("SELECT * FROM holder").toArray(),
      );
    const before = await holder();
    expect(await address.renew()).toMatchObject({ leases: [{ epoch: 1 }], leaseDurationMs: 600_000 });
    expect(await holder()).toEqual(before);
  });
});

describe("the kind of a pool", () => {
  it("[SM6] stays while anything is leased, by name, and what else was to be changed with it", async () => {
    for (const kind of [null, 4_096]) {
      const world = await newPool(1, kind);
      const { address, slot } = await slotted(world, "h0");
      const changes = { staticPortsPerHost: 2_048, quarantineMs: 7_000 };
      expect(await world.stub.configure(changes)).toEqual({ ok: false, refusal: "pool-in-use" });
      expect((await described(world)).settings).toMatchObject({
        staticPortsPerHost: kind,
        quarantineMs: QUARANTINE,
      });
      expect(await world.stub.configure({ quarantineMs: 7_000 })).toMatchObject({ ok: true });
      await address.release(slot as { base: number; epoch: number });
      expect(await world.stub.configure(changes)).toMatchObject({
        value: { settings: changes, slots: { slotsPerIp: 31 } },
      });
      expect((await address.join("h0-instance"))["settings"]).toMatchObject({ maxPortsPerHost: 2_048 });
    }
  });

  it("[SM6] is not changed when an address cannot be asked", async () => {
    const world = await newPool(1);
    await runInDurableObject(objects.EGRESS_IP.getByName(world.ip), (instance: EgressIp) => {
      const held = { value: () => Promise.reject(new Error("away")) };
      Object.setPrototypeOf(instance, Object.create(EgressIp.prototype, { held }));
    });
    const configured = await world.stub.configure({ staticPortsPerHost: null });
    expect(configured).toEqual({ ok: false, refusal: "control-plane-unavailable" });
    expect((await described(world)).settings.staticPortsPerHost).toBe(4_096);
  });

  it("[SM6] an address that leases before it hears of it keeps to what it leased, and follows when that is over", async () => {
    const world = await newPool(1, null);
    const { address, slot } = await slotted(world, "h0");
    const stub = objects.EGRESS_IP.getByName(world.ip);
    const { settings } = await described(world);
    const wanted = { ...settings, staticPortsPerHost: 4_096 };
    const order = (revision: number) =>
      stub.assign(`static-${count}`, wanted, false, { revision, wish: "serve" });
    expect(await order(100)).toEqual({ ok: true, value: { status: "leased" } });
    expect((await address.renew())["settings"]).toMatchObject({ staticPortsPerHost: null });
    await address.release(slot as { base: number; epoch: number });
    expect(await order(101)).toEqual({ ok: true, value: { status: "serving" } });
  });
});

describe("removing a host", () => {
  it("[SM5] ends its slot, which rests and is free; its name may come back with another disk", async () => {
    const world = await newPool(1);
    vi.useFakeTimers({ toFake: ["Date"] });
    const host = await enlisted(world, "h0");
    await slotted(world, "h0");
    const other = await HostConnection.open(world.stub, "h0");
    await fallSilent(host);
    expect(await other.enlist("h0-new-disk")).toEqual({ type: "refused", code: "host-already-present" });
    const removed = await world.stub.removeHost("h0");
    expect(removed).toMatchObject({ value: { hosts: [], slots: { takenCount: 1 } } });
    expect(await heldOf(world.ip)).toMatchObject([{ host: "h0", isLeased: false }]);
    // In steps, since a leap of the clock ends no quarantine. [LE6]
    for (let sinceMs = 0; sinceMs < QUARANTINE; sinceMs += 30_000) {
      vi.setSystemTime(Date.now() + 30_000);
      await described(world);
    }
    expect((await described(world)).slots).toMatchObject({ takenCount: 0 });
    const anew = await HostConnection.open(world.stub, "h0");
    expect(await anew.enlist("h0-new-disk")).toMatchObject({ ips: [world.ip] });
    expect(await world.stub.removeHost("h1")).toEqual({ ok: false, refusal: "host-unknown" });
  });

  it("[SM5] is refused while it is heard", async () => {
    const world = await newPool(1);
    await enlisted(world, "h0");
    await slotted(world, "h0");
    expect(await world.stub.removeHost("h0")).toEqual({ ok: false, refusal: "host-in-use" });
    expect(await heldOf(world.ip)).toMatchObject([{ host: "h0", isLeased: true }]);
  });

  it("[SM5] one that is there all the same is told to ask, and finds nothing", async () => {
    const world = await newPool(1);
    const host = await enlisted(world, "h0");
    const { address } = await slotted(world, "h0");
    await fallSilent(host);
    await world.stub.removeHost("h0");
    expect(await address.next()).toEqual({ type: "changed" });
    expect(await address.renew()).toMatchObject({ leases: [] });
  });

  it("[SM5] that cannot be told to an address is not done, and may be tried again", async () => {
    const world = await newPool(1);
    const host = await enlisted(world, "h0");
    await slotted(world, "h0");
    await fallSilent(host);
    await runInDurableObject(objects.EGRESS_IP.getByName(world.ip), (instance: EgressIp) => {
      const removeHost = { value: () => Promise.reject(new Error("away")) };
      Object.setPrototypeOf(instance, Object.create(EgressIp.prototype, { removeHost }));
    });
    expect(await world.stub.removeHost("h0")).toEqual({ ok: false, refusal: "control-plane-unavailable" });
    expect((await described(world)).hosts).toHaveLength(1);
    await evictDurableObject(objects.EGRESS_IP.getByName(world.ip));
    expect(await world.stub.removeHost("h0")).toMatchObject({ value: { hosts: [] } });
    expect(await heldOf(world.ip)).toMatchObject([{ isLeased: false }]);
  });

  it("[LAW3] [SM5] told to an address late, it leaves alone what the name was granted since", async () => {
    const world = await newPool(1);
    const address = objects.EGRESS_IP.getByName(world.ip);
    const host = await enlisted(world, "h0");
    const { slot } = await slotted(world, "h0");
    await fallSilent(host);
    const orders: Parameters<EgressIp["removeHost"]>[] = [];
    await runInDurableObject(address, (instance: EgressIp) => {
      const value = async (...order: Parameters<EgressIp["removeHost"]>) => {
        orders.push(order);
        if (orders.length === 1) throw new Error("away");
        await EgressIp.prototype.removeHost.apply(instance, order);
      };
      Object.setPrototypeOf(instance, Object.create(EgressIp.prototype, { removeHost: { value } }));
    });
    // Nobody can tell what has become of the first; the second is done.
    expect(await world.stub.removeHost("h0")).toEqual({ ok: false, refusal: "control-plane-unavailable" });
    expect(await world.stub.removeHost("h0")).toMatchObject({ value: { hosts: [] } });
    const order = [`static-${count}`, "h0", [slot["epoch"]]];
    expect(orders).toEqual([order, order]);
    await enlisted(world, "h0");
    const anew = await slotted(world, "h0");
    await address.removeHost(...orders[0]!);
    expect(await anew.address.renew()).toMatchObject({ leases: [{ epoch: anew.slot["epoch"] }] });
  });

  it("[LAW3] [SM5] is refused, and ends nothing, when somebody comes under the name meanwhile", async () => {
    const world = await newPool(1);
    const address = objects.EGRESS_IP.getByName(world.ip);
    const gate = Promise.withResolvers<void>();
    const seen = { isAsked: false };
    await runInDurableObject(address, (instance: EgressIp) => {
      const value = async () => {
        seen.isAsked = true;
        await gate.promise;
        return EgressIp.prototype.held.apply(instance);
      };
      Object.setPrototypeOf(instance, Object.create(EgressIp.prototype, { held: { value } }));
    });
    const removed = world.stub.removeHost("h0");
    while (!seen.isAsked) await scheduler.wait(1);
    const host = await enlisted(world, "h0");
    const { address: connection, slot } = await slotted(world, "h0");
    // Not heard at this moment, but since the word was given.
    await fallSilent(host);
    await runInDurableObject(address, () => gate.resolve());
    expect(await removed).toEqual({ ok: false, refusal: "host-in-use" });
    expect(await connection.renew()).toMatchObject({ leases: [{ epoch: slot["epoch"] }] });
  });

  it("[SM5] makes room for the next one", async () => {
    const world = await newPool(1);
    const hosts = await enlistAll(world.stub, hostNames(15));
    await settle(world.stub, hosts);
    const late = await HostConnection.open(world.stub, "late");
    expect(await late.enlist("late-instance")).toMatchObject({ ips: [] });
    await fallSilent(hosts[4]!);
    await world.stub.removeHost("h4");
    expect(await late.next()).toMatchObject({ ips: [world.ip] });
  });

  it("[SM5] of a pool that is not static is forgotten when its leases are over for certain", async () => {
    const world = await newPool(1, null);
    vi.useFakeTimers({ toFake: ["Date"] });
    const host = await enlisted(world, "h0");
    expect(await world.stub.removeHost("h0")).toEqual({ ok: false, refusal: "host-in-use" });
    await fallSilent(host);
    for (const waitMs of [0, 600_000]) {
      vi.setSystemTime(Date.now() + waitMs);
      expect(await world.stub.removeHost("h0")).toEqual({ ok: false, refusal: "host-in-use" });
    }
    vi.setSystemTime(Date.now() + QUARANTINE + 15_000);
    expect(await world.stub.removeHost("h0")).toMatchObject({ value: { hosts: [] } });
  });
});
