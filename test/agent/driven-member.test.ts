/** A host in its pool, with a time and an edge that do as they are told. */
import { expect, onTestFinished, test } from "vitest";
import { PoolMember, type PoolMemberOptions } from "../../src/agent/leasing/pool-member.ts";
import { PortBinder } from "../../src/agent/ports/port-binder.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { type DrivenLink, DrivenTimers, drivenLinks } from "../link/driven-world.ts";
import { recordingLog } from "../link/loopback-edge.ts";

const IP = "192.0.2.1";
const LEASE_MS = 600_000;

function join(options: Partial<PoolMemberOptions> = {}) {
  const timers = new DrivenTimers();
  const clock = () => ({ monotonicMs: timers.nowMs, wallMs: 1_790_000_000_000 + timers.nowMs });
  const binder = new PortBinder({ timers, clock, random: () => 0 });
  const { openLink, links } = drivenLinks();
  const member = new PoolMember({
    edge: new URL("http://edge.example"),
    pool: "default",
    gateway: "http://203.0.113.1:7001",
    instance: "instance-1",
    token: async () => "the-token",
    binder,
    epochs: { highestEpoch: () => 0, noteEpoch: () => {} },
    drainDeadlineMs: 60_000,
    whyAbsent: async () => null,
    openLink,
    timers,
    clock,
    random: () => 0.5,
    log: recordingLog().log,
    ...options,
  });
  onTestFinished(() => member.stop());
  member.start();
  links[0]!.receive({ type: "enlisted", pool: "default", ips: [IP] });
  return { timers, binder, member, pool: links[0]!, links };
}

const FIRST = { base: 4096, order: 8, epoch: 1 };

/** Answers the last request with these leases, for the whole lease time. */
function answer(link: DrivenLink, leases = [FIRST], granted: typeof FIRST | null = null): void {
  const { requestId } = link.sent.at(-1) as { requestId: string };
  const settings = DEFAULT_POOL_SETTINGS;
  link.receive({ type: "answer", requestId, leases, leaseDurationMs: LEASE_MS, granted, settings });
}

function typesOf(messages: readonly object[]): string[] {
  return messages.map((message) => (message as { type: string }).type);
}

/** A host that has leased a block on its one address. */
async function leasing() {
  const world = join();
  await world.timers.advance(0);
  const address = world.links[1]!;
  expect(address.path).toBe(`/v1/ips/${IP}/connect`);
  answer(address);
  expect(world.binder.address(IP)!.isUsable()).toBe(true);
  return { ...world, address };
}

test("[LK2] [BI4] by driven time alone the term ends, and with it every flow", async () => {
  const { timers, binder, pool } = await leasing();
  const taken = binder.address(IP)!.take("tcp 198.51.100.1 443");
  if (!taken.ok) throw new Error(taken.refusal);
  let isReset = false;
  taken.value.onReset = () => (isReset = true);
  await timers.advance(LEASE_MS * 0.98 - 1);
  expect([isReset, binder.address(IP)!.isUsable()]).toEqual([false, true]);
  await timers.advance(1);
  expect([isReset, binder.address(IP)!.isUsable()]).toEqual([true, false]);
  await timers.advance(500);
  expect(pool.sent.at(-1)).toMatchObject({ type: "report", rooms: [{ ip: IP, portCount: 0 }] });
});

test("[PM6] while the pool has another host of its name it keeps what it has and asks for no more", async () => {
  const { timers, pool, links, binder } = join();
  await timers.advance(0);
  const address = links[1]!;
  const asked = (type: string): number => typesOf(address.sent).filter((sent) => sent === type).length;
  pool.receive({ type: "refused", code: "host-already-present" });
  answer(address);
  await timers.advance(LEASE_MS / 2);
  expect(binder.address(IP)!.isUsable()).toBe(true);
  expect(asked("renew")).toBeGreaterThan(0);
  expect(asked("acquire")).toBe(0);
  pool.reopen();
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  answer(address);
  expect(asked("acquire")).toBe(1);
});

test("[PM6] refused after it has leased it keeps and renews that, and grows when it is taken again", async () => {
  const { timers, pool, binder, address } = await leasing();
  // What was asked for before is still granted, and kept.
  const spare = { base: 4352, order: 8, epoch: 2 };
  expect(typesOf(address.sent)).toEqual(["join", "acquire"]);
  pool.receive({ type: "refused", code: "host-already-present" });
  answer(address, [FIRST, spare], spare);
  // Most of the one block, so that the other is no spare any more, and it would ask for another.
  const take = () => binder.address(IP)!.take("tcp 198.51.100.1 443").ok;
  expect(Array.from({ length: 240 }, take)).toEqual(Array(240).fill(true));
  const sentBefore = address.sent.length;
  for (let time = 0; time < 12; time += 1) {
    await timers.advance(LEASE_MS / 3);
    answer(address, [FIRST, spare]);
  }
  const sent = typesOf(address.sent.slice(sentBefore));
  expect(sent).toEqual(Array(sent.length).fill("renew"));
  expect(sent.length).toBeGreaterThan(5);
  expect(Array.from({ length: 240 }, take)).toEqual(Array(240).fill(true));
  pool.reopen();
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  await timers.advance(LEASE_MS / 3);
  expect(typesOf(address.sent.slice(sentBefore + sent.length))).toContain("acquire");
});

test("[PM1] a member that was stopped wants nothing more of time, nor of the edge", async () => {
  const { timers, binder, member, links } = await leasing();
  member.stop();
  expect(links.filter(({ isStarted }) => isStarted)).toEqual([]);
  binder.removeAddress(IP);
  expect(timers.pendingCount).toBe(0);
});

test("[PM1] stopping also stops the giving up of an address that the pool took away", async () => {
  const { timers, binder, member, pool, links } = await leasing();
  const taken = binder.address(IP)!.take("tcp 198.51.100.1 443");
  expect(taken.ok).toBe(true);
  pool.receive({ type: "enlisted", pool: "default", ips: [] });
  await timers.advance(1_000);
  member.stop();
  expect(links.filter(({ isStarted }) => isStarted)).toEqual([]);
  binder.removeAddress(IP);
  expect(timers.pendingCount).toBe(0);
});

test("[PM3] a host that is full says so within a moment, and that it has room again, but not with every request", async () => {
  const { timers, binder, pool } = await leasing();
  await timers.advance(5_000);
  const reports = () => pool.sent.filter((message) => (message as { type: string }).type === "report");
  const lastRoom = () => (reports().at(-1) as { rooms: { busiestCount: number }[] }).rooms[0]!.busiestCount;
  const taken = Array.from({ length: 256 }, () => binder.address(IP)!.take("tcp 198.51.100.1 443"));
  await timers.advance(250);
  expect(lastRoom()).toBe(256);
  const before = reports().length;
  for (let round = 0; round < 10; round += 1) {
    const one = taken.shift()!;
    if (one.ok) one.value.release();
    // It is held down for a while.
    await timers.advance(1_800);
    expect(lastRoom()).toBe(255);
    taken.push(binder.address(IP)!.take("tcp 198.51.100.1 443"));
    await timers.advance(300);
    expect(lastRoom()).toBe(256);
  }
  expect(reports().length - before).toBe(20);
});

test("[UP2] [UP5] a suspect address is told again and again, but only to a pool that takes it", async () => {
  const uplink = {
    state: "suspect",
    destinationCount: 1,
    failedCount: 1,
    doubts: [{ ip: "198.51.100.1", port: 443 }],
  } as const;
  const tried: unknown[] = [];
  const uplinks = {
    of: () => uplink,
    tryOut: async (ip: string, places: readonly { readonly ip: string; readonly port: number }[]) => {
      tried.push([ip, places]);
      return places.slice(0, 1);
    },
    ejected: (ips: readonly string[]) => void tried.push(ips),
    onChange: null,
  };
  const { timers, pool } = join({ uplinks });
  await timers.advance(0);
  const reports = () => pool.sent.filter((message) => (message as { type: string }).type === "report");
  expect(JSON.stringify(reports())).not.toContain("uplink");
  pool.receive({ type: "enlisted", pool: "default", ips: [IP], steered: false });
  expect(reports().at(-1)).toMatchObject({ rooms: [{ uplink }] });
  const before = reports().length;
  await timers.advance(20_000);
  expect(reports().length - before).toBe(5);
  const places = [
    { ip: "198.51.100.7", port: 1 },
    { ip: "198.51.100.8", port: 2 },
  ];
  pool.receive({ type: "try", ip: IP, places });
  await timers.advance(0);
  expect(pool.sent.at(-1)).toEqual({ type: "tried", ip: IP, reached: places.slice(0, 1) });
  pool.receive({ type: "ejected", ips: [IP] });
  expect(tried).toEqual([[IP, places], [IP]]);
});
