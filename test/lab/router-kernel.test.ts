/**
 * Steering by the real kernel, judged by what comes by at the hosts: one router, three hosts
 * that share an address of each family. Packets are put on the router's uplink by hand, each
 * kind from a source of its own, so that a capture tells where each kind went.
 */
import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { SteeringEntry, SteeringTable } from "../../src/core/steering.ts";
import { NftKernel } from "../../src/router/kernel.ts";
import { DEFAULT_ROUTER_CONFIG, type HostWay, type RouterConfig } from "../../src/router/router-config.ts";
import type { SteeringDelta } from "../../src/router/steering-program.ts";
import type { DropReason } from "../../src/router/steering-rules.ts";
import type { Capture } from "./capture.ts";
import { Lab } from "./lab.ts";
import { frame, icmp, packet, type Payload, PROTOCOL, type Route, tcp, TCP_FLAG, udp } from "./packets.ts";
import { hostOnLan, ORIGINS_IPV4, ORIGINS_IPV6, SHARED_IPV4, SHARED_IPV6, uplinkOf } from "./plan.ts";

const HOSTS = [1, 2, 3] as const;
/** One block of each size of elements. */
const FIRST_PORTS = { h1: 2048, h2: 4096, h3: 6144 } as const;
const ORDERS = { h1: 11, h2: 9, h3: 6 } as const;
const FREE_PORT = 6144 + 64;
/** Of the packets that say that all before them have come. */
const LAST_PORT = 9;

const REACHES = HOSTS.map((number) => ({ host: `h${number}`, ...hostOnLan(number) }));
const CONFIG: RouterConfig = { ...DEFAULT_ROUTER_CONFIG, ingressDevices: ["up0"], neighbourDevice: "lan0" };

let lab: Lab;
let kernel: NftKernel;
let macs: { carrier: string; router: string };

beforeAll(async () => {
  lab = await Lab.create({ hosts: 3, routers: 1 });
  macs = { carrier: await lab.macOf("carrier", "r1"), router: await lab.macOf("r1", "up0") };
  // What a router asks of its neighbours, and when, is not what is asked here.
  const neighbours = await Promise.all(
    HOSTS.map(async (number) => {
      const { ipv4, ipv6 } = hostOnLan(number);
      const at = `lladdr ${await lab.macOf(`h${number}`, "lan0")} dev lan0 nud permanent`;
      return [ipv4, ipv6].map((ip) => `neigh replace ${ip} ${at}`);
    }),
  );
  await lab.exec("r1", ["ip", "-batch", "-"], `${neighbours.flat().join("\n")}\n`);
});

beforeEach(async () => {
  kernel = newKernel();
  await kernel.repair(tableOf(blocks()));
});

afterEach(async () => {
  await kernel.remove();
  await kernel.close();
});

afterAll(() => lab?.destroy());

function newKernel(config: RouterConfig = CONFIG): NftKernel {
  const within = ["ip", "netns", "exec", lab.namespaceOf("r1")];
  return new NftKernel(config, { nft: [...within, "nft"], ip: [...within, "ip"] });
}

function blocks(): SteeringEntry[] {
  return [SHARED_IPV4, SHARED_IPV6].flatMap((ip) =>
    (["h1", "h2", "h3"] as const).map((host, at) => {
      return { ip, host, base: FIRST_PORTS[host], order: ORDERS[host], epoch: at + 1 };
    }),
  );
}

function tableOf(entries: readonly SteeringEntry[]): SteeringTable {
  return { sequence: 1, ips: [SHARED_IPV4, SHARED_IPV6], entries, reaches: REACHES };
}

/** The move of a block to another host. */
function moveOf(entry: SteeringEntry, host: string): SteeringDelta {
  const placed = (name: string) => ({
    entry: { ...entry, host: name },
    reach: REACHES.find((reach) => reach.host === name)!,
  });
  return { removed: [placed(entry.host)], added: [placed(host)], removedIps: [], addedIps: [] };
}

/** One kind of packet: what it is, and the host it belongs to or why it is dropped. */
interface Kind {
  readonly name: string;
  readonly goes: "h1" | "h2" | "h3" | DropReason;
  readonly make: (route: Route) => Buffer;
}

interface Family {
  readonly name: string;
  readonly shared: string;
  readonly stranger: string;
  readonly source: (at: number) => string;
  readonly kinds: readonly Kind[];
}

function carrying(payload: (route: Route) => Payload): Kind["make"] {
  return (route) => packet(route, payload(route));
}

function tcpTo(port: number): Kind["make"] {
  const segment = { sourcePort: 443, destinationPort: port, flags: TCP_FLAG.ack };
  return carrying((route) => tcp(route, segment));
}

function udpTo(port: number): Kind["make"] {
  return carrying((route) => udp(route, { sourcePort: 53, destinationPort: port }));
}

function icmpOf(type: number, rest: number, data?: Buffer): Kind["make"] {
  return carrying((route) =>
    icmp(route, data === undefined ? { type, code: 0, rest } : { type, code: 0, rest, data }),
  );
}

/** An error about a packet that a host has sent, with no more than eight octets of its transport header. */
function errorAbout(type: number, from: string, to: string, sent: (route: Route) => Payload): Kind["make"] {
  const route = { from, to };
  const { protocol, bytes } = sent(route);
  return icmpOf(type, 0, packet(route, { protocol, bytes: bytes.subarray(0, 8) }));
}

function tcpFrom(port: number): (route: Route) => Payload {
  return (route) => tcp(route, { sourcePort: port, destinationPort: 443, flags: TCP_FLAG.ack });
}

function udpFrom(port: number): (route: Route) => Payload {
  return (route) => udp(route, { sourcePort: port, destinationPort: 53 });
}

function withByte(make: Kind["make"], at: number, value: number): Kind["make"] {
  return (route) => {
    const bytes = make(route);
    bytes[at] = value;
    return bytes[0]! >> 4 === 4 ? withSum(bytes) : bytes;
  };
}

/** Puts the right checksum into an IPv4 header. */
function withSum(bytes: Buffer): Buffer {
  bytes.writeUInt16BE(0, 10);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
  return bytes;
}

/** What is the same in both families. */
function commonKinds(
  shared: string,
  origin: string,
  types: { unreachable: number; request: number; reply: number; hopLimitAt: number },
): Kind[] {
  const { unreachable, request, reply, hopLimitAt } = types;
  const about = (sent: (route: Route) => Payload): Kind["make"] =>
    errorAbout(unreachable, shared, origin, sent);
  return [
    { name: "first port, TCP", goes: "h1", make: tcpTo(2048) },
    { name: "last port, TCP", goes: "h1", make: tcpTo(4095) },
    { name: "first port, UDP", goes: "h2", make: udpTo(4096) },
    { name: "last port of two elements", goes: "h2", make: udpTo(4607) },
    { name: "port after the last", goes: "unleased", make: udpTo(4608) },
    { name: "small block", goes: "h3", make: udpTo(6144 + 63) },
    { name: "port below all", goes: "unleased", make: tcpTo(22) },
    { name: "highest port", goes: "unleased", make: tcpTo(65_535) },
    { name: "echo reply", goes: "h1", make: icmpOf(reply, 2050 << 16) },
    { name: "echo reply to nobody", goes: "unleased", make: icmpOf(reply, FREE_PORT << 16) },
    { name: "echo request", goes: "echo_request", make: icmpOf(request, 2050 << 16) },
    { name: "error about TCP", goes: "h2", make: about(tcpFrom(4100)) },
    { name: "error about UDP", goes: "h3", make: about(udpFrom(6150)) },
    { name: "error about a free port", goes: "unleased", make: about(tcpFrom(FREE_PORT)) },
    {
      name: "error about an echo",
      goes: "h2",
      make: about((route) => icmp(route, { type: request, code: 0, rest: 4100 << 16 })),
    },
    {
      name: "error about an echo reply",
      goes: "unreadable_quote",
      make: about((route) => icmp(route, { type: reply, code: 0, rest: 4100 << 16 })),
    },
    {
      name: "error about another's packet",
      goes: "unrelated_error",
      make: errorAbout(unreachable, origin, shared, tcpFrom(4100)),
    },
    {
      name: "error that ends in the quoted header",
      goes: "unrelated_error",
      make: icmpOf(unreachable, 0, Buffer.alloc(6, 0x45)),
    },
    {
      name: "error that ends before the port",
      goes: "unleased",
      make: icmpOf(unreachable, 0, packet({ from: shared, to: origin }, tcpOfLength(1))),
    },
    { name: "another protocol", goes: "other_protocol", make: carrying(() => rawOf(47, Buffer.alloc(16))) },
    { name: "last hop", goes: "hop_limit", make: withByte(udpTo(2048), hopLimitAt, 1) },
    { name: "last hop but one", goes: "h1", make: withByte(udpTo(2048), hopLimitAt, 2) },
  ];
}

function rawOf(protocol: number, bytes: Buffer): Payload {
  return { protocol, bytes };
}

function tcpOfLength(length: number): Payload {
  return rawOf(PROTOCOL.tcp, Buffer.alloc(length, 0x10));
}

/** An IPv6 extension header of eight octets in front of a UDP header. */
function behind(headerType: number, head: readonly number[], port: number): Kind["make"] {
  return carrying((route) => {
    const { bytes } = udp(route, { sourcePort: 53, destinationPort: port });
    return rawOf(headerType, Buffer.concat([Buffer.from([PROTOCOL.udp, ...head]), bytes]));
  });
}

const PADDING = [0, 1, 4, 0, 0, 0, 0] as const;
const FAMILIES: readonly Family[] = [
  {
    name: "IPv4",
    shared: SHARED_IPV4,
    stranger: ORIGINS_IPV4[0],
    source: (at) => `198.51.100.${30 + at}`,
    kinds: [
      ...commonKinds(SHARED_IPV4, ORIGINS_IPV4[0], { unreachable: 3, request: 8, reply: 0, hopLimitAt: 8 }),
      {
        name: "time exceeded",
        goes: "h1",
        make: errorAbout(11, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)),
      },
      {
        name: "quote with options",
        goes: "unreadable_quote",
        make: withByte(errorAbout(3, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)), 28, 0x46),
      },
      {
        name: "quote of a later fragment",
        goes: "unreadable_quote",
        make: withByte(errorAbout(3, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)), 35, 5),
      },
      {
        name: "redirect",
        goes: "other_icmp",
        make: errorAbout(5, SHARED_IPV4, ORIGINS_IPV4[0], tcpFrom(2048)),
      },
      {
        name: "first fragment",
        goes: "h1",
        make: (route) =>
          packet(route, udp(route, { sourcePort: 53, destinationPort: 2048 }), { offset: 0, hasMore: true }),
      },
      {
        name: "later fragment",
        goes: "fragment",
        make: (route) =>
          packet(route, rawOf(PROTOCOL.udp, Buffer.alloc(64, 8)), { offset: 64, hasMore: false }),
      },
      {
        name: "later fragment of ICMP",
        goes: "fragment",
        make: (route) =>
          packet(route, rawOf(PROTOCOL.icmp, Buffer.alloc(64)), { offset: 64, hasMore: false }),
      },
    ],
  },
  {
    name: "IPv6",
    shared: SHARED_IPV6,
    stranger: ORIGINS_IPV6[0],
    source: (at) => `2001:db8:ffff::1:${at}`,
    kinds: [
      ...commonKinds(SHARED_IPV6, ORIGINS_IPV6[0], {
        unreachable: 1,
        request: 128,
        reply: 129,
        hopLimitAt: 7,
      }),
      { name: "too big", goes: "h1", make: errorAbout(2, SHARED_IPV6, ORIGINS_IPV6[0], tcpFrom(2048)) },
      {
        name: "redirect",
        goes: "other_icmp",
        make: errorAbout(137, SHARED_IPV6, ORIGINS_IPV6[0], tcpFrom(2048)),
      },
      { name: "behind destination options", goes: "h2", make: behind(60, PADDING, 4096) },
      { name: "first fragment", goes: "h2", make: behind(44, [0, 0, 1, 0, 0, 0, 7], 4096) },
      { name: "later fragment", goes: "fragment", make: behind(44, [0, 1, 0, 0, 0, 0, 7], 4096) },
      {
        // The kernel takes the IPv6 header for the transport header of such a packet.
        name: "later fragment with a flow label like a port",
        goes: "fragment",
        make: withByte(behind(44, [0, 1, 0, 0, 0, 0, 7], 4096), 2, 0x10),
      },
      { name: "no next header", goes: "other_protocol", make: carrying(() => rawOf(59, Buffer.alloc(8))) },
    ],
  },
];

/** Puts packets on the uplink, as the carrier would. */
async function arrive(packets: readonly Buffer[]): Promise<void> {
  await lab.inject(
    "carrier",
    "r1",
    packets.map((bytes) => frame(macs.carrier, macs.router, bytes)),
  );
}

/** Packets that arrive while the test goes on. */
class Sending {
  isOver = false;
  readonly end: Promise<void>;

  constructor(packets: readonly Buffer[]) {
    this.end = arrive(packets).finally(() => {
      this.isOver = true;
    });
  }
}

/** A packet for each host that comes after all that were sent before. */
function lastOnes({ shared, source }: Family): Buffer[] {
  const route = { from: source(0), to: shared };
  return Object.values(FIRST_PORTS).map((port) =>
    packet(route, udp(route, { sourcePort: LAST_PORT, destinationPort: port + 1 })),
  );
}

async function captureAtHosts(family: Family): Promise<Capture[]> {
  return Promise.all(HOSTS.map((number) => lab.capture(`h${number}`, "lan0", `dst host ${family.shared}`)));
}

test.each(FAMILIES)(
  "[RT1] [RT3] [RT4] every kind of packet comes where it belongs, or is counted: $name",
  async (family) => {
    const { kinds, shared, source } = family;
    const captures = await captureAtHosts(family);
    const before = await kernel.counts();
    const packets = kinds.map(({ make }, at) => make({ from: source(at + 1), to: shared }));
    await arrive([...packets, ...lastOnes(family)]);
    for (const [at, capture] of captures.entries()) {
      const expected = kinds.filter(({ goes }) => goes === `h${at + 1}`).length;
      await capture.reaches(expected + 1);
    }
    const found: Record<string, string[]> = {};
    for (const [at, { name }] of kinds.entries()) {
      const counts = await Promise.all(
        captures.map((capture) => capture.count(`src host ${source(at + 1)}`)),
      );
      found[name] = counts.flatMap((count, host) => Array<string>(count).fill(`h${host + 1}`));
    }
    const wanted = kinds.map(({ name, goes }) => [name, /^h\d$/.test(goes) ? [goes] : []] as const);
    expect(found).toEqual(Object.fromEntries(wanted));

    const after = await kernel.counts();
    const drops = kinds.filter(({ goes }) => !/^h\d$/.test(goes)).map(({ goes }) => goes as DropReason);
    for (const reason of Object.keys(after.byReason) as DropReason[]) {
      const counted = after.byReason[reason] - before.byReason[reason];
      expect([reason, counted]).toEqual([reason, drops.filter((each) => each === reason).length]);
    }
    expect(after.byIp.get(shared)! - before.byIp.get(shared)!).toBe(drops.length);
  },
);

test("[RT1] a steered packet is the same but for its hop limit", async () => {
  const [family] = FAMILIES as [Family];
  const captures = await captureAtHosts(family);
  const original = tcpTo(2048)({ from: family.source(1), to: family.shared });
  await arrive([original, ...lastOnes(family)]);
  await captures[0]!.reaches(2);
  await captures[0]!.stop();
  const args = ["-Z", "root", "-nn", "-x", "-r", captures[0]!.file, "tcp"];
  const printed = execFileSync("tcpdump", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const hex = [...printed.matchAll(/0x[0-9a-f]+:\s+([0-9a-f ]+)/g)].map(([, words]) => words).join("");
  const arrived = Buffer.from(hex.replaceAll(" ", ""), "hex").subarray(0, original.length);
  expect(arrived[8]).toBe(original[8]! - 1);
  // The header's checksum follows the hop limit.
  for (const bytes of [original, arrived]) bytes.fill(0, 8, 9).fill(0, 10, 12);
  expect(arrived.equals(original)).toBe(true);
});

test("[RT3] a storm of errors is cut, without cost to the ports of others", async () => {
  const [family] = FAMILIES as [Family];
  await kernel.close();
  kernel = newKernel({ ...CONFIG, icmpErrorsPerSecond: 5 });
  await kernel.repair(tableOf(blocks()));
  const captures = await captureAtHosts(family);
  const about = (port: number, at: number): Buffer =>
    errorAbout(
      3,
      family.shared,
      family.stranger,
      tcpFrom(port),
    )({ from: family.source(at), to: family.shared });
  const storm = Array.from({ length: 2000 }, () => about(2048, 1));
  await arrive([...storm, about(4096, 2), ...lastOnes(family)]);
  await captures[1]!.reaches(2);
  await captures[0]!.reaches(2);
  const { byReason } = await kernel.counts();
  const passed = await captures[0]!.count("icmp");
  expect(passed).toBeLessThan(200);
  expect(passed + byReason.error_rate).toBe(storm.length);
  expect(await captures[1]!.count("icmp")).toBe(1);
});

test("[RT2] changes under traffic lose nothing, and turn nothing to a third", async () => {
  const [family] = FAMILIES as [Family];
  const [first, second] = blocks() as [SteeringEntry, SteeringEntry];
  const captures = await captureAtHosts(family);
  const route = { from: family.source(1), to: family.shared };
  const still = packet(route, udp(route, { sourcePort: 53, destinationPort: first.base }));
  const moving = packet(route, udp(route, { sourcePort: 53, destinationPort: second.base }));
  const packets = Array.from({ length: 40_000 }, (_, at) => (at % 2 === 0 ? still : moving));
  const sending = new Sending(packets);
  let moveCount = 0;
  for (let host = "h2"; !sending.isOver; moveCount += 1) {
    const next = host === "h2" ? "h3" : "h2";
    await kernel.apply(moveOf({ ...second, host }, next));
    host = next;
  }
  await sending.end;
  expect(moveCount).toBeGreaterThan(2);
  await Promise.all(captures.map((capture) => capture.stop()));
  const [still1, moved2, moved3] = await Promise.all(captures.map((capture) => capture.count("udp")));
  expect([still1, moved2! + moved3!]).toEqual([20_000, 20_000]);
  expect((await kernel.counts()).byReason.unleased).toBe(0);
});

test("[RT5] a router that starts again changes the difference only, and no packet is lost meanwhile", async () => {
  const [family] = FAMILIES as [Family];
  const { table } = CONFIG;
  const nft = (statement: string) => lab.exec("r1", ["nft", "-f", "-"], statement);
  await nft(`delete element netdev ${table} via_lan0_ip4_8 { 0xc0000201 . 4096 }
    add element netdev ${table} via_lan0_ip4_6 { 0xc0000201 . ${FREE_PORT} : 203.0.113.81 }
    add set netdev ${table} stranger { type ipv4_addr; }
    add element inet ${table} addresses_ip4 { 0xc0000209 }`);
  const captures = await captureAtHosts(family);
  const route = { from: family.source(1), to: family.shared };
  const steady = packet(route, udp(route, { sourcePort: 53, destinationPort: 2048 }));
  const sending = new Sending(Array<Buffer>(40_000).fill(steady));
  await kernel.close();
  kernel = newKernel();
  expect(await kernel.repair(tableOf(blocks()))).toEqual({ removedCount: 2, addedCount: 1, unreachable: [] });
  expect(await kernel.repair(tableOf(blocks()))).toMatchObject({ removedCount: 0, addedCount: 0 });
  while (!sending.isOver) await kernel.repair(tableOf(blocks()));
  await sending.end;
  expect(await captures[0]!.count("udp")).toBe(40_000);
  expect((await kernel.read()).foreign).toEqual([]);
});

test("[RT2] what nft refuses changes nothing, is said in its words, and is healed by a repair", async () => {
  const [entry] = blocks() as [SteeringEntry];
  const { table } = CONFIG;
  const element = "{ 0xc0000201 . 2048 }";
  await lab.exec("r1", ["nft", "delete", "element", "netdev", table, "via_lan0_ip4_11", element]);
  const before = await kernel.read();
  await expect(kernel.apply(moveOf(entry, "h2"))).rejects.toMatchObject({
    code: "transaction-refused",
    message: expect.stringContaining("No such file or directory") as string,
  });
  expect((await kernel.read()).contents).toEqual(before.contents);
  expect(await kernel.repair(tableOf(blocks()))).toMatchObject({ removedCount: 0, addedCount: 1 });
  await kernel.apply(moveOf(entry, "h2"));
});

test("[RT2] the first block of another size is asked for from the same instant on", async () => {
  const [family] = FAMILIES as [Family];
  await kernel.repair(tableOf([blocks()[0]!]));
  const captures = await captureAtHosts(family);
  const [, , small] = blocks() as [SteeringEntry, SteeringEntry, SteeringEntry];
  await kernel.apply({
    removed: [],
    added: [{ entry: small, reach: REACHES[2]! }],
    removedIps: [],
    addedIps: [],
  });
  await arrive([udpTo(small.base)({ from: family.source(1), to: family.shared })]);
  await captures[2]!.reaches(1);
  expect(await captures[2]!.count("udp")).toBe(1);
});

test("[RT7] nothing that passes makes a connection-tracking entry", async () => {
  const rules =
    "table inet watched { chain c { type filter hook prerouting priority 0; ct state new counter; }; }";
  await lab.exec("r1", ["nft", "-f", "-"], rules);
  const [hostMac, routerMac] = [await lab.macOf("h1", "lan0"), await lab.macOf("r1", "lan0")];
  for (const family of FAMILIES) {
    const captures = await captureAtHosts(family);
    const outgoing = await lab.capture("r1", "up0", `src host ${family.shared}`);
    const out = { from: family.shared, to: family.stranger };
    await lab.inject("h1", "lan0", [frame(hostMac, routerMac, packet(out, udpFrom(2048)(out)))]);
    await arrive([udpTo(2048)({ from: family.stranger, to: family.shared }), ...lastOnes(family)]);
    await captures[0]!.reaches(2);
    await outgoing.reaches(1);
  }
  const tracked = await lab.trackedConnections("r1");
  const shared = tracked.filter((line) => line.includes(SHARED_IPV4) || line.includes("2001:db8:1::1"));
  expect(shared).toEqual([]);
  await lab.exec("r1", ["nft", "delete", "table", "inet", "watched"]);
});

test("[RT8] a packet too big on the way to a routed host is answered, not lost", async () => {
  const [family] = FAMILIES as [Family];
  await kernel.remove();
  await kernel.close();
  const way: HostWay = { kind: "routed", device: "lan0", nextHops: [hostOnLan(2).ipv4, hostOnLan(2).ipv6] };
  kernel = newKernel({ ...CONFIG, hosts: new Map([["h2", way]]) });
  await kernel.repair(tableOf(blocks()));
  await lab.setMtu("r1", "lan0", 1400);
  try {
    const captures = await captureAtHosts(family);
    const answers = await lab.capture("carrier", "r1", "icmp[0] = 3 and icmp[1] = 4");
    const route = { from: family.stranger, to: family.shared };
    const sized = (size: number): Buffer => {
      const datagram = { sourcePort: 53, destinationPort: 4096, data: Buffer.alloc(size) };
      // Don't Fragment.
      return withByte(() => packet(route, udp(route, datagram)), 6, 0x40)(route);
    };
    await arrive([sized(1430), sized(1000)]);
    await answers.reaches(1);
    await captures[1]!.reaches(1);
    expect(await captures[1]!.count("udp")).toBe(1);
  } finally {
    await lab.setMtu("r1", "lan0", 1500);
  }
});

test("[RT9] a router that is a host keeps its own ports and forwards the others of its own address", async () => {
  await kernel.close();
  kernel = newKernel({ ...CONFIG, hosts: new Map([["h1", { kind: "self" } satisfies HostWay]]) });
  await kernel.repair(tableOf(blocks()));
  const ours = [`${SHARED_IPV4}/32`, `${SHARED_IPV6}/128`];
  for (const ip of ours) await lab.exec("r1", ["ip", "addr", "add", ip, "dev", "lo"]);
  const watch = `table inet watched {
    chain c {
      type filter hook input priority 0;
      udp dport 2048 counter
    }
  }`;
  await lab.exec("r1", ["nft", "-f", "-"], watch);
  try {
    for (const family of FAMILIES) {
      const captures = await captureAtHosts(family);
      const route = { from: family.source(1), to: family.shared };
      await arrive([udpTo(2048)(route), udpTo(4096)(route), udpTo(6144)(route)]);
      await captures[1]!.reaches(1);
      await captures[2]!.reaches(1);
      expect(await captures[0]!.count()).toBe(0);
    }
    const { stdout } = await lab.exec("r1", ["nft", "list", "table", "inet", "watched"]);
    expect(stdout).toContain("packets 2 ");
  } finally {
    await lab.exec("r1", ["nft", "delete", "table", "inet", "watched"]);
    for (const ip of ours) await lab.exec("r1", ["ip", "addr", "del", ip, "dev", "lo"]);
  }
});

test("[RT4] packets for other addresses, and for the router itself, are none of its business", async () => {
  const own = uplinkOf(1).router.ipv4;
  const answers = await lab.capture("carrier", "r1", `src host ${own} and icmp[0] = 3`);
  await arrive([udpTo(2048)({ from: ORIGINS_IPV4[0], to: own })]);
  await answers.reaches(1);
  const { byReason } = await kernel.counts();
  expect(Object.values(byReason).every((count) => count === 0)).toBe(true);
});

test("removal leaves nothing of it in the kernel", async () => {
  await kernel.remove();
  const { stdout } = await lab.exec("r1", ["nft", "list", "ruleset"]);
  expect(stdout.trim()).toBe("");
});

test.each(["flush ruleset", "delete table inet ipshard", "flush chain netdev ipshard ingress_up0"])(
  "[RT10] it is seen that the rules have gone by: %s",
  async (statement) => {
    const rules = async (): Promise<string> => (await lab.exec("r1", ["nft", "list", "ruleset"])).stdout;
    const before = await rules();
    expect(await kernel.isInForce()).toBe(true);
    expect(await rules()).toBe(before);
    await lab.exec("r1", ["nft", statement]);
    expect(await kernel.isInForce()).toBe(false);
    await kernel.repair(tableOf(blocks()));
    expect(await kernel.isInForce()).toBe(true);
  },
);
