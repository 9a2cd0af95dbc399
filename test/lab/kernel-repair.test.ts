/** How the kernel is brought to follow, from whatever it has: step by step, and nothing is lost meanwhile. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { SteeringEntry } from "../../src/core/steering.ts";
import { type HostWay, routedHosts } from "../../src/router/steering/router-config.ts";
import { NftKernel } from "../../src/router/kernel/nft-kernel.ts";
import { FAMILIES, type Family, FREE_PORT, udpTo } from "./packet-kinds.ts";
import { packet, udp } from "./packets.ts";
import { hostOnLan } from "./plan.ts";
import { BACK_ENDS, blocks, CONFIG, moveOf, NEXT_HOPS, RouterRig, Sending, tableOf } from "./router-rig.ts";

const run = promisify(execFile);
let rig: RouterRig;

/** Takes an element away and puts others in, as another program could; says what is to be mended. */
async function disturbRules(): Promise<{ removedCount: number; addedCount: number }> {
  const { table } = CONFIG;
  const statements = `delete element netdev ${table} via_lan0_ip4_8 { 0xc0000201 . 4096 }
    add element netdev ${table} via_lan0_ip4_6 { 0xc0000201 . ${FREE_PORT} : 203.0.113.81 }
    add set netdev ${table} stranger { type ipv4_addr; }
    add element inet ${table} addresses_ip4 { 0xc0000209 }`;
  await rig.lab.exec("r1", ["nft", "-f", "-"], statements);
  return { removedCount: 2, addedCount: 1 };
}

/** The same in the maps: 2,048 ports that are nobody's go to a host, and there is one address too many. */
async function disturbMaps(): Promise<{ removedCount: number; addedCount: number }> {
  const map = ["map", "update", "pinned", rig.mapFile("lines4")];
  const write = (lastOctet: number, line: readonly number[]): Promise<unknown> =>
    run("bpftool", [...map, "key", "192", "0", "2", String(lastOctet), "value", ...line.map(String)]);
  const { stdout } = await run("bpftool", ["-j", "map", "dump", "pinned", rig.mapFile("lines4")]);
  const [{ value }] = JSON.parse(stdout) as [{ value: string[] }];
  const ENTRY = 16;
  await write(1, value.map(Number).with(4 * ENTRY, 1));
  await write(9, Array<number>(128).fill(0));
  return { removedCount: 32 + 1, addedCount: 0 };
}

describe.each(BACK_ENDS)("by %s", (backEnd) => {
  beforeAll(async () => {
    rig = await RouterRig.create(backEnd);
  });

  beforeEach(() => rig.begin());

  afterEach(() => rig.clear());

  afterAll(() => rig?.lab.destroy());

  test("[RT2] changes under traffic lose nothing, and turn nothing to a third", async () => {
    const [family] = FAMILIES as [Family];
    const [first, second] = blocks() as [SteeringEntry, SteeringEntry];
    const captures = await rig.captureAtHosts(family);
    const route = { from: family.source(1), to: family.shared };
    const still = packet(route, udp(route, { sourcePort: 53, destinationPort: first.base }));
    const moving = packet(route, udp(route, { sourcePort: 53, destinationPort: second.base }));
    const packets = Array.from({ length: 40_000 }, (_, at) => (at % 2 === 0 ? still : moving));
    const sending = new Sending(rig, packets);
    let moveCount = 0;
    for (let host = "h2"; !sending.isOver; moveCount += 1) {
      const next = host === "h2" ? "h3" : "h2";
      await rig.kernel.apply(moveOf({ ...second, host }, next));
      host = next;
    }
    await sending.end;
    expect(moveCount).toBeGreaterThan(2);
    await Promise.all(captures.map((capture) => capture.stop()));
    const [still1, moved2, moved3] = await Promise.all(captures.map((capture) => capture.count("udp")));
    expect([still1, moved2! + moved3!]).toEqual([20_000, 20_000]);
    expect((await rig.kernel.counts()).byReason.unleased).toBe(0);
  });

  test("[RT2] the first block of another size is asked for from the same instant on", async () => {
    const [family] = FAMILIES as [Family];
    await rig.kernel.repair(tableOf([blocks()[0]!]));
    const captures = await rig.captureAtHosts(family);
    const [, , small] = blocks() as [SteeringEntry, SteeringEntry, SteeringEntry];
    await rig.kernel.apply({
      removed: [],
      added: [{ entry: small, nextHop: NEXT_HOPS[2]! }],
      removedIps: [],
      addedIps: [],
    });
    await rig.arrive([udpTo(small.base)({ from: family.source(1), to: family.shared })]);
    await captures[2]!.reaches(1);
    expect(await captures[2]!.count("udp")).toBe(1);
  });

  test("[RT5] rules of a host that is routed no more are taken away, another router's are not", async () => {
    const rules = async (): Promise<string> => {
      const listed = await Promise.all(
        ["-4", "-6"].map((family) => rig.lab.exec("r1", ["ip", family, "rule"])),
      );
      return listed.map(({ stdout }) => stdout).join("");
    };
    const before = await rules();
    const to = (number: number): HostWay => {
      const { ipv4, ipv6 } = hostOnLan(number);
      return { kind: "routed", device: "lan0", nextHops: [ipv4, ipv6] };
    };
    // One device has one program, so the other steers by rules.
    const other = rig.newKernel({ ...CONFIG, table: "other", hosts: new Map([["h3", to(3)]]) }, "nft");
    await other.repair(tableOf([]));
    const withOther = await rules();
    expect(withOther).not.toBe(before);

    const self: HostWay = { kind: "self" };
    for (const hosts of [
      new Map([["h2", to(2)]]),
      new Map([
        ["h2", to(2)],
        ["h3", to(3)],
      ]),
      // Ahead of local addresses, and behind them again.
      new Map([
        ["h1", self],
        ["h2", to(2)],
      ]),
      new Map([["h3", to(3)]]),
    ]) {
      await rig.kernel.close();
      await rig.begin({ ...CONFIG, hosts });
      expect(await rig.kernel.isInForce()).toBe(true);
      expect((await rules()).match(/fwmark/g)).toHaveLength(
        2 * (1 + routedHosts({ ...CONFIG, hosts }).length),
      );
    }
    await rig.kernel.close();
    await rig.begin();
    expect(await rules()).toBe(withOther);
    await other.remove();
    await other.close();
    expect(await rules()).toBe(before);
  });

  test("[RT5] a router that starts again changes the difference only, and no packet is lost meanwhile", async () => {
    const [family] = FAMILIES as [Family];
    const expected = await (backEnd === "nft" ? disturbRules() : disturbMaps());
    const captures = await rig.captureAtHosts(family);
    const route = { from: family.source(1), to: family.shared };
    const steady = packet(route, udp(route, { sourcePort: 53, destinationPort: 2048 }));
    const sending = new Sending(rig, Array<Buffer>(40_000).fill(steady));
    await rig.kernel.close();
    rig.kernel = rig.newKernel();
    expect(await rig.kernel.repair(tableOf(blocks()))).toEqual({ ...expected, unreachable: [] });
    expect(await rig.kernel.repair(tableOf(blocks()))).toMatchObject({ removedCount: 0, addedCount: 0 });
    while (!sending.isOver) await rig.kernel.repair(tableOf(blocks()));
    await sending.end;
    expect(await captures[0]!.count("udp")).toBe(40_000);
    if (rig.kernel instanceof NftKernel) expect((await rig.kernel.read()).foreign).toEqual([]);
  });

  test("removal leaves nothing of it in the kernel", async () => {
    await rig.kernel.remove();
    const { stdout } = await rig.lab.exec("r1", ["nft", "list", "ruleset"]);
    expect(stdout.trim()).toBe("");
    expect((await rig.lab.exec("r1", ["ip", "link", "show"])).stdout).not.toContain("xdp");
    expect(existsSync(rig.pinDirectoryOf(CONFIG))).toBe(false);
  });
});
