/** Steering by the real kernel, judged by what comes by at the hosts. */
import { execFileSync } from "node:child_process";
import ipaddr from "ipaddr.js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { HostWay } from "../../src/router/steering/router-config.ts";
import type { DropReason } from "../../src/router/steering/drop-reasons.ts";
import {
  errorAbout,
  FAMILIES,
  type Family,
  tcpFrom,
  tcpTo,
  udpFrom,
  udpTo,
  withByte,
} from "./packet-kinds.ts";
import { frame, icmp, packet, udp } from "./packets.ts";
import {
  hostOnLan,
  ORIGINS_IPV4,
  SHARED_IPV4,
  SHARED_IPV6,
  SHARED_NET_IPV4,
  SHARED_NET_IPV6,
  uplinkOf,
} from "./plan.ts";
import { BACK_ENDS, CONFIG, lastOnes, RouterRig } from "./router-rig.ts";

const TOO_BIG = "(icmp[0] == 3 and icmp[1] == 4) or (icmp6 and ip6[40] == 2)";
const SELF: HostWay = { kind: "self" };
const TO_H2: HostWay = {
  kind: "routed",
  device: "lan0",
  nextHops: [hostOnLan(2).ipv4, hostOnLan(2).ipv6],
};

describe.each(BACK_ENDS)("by %s", (backEnd) => {
  let rig: RouterRig;

  beforeAll(async () => {
    rig = await RouterRig.create(backEnd);
  });

  beforeEach(() => rig.begin());

  afterEach(() => rig.clear());

  afterAll(() => rig?.lab.destroy());

  test.each(FAMILIES)(
    "[RT1] [RT3] [RT4] every kind of packet comes where it belongs, or is counted: $name",
    async (family) => {
      const { kinds, shared, source } = family;
      const captures = await rig.captureAtHosts(family);
      const before = await rig.kernel.counts();
      const packets = kinds.map(({ make }, at) => make({ from: source(at + 1), to: shared }));
      await rig.arrive([...packets, ...lastOnes(family)]);
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

      const after = await rig.kernel.counts();
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
    const captures = await rig.captureAtHosts(family);
    const original = tcpTo(2048)({ from: family.source(1), to: family.shared });
    await rig.arrive([original, ...lastOnes(family)]);
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
    await rig.kernel.close();
    await rig.begin({ ...CONFIG, icmpErrorsPerSecond: 5 });
    const captures = await rig.captureAtHosts(family);
    const about = (port: number, at: number): Buffer =>
      errorAbout(
        3,
        family.shared,
        family.stranger,
        tcpFrom(port),
      )({ from: family.source(at), to: family.shared });
    const storm = Array.from({ length: 2000 }, () => about(2048, 1));
    await rig.arrive([...storm, about(4096, 2), ...lastOnes(family)]);
    await captures[1]!.reaches(2);
    await captures[0]!.reaches(2);
    const { byReason } = await rig.kernel.counts();
    const passed = await captures[0]!.count("icmp");
    expect(passed).toBeLessThan(200);
    expect(passed + byReason.error_rate).toBe(storm.length);
    expect(await captures[1]!.count("icmp")).toBe(1);
  });

  test("[RT7] nothing that passes makes a connection-tracking entry", async () => {
    const rules =
      "table inet watched { chain c { type filter hook prerouting priority 0; ct state new counter; }; }";
    await rig.lab.exec("r1", ["nft", "-f", "-"], rules);
    const [hostMac, routerMac] = [await rig.lab.macOf("h1", "lan0"), await rig.lab.macOf("r1", "lan0")];
    for (const family of FAMILIES) {
      const captures = await rig.captureAtHosts(family);
      const outgoing = await rig.lab.capture("r1", "up0", `src host ${family.shared}`);
      const out = { from: family.shared, to: family.stranger };
      await rig.lab.inject("h1", "lan0", [frame(hostMac, routerMac, packet(out, udpFrom(2048)(out)))]);
      await rig.arrive([udpTo(2048)({ from: family.stranger, to: family.shared }), ...lastOnes(family)]);
      await captures[0]!.reaches(2);
      await outgoing.reaches(1);
    }
    const tracked = await rig.lab.trackedConnections("r1");
    const shared = tracked.filter((line) => line.includes(SHARED_IPV4) || line.includes("2001:db8:1::1"));
    expect(shared).toEqual([]);
    await rig.lab.exec("r1", ["nft", "delete", "table", "inet", "watched"]);
  });

  /** UDP of so many octets that no router may split. */
  function unsplit(family: Family, port: number, byteCount: number): Buffer {
    const route = { from: family.stranger, to: family.shared };
    const make = (): Buffer =>
      packet(route, udp(route, { sourcePort: 53, destinationPort: port, data: Buffer.alloc(byteCount) }));
    return family.name === "IPv4" ? withByte(make, 6, 0x40)(route) : make();
  }

  /** Has two packets come for h2, which is reached by routing, one of them too big for the link: what became of them. */
  async function sendToH2(family: Family): Promise<{ arrived: number; answered: number }> {
    await rig.lab.setMtu("r1", "lan0", 1400);
    try {
      const captures = await rig.captureAtHosts(family);
      const answers = await rig.lab.capture("carrier", "r1", TOO_BIG);
      await rig.arrive([unsplit(family, 4096, 1430), unsplit(family, 4096, 1000)]);
      await answers.reaches(1);
      await captures[1]!.reaches(1);
      const answered = await answers.count(`dst host ${family.stranger}`);
      return { arrived: await captures[1]!.count("udp"), answered };
    } finally {
      await rig.lab.setMtu("r1", "lan0", 1500);
    }
  }

  test.each(FAMILIES)(
    "[RT8] a packet too big on the way to a routed host is answered, not lost: $name",
    async (family) => {
      await rig.clear();
      await rig.begin({ ...CONFIG, hosts: new Map([["h2", TO_H2]]) });
      expect(await sendToH2(family)).toEqual({ arrived: 1, answered: 1 });
    },
  );

  describe("on a router that is a host", () => {
    const ours = [`${SHARED_IPV4}/32`, `${SHARED_IPV6}/128`];

    beforeEach(async () => {
      await rig.clear();
      await rig.begin({ ...CONFIG, hosts: new Map<string, HostWay>([["h1", SELF]]) });
      for (const ip of ours) await rig.lab.exec("r1", ["ip", "addr", "add", ip, "dev", "lo"]);
      const watch = `table inet watched {
      chain c {
        type filter hook input priority 0;
        udp dport 2048 counter
      }
    }`;
      await rig.lab.exec("r1", ["nft", "-f", "-"], watch);
    });

    afterEach(async () => {
      await rig.lab.exec("r1", ["nft", "delete", "table", "inet", "watched"]);
      for (const ip of ours) await rig.lab.exec("r1", ["ip", "addr", "flush", "dev", "lo", "to", ip]);
    });

    async function deliveredCount(): Promise<number> {
      const { stdout } = await rig.lab.exec("r1", ["nft", "list", "table", "inet", "watched"]);
      return Number(/packets (\d+) /.exec(stdout)?.[1]);
    }

    test.each(FAMILIES)(
      "[RT9] its own ports are kept and the others of its own address forwarded: $name",
      async (family) => {
        const captures = await rig.captureAtHosts(family);
        const route = { from: family.source(1), to: family.shared };
        await rig.arrive([udpTo(2048)(route), udpTo(4096)(route), udpTo(6144)(route)]);
        await captures[1]!.reaches(1);
        await captures[2]!.reaches(1);
        expect(await captures[0]!.count()).toBe(0);
        expect(await deliveredCount()).toBe(1);
      },
    );

    test.each(FAMILIES)(
      "[RT8] [RT9] a host beyond a tunnel is reached although the address is local: $name",
      async (family) => {
        await rig.kernel.close();
        await rig.begin({
          ...CONFIG,
          hosts: new Map<string, HostWay>([
            ["h1", SELF],
            ["h2", TO_H2],
          ]),
        });
        expect(await rig.kernel.isInForce()).toBe(true);
        expect(await sendToH2(family)).toEqual({ arrived: 1, answered: 1 });
        const captures = await rig.captureAtHosts(family);
        const route = { from: family.source(1), to: family.shared };
        await rig.arrive([udpTo(2048)(route), udpTo(4096)(route), udpTo(6144)(route)]);
        await captures[1]!.reaches(1);
        await captures[2]!.reaches(1);
        expect(await captures[0]!.count()).toBe(0);
        expect(await deliveredCount()).toBe(1);
      },
    );

    test.each(FAMILIES)(
      "[RT4] [RT9] what is for itself while it has not got the address is dropped and counted: $name",
      async (family) => {
        for (const ip of ours) await rig.lab.exec("r1", ["ip", "addr", "del", ip, "dev", "lo"]);
        // It would go back to where it came from, by the default route.
        const net = family.name === "IPv4" ? SHARED_NET_IPV4 : SHARED_NET_IPV6;
        await rig.lab.exec("r1", ["ip", "route", "del", "blackhole", net]);
        const captures = await rig.captureAtHosts(family);
        const back = await rig.lab.capture("carrier", "r1", `udp and dst host ${family.shared}`);
        const before = await rig.kernel.counts();
        await rig.arrive([udpTo(2048)({ from: family.source(1), to: family.shared }), ...lastOnes(family)]);
        await captures[1]!.reaches(1);
        await captures[2]!.reaches(1);
        const { byReason } = await rig.kernel.counts();
        await rig.lab.exec("r1", ["ip", "route", "add", "blackhole", net]);
        // One packet of its own is among the last ones.
        expect(byReason.absent - before.byReason.absent).toBe(2);
        // All that the carrier's end has seen is what it has itself put there.
        expect(await back.count()).toBe(1 + lastOnes(family).length);
      },
    );
  });

  test("a neighbour that looks for a shared IPv6 address on the link finds the router that has it there", async () => {
    const [, family] = FAMILIES as [Family, Family];
    const [mac, asker] = [await rig.lab.macOf("carrier", "r1"), uplinkOf(1).carrier.ipv6];
    const link = ["dev", "up0", "nodad"];
    await rig.lab.exec("r1", ["ip", "addr", "add", `${SHARED_IPV6}/128`, ...link]);
    const route = ["ip", "route", "replace", `${SHARED_IPV6}/128`, "dev", "r1"];
    await rig.lab.exec("carrier", route);
    try {
      const captures = await rig.captureAtHosts(family);
      const said = await rig.lab.capture(
        "carrier",
        "r1",
        `icmp6 and ip6[40] == 136 and src host ${SHARED_IPV6}`,
      );
      // By the carrier's own kernel, which asks all on the link first.
      const send = `require("node:dgram").createSocket("udp6").send("x", 4096, "${SHARED_IPV6}", () => process.exit())`;
      await rig.lab.exec("carrier", [process.execPath, "-e", send]);
      await captures[1]!.reaches(1);
      // Whether it is still there is asked of the address itself.
      const target = Buffer.from(ipaddr.parse(SHARED_IPV6).toByteArray());
      const link1 = Buffer.from(`0101${mac.replaceAll(":", "")}`, "hex");
      const data = Buffer.concat([target, link1]);
      const about = { from: asker, to: SHARED_IPV6 };
      const probe = withByte(() => packet(about, icmp(about, { type: 135, code: 0, rest: 0, data })), 7, 255);
      await rig.arrive([probe(about)]);
      await said.reaches(2);
      expect(await said.count(`dst host ${asker}`)).toBeGreaterThanOrEqual(1);
    } finally {
      await rig.lab.exec("carrier", ["ip", "route", "del", `${SHARED_IPV6}/128`]);
      await rig.lab.exec("r1", ["ip", "addr", "del", `${SHARED_IPV6}/128`, "dev", "up0"]);
    }
  });

  test("[RT4] packets for other addresses, and for the router itself, are none of its business", async () => {
    const own = uplinkOf(1).router.ipv4;
    const answers = await rig.lab.capture("carrier", "r1", `src host ${own} and icmp[0] = 3`);
    await rig.arrive([udpTo(2048)({ from: ORIGINS_IPV4[0], to: own })]);
    await answers.reaches(1);
    const { byReason } = await rig.kernel.counts();
    expect(Object.values(byReason).every((count) => count === 0)).toBe(true);
  });
});
