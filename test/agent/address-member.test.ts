/** A host on one address, with a time, an edge and a kernel that do as they are told. */
import { expect, onTestFinished, test } from "vitest";
import type { PortControl, PortReport } from "../../src/agent/egress/port-messages.ts";
import { AddressMember, type MemberOptions } from "../../src/agent/leasing/address-member.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { DEFAULT_POOL_SETTINGS } from "../../src/core/pool-settings.ts";
import { type DrivenLink, DrivenTimers, drivenLinks } from "../link/driven-world.ts";
import { recordingLog } from "../link/loopback-edge.ts";

const IP = "192.0.2.1";
const LEASE_MS = 600_000;
const FIRST = { base: 4096, order: 8, epoch: 5 };
const SPARE = { base: 4352, order: 8, epoch: 6 };
/** Levels of the log. */
const [INFO, WARN, ERROR] = [30, 40, 50];

function begin(options: Partial<MemberOptions> = {}) {
  const timers = new DrivenTimers();
  const clock = () => ({ monotonicMs: timers.nowMs, wallMs: 1_790_000_000_000 + timers.nowMs });
  const binder = new PortBinder({ timers, clock, random: () => 0 });
  const { openLink, links } = drivenLinks();
  const { log, lines } = recordingLog();
  const noted: unknown[] = [];
  const ports = binder.addAddress(IP);
  let changeCount = 0;
  const member = new AddressMember(ports, {
    edge: new URL("http://edge.example"),
    pool: "default",
    instance: "instance-1",
    token: async () => "the-token",
    epochs: { highestEpoch: () => 4, noteEpoch: (ip, epoch) => void noted.push([ip, epoch]) },
    onChange: () => (changeCount += 1),
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
  return { timers, ports, member, links, lines, noted, changes: () => changeCount };
}

/** Answers the last request. */
function answer(
  link: DrivenLink,
  leases: readonly (typeof FIRST)[],
  granted: typeof FIRST | null = null,
): void {
  const settings = DEFAULT_POOL_SETTINGS;
  link.receive({
    type: "answer",
    requestId: lastOf(link).requestId,
    leases,
    leaseDurationMs: LEASE_MS,
    granted,
    settings,
  });
}

function refuse(link: DrivenLink, code: string): void {
  link.receive({ type: "refused", requestId: lastOf(link).requestId, code });
}

function lastOf(link: DrivenLink): { type: string; requestId: string } {
  return link.sent.at(-1) as { type: string; requestId: string };
}

/** A host that holds a block and its spare. */
async function leasing(options: Partial<MemberOptions> = {}) {
  const world = begin(options);
  await world.timers.advance(0);
  const link = world.links[0]!;
  answer(link, [FIRST, SPARE]);
  expect(world.ports.isUsable()).toBe(true);
  return { ...world, link };
}

/** Takes ports towards one destination. */
function take(
  { ports }: { ports: ReturnType<PortBinder["addAddress"]> },
  count: number,
): { release(): void }[] {
  return Array.from({ length: count }, () => {
    const taken = ports.take("tcp 198.51.100.1 443");
    if (!taken.ok) throw new Error(taken.refusal);
    return taken.value;
  });
}

test("[PM2] an address that is away is said once with what to do, looked for every ten seconds, then leased", async () => {
  let absence: string | null = "EADDRNOTAVAIL";
  let lookCount = 0;
  const whyAbsent = async (): Promise<string | null> => {
    lookCount += 1;
    return absence;
  };
  const { timers, links, lines } = begin({ whyAbsent });
  await timers.advance(29_999);
  expect([lookCount, links.length]).toEqual([3, 0]);
  expect(lines).toMatchObject([{ level: ERROR, ip: IP, code: "EADDRNOTAVAIL" }]);
  expect(lines[0]!.msg).toContain(`address ${IP} is not on this machine`);
  expect(lines[0]!.msg).toContain(`ip address add ${IP} dev lo`);
  absence = null;
  await timers.advance(1);
  expect(lines.slice(1)).toMatchObject([{ level: INFO, msg: `address ${IP} is on this machine now` }]);
  expect(links.map(({ path }) => path)).toEqual([`/v1/ips/${IP}/connect`]);
  await timers.advance(60_000);
  expect([lines.length, links.length]).toEqual([2, 1]);
});

test("[PM2] an address that goes away is given back at once, with its flows, and leased anew when it is back", async () => {
  let absence: string | null = null;
  const world = await leasing({ whyAbsent: async () => absence });
  const { timers, ports, link, links } = world;
  take(world, 1);
  absence = "EADDRNOTAVAIL";
  await timers.advance(10_000);
  expect(ports.isUsable()).toBe(false);
  expect(lastOf(link)).toMatchObject({ type: "release", epoch: FIRST.epoch });
  answer(link, [SPARE]);
  answer(link, []);
  await timers.advance(0);
  expect(link.isStarted).toBe(false);
  absence = null;
  await timers.advance(10_000);
  expect(links.map(({ isStarted }) => isStarted)).toEqual([false, true]);
});

test("[PM5] a kernel that cannot be told is named as the reason, and the address is not looked for", async () => {
  let isDeaf = true;
  let lookCount = 0;
  const { timers, links, lines } = begin({
    machine: {
      prepare: async () => {
        if (isDeaf) throw new Error("nft does not answer");
      },
      guarded: (_ip, ports) => ports,
    },
    whyAbsent: async () => {
      lookCount += 1;
      return null;
    },
  });
  await timers.advance(0);
  expect(lines).toMatchObject([
    {
      level: ERROR,
      msg: `the kernel cannot be told what may leave from ${IP}`,
      err: { message: "nft does not answer" },
    },
    { level: ERROR, code: "kernel-unavailable", msg: expect.stringContaining("kernel is not ready") },
  ]);
  expect([lookCount, links.length]).toEqual([0, 0]);
  isDeaf = false;
  await timers.advance(10_000);
  expect([lookCount, links.length]).toEqual([1, 1]);
});

test("[MA3] what the guard has to say late makes the keeper go on at once", async () => {
  const loud = new Set<number>();
  let told: PortReport | null = null;
  const guarded: PortControl = { command: () => {}, onReport: null };
  const tell = (report: PortReport): void => {
    told = report;
    guarded.onReport?.({ ...report, lingering: [...loud] });
  };
  const { member, link, timers } = await leasing({
    machine: {
      prepare: async () => {},
      guarded: (_ip, ports) => {
        guarded.command = (command) => ports.command(command);
        ports.onReport = tell;
        return guarded;
      },
    },
  });
  loud.add(FIRST.epoch);
  loud.add(SPARE.epoch);
  void member.drain(0);
  await timers.advance(100);
  const before = link.sent.length;
  loud.clear();
  tell(told!);
  expect(link.sent.slice(before)).toMatchObject([{ type: "release" }]);
});

test("[PM2] what the guard still reports to a member that has ended wakes nobody", async () => {
  let report: ((late: PortReport) => void) | null = null;
  const { member, timers } = await leasing({
    machine: {
      prepare: async () => {},
      guarded: (_ip, ports) => {
        const guarded: PortControl = { command: (command) => ports.command(command), onReport: null };
        report = (late) => guarded.onReport?.(late);
        ports.onReport = report;
        return guarded;
      },
    },
  });
  member.stop();
  const { pendingCount } = timers;
  report!({ number: 1_000_000, busiestCount: 0, flows: [], lingering: [] });
  expect(timers.pendingCount).toBe(pendingCount);
});

test("[LK4] epochs are kept under their address; one from before the edge's storage was set back is told and not used", async () => {
  const { noted, timers, links, lines, ports } = begin();
  await timers.advance(0);
  const link = links[0]!;
  answer(link, []);
  expect(lastOf(link).type).toBe("acquire");
  const old = { ...FIRST, epoch: 3 };
  answer(link, [old], old);
  expect(lines.at(-1)).toMatchObject({
    level: ERROR,
    epoch: 3,
    highestEpoch: 4,
    msg: expect.stringContaining("epoch from the past"),
  });
  expect([ports.isUsable(), noted]).toEqual([false, []]);
  answer(link, [SPARE]);
  expect(noted).toEqual([[IP, SPARE.epoch]]);
});

test("[LK4] a grant of what is held already is no word from the past", async () => {
  const { timers, links, lines, ports } = begin();
  await timers.advance(0);
  const link = links[0]!;
  answer(link, [FIRST]);
  expect(lastOf(link).type).toBe("acquire");
  answer(link, [FIRST], FIRST);
  expect(lines.map(({ msg }) => msg)).toEqual(["leases taken up"]);
  expect([ports.isUsable(), lastOf(link).type]).toEqual([true, "acquire"]);
});

test("[LK3] what is taken up, lost and given back is told by ports and epochs", async () => {
  const { link, lines, timers, changes } = await leasing();
  expect(lines).toMatchObject([
    { level: INFO, ip: IP, msg: "leases taken up", leases: ["4096-4351 epoch 5", "4352-4607 epoch 6"] },
  ]);
  const before = changes();
  expect(before).toBeGreaterThan(0);
  await timers.advance(LEASE_MS / 3);
  answer(link, [SPARE]);
  expect(lines.slice(1)).toMatchObject([
    { level: WARN, msg: expect.stringContaining("no longer lists"), leases: ["4096-4351 epoch 5"] },
  ]);
  expect(changes()).toBeGreaterThan(before);
});

test("[LK9] [AG9] a drain tells what remains and each block that it has given back, resolves at its end, and leaves the edge", async () => {
  const { member, link, lines, timers, ports } = await leasing();
  let isDrained: boolean | null = null;
  void member.drain(30_000).then((outcome) => (isDrained = outcome));
  answer(link, [SPARE]);
  expect(isDrained).toBe(null);
  answer(link, []);
  await timers.advance(0);
  expect(isDrained).toBe(true);
  expect(lines.slice(1).map(({ msg }) => msg)).toEqual([
    "draining: 0 connections remain",
    "lease given back",
    "lease given back",
    "drained",
  ]);
  expect(lines[2]).toMatchObject({ level: INFO, epoch: FIRST.epoch });
  expect([link.isStarted, timers.pendingCount, ports.onPressure]).toEqual([false, 0, null]);
});

test("[LK2] a term that ended without a renewal is told as an error", async () => {
  const { timers, link, lines } = await leasing();
  link.drop();
  await timers.advance(LEASE_MS);
  expect(lines.slice(1)).toMatchObject([
    { level: ERROR, msg: expect.stringContaining("all connections were reset, nothing leaves") },
  ]);
});

test("[LK5] what the edge refuses is told in words", async () => {
  const { timers, links, lines } = begin();
  await timers.advance(0);
  refuse(links[0]!, "host-already-present");
  expect(lines).toMatchObject([
    {
      level: WARN,
      request: "join",
      code: "host-already-present",
      msg: expect.stringContaining("Another agent"),
    },
  ]);
});

test("[EL2] a connection counts as good with the first answer, not with a refusal", async () => {
  const { timers, links } = begin();
  await timers.advance(0);
  const link = links[0]!;
  refuse(link, "host-already-present");
  expect(link.confirmCount).toBe(0);
  await timers.advance(1_000);
  answer(link, [FIRST, SPARE]);
  expect(link.confirmCount).toBe(1);
});

test("[LK6] a flow that takes many ports brings the spare into use, when its choice is through", async () => {
  const world = await leasing();
  const { timers, ports, link } = world;
  take(world, 180);
  // Not from the middle of a choice.
  expect(ports.capacity().portCount).toBe(256);
  await timers.advance(0);
  expect(ports.capacity().portCount).toBe(512);
  expect(lastOf(link)).toMatchObject({ type: "acquire", order: 9 });
  // And so with the next one.
  const next = { base: 8192, order: 9, epoch: 7 };
  answer(link, [FIRST, SPARE, next], next);
  take(world, 180);
  await timers.advance(0);
  expect(ports.capacity().portCount).toBe(1024);
});

test("[LK9] with the edge away a drain is over as soon as nothing flows", async () => {
  const world = await leasing();
  const [flow] = take(world, 1);
  world.link.drop();
  let isDrained: boolean | null = null;
  void world.member.drain(30_000).then((outcome) => (isDrained = outcome));
  await world.timers.advance(5_000);
  expect(isDrained).toBe(null);
  flow!.release();
  await world.timers.advance(3_000);
  expect(isDrained).toBe(true);
});

test("[RE8] a drain that is taken back resolves to false, and the address is looked for again, once at a time", async () => {
  let lookCount = 0;
  const looks: ((absence: null) => void)[] = [];
  const world = await leasing({
    whyAbsent: () => {
      lookCount += 1;
      return lookCount === 1 ? Promise.resolve(null) : new Promise((resolve) => looks.push(resolve));
    },
  });
  const { timers, member, ports, links } = world;
  take(world, 1);
  await timers.advance(10_000);
  expect(looks).toHaveLength(1);
  let isDrained: boolean | null = null;
  void member.drain(30_000).then((outcome) => (isDrained = outcome));
  expect(ports.isUsable()).toBe(false);
  expect(member.resume()).toBe(true);
  await timers.advance(0);
  expect([isDrained, ports.isUsable(), looks.length]).toEqual([false, true, 2]);
  // The look from before the drain answers late, and is passed over.
  for (const look of looks) look(null);
  await timers.advance(10_000);
  expect([looks.length, links.length]).toEqual([3, 1]);
});

test("[RE8] what never leased has drained at once, and cannot be taken back", async () => {
  const { timers, member, links } = begin({ whyAbsent: async () => "EADDRNOTAVAIL" });
  await timers.advance(0);
  expect(member.resume()).toBe(false);
  expect(await member.drain(30_000)).toBe(true);
  await timers.advance(60_000);
  expect([links.length, timers.pendingCount]).toEqual([0, 0]);
});

test("[PM1] a member that is drained while it looks for the first time does not begin to lease", async () => {
  const { timers, member, links } = begin();
  expect(await member.drain(30_000)).toBe(true);
  await timers.advance(60_000);
  expect([links.length, timers.pendingCount]).toEqual([0, 0]);
});

test("[PM1] a member that is stopped while it looks does not begin to lease", async () => {
  const { timers, member, links } = begin();
  member.stop();
  await timers.advance(60_000);
  expect([links.length, timers.pendingCount]).toEqual([0, 0]);
});

test("[PM1] a member that was stopped wants nothing more of time, nor of the edge", async () => {
  const { timers, member, link, ports } = await leasing();
  await timers.advance(5_000);
  member.stop();
  expect([link.isStarted, ports.onPressure]).toEqual([false, null]);
  ports.close();
  expect(timers.pendingCount).toBe(0);
});
