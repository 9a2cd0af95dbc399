/** A host in its pool, with a time and an edge that do as they are told. */
import { expect, onTestFinished, test } from "vitest";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import type { PoolMemberOptions } from "../../src/agent/leasing/pool-member-options.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
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
  const { log, lines } = recordingLog();
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
    log,
    ...options,
  });
  onTestFinished(() => member.stop());
  member.start();
  links[0]!.receive({ type: "enlisted", pool: "default", ips: [IP] });
  return { timers, binder, member, pool: links[0]!, links, lines };
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

interface Report {
  readonly type: string;
  readonly draining: boolean;
  readonly leaving?: readonly object[];
  readonly rooms: readonly {
    readonly ip: string;
    readonly portCount: number;
    readonly busiestCount: number;
    readonly busiestDestination?: object;
  }[];
}

function reportsOf(pool: DrivenLink): Report[] {
  return (pool.sent as Report[]).filter(({ type }) => type === "report");
}

/** A host that has leased a block on its one address. */
async function leasing(options: Partial<PoolMemberOptions> = {}) {
  const world = join(options);
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
  // A renewal may be on its way.
  answer(address, [FIRST, spare]);
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

test("[PM3] a host that is full says so within a moment, and that it has capacity again, but not with every request", async () => {
  const { timers, binder, pool } = await leasing();
  await timers.advance(5_000);
  const reports = () => pool.sent.filter((message) => (message as { type: string }).type === "report");
  const lastCapacity = () =>
    (reports().at(-1) as { rooms: { busiestCount: number }[] }).rooms[0]!.busiestCount;
  const taken = Array.from({ length: 256 }, () => binder.address(IP)!.take("tcp 198.51.100.1 443"));
  await timers.advance(250);
  expect(lastCapacity()).toBe(256);
  const before = reports().length;
  for (let round = 0; round < 10; round += 1) {
    const one = taken.shift()!;
    if (one.ok) one.value.release();
    // It is held down for a while.
    await timers.advance(1_800);
    expect(lastCapacity()).toBe(255);
    taken.push(binder.address(IP)!.take("tcp 198.51.100.1 443"));
    await timers.advance(300);
    expect(lastCapacity()).toBe(256);
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

test("[PM1] a host says who it is and where it can be reached, and is told of by its capacity at once", async () => {
  const reach = { ipv4: "203.0.113.1", ipv6: null };
  const { pool, lines } = join({ reach });
  expect(pool.path).toBe("/v1/pools/default/connect");
  expect(pool.confirmCount).toBe(1);
  expect(pool.sent).toEqual([
    { type: "enlist", version: 1, instance: "instance-1", gateway: "http://203.0.113.1:7001", reach },
    { type: "report", draining: false, rooms: [{ ip: IP, portCount: 0, busiestCount: 0 }] },
  ]);
  expect(lines).toMatchObject([{ ip: IP, msg: "serving an address of the pool" }]);
  // The same once more is nothing new.
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  expect(lines).toHaveLength(1);
});

test("[PM8] [ME5] a host says its site and weight where they are configured, and only there", () => {
  expect(join({ site: "fra1", weight: 2.5 }).pool.sent[0]).toMatchObject({ site: "fra1", weight: 2.5 });
  // What it would be without saying, an older pool must not hear of.
  const { pool } = join({ site: null, weight: 1 });
  expect(Object.keys(JSON.parse(JSON.stringify(pool.sent[0])) as object)).toEqual([
    "type",
    "version",
    "instance",
    "gateway",
  ]);
});

test("[PM1] a pool that refuses is left, with the reason, and not taken for good", () => {
  const { pool } = join();
  pool.receive({ type: "refused", code: "pool-unknown" });
  expect([pool.isOpen, pool.confirmCount]).toEqual([false, 1]);
  expect(pool.dropReasons).toEqual([expect.stringContaining("no such pool")]);
});

test("[PM3] first capacity is told within a tenth of a second of the last report, more of it after two seconds", async () => {
  const { timers, binder, pool, links } = join();
  await timers.advance(0);
  const told = () => reportsOf(pool).map(({ rooms }) => rooms.map(({ busiestCount }) => busiestCount));
  answer(links[1]!);
  expect(reportsOf(pool)).toHaveLength(1);
  await timers.advance(99);
  expect(reportsOf(pool)).toHaveLength(1);
  await timers.advance(1);
  expect(reportsOf(pool).slice(1)).toMatchObject([{ rooms: [{ portCount: 256 }] }]);
  Array.from({ length: 40 }, () => binder.address(IP)!.take("tcp 198.51.100.1 443"));
  await timers.advance(1_900);
  expect(told()).toEqual([[0], [0]]);
  await timers.advance(250);
  expect(told()).toEqual([[0], [0], [40]]);
  Array.from({ length: 10 }, () => binder.address(IP)!.take("tcp 198.51.100.1 443"));
  await timers.advance(60_000);
  expect(told()).toHaveLength(3);
});

test("[PM9] [ME6] a host tells its busiest destination with its capacity, to a pool that takes it", async () => {
  const { timers, binder, pool } = await leasing();
  const told = () => reportsOf(pool).map(({ rooms }) => rooms[0]!.busiestDestination);
  const take = (key: string, count: number) => {
    const takenOnes = Array.from({ length: count }, () => binder.address(IP)!.take(key));
    return takenOnes.map((taken) => (taken.ok ? taken.value : null));
  };
  const first = take("tcp 198.51.100.1 443", 40);
  await timers.advance(2_500);
  expect(told().at(-1)).toBeUndefined();
  pool.receive({ type: "enlisted", pool: "default", ips: [IP], takes: ["busiestDestination"] });
  expect(told().at(-1)).toEqual({ protocol: "tcp", ip: "198.51.100.1", port: 443 });
  // As many elsewhere, instead: told by itself, though not soon.
  for (const held of first) held?.release();
  take("tcp 2001:db8::1 80", 40);
  const before = told().length;
  await timers.advance(10_000);
  expect(told().slice(before)).toEqual([]);
  await timers.advance(21_000);
  expect(told().slice(before)).toEqual([{ protocol: "tcp", ip: "2001:db8::1", port: 80 }]);
});

test("[PM10] a host beats as its pool's silence permits, and an older pool, which tells none, as ever", () => {
  const { pool } = join();
  expect(pool.heartbeatMs).toBeNull();
  const tell = (hostSilenceMs: number): void => {
    const settings = { hostSilenceMs, steeringDeadlineMs: 2_000 };
    pool.receive({ type: "enlisted", pool: "default", ips: [IP], settings });
  };
  tell(50_000);
  expect(pool.heartbeatMs).toBe(20_000);
  tell(5_000);
  expect(pool.heartbeatMs).toBe(2_000);
});

test("[PM10] each time that its pool tells it what to serve a host answers with a report", async () => {
  const { pool, timers } = await leasing();
  await timers.advance(10_000);
  const count = reportsOf(pool).length;
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  expect(reportsOf(pool).length).toBe(count + 1);
});

test("[PM3] in a large pool, what can wait is told more rarely", async () => {
  const { pool, timers, binder, address } = await leasing();
  const settings = { hostSilenceMs: 200_000, steeringDeadlineMs: 2_000 };
  pool.receive({ type: "enlisted", pool: "default", ips: [IP], settings });
  const count = reportsOf(pool).length;
  for (let taken = 0; taken < 100; taken += 1) binder.address(IP)!.take("tcp 198.51.100.1 443");
  await timers.advance(7_900);
  expect(reportsOf(pool).length).toBe(count);
  await timers.advance(500);
  expect(reportsOf(pool).length).toBe(count + 1);
  expect(address.isOpen).toBe(true);
});

test.each([
  [600_000, 60_000],
  [86_400_000, 60_000],
  [60_000, 6_000],
  [3_000, 1_000],
])(
  "[EL1] with leases of %i ms the connection to an address beats each %i ms",
  async (leaseMs, heartbeatMs) => {
    const { timers, links } = join();
    await timers.advance(0);
    const address = links[1]!;
    expect(address.heartbeatMs).toBeNull();
    const { requestId } = address.sent.at(-1) as { requestId: string };
    const settings = { ...DEFAULT_POOL_SETTINGS, leaseDurationMs: leaseMs };
    const told = { type: "answer", requestId, leases: [FIRST], granted: null, settings };
    address.receive({ ...told, leaseDurationMs: leaseMs });
    expect(address.heartbeatMs).toBe(heartbeatMs);
  },
);

test("[PM3] without a connection it tells nothing, and with the next one everything", async () => {
  const { timers, binder, pool } = await leasing();
  await timers.advance(1_000);
  pool.drop();
  pool.sent.length = 0;
  Array.from({ length: 256 }, () => binder.address(IP)!.take("tcp 198.51.100.1 443"));
  pool.reopen();
  await timers.advance(1_000);
  expect(typesOf(pool.sent)).toEqual(["enlist"]);
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  expect(reportsOf(pool)).toMatchObject([{ rooms: [{ portCount: 256, busiestCount: 256 }] }]);
});

test("[PM1] [RE8] [AG9] what the pool gives up and takes back is told, drains, and is served on", async () => {
  const { timers, binder, pool, address, lines, links } = await leasing();
  const ports = binder.address(IP)!;
  const taken = ports.take("tcp 198.51.100.1 443");
  expect(taken.ok).toBe(true);
  pool.receive({ type: "enlisted", pool: "default", ips: [] });
  expect(lines.at(-2)).toMatchObject({ ip: IP, msg: "the pool has given up an address: draining it" });
  const remains = { ip: IP, flows: 1, msg: "draining: 1 connection remains, for 60 s at the most" };
  expect(lines.at(-1)).toMatchObject(remains);
  expect([ports.isUsable(), reportsOf(pool).at(-1)!.rooms]).toEqual([false, []]);
  await timers.advance(30_000);
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  expect(lines.at(-1)).toMatchObject({ ip: IP, msg: "the pool has taken an address back: serving it on" });
  expect([ports.isUsable(), reportsOf(pool).at(-1)!.rooms.length]).toEqual([true, 1]);
  expect(binder.address(IP)).toBe(ports);
  expect(links).toEqual([pool, address]);
});

test("[AS7] what is left of an address that others serve is told: what remains at once, less of it soon", async () => {
  const { timers, binder, pool, address } = await leasing();
  const take = () => {
    const taken = binder.address(IP)!.take("tcp 198.51.100.1 443");
    if (!taken.ok) throw new Error(taken.refusal);
    return taken.value;
  };
  const flows = [take(), take()];
  pool.receive({ type: "enlisted", pool: "default", ips: [], retiring: [] });
  const told = () => reportsOf(pool).map(({ leaving }) => leaving);
  const left = (flowCount: number) => [{ ip: IP, portCount: 256, flowCount }];
  expect(told().at(-1)).toEqual(left(2));
  const before = told().length;
  flows[0]!.release();
  await timers.advance(1_000);
  expect(told().slice(before)).toEqual([]);
  await timers.advance(1_500);
  expect(told().slice(before)).toEqual([left(1)]);
  // No flow of it has a deadline.
  await timers.advance(LEASE_MS / 4);
  expect(told().slice(before)).toEqual([left(1)]);
  flows[1]!.release();
  await timers.advance(5_000);
  answer(address, []);
  await timers.advance(5_000);
  expect(told().at(-1)).toEqual([]);
  expect(binder.address(IP)).toBeUndefined();
});

test("[AS7] an older pool, which names no retiring addresses, is told nothing of what is left", async () => {
  const { binder, pool } = await leasing();
  expect(binder.address(IP)!.take("tcp 198.51.100.1 443").ok).toBe(true);
  pool.receive({ type: "enlisted", pool: "default", ips: [] });
  expect(reportsOf(pool).at(-1)).toEqual({ type: "report", draining: false, rooms: [] });
});

test("[PM1] what has drained is forgotten, and leased anew when the pool has wanted it back too late", async () => {
  const { timers, binder, pool, address, links } = await leasing({ drainDeadlineMs: 1_000 });
  answer(address, [FIRST]);
  const ports = binder.address(IP)!;
  ports.take("tcp 198.51.100.1 443");
  pool.receive({ type: "enlisted", pool: "default", ips: [] });
  await timers.advance(1_000);
  // Its deadline has come, and what it held is on its way back.
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  expect(links).toHaveLength(2);
  await timers.advance(0);
  answer(address, []);
  await timers.advance(3_000);
  expect(address.isStarted).toBe(false);
  expect(binder.address(IP)).not.toBe(ports);
  expect(links.map(({ isStarted }) => isStarted)).toEqual([true, false, true]);
});

test("[PM4] a host that drains says so first, serves no address any more, and leaves when all is given back", async () => {
  const { timers, binder, member, pool, address, links } = await leasing();
  const taken = binder.address(IP)!.take("tcp 198.51.100.1 443");
  let isDrained = false;
  void member.drain(60_000).then(() => (isDrained = true));
  expect(reportsOf(pool).at(-1)).toMatchObject({ draining: true });
  pool.receive({ type: "enlisted", pool: "default", ips: [IP, "192.0.2.2"] });
  await timers.advance(30_000);
  expect(links).toHaveLength(2);
  expect([isDrained, pool.isStarted, address.isStarted]).toEqual([false, true, true]);
  if (taken.ok) taken.value.release();
  await timers.advance(5_000);
  answer(address, []);
  await timers.advance(5_000);
  expect([isDrained, pool.isStarted, address.isStarted]).toEqual([true, false, false]);
  // Its last word is that nothing is left.
  expect(reportsOf(pool).at(-1)).toMatchObject({ draining: true, rooms: [{ portCount: 0 }] });
});

test("[PM4] a host that drains waits for the addresses that it was giving up as well", async () => {
  const { timers, binder, member, pool, address } = await leasing();
  binder.address(IP)!.take("tcp 198.51.100.1 443");
  pool.receive({ type: "enlisted", pool: "default", ips: [] });
  let isDrained = false;
  void member.drain(60_000).then(() => (isDrained = true));
  await timers.advance(59_000);
  expect([isDrained, address.isStarted]).toEqual([false, true]);
  await timers.advance(10_000);
  expect([isDrained, address.isStarted]).toEqual([true, false]);
});

test("[PM7] a host that routers do not find warns for each family, once until that changes", () => {
  const { pool, lines } = join({ reach: { ipv4: null, ipv6: null } });
  const tell = (steered: boolean, ips: readonly string[]): number => {
    const before = lines.length;
    pool.receive({ type: "enlisted", pool: "default", ips, steered });
    return lines.slice(before).filter(({ msg }) => msg.includes("--reach")).length;
  };
  expect([tell(false, [IP]), tell(true, [IP]), tell(true, [IP])]).toEqual([0, 1, 0]);
  expect([tell(true, [IP, "2001:db8::1"]), tell(false, [IP]), tell(true, [IP])]).toEqual([2, 0, 1]);
  expect(lines.at(-1)).toMatchObject({ level: 40, code: "reach-unknown" });
});

test("[UP2] asked to try places, a host that does not watch its uplink has reached none", async () => {
  const { timers, pool } = join();
  const places = [{ ip: "198.51.100.7", port: 1 }];
  pool.receive({ type: "try", ip: IP, places });
  pool.receive({ type: "ejected", ips: [IP] });
  await timers.advance(0);
  expect(pool.sent.at(-1)).toEqual({ type: "tried", ip: IP, reached: [] });
});

test("[UP2] what was tried for a connection that has ended is not told on the next one", async () => {
  const { promise, resolve } = Promise.withResolvers<readonly never[]>();
  const uplink = { state: "good", destinationCount: 0, failedCount: 0, doubts: [] } as const;
  const uplinks = { of: () => uplink, tryOut: () => promise, ejected: () => {}, onChange: null };
  const { timers, pool } = join({ uplinks });
  pool.receive({ type: "try", ip: IP, places: [{ ip: "198.51.100.7", port: 1 }] });
  pool.drop();
  pool.reopen();
  resolve([]);
  await timers.advance(0);
  expect(typesOf(pool.sent)).not.toContain("tried");
});

test("[UP1] an address that becomes suspect is told as soon as the watch says so", async () => {
  let state: "good" | "suspect" = "good";
  const uplinks = {
    of: () => ({ state, destinationCount: 3, failedCount: 0, doubts: [] }) as const,
    tryOut: async () => [],
    ejected: () => {},
    onChange: null as (() => void) | null,
  };
  const { timers, pool } = join({ uplinks });
  pool.receive({ type: "enlisted", pool: "default", ips: [IP], steered: false });
  await timers.advance(1_010);
  const before = reportsOf(pool).length;
  state = "suspect";
  uplinks.onChange!();
  expect(reportsOf(pool).slice(before)).toMatchObject([{ rooms: [{ uplink: { state: "suspect" } }] }]);
});

test("[PM3] what cannot wait is told a tenth of a second after the last report, however long that is ago", async () => {
  const { timers, pool, links } = join();
  await timers.advance(60);
  answer(links[1]!);
  await timers.advance(39);
  expect(reportsOf(pool)).toHaveLength(1);
  await timers.advance(1);
  expect(reportsOf(pool)).toHaveLength(2);
});

test("[PM3] [PM4] one that drains before its pool has taken it tells no capacity yet", async () => {
  const { timers, member, pool } = await leasing();
  pool.drop();
  pool.reopen();
  pool.sent.length = 0;
  void member.drain(60_000);
  await timers.advance(1_000);
  expect(typesOf(pool.sent)).toEqual([]);
});

test("[PM6] a host whose pool is gone for another reason may still grow", async () => {
  const { timers, pool, links } = join();
  await timers.advance(0);
  pool.receive({ type: "refused", code: "pool-unknown" });
  answer(links[1]!);
  expect(typesOf(links[1]!.sent)).toEqual(["join", "acquire"]);
});

test("[UP2] one address in doubt is enough to be told again and again, beside others that are good", async () => {
  const doubted = { ip: "198.51.100.1", port: 443 };
  const uplinks = {
    of: (ip: string) => {
      const doubts = ip === IP ? [doubted] : [];
      return { state: ip === IP ? "suspect" : "good", destinationCount: 1, failedCount: 0, doubts } as const;
    },
    tryOut: async () => [],
    ejected: () => {},
    onChange: null,
  };
  const { timers, pool } = join({ uplinks });
  pool.receive({ type: "enlisted", pool: "default", ips: [IP, "192.0.2.2"], steered: false });
  await timers.advance(1_000);
  const before = reportsOf(pool).length;
  await timers.advance(20_000);
  expect(reportsOf(pool).length - before).toBe(5);
});
