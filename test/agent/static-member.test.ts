/** A host of a static pool, with a disk, a time and an edge that do as they are told. */
import type { PortControl } from "../../src/agent/egress/port-messages.ts";
import { expect, onTestFinished, test } from "vitest";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import type { PoolMemberOptions } from "../../src/agent/leasing/pool-member-options.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import type { SlotStore } from "../../src/agent/leasing/slot-record.ts";
import type { Lease } from "../../src/core/lease-commands.ts";
import { DEFAULT_POOL_SETTINGS, type LeaseSettings } from "../../src/core/pool-settings.ts";
import { settingsOfSlot } from "../../src/core/static-slots.ts";
import { type DrivenLink, DrivenTimers, drivenLinks } from "../link/driven-world.ts";
import { recordingLog } from "../link/loopback-edge.ts";

const [IP, OTHER_IP] = ["192.0.2.1", "192.0.2.2"];
const SLOT: Lease = { base: 4_096, order: 11, epoch: 7 };
const STATIC = settingsOfSlot({ ...DEFAULT_POOL_SETTINGS, staticPortsPerHost: 2_048 });

/** A disk that writes when it is told to. */
class DrivenDisk implements SlotStore {
  readonly slots = new Map<string, readonly Lease[]>();
  isStuck = false;
  isFull = false;
  readonly #waiting: (() => void)[] = [];

  of(): ReadonlyMap<string, readonly Lease[]> {
    return this.slots;
  }

  async keep(_pool: string, ip: string, slots: readonly Lease[]): Promise<void> {
    if (this.isStuck) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.isFull) throw new Error("ENOSPC");
    if (slots.length > 0) this.slots.set(ip, slots);
    else this.slots.delete(ip);
  }

  goOn(): void {
    this.isStuck = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function start(disk: DrivenDisk, options: Partial<PoolMemberOptions> = {}) {
  const timers = new DrivenTimers();
  const clock = () => ({ monotonicMs: timers.nowMs, wallMs: 1_790_000_000_000 + timers.nowMs });
  const binder = new PortBinder({ timers, clock, random: () => 0 });
  const { openLink, links } = drivenLinks();
  const { log, lines } = recordingLog();
  const member = new PoolMember({
    edge: new URL("http://edge.example"),
    pool: "eu",
    gateway: "http://203.0.113.1:7001",
    instance: "instance-1",
    token: async () => "the-token",
    binder,
    epochs: { highestEpoch: () => 0, noteEpoch: () => {} },
    slots: disk,
    drainDeadlineMs: 60_000,
    whyAbsent: async () => null,
    openLink,
    timers,
    clock,
    random: () => 0.5,
    log,
    ...options,
  });
  onTestFinished(() => member.stop());
  member.start();
  const link = (path: string): DrivenLink => links.find((each) => each.path === path)!;
  return {
    timers,
    binder,
    member,
    lines,
    pool: link("/v1/pools/eu/connect"),
    address: () => link(`/v1/ips/${IP}/connect`),
  };
}

function enlisted(pool: DrivenLink, ips: string[] = [IP], more: object = {}): void {
  pool.receive({ type: "enlisted", pool: "eu", ips, retiring: [], ...more });
}

function answer(
  link: DrivenLink,
  leases: readonly Lease[],
  granted: Lease | null = null,
  settings: LeaseSettings = STATIC,
): void {
  const { requestId } = link.sent.at(-1) as { requestId: string };
  link.receive({ type: "answer", requestId, leases, leaseDurationMs: 600_000, granted, settings });
}

function typesOf(link: DrivenLink): string[] {
  return link.sent.map((message) => (message as { type: string }).type);
}

/** A host that was granted its slot just now. */
async function slotted(disk = new DrivenDisk()) {
  const world = start(disk);
  enlisted(world.pool);
  await world.timers.advance(0);
  answer(world.address(), []);
  answer(world.address(), [SLOT], SLOT);
  await world.timers.advance(0);
  return { ...world, disk };
}

test("[SM9] a slot is on the disk before any port of it can be had", async () => {
  const disk = new DrivenDisk();
  const { binder, pool, timers, address } = start(disk);
  enlisted(pool);
  await timers.advance(0);
  answer(address(), []);
  await timers.advance(0);
  disk.isStuck = true;
  answer(address(), [SLOT], SLOT);
  await timers.advance(1_000);
  expect(binder.address(IP)!.isUsable()).toBe(false);
  disk.goOn();
  await timers.advance(0);
  expect(disk.slots.get(IP)).toEqual([SLOT]);
  expect(binder.address(IP)!.capacity().portCount).toBe(2_048);
});

test("[SM9] a slot that cannot be written down is not used; it is asked for again, and tried again", async () => {
  const disk = new DrivenDisk();
  const { binder, pool, timers, address, lines } = start(disk);
  enlisted(pool);
  await timers.advance(0);
  answer(address(), []);
  await timers.advance(0);
  disk.isFull = true;
  answer(address(), [SLOT], SLOT);
  await timers.advance(0);
  expect(binder.address(IP)!.isUsable()).toBe(false);
  expect(lines.at(-1)!.msg).toContain("cannot be written to its state directory");
  const asked = address().sent.length;
  disk.isFull = false;
  await timers.advance(5_000);
  expect(address().sent.length).toBe(asked + 1);
  answer(address(), [SLOT], SLOT);
  await timers.advance(0);
  expect(binder.address(IP)!.isUsable()).toBe(true);
});

test("[SM9] a host that starts serves from what its disk has, before the pool or the address says a word", async () => {
  const disk = new DrivenDisk();
  disk.slots.set(IP, [SLOT]);
  const { binder, timers, pool, address } = start(disk);
  pool.drop();
  await timers.advance(0);
  address().drop();
  const taken = binder.address(IP)!.take("tcp 198.51.100.1 443");
  expect(taken.ok && taken.value.port).toBeGreaterThanOrEqual(4_096);
  await timers.advance((365 * 86_400_000) / 1_000);
  expect(binder.address(IP)!.isUsable()).toBe(true);
  // The edge is back, and has it as well.
  pool.reopen();
  enlisted(pool);
  address().reopen();
  answer(address(), [SLOT]);
  await timers.advance(1_000);
  expect(typesOf(address()).filter((type) => type !== "join" && type !== "renew")).toEqual([]);
  expect(binder.address(IP)!.heldCounts().inUse).toBe(1);
  expect(pool.sent.at(-1)).toMatchObject({ type: "report", rooms: [{ ip: IP, portCount: 2_048 }] });
});

test("[SM5] what the edge does not list is over at once, on the disk as well", async () => {
  const { binder, timers, address, disk } = await slotted();
  const taken = binder.address(IP)!.take("tcp 198.51.100.1 443");
  if (!taken.ok) throw new Error(taken.refusal);
  let isReset = false;
  taken.value.onReset = () => (isReset = true);
  disk.isStuck = true;
  address().receive({ type: "changed" });
  await timers.advance(1_000);
  expect(typesOf(address()).at(-1)).toBe("renew");
  answer(address(), []);
  // Not even a disk that hangs puts it off.
  expect([isReset, binder.address(IP)!.isUsable()]).toEqual([true, false]);
  disk.goOn();
  await timers.advance(0);
  expect(disk.slots.size).toBe(0);
});

test("[SM7] an address that the pool takes away is given back, struck out first", async () => {
  const { timers, pool, address, disk, binder } = await slotted();
  const link = address();
  disk.isStuck = true;
  enlisted(pool, []);
  await timers.advance(100);
  expect(typesOf(link)).not.toContain("release");
  disk.goOn();
  await timers.advance(0);
  expect(disk.slots.size).toBe(0);
  expect(link.sent.at(-1)).toMatchObject({ type: "release", base: SLOT.base, epoch: SLOT.epoch });
  answer(link, []);
  await timers.advance(0);
  expect(binder.address(IP)).toBeUndefined();
});

test("[SM9] an address that the pool has given to others while the host was away is given back", async () => {
  const disk = new DrivenDisk();
  disk.slots.set(IP, [SLOT]);
  const { timers, pool, address, binder } = start(disk);
  await timers.advance(0);
  answer(address(), [SLOT]);
  enlisted(pool, [OTHER_IP]);
  await timers.advance(0);
  expect(address().sent.at(-1)).toMatchObject({ type: "release", epoch: SLOT.epoch });
  answer(address(), []);
  await timers.advance(0);
  expect([...binder.addresses()].map(({ ip }) => ip)).toEqual([OTHER_IP]);
});

test("[SM9] a slot that was never put to use by this process is given back all the same, from an absent address too", async () => {
  const disk = new DrivenDisk();
  disk.slots.set(IP, [SLOT]);
  const { timers, pool, address, binder } = start(disk, { whyAbsent: async () => "EADDRNOTAVAIL" });
  // Before it has been looked whether the address is there.
  enlisted(pool, []);
  await timers.advance(0);
  answer(address(), [SLOT]);
  await timers.advance(0);
  expect(disk.slots.size).toBe(0);
  expect(address().sent.at(-1)).toMatchObject({ type: "release", epoch: SLOT.epoch });
  answer(address(), []);
  await timers.advance(0);
  expect(binder.address(IP)).toBeUndefined();
});

test("[SM9] [MA1] nor is the guard told of it before it has been told that nothing leaves yet", async () => {
  const disk = new DrivenDisk();
  disk.slots.set(IP, [SLOT]);
  const ready = Promise.withResolvers<void>();
  const done: string[] = [];
  const machine = {
    prepare: () => ready.promise.then(() => void done.push("prepared")),
    guarded: (_ip: string, ports: PortControl) => {
      done.push("controlled");
      return ports;
    },
  };
  const { timers, pool } = start(disk, { machine });
  enlisted(pool, []);
  await timers.advance(0);
  expect(done).toEqual([]);
  ready.resolve();
  await timers.advance(0);
  expect([done[0], done.at(-1)]).toEqual(["prepared", "controlled"]);
});

test("[SM9] a host that ends gives no slot back, and waits for no edge", async () => {
  const { member, timers, address, disk, binder } = await slotted();
  const link = address();
  const drained = member.drain(60_000);
  await timers.advance(0);
  await drained;
  expect(typesOf(link)).not.toContain("release");
  expect(disk.slots.get(IP)).toEqual([SLOT]);
  expect(binder.address(IP)!.isUsable()).toBe(false);
});

test("[SM7] [PM2] an address that is not on the machine keeps its slot, which is used when it is there again", async () => {
  let absence: string | null = null;
  const disk = new DrivenDisk();
  const { timers, pool, address, binder } = start(disk, { whyAbsent: async () => absence });
  enlisted(pool);
  await timers.advance(0);
  answer(address(), []);
  answer(address(), [SLOT], SLOT);
  await timers.advance(0);
  absence = "EADDRNOTAVAIL";
  await timers.advance(11_000);
  expect(binder.address(IP)!.isUsable()).toBe(false);
  expect(typesOf(address())).not.toContain("release");
  expect(pool.sent.at(-1)).toMatchObject({ rooms: [{ ip: IP, portCount: 0, absent: true }] });
  absence = null;
  await timers.advance(10_000);
  expect(binder.address(IP)!.isUsable()).toBe(true);
  expect(disk.slots.get(IP)).toEqual([SLOT]);
});

test("[SM7] a host that finds no slot says so by name, once", async () => {
  const { pool, lines, timers } = start(new DrivenDisk());
  const told = () => lines.filter((line) => "code" in line && line.code === "address-exhausted");
  for (let time = 0; time < 2; time += 1) enlisted(pool, [], { shortage: "address-exhausted" });
  await timers.advance(0);
  expect(told()).toHaveLength(1);
  expect(told()[0]!.msg).toContain("delete hosts that are gone for good");
  enlisted(pool);
  enlisted(pool, [], { shortage: "address-exhausted" });
  expect(told()).toHaveLength(2);
});

test("[SM6] of a pool that is not static nothing is kept, and what was is struck out", async () => {
  const disk = new DrivenDisk();
  disk.slots.set(IP, [SLOT]);
  const { timers, address } = start(disk);
  await timers.advance(0);
  answer(address(), [{ base: 1_024, order: 8, epoch: 9 }], null, DEFAULT_POOL_SETTINGS);
  await timers.advance(0);
  expect(disk.slots.size).toBe(0);
});

test("[SM10] an address that the edge does not know has no slot of this host: it is reset, and off the disk", async () => {
  const { timers, pool, address, disk, binder, lines } = await slotted();
  expect(binder.address(IP)!.isUsable()).toBe(true);
  address().refuse("token-expired");
  await timers.advance(0);
  expect([binder.address(IP)!.isUsable(), disk.slots.get(IP)]).toEqual([true, [SLOT]]);
  address().refuse("ip-unknown");
  await timers.advance(0);
  expect([binder.address(IP)!.isUsable(), disk.slots.size]).toEqual([false, 0]);
  expect(lines.some(({ msg }) => msg.includes("no such address any more"))).toBe(true);
  // And so it can be left, though nothing can be released.
  enlisted(pool, []);
  await timers.advance(10_000);
  expect(binder.address(IP)).toBeUndefined();
});

test("[SM10] so a host that was removed while it was away, and whose address left, begins no life with its slot", async () => {
  const disk = new DrivenDisk();
  disk.slots.set(IP, [SLOT]);
  const { timers, pool, address, binder } = start(disk);
  await timers.advance(0);
  enlisted(pool, []);
  await timers.advance(0);
  address().refuse("ip-unknown");
  await timers.advance(10_000);
  expect([disk.slots.size, binder.address(IP)]).toEqual([0, undefined]);
});

test("[SM9] [LK3] a slot whose connection ends while it is written down is used all the same", async () => {
  const disk = new DrivenDisk();
  const { timers, pool, address, binder } = start(disk);
  enlisted(pool);
  await timers.advance(0);
  answer(address(), []);
  answer(address(), [SLOT], SLOT);
  // The disk has it a moment later.
  expect(binder.address(IP)!.isUsable()).toBe(false);
  address().drop("cut");
  await timers.advance(0);
  expect(disk.slots.get(IP)).toEqual([SLOT]);
  expect(binder.address(IP)!.isUsable()).toBe(true);
});
