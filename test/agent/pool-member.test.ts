/** A host in its pool, through real WebSockets to an edge on loopback. */
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import type { PoolMemberOptions } from "../../src/agent/leasing/pool-member-options.ts";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { LoopbackEdge, recordingLog, until } from "../link/loopback-edge.ts";

const IP = "127.0.0.10";
const OTHER_IP = "127.0.0.11";

let edge: LoopbackEdge;

beforeEach(async () => {
  edge = await LoopbackEdge.start();
  edge.ips = [IP];
});

afterEach(async () => {
  await edge.stop();
});

function join(options: Partial<PoolMemberOptions> = {}) {
  const binder = new PortBinder();
  const { log, lines } = recordingLog();
  const epochs = new Map<string, number>();
  const member = new PoolMember({
    edge: edge.url,
    pool: "default",
    gateway: "http://127.0.0.1:7001",
    instance: "instance-1",
    token: async () => "the-token",
    binder,
    epochs: {
      highestEpoch: (ip) => epochs.get(ip) ?? 0,
      noteEpoch: (ip, epoch) => epochs.set(ip, epoch),
    },
    drainDeadlineMs: 5_000,
    reportIntervalMs: 50,
    linkTiming: { firstRetryMs: 5, longestRetryMs: 40, heartbeatMs: 50 },
    log,
    ...options,
  });
  onTestFinished(() => {
    member.stop();
    for (const { ip } of binder.addresses()) binder.removeAddress(ip);
  });
  member.start();
  return { member, binder, lines, epochs };
}

function toldPortCount(ip = IP): number | undefined {
  return edge.lastReport()?.rooms.find((room) => room.ip === ip)?.portCount;
}

test("[PM1] a host enlists, leases on every address of the pool, and tells its capacity", async () => {
  edge.ips = [IP, OTHER_IP];
  const { binder, epochs } = join();
  await until("both are told", () => toldPortCount() === 256 && toldPortCount(OTHER_IP) === 256);
  expect(edge.poolRequests[0]).toEqual({
    type: "enlist",
    version: 1,
    instance: "instance-1",
    gateway: "http://127.0.0.1:7001",
  });
  expect(binder.address(IP)!.isUsable()).toBe(true);
  await until("the spares are there", () => edge.leasedEpochs(IP).length === 2 && epochs.get(IP) === 2);
});

test("[PM1] an address added later is served, one taken away is drained and given back", async () => {
  const { binder } = join();
  await until("the first is served", () => toldPortCount() === 256 && edge.leasedEpochs(IP).length === 2);
  edge.tellIps([OTHER_IP]);
  await until("the other is served", () => toldPortCount(OTHER_IP) === 256);
  await until("the first is given back", () => edge.leasedEpochs(IP).length === 0);
  await until("the first is gone", () => binder.address(IP) === undefined);
  edge.tellIps([IP, OTHER_IP]);
  await until("the first is served again", () => toldPortCount() === 256);
  expect(toldPortCount(OTHER_IP)).toBe(256);
});

test("[RE8] an address taken away and back while it drains is served on: nothing is cut, over and over", async () => {
  const { binder } = join();
  await until("it is served", () => toldPortCount() === 256);
  const ports = binder.address(IP)!;
  const taken = ports.take("tcp 127.0.0.1 80");
  if (!taken.ok) throw new Error(taken.refusal);
  let isReset = false;
  taken.value.onReset = () => (isReset = true);
  for (let round = 0; round < 5; round += 1) {
    edge.tellIps([]);
    await until("it drains", () => [...ports.leases()].some(({ isDraining }) => isDraining));
    edge.tellIps([IP]);
    await until("it is usable", () => ports.isUsable());
    expect([...ports.leases()].some(({ isDraining }) => isDraining)).toBe(false);
  }
  expect(binder.address(IP)).toBe(ports);
  expect(isReset).toBe(false);
  await until("it is told", () => toldPortCount() === 256);
  await until("the spare is back", () => edge.leasedEpochs(IP).length === 2);
  expect(edge.leasedEpochs(IP)).toContain([...ports.leases()][0]!.lease.epoch);
});

test("[RE8] an address that has drained when it is wanted back is leased anew", async () => {
  const { binder } = join({ drainDeadlineMs: 50 });
  await until("it is served", () => toldPortCount() === 256);
  const flow = binder.address(IP)!.take("tcp 127.0.0.1 80");
  expect(flow.ok).toBe(true);
  edge.tellIps([]);
  await until("its flow was cut at the deadline", () => flow.ok && flow.value.isLost);
  edge.tellIps([IP]);
  await until("it is served again", () => toldPortCount() === 256 && binder.address(IP)!.isUsable());
});

test("[PM7] a host that routers cannot find says so at start, once, for each family of the pool", async () => {
  edge.steered = true;
  const { lines } = join({ reach: { ipv4: null, ipv6: "2001:db8::7" } });
  const warnings = () => lines.filter(({ msg }) => msg.includes("--reach")).map(({ msg }) => msg);
  await until("it warns", () => warnings().length === 1);
  expect(warnings()[0]).toContain("IPv4");
  edge.dropAll();
  await until("it is back", () => edge.poolRequests.filter(({ type }) => type === "enlist").length > 1);
  edge.tellIps([IP, "2001:db8::1"]);
  await until("it serves both", () => edge.lastReport()?.rooms.length === 2);
  expect(warnings()).toHaveLength(1);
});

test("[PM7] in a pool without routers it has nothing to say", async () => {
  edge.steered = false;
  const { lines } = join();
  await until("it serves", () => toldPortCount() === 256);
  expect(lines.filter(({ msg }) => msg.includes("--reach"))).toEqual([]);
});

test("[PM2] an address that is not on this machine is not leased, said once, and looked for again", async () => {
  let isThere = false;
  const asked: string[] = [];
  const { lines } = join({
    presenceIntervalMs: 10,
    whyAbsent: async (ip) => {
      asked.push(ip);
      return isThere ? null : "EADDRNOTAVAIL";
    },
  });
  await until("it was looked for often", () => asked.length > 5);
  expect(edge.open(`/v1/ips/${IP}`)).toEqual([]);
  expect(lines.filter(({ msg }) => msg.includes(`${IP} is not on this machine`)).length).toBe(1);
  expect(toldPortCount()).toBe(0);
  isThere = true;
  await until("it is leased", () => toldPortCount() === 256);
  isThere = false;
  await until("it is given back", () => edge.leasedEpochs(IP).length === 0 && toldPortCount() === 0);
  isThere = true;
  await until("it is leased again", () => toldPortCount() === 256);
});

test("[PM5] a kernel that cannot be told once leasing has begun costs no flow; before, it keeps from leasing", async () => {
  let isDeaf = true;
  let askedCount = 0;
  const machine: NonNullable<PoolMemberOptions["machine"]> = {
    prepare: async () => {
      askedCount += 1;
      if (isDeaf) throw new Error("the kernel does not listen");
    },
    guarded: (_ip, ports) => ports,
  };
  const { binder } = join({ presenceIntervalMs: 10, machine });
  await until("it was tried often", () => askedCount > 5);
  expect(edge.leasedEpochs(IP)).toEqual([]);
  isDeaf = false;
  await until("it is leased", () => toldPortCount() === 256);
  const before = edge.leasedEpochs(IP);
  const taken = binder.address(IP)!.take("tcp 198.51.100.20 443");
  if (!taken.ok) throw new Error(taken.refusal);
  let isReset = false;
  taken.value.onReset = () => (isReset = true);
  isDeaf = true;
  askedCount = 0;
  await until("it was tried often", () => askedCount > 5);
  expect(isReset).toBe(false);
  expect(edge.leasedEpochs(IP)).toEqual(before);
});

test("[PM3] a pool connection that comes back tells everything again", async () => {
  join();
  await until("it is told", () => toldPortCount() === 256);
  edge.poolRequests.length = 0;
  edge.dropAll();
  await until("it is told again", () => toldPortCount() === 256);
  expect(edge.poolRequests.map(({ type }) => type).slice(0, 2)).toEqual(["enlist", "report"]);
});

test("[LK3] an edge that was away finds the same leases in use, and no connection was cut", async () => {
  const { binder } = join();
  await until("leases are there", () => edge.leasedEpochs(IP).length === 2);
  const epochs = edge.leasedEpochs(IP);
  const flow = binder.address(IP)!.take("tcp 127.0.0.1 80");
  expect(flow.ok).toBe(true);
  let isReset = false;
  if (flow.ok) flow.value.onReset = () => (isReset = true);
  await edge.stop();
  expect(binder.address(IP)!.isUsable()).toBe(true);
  await edge.restart();
  await until("the address is connected", () => edge.open(`/v1/ips/${IP}`).length === 1);
  await until("it has joined", () => edge.tables.get(IP)!.lastSession === 2);
  expect(edge.leasedEpochs(IP)).toEqual(epochs);
  expect(isReset).toBe(false);
});

test("[PM4] on drain it says so first, gives everything back, and closes its connections", async () => {
  const { member, binder } = join();
  await until("leases are there", () => edge.leasedEpochs(IP).length === 2 && toldPortCount() === 256);
  const flow = binder.address(IP)!.take("tcp 127.0.0.1 80");
  let isDrained = false;
  const drained = member.drain(5_000).then(() => (isDrained = true));
  await until("the pool knows", () => edge.lastReport()?.draining === true);
  await until("the spare is given back", () => edge.leasedEpochs(IP).length === 1);
  expect(isDrained).toBe(false);
  if (flow.ok) flow.value.release();
  await drained;
  expect(edge.leasedEpochs(IP)).toEqual([]);
  await until("the edge sees nobody", () => edge.open().length === 0);
});

test("[PM4] with the edge away a drain ends when the flows have", async () => {
  const { member, binder } = join();
  await until("leases are there", () => toldPortCount() === 256);
  await edge.stop();
  await until("the links noticed", () => edge.open().length === 0);
  await member.drain(5_000);
  expect([...binder.address(IP)!.leases()]).toEqual([]);
  await edge.restart();
});

test("[PM1] a refusal by the pool is logged in words and tried again", async () => {
  edge.poolRefusal = "host-already-present";
  const { lines } = join();
  await until("it was tried again", () => edge.upgradeCount > 2);
  expect(lines.some(({ msg }) => msg.includes("Another agent with this host's name"))).toBe(true);
  edge.poolRefusal = null;
  await until("it is taken", () => toldPortCount() === 256);
});
